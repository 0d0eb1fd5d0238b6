# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the pip versions, one a line, that the installed ansible-test puts into its virtual environments."""
from __future__ import annotations

import types

from ansible_test._internal.constants import SUPPORTED_PYTHON_VERSIONS
from ansible_test._internal.python_requirements import get_venv_packages

for version in sorted({get_venv_packages(types.SimpleNamespace(version=python))["pip"] for python in SUPPORTED_PYTHON_VERSIONS}):
    print(version)
