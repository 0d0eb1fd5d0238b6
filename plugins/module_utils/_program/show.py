# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What a person reads, and what a program reads."""

from __future__ import annotations

import difflib
import os
import typing as t

from . import parts
from .parts import Look

#: State -> SGR parameters (ECMA-48 8.3.117).
COLOURS = {parts.OK: "32", parts.DRIFT: "33", parts.MISSING: "31", parts.WAITING: "36", parts.FAILED: "1;31", "changed": "33", "+": "32", "-": "31", "@": "36"}


class Paint:
    """Colours words where a person looks at a terminal and has not said NO_COLOR (no-color.org)."""

    def __init__(self, *, is_terminal: bool) -> None:
        self.on = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def __call__(self, text: str, kind: str) -> str:
        return f"\x1b[{COLOURS[kind]}m{text}\x1b[0m" if self.on and kind in COLOURS else text


def table(rows: t.Sequence[t.Sequence[str]], paint: Paint) -> str:
    """Rows of (name, state, note) with aligned columns; the state is coloured."""
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = []
    for name, state, note in rows:
        padding = " " * (widths[1] - len(state))
        lines.append(f"{name:<{widths[0]}}  {paint(state, state)}{padding}  {note}".rstrip() + "\n")
    return "".join(lines)


def status(looks: t.Sequence[Look], paint: Paint) -> str:
    """Every part, its objects below it, and what is to be said of it."""
    rows = []
    for look in looks:
        rows.append((look.name, look.state, ""))
        rows += [(f"  {thing.id}", thing.state, thing.note) for thing in look.things]
    return table(rows, paint) + remarks(looks, paint)


def remarks(looks: t.Sequence[Look], paint: Paint) -> str:
    lines = []
    for look in looks:
        lines += [f"{look.name}: {paint('failed', parts.FAILED)}: {problem}\n" for problem in look.problems]
        # Of several sections' warnings, as a playbook shows them, the first word says whose it is.
        lines += [f"{look.name}: {warning.removeprefix(f'{look.section}: ')}\n" for warning in look.warnings]
        for key, (now, would) in look.choices.items():
            lines.append(f"{look.name}: auto would now choose {key} {would} (it is {now}; a run of the playbook changes it)\n")
    return "".join(["\n", *lines]) if lines else ""


def applied(looks: t.Sequence[Look], paint: Paint, *, check: bool) -> str:
    """A row for each part: what was changed, or in check mode would be."""
    rows = []
    for look in looks:
        changes = len(look.changes)
        done = f"{changes} {'change' if changes == 1 else 'changes'}" + (" needed" if check else "")
        waiting = [f"{thing.id} {thing.note}" for thing in look.things if thing.state == parts.WAITING]
        word = look.state if look.problems or not changes else "drift" if check else "changed"
        rows.append((look.name, word, "; ".join(([done] if changes else []) + ([f"waiting: {', '.join(waiting)}"] if waiting else []))))
    return table(rows, paint) + remarks(looks, paint)


def diff(looks: t.Sequence[Look], paint: Paint) -> str:
    """What differs from the document, from what is there to what should be, as a unified diff."""
    return "".join(_painted(line, paint) for look in looks for item in look.diff for line in _unified(item))


def _unified(item: t.Mapping[str, str]) -> list[str]:
    before, after = (item[side].splitlines(keepends=True) for side in ("before", "after"))
    lines = list(difflib.unified_diff(before, after, item["before_header"], item["after_header"], lineterm="\n"))
    lines = lines or [f"--- {item['before_header']}\n", f"+++ {item['after_header']}\n"]
    return [line if line.endswith("\n") else f"{line}\n" for line in lines]


def _painted(line: str, paint: Paint) -> str:
    return paint(line[:-1], line[0]) + "\n"


def as_data(report: parts.Report) -> dict[str, t.Any]:
    """``{"notes", "state", "parts": [{"section", "instance", "state", "objects": [{"id", "state", "origin", "note"}], "changes", "diff",
    "choices": {KEY: {"now", "auto"}}, "problems", "warnings"}]}``"""
    looks = report.looks
    return {
        "notes": report.notes,
        "state": worst(looks),
        "parts": [
            {
                "section": look.section,
                "instance": look.instance,
                "state": look.state,
                "objects": [{"id": thing.id, "state": thing.state, "origin": thing.origin, "note": thing.note} for thing in look.things],
                "changes": [change.as_dict() for change in look.changes],
                "diff": look.diff,
                "choices": {key: {"now": now, "auto": would} for key, (now, would) in look.choices.items()},
                "problems": look.problems,
                "warnings": look.warnings,
            }
            for look in looks
        ],
    }


def worst(looks: t.Sequence[Look]) -> str:
    states = {look.state for look in looks}
    return next((state for state in (parts.FAILED, parts.MISSING, parts.DRIFT, parts.WAITING) if state in states), parts.OK)
