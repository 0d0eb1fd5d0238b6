# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What takes a change back that nobody confirms: a process of its own, and after a boot a unit of systemd."""

from __future__ import annotations

import json
import os
import sys
import time
import typing as t

from . import _journal
from ._errors import NodeError
from ._host import files, services
from ._journal import Journal

#: Held by the living guard, in the name of its run.
LOCK = "/run/kubenode-network-revert.lock"
CONFIRMED, REVERTED = "confirmed", "reverted"
#: How the last change ended that was to be confirmed and is no more open: ``{"run", "end": CONFIRMED | REVERTED, "remark"}``.
LAST = "/run/kubenode-network/last-confirm.json"
UNITS = "/etc/systemd/system"
UNIT = "kubenode-network-revert.service"
WANTED_BY = "multi-user.target"
#: Applies what is left then. Where the change has removed it, it is not among what this boot starts.
BOOT_UNIT = "kubenode-network.service"
#: Before the boot unit, and before what reads the files that may go again.
UNIT_TEXT = """\
# Written by kubenode.network for as long as a change is not confirmed
[Unit]
Description=Take back the change of the pod network that nobody confirmed
DefaultDependencies=no
After=local-fs.target
Before={boot_unit} network-pre.target systemd-sysctl.service
Wants=network-pre.target
ConditionPathExists={journal}

[Service]
Type=oneshot
ExecStart={python} {launcher} boot

[Install]
WantedBy={wanted_by}
"""
#: Seconds
READY = 20
INTERVAL = 0.5
AGAIN = 5


def terms(seconds: int) -> dict[str, t.Any]:
    """What a journal says of a confirmation that is asked for."""
    unit = os.path.join(UNITS, UNIT)
    link = os.path.join(UNITS, f"{WANTED_BY}.wants", UNIT)
    return {"seconds": seconds, "files": [unit, link] if services.systemd_installed() else []}


def arm(journal: Journal) -> None:
    """Starts the guard of a run, and returns when it is there. Nothing may be changed before."""
    confirm = t.cast("dict[str, t.Any]", journal.confirm)
    try:
        if confirm["files"]:
            unit, link = confirm["files"]
            paths = {"journal": _journal.path(), "python": sys.executable, "launcher": _journal.launcher()}
            text = UNIT_TEXT.format(boot_unit=BOOT_UNIT, wanted_by=WANTED_BY, **paths)
            files.write(unit, files.Bytes(text.encode()), mode=0o644)
            files.make_folder(os.path.dirname(link), 0o755)
            files.symlink(link, unit)
        run = journal.run["id"]
        services.start_detached([sys.executable, _journal.launcher(), "guard", run], f"kubenode-network-revert-{run.rpartition('-')[2]}")
        _wait_for_guard(run)
    except NodeError as error:
        disarm(journal)
        _journal.leave(journal, journal.data["kept"])
        raise NodeError(f"nothing was changed: what would take the change back unless it is confirmed does not start: {error}") from error


def _wait_for_guard(run: str) -> None:
    end = time.monotonic() + READY
    while (files.read_text(LOCK) or "").strip() != run:
        if time.monotonic() > end:
            raise NodeError(f"it has not come up within {READY} s")
        time.sleep(0.02)


def disarm(journal: Journal) -> None:
    """Removes what starts the undo after a boot. The guard ends by itself when its journal is gone."""
    for path in reversed(journal.confirm["files"] if journal.confirm else []):
        files.remove(path)


def remember(journal: Journal, end: str, remark: str = "") -> None:
    """Keeps for those who ask later how it ended. It is no failure if that cannot be kept."""
    try:
        files.make_folder(os.path.dirname(LAST), 0o700)
        files.write(LAST, files.Bytes(json.dumps({"run": journal.run["id"], "end": end, "remark": remark}).encode()), mode=0o600)
    except NodeError:
        return


def last() -> dict[str, str]:
    try:
        return dict(json.loads(files.read_text(LAST) or "{}"))
    except ValueError:
        return {}


def watch(run: str, lock: str, undo: t.Callable[[Journal], bool]) -> int:
    """Stays until the run is confirmed or taken back; takes it back when its time is over, or when it died before it was done."""
    with files.locked(LOCK, READY, run):
        while not _is_over(run, lock, undo):
            time.sleep(INTERVAL)
    return 0


def _is_over(run: str, lock: str, undo: t.Callable[[Journal], bool]) -> bool:
    """Whether nothing is left to watch. A journal that cannot be read now may be in a moment, and nobody else is there to look."""
    try:
        journal = _journal.load()
    except NodeError:
        return False
    if journal is None or journal.run["id"] != run:
        return True
    return not journal.waits() and _try_to_undo(run, lock, undo)


def _try_to_undo(run: str, lock: str, undo: t.Callable[[Journal], bool]) -> bool:
    """While the run goes on, it has the lock."""
    try:
        with files.locked(lock, 0, f"the revert of the run {run}"):
            journal = _journal.load()
            if journal is None or journal.run["id"] != run:
                return True
            if journal.waits():
                return False
            if undo(journal):
                return True
    except NodeError:
        return False
    time.sleep(AGAIN)
    return False
