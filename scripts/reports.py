# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripts beside this file say when they are done: a report in the form of pytest's, a table for people."""
from __future__ import annotations

import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LOGS = ROOT / "build" / "logs"
REPORTS = ROOT / "build" / "junit"


class Case(NamedTuple):
    """One thing that was tried; seconds are wall-clock time, failure is what went wrong, "" when nothing did."""

    name: str
    seconds: float
    failure: str


class Counts(NamedTuple):
    """Test cases by outcome; an error is a failure."""

    passed: int
    failed: int
    skipped: int


def logged(argv: list[str], log: Path, env: dict[str, str] | None = None) -> int:
    """Run a command with its output at the end of a log; return its status."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        return subprocess.call(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)


def write_report(name: str, cases: list[Case]) -> None:
    """Write build/junit/NAME.xml."""
    failed = sum(1 for case in cases if case.failure)
    suite = ET.Element("testsuite", name=name, tests=str(len(cases)), failures=str(failed), errors="0", skipped="0")
    for case in cases:
        element = ET.SubElement(suite, "testcase", classname=name, name=case.name, time=f"{case.seconds:.3f}")
        if case.failure:
            ET.SubElement(element, "failure", message=case.failure)
    REPORTS.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(suite).write(REPORTS / f"{name}.xml", encoding="utf-8", xml_declaration=True)


def read_counts(report: Path) -> Counts:
    """Count the cases of a report (its suites' attributes)."""
    tests = failed = skipped = 0
    for suite in ET.parse(report).getroot().iter("testsuite"):
        tests += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return Counts(tests - failed - skipped, failed, skipped)


def table(rows: list[tuple[str, ...]]) -> str:
    """Lay rows of words out in columns; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows)
