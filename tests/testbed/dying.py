# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that is killed on its way, at each place where it asks something of the system."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_KILLED = 9


class _Dying:
    """The module os, of a process that is killed right before its call of this number."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        if name == "path" or not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                os._exit(_KILLED)
            return found(*args, **kwargs)

        return call


def killed_at(number: int, module: Any, function: Callable[[], Any]) -> bool:
    """Calls the function in a copy of this process, which ends before the module's call of os of this number (from 0); whether it
    came so far."""
    child = os.fork()
    if child == 0:
        try:
            module.os = _Dying(number)
            function()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == _KILLED
