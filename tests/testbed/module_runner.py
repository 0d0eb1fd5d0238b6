# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run as a script in a node, by any Python from 3.9: one module for real, without a play around it.

Standard input: {"paths": folders for sys.path, "module": dotted name, "args": its parameters}.
"""

from __future__ import annotations

import importlib
import json
import sys


def _main() -> None:
    order = json.load(sys.stdin)
    sys.path[:0] = order["paths"]
    from ansible.module_utils import basic

    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": order["args"]}).encode()
    if hasattr(basic, "_ANSIBLE_PROFILE"):  # ansible-core 2.19 and later
        basic._ANSIBLE_PROFILE = "legacy"
    importlib.import_module(order["module"]).main()


if __name__ == "__main__":
    _main()
