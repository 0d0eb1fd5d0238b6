# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for get-pip.py: install packages with the pip whose wheel lies beside this file.

scripts/sanity copies it as get_pip_VERSION.py next to pip-VERSION-py3-none-any.whl. Arguments are those of get-pip.py: options
of `pip install`, requirements, and two flags that pip itself does not know.
"""
from __future__ import annotations

import os
import runpy
import sys

OWN_FLAGS = ("--no-setuptools", "--no-wheel")

here, name = os.path.split(os.path.abspath(__file__))
version = os.path.splitext(name)[0][len("get_pip_"):].replace("_", ".")
wheel = os.path.join(here, f"pip-{version}-py3-none-any.whl")
if not os.path.exists(wheel):
    sys.exit(f"{wheel}: missing; delete {os.path.join(here, name)} and run again")
sys.path.insert(0, wheel)
arguments = [argument for argument in sys.argv[1:] if argument not in OWN_FLAGS]
sys.argv = ["pip", "install", "--upgrade", "--force-reinstall"] + arguments
runpy.run_module("pip", run_name="__main__", alter_sys=True)
