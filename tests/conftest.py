# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection importable as `ansible_collections.kubenode.network`, whatever the checkout folder is called."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from testbed.paths import link_collection

_COLLECTIONS = str(link_collection())
sys.path.insert(0, _COLLECTIONS)
os.environ["ANSIBLE_COLLECTIONS_PATH"] = _COLLECTIONS
