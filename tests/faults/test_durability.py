# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run has put in place survives a power cut: file synced, renamed, folder synced, in that order (rename(2), fsync(2))."""

from __future__ import annotations

import os
import re

import pytest

from faults import trace

DESCRIPTOR = re.compile(r"\d+<([^>]*)>")
PATHS = re.compile(r'"((?:[^"\\]|\\.)*)"')
SYNC, RENAME = ("fsync", "fdatasync"), ("rename", "renameat", "renameat2")
CONTENT = ("write", "pwrite64", "writev", "sendfile", "copy_file_range", "ftruncate", "fchmod", "fchown")


def broken_rules(calls):
    """What is not durable in a run's successful calls, as sentences; and what was renamed."""
    dirty, due, wrong, renamed = set(), None, [], []
    for call in calls:
        path = next(iter(DESCRIPTOR.findall(call.args)), "")
        if due and not (call.name in SYNC and path == due):
            wrong.append(f"{call.text} comes before {due} is synced")
        due = None
        if call.name in CONTENT:
            dirty.add(path)
        elif call.name in SYNC:
            dirty.discard(path)
        elif call.name in RENAME:
            old, new = PATHS.findall(call.args)[:2]
            renamed.append(new)
            wrong += [f"{old} is renamed before it is synced"] if old in dirty else []
            due = os.path.dirname(new)
        elif call.name == "unlink" and not PATHS.findall(call.args)[0].endswith(".tmp"):
            due = os.path.dirname(PATHS.findall(call.args)[0])
    return wrong, renamed


@pytest.mark.parametrize("scenario", ["first", "change", "removal"])
def test_everything_is_synced_in_order(worker, scenario):
    calls = trace.changing(trace.read(worker.ask(f"trace {scenario}")))
    wrong, renamed = broken_rules(calls)
    assert not wrong, "\n".join(wrong)
    assert "/etc/kubenode-network/node.json" in renamed or scenario == "removal"


@pytest.mark.parametrize("scenario", ["first", "change", "removal"])
def test_nothing_is_changed_before_the_journal_is_there(worker, scenario):
    """But for the lock, what programs are asked, and the journal's own folder."""
    calls = trace.changing(trace.read(worker.ask(f"trace {scenario}")))
    own = re.compile(r'/var/lib/kubenode-network|"/run/|</run/|<pipe:')
    written = next(number for number, call in enumerate(calls) if call.name == "rename" and '/var/lib/kubenode-network/journal.json")' in call.text)
    assert calls[written + 1].text == "fsync(N</var/lib/kubenode-network>)"
    early = [call.text for call in calls[:written] if call.name not in ("vfork", "fsync") and not own.search(call.args)]
    assert not early, early


WRITTEN = """openat(AT_FDCWD</>, "/etc/.x.tmp", O_WRONLY|O_CREAT|O_EXCL, 0600) = 5</etc/.x.tmp>
write(5</etc/.x.tmp>, "x", 1) = 1
fsync(5</etc/.x.tmp>) = 0
rename("/etc/.x.tmp", "/etc/x") = 0
fsync(6</etc>) = 0
unlink("/etc/y") = 0
fsync(6</etc>) = 0
"""


def test_what_is_missing_is_seen():
    lines = WRITTEN.splitlines(keepends=True)
    assert broken_rules(trace.read(WRITTEN)) == ([], ["/etc/x"])
    for number, said in ((2, "/etc/.x.tmp is renamed before it is synced"), (4, 'unlink("/etc/y") comes before /etc is synced')):
        assert broken_rules(trace.read("".join(lines[:number] + lines[number + 1 :])))[0] == [said]
