# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import functools
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError


def as_filter(name: str, function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """The function, whose InputError is one clear message in a template."""

    @functools.wraps(function)
    def answer(*args: t.Any, **kwargs: t.Any) -> t.Any:
        try:
            return function(*args, **kwargs)
        except InputError as error:
            raise AnsibleFilterError(f"{name}: {error}") from error

    return answer
