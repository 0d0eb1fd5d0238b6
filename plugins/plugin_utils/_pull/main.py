# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The command ``kubenode-network-pull``: fetch this node's document, apply it, and say how that went."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import json
import os
import random
import sys
import time
import typing as t

from ansible_collections.kubenode.network.plugins.module_utils._errors import KubenodeError, NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import files, process

from . import config, playbook, sources

#: Exit codes. 2 is what argparse ends with when it is called wrongly, too.
OK, FAILED, MISCONFIGURED, UNREACHABLE, BUSY = 0, 1, 2, 3, 4
EPILOG = """exit codes:
  0  the node is what the source says
  1  the document was refused, or could not be applied; the node is as it was
  2  the command or its configuration is wrong
  3  the source could not be fetched; the last good document was applied
  4  another run is at work
"""
SCHEMA = 1
_LONGEST = 4000  # characters of a message


@dataclasses.dataclass(frozen=True)
class Status:
    """What status.json says, for monitoring. Times are UTC, ISO 8601. ``result``: changed, unchanged or failed. ``stage``: fetch, document
    or apply, what failed. ``revision``: what is in force, a commit or the SHA-256 of the document; ``tried``: the one that was refused.
    ``failures``: how many runs in a row have failed."""

    schema: int
    last_try: str
    last_success: str | None
    seconds: float
    result: str
    stage: str | None
    message: str | None
    revision: str | None
    tried: str | None
    failures: int


def main(argv: t.Sequence[str] | None = None) -> int:
    """Runs once and returns the exit code."""
    options = _parser().parse_args(argv)
    time.sleep(random.uniform(0, options.delay))
    try:
        settings = config.load(options.config)
    except KubenodeError as error:
        return _complain(error, MISCONFIGURED)
    if options.check:
        return OK
    try:
        _make_folders(settings)
        with _alone(settings) as alone, process.ended_by_signals():
            return _tick(settings) if alone else _complain("another run is at work", BUSY)
    except (KubenodeError, OSError) as error:
        return _complain(error, FAILED)


def _complain(what: object, code: int) -> int:
    print(f"kubenode-network-pull: {what}", file=sys.stderr)  # noqa: T201
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kubenode-network-pull", description="Fetch this node's document and apply it.", epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--config", required=True, metavar="PATH", help="what the role kubenode.network.pull wrote")
    parser.add_argument("--check", action="store_true", help="only look at the configuration")
    parser.add_argument("--delay", type=float, default=0, metavar="SECONDS", help="wait up to this long before, by chance")
    return parser


def _make_folders(settings: config.Config) -> None:
    files.make_folder(settings.state_dir, 0o755)
    files.make_folder(os.path.join(settings.state_dir, "work"), 0o700)


@contextlib.contextmanager
def _alone(settings: config.Config) -> t.Iterator[bool]:
    """Whether this is the only run; the kernel drops the lock when the process ends."""
    descriptor = os.open(os.path.join(settings.state_dir, "work", "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _tick(settings: config.Config) -> int:
    started, clock = _now(), time.monotonic()
    source = sources.SOURCES[settings.source](settings)
    try:
        outcome, revision = _update(source)
    except (KubenodeError, OSError) as error:
        outcome, revision = playbook.Outcome(None, stage=playbook.APPLY, message=str(error)), None
    path = os.path.join(settings.state_dir, "status.json")
    last, failures = _previous(path)
    failed = outcome.stage is not None
    status = Status(
        SCHEMA, started, last if failed else started, round(time.monotonic() - clock, 1),
        "failed" if failed else "changed" if outcome.changed else "unchanged", outcome.stage, outcome.message and outcome.message[:_LONGEST],
        revision, outcome.revision if failed else None, failures + 1 if failed else 0,
    )  # fmt: skip
    files.write(path, files.Bytes((json.dumps(dataclasses.asdict(status), indent=1) + "\n").encode()), mode=0o644)
    _say(status)
    return OK if not failed else UNREACHABLE if outcome.stage == playbook.FETCH else FAILED


def _update(source: sources.Source) -> tuple[playbook.Outcome, str | None]:
    """The outcome, and the revision that is in force. What cannot be fetched or applied leaves the last good one in force, which is applied
    again, for the node may have drifted."""
    good = source.good()
    outcome = source.attempt()
    if outcome.stage is None:
        source.promote()
        return outcome, outcome.revision
    if good is None or (outcome.stage == playbook.APPLY and outcome.revision == good):
        return outcome, good
    again = source.apply_good()
    message = f"{outcome.message}; the last good one cannot be applied either: {again.message}" if again.stage else outcome.message
    stage = playbook.APPLY if again.stage else outcome.stage
    return outcome._replace(message=message, stage=stage, changed=again.changed), good


def _previous(path: str) -> tuple[str | None, int]:
    """The last success and how many runs failed since, or nothing of a file that is damaged."""
    try:
        found = json.loads(files.read_text(path) or "{}")
        last, failures = found.get("last_success"), found.get("failures", 0)
    except (AttributeError, NodeError, RecursionError, ValueError):
        return None, 0
    return (last, failures) if isinstance(last, (str, type(None))) and isinstance(failures, int) else (None, 0)


def _say(status: Status) -> None:
    what = f"revision {(status.revision or 'none')[:12]}"
    if status.stage is None:
        print(f"kubenode-network-pull: {status.result}, {what}")  # noqa: T201
    else:
        print(f"kubenode-network-pull: {status.stage} failed: {status.message}; {what} stays in force", file=sys.stderr)  # noqa: T201


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
