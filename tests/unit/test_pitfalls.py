# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/pitfalls.md says of every problem that cni_info names under which number it is, and names tests that exist."""

from __future__ import annotations

import re

from ansible_collections.kubenode.network.plugins.module_utils._info.problems import TABLE
from testbed.paths import CHECKOUT

PAGE = (CHECKOUT / "docs" / "pitfalls.md").read_text()


def rows():
    """Number or None, and the names in the column of cni_info."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 6 and cells[1].isdecimal():
            yield int(cells[1]), re.findall(r"`([a-z0-9-]+)`", cells[3])
        elif len(cells) == 5 and cells[1] and not cells[1].startswith(("---", "What people see")):
            yield None, re.findall(r"`([a-z0-9-]+)`", cells[2])


def test_every_problem_is_on_the_page_under_its_number():
    named = {(number, name) for number, names in rows() for name in names}
    assert {(number, name) for name, (number, _look) in TABLE.items()} <= named
    assert {name for _number, name in named} == set(TABLE)
    assert [number for number, _names in rows() if number] == list(range(1, 26))


def test_the_tests_that_it_names_exist():
    names = set(re.findall(r"test_\w+\.py", PAGE))
    assert len(names) > 5
    assert not [name for name in names if not list((CHECKOUT / "tests").rglob(name))]
