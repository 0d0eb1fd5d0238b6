# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

from ._host import bytecode

bytecode.use()  # before what is imported below; this file is compiled in every run, so it has nothing else

from ._execution import TERMS, answer, open_all, open_door

__all__ = ["TERMS", "answer", "open_all", "open_door"]
