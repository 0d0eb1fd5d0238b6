# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""One run of Ansible on this node: its output goes where ours goes, and what its tasks came to is read from a file."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import download, files, process

from .config import Config

#: What failed: getting the document, the document by itself, or applying it.
FETCH, DOCUMENT, APPLY = "fetch", "document", "apply"
_OURS = Path(__file__).parent
PLAYBOOK = str(_OURS.parents[2] / "playbooks" / "pull.yml")
_COLLECTIONS = os.pathsep.join([str(_OURS.parents[5]), "/usr/share/ansible/collections"])
_LONGEST = 2000  # characters of a message
_GRACE = 20.0  # seconds


class Outcome(t.NamedTuple):
    """How a run ended. ``stage`` and ``message``: what failed, None when nothing did. ``revision``: of the document that was tried."""

    revision: str | None
    changed: bool = False
    stage: str | None = None
    message: str | None = None


def extra_vars(config: Config) -> dict[str, str]:
    """Stronger than the inventory, where the node may well have an address and a connection for a controller."""
    return {"ansible_connection": "local", "ansible_python_interpreter": config.python, "kubenode_network_pull_host": config.host}


def run(config: Config, argv: t.Sequence[str]) -> Outcome:
    """Runs a program of Ansible; the revision is for the caller to say."""
    work = os.path.join(config.state_dir, "work")
    results = os.path.join(work, "results")
    files.write(results, files.Bytes(b""), mode=0o600)
    program = [os.path.join(config.bin_dir, argv[0]), *argv[1:]]
    status, said = _stream(program, cwd=work, env=_environment(config, work, results), timeout=config.timeout)
    records = list(_records(files.read_text(results) or ""))
    changed = any(record["changed"] for record in records)
    failed = next((record for record in records if record["failed"]), None)
    if failed is not None:
        return Outcome(None, changed, APPLY, failed["message"])
    if status == 0 and records:
        return Outcome(None, changed)
    # Before the first task of the play it is the inventory, which cannot be read or does not know the node.
    fetched = argv[0] != "ansible-pull" or said.fetched
    stage = APPLY if records else DOCUMENT if fetched else FETCH
    return Outcome(None, changed, stage, said.error or f"{argv[0]} ended with status {status}")


def _records(text: str) -> t.Iterator[dict[str, t.Any]]:
    """Without a line that was cut off when the run was killed or the disk was full."""
    for line in text.splitlines():
        with contextlib.suppress(ValueError):
            yield json.loads(line)


class _Said:
    """What counts of what Ansible writes: whether ansible-pull has fetched, which tells no callback, and the last error."""

    def __init__(self) -> None:
        self.fetched = False
        self.error: str | None = None

    def hear(self, line: str) -> None:
        self.fetched = self.fetched or re.match(r"localhost \| (CHANGED|SUCCESS) =>", line) is not None
        found = re.match(r"(?:\[ERROR\]: |ERROR! |fatal: )(.*)", line)
        if not self.fetched:
            found = found or re.match(r' +"msg": "(.*)",?$', line)
        if found:
            self.error = found[1].strip()[:_LONGEST]


def _stream(argv: t.Sequence[str], *, cwd: str, env: t.Mapping[str, str], timeout: float) -> tuple[int, _Said]:
    """Passes on what a program writes. Returns its status and what it said."""
    said = _Said()
    try:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd, env=dict(env),
                                 encoding="utf-8", errors="replace", start_new_session=True)  # fmt: skip
    except OSError as problem:
        raise NodeError(f"{argv[0]} cannot be run: {problem.strerror}") from problem
    late = threading.Event()

    def give_up() -> None:
        late.set()
        _end(child)

    timer = threading.Timer(timeout, give_up)
    timer.start()
    try:
        for line in t.cast("t.TextIO", child.stdout):
            sys.stdout.write(line)
            sys.stdout.flush()
            said.hear(line)
        status = child.wait()
    finally:
        timer.cancel()
        _end(child)
        child.wait()
        t.cast("t.TextIO", child.stdout).close()
    if late.is_set():
        said.error = f"it took longer than {timeout:.0f} s"
    return status, said


def _end(child: subprocess.Popen[str]) -> None:
    """Ends a program with what it started. A module that is terminated puts back what it did, which takes a moment."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + _GRACE
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
            while time.monotonic() < end:
                child.poll()
                os.killpg(child.pid, 0)
                time.sleep(0.05)
            continue
        return


def _environment(config: Config, work: str, results: str) -> dict[str, str]:
    """Neither the node's own ansible.cfg counts, nor one in the repository."""
    config_file = os.path.join(work, "ansible.cfg")
    files.write(config_file, files.Bytes(b"[defaults]\n"), mode=0o600)
    settings = {
        "CONFIG": config_file, "HOME": f"{work}/ansible", "LOCAL_TEMP": f"{work}/ansible/tmp", "REMOTE_TMP": f"{work}/ansible/tmp",
        "COLLECTIONS_PATH": _COLLECTIONS, "CALLBACK_PLUGINS": str(_OURS / "callbacks"), "CALLBACKS_ENABLED": "pull_results",
        "NOCOLOR": "1", "NOCOWS": "1", "RETRY_FILES_ENABLED": "0", "LOCALHOST_WARNING": "0",
        "INVENTORY_ANY_UNPARSED_IS_FAILED": "1", "PIPELINING": "1",
    }  # fmt: skip
    if config.vault_password_file:
        settings["VAULT_PASSWORD_FILE"] = config.vault_password_file
    base = {"PATH": f"{config.bin_dir}:{process.PATH}", "LC_ALL": "C.UTF-8", "KUBENODE_PULL_RESULTS": results}
    return {**git_environment(config), **base, **{f"ANSIBLE_{name}": value for name, value in settings.items()}}


def git_environment(config: Config) -> dict[str, str]:
    """What git needs to know of the way to the source, and of who may sign."""
    silence = str(int(download.SILENCE))  # less than what we wait for git, for the helpers of one that is killed go on waiting
    # Without a name for its log, git asks DNS for the node's in each step, and waits where that does not answer.
    git = {"GIT_COMMITTER_NAME": "kubenode-network-pull", "GIT_COMMITTER_EMAIL": "root@localhost"}
    git |= {"GIT_HTTP_LOW_SPEED_LIMIT": "1", "GIT_HTTP_LOW_SPEED_TIME": silence, "GIT_TERMINAL_PROMPT": "0", "HOME": os.environ.get("HOME", "/root")}
    if config.ca:
        git["GIT_SSL_CAINFO"] = config.ca
    if config.allowed_signers:
        git |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "gpg.ssh.allowedSignersFile", "GIT_CONFIG_VALUE_0": config.allowed_signers}
    return {**git, **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}}
