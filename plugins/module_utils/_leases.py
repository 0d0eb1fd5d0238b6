# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Releasing addresses whose sandbox is gone: what is orphaned, and for how long it has been seen so.

A sandbox that is being started has a lease before any list of the runtime shows it, so one list proves nothing. A lease is
released when its id is in neither of two lists that were taken ``grace`` apart, the second of them under the plugin's
lock, and the lease was there, unchanged, at the first. What the first list showed is remembered for later runs.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import re
import time
import typing as t

from ._cni import ipam, loader, model
from ._cni.kinds import show
from ._converge import Change
from ._errors import InputError, NodeError, Problem
from ._host import cri, files, leases, namespaces, paths, runtime
from ._host.grpc import UNIMPLEMENTED, GrpcError
from ._resource import Resource

OPTIONS: dict[str, t.Any] = {
    "network": {"type": "str", "required": True},
    "only": {"type": "str", "choices": ["orphaned"], "default": "orphaned"},
    "grace": {"type": "int", "default": 300},
    "wait": {"type": "bool", "default": False},
    "addresses": {"type": "list", "elements": "str"},
    "sandboxes": {"type": "list", "elements": "str"},
    "runtime_endpoint": {"type": "str"},
    "data_dir": {"type": "path"},
    "conf_dir": {"type": "path"},
    "state": {"type": "str", "choices": ["absent"], "default": "absent"},
}
#: What earlier runs saw. Times are those of the kernel's clock that stands still while the node sleeps, as a starting
#: sandbox does; they mean nothing after a reboot.
SEEN = "/run/kubenode-network/leases.json"
_BOOT = "/proc/sys/kernel/random/boot_id"
_LONGEST_ANSWER = 5.0  # seconds; pods wait for the lock meanwhile

Options = t.Mapping[str, t.Any]
#: Whether a sandbox of this id is in a list.
Listed = t.Callable[[str], bool]


def check(options: Options) -> list[Problem]:
    problems = model.check_name(options["network"], "network")
    if options["grace"] < 0:
        problems.append(Problem("grace", f"{options['grace']} is below zero (expected seconds, e.g. 300)"))
    for index, text in enumerate(options["addresses"] or []):
        if _parsed(text) is None:
            problems.append(Problem(f"addresses[{index}]", f"{text!r} is not an IP address (expected e.g. 10.244.1.5)"))
    for index, text in enumerate(options["sandboxes"] or []):
        if not re.fullmatch(leases.CONTAINER_ID, text):
            problems.append(Problem(f"sandboxes[{index}]", f"{text!r} is not a container id (expected it as the runtime shows it)"))
    for name in ("data_dir", "conf_dir"):
        problems += paths.check_path(name, options[name])
    return problems + _check_source(options)


def _check_source(options: Options) -> list[Problem]:
    problems = cri.check_endpoint("runtime_endpoint", options["runtime_endpoint"])
    if options["sandboxes"] is not None:
        for name in ("runtime_endpoint", "wait"):
            if options[name]:
                problems.append(Problem(name, f"{options[name]} has no use beside sandboxes, which is the only list then (expected one of the two)"))
    return problems


def release(options: Options, *, check_mode: bool, diff: bool) -> dict[str, t.Any]:
    """Checks the options, sees which leases are orphaned, and releases those that have been so for long enough. Returns the
    module's result."""
    _refuse_if_any(check(options))
    return _Release(options, check_mode).run(diff)


def _refuse_if_any(problems: list[Problem]) -> None:
    if problems:
        raise InputError(problems)


class _Release:
    def __init__(self, options: Options, check_mode: bool) -> None:
        self.options, self.check_mode = options, check_mode
        self.network, self.grace = options["network"], options["grace"]
        self.warnings: list[str] = []
        self.data_dir = self._find_data_dir()
        self.folder = os.path.join(self.data_dir, self.network)
        self.kept: list[dict[str, t.Any]] = []
        self.waiting: list[dict[str, t.Any]] = []

    def run(self, diff: bool) -> dict[str, t.Any]:
        found = leases.read_leases(self.data_dir, self.network)  # before the list, which is to be the newer of the two
        orphans = self._orphans(found, self._ask())
        due = self._due_by_age(orphans) if self.options["sandboxes"] is not None else self._due_by_lists(orphans)
        released = due if self.check_mode or not due else self._release(due)
        changes = [Change(_File(lease.path), _state(lease), None) for lease in released]
        return {
            "changed": bool(released),
            "changes": [change.as_dict() for change in changes],
            **({"diff": [change.as_diff() for change in changes]} if diff else {}),
            "released": [_shown(lease) for lease in released],
            "kept": self.kept,
            "waiting": self.waiting,
            "warnings": self.warnings,
        }

    def _orphans(self, found: t.Sequence[leases.Lease], listed: Listed) -> list[leases.Lease]:
        """The leases that nothing speaks for; of those that were asked for, the others are noted as kept."""
        orphans = []
        for lease, reason in judged(found, listed, self.network, self.data_dir):
            if reason is None:
                orphans.append(lease)
            else:
                self._keep(lease, reason)
        return orphans

    def _keep(self, lease: leases.Lease, reason: str) -> None:
        if self._is_meant(lease):
            self.kept.append({**_shown(lease), "reason": reason})

    def _is_meant(self, lease: leases.Lease) -> bool:
        wanted = self.options["addresses"]
        return wanted is None or lease.address in {_parsed(text) for text in wanted}

    def _due_by_age(self, orphans: t.Sequence[leases.Lease]) -> list[leases.Lease]:
        """With a list that was given: a sandbox whose lease was ``grace`` old by then would have been in it."""
        due = []
        for lease in orphans:
            if time.time() - lease.modified >= self.grace:
                due.append(lease)
            else:
                self._keep(lease, f"it is younger than {self.grace} s")
        return [lease for lease in due if self._is_meant(lease)]

    def _due_by_lists(self, orphans: t.Sequence[leases.Lease]) -> list[leases.Lease]:
        """Those that a list ``grace`` ago did not have either. In check mode the wait, if there is one, counts as over."""
        since = _remember(self.folder, orphans, keep=not self.check_mode)
        meant = [lease for lease in orphans if self._is_meant(lease)]
        if self.options["wait"]:
            if meant and not self.check_mode:
                time.sleep(max(0.0, max(since[lease] for lease in meant) + self.grace - time.monotonic()))
            return meant
        due = []
        for lease in meant:
            age = time.monotonic() - since[lease]
            if age >= self.grace:
                due.append(lease)
            else:
                seen = datetime.datetime.fromtimestamp(time.time() - age, datetime.timezone.utc)
                self.waiting.append({**_shown(lease), "since": seen.strftime("%Y-%m-%dT%H:%M:%SZ"), "seconds": round(self.grace - age)})
        return due

    def _release(self, due: t.Sequence[leases.Lease]) -> list[leases.Lease]:
        """Looks at everything again where no plugin can change it, and releases what is still orphaned."""
        with leases.plugin_lock(self.folder):
            same = [lease for lease in due if leases.read_lease(self.folder, lease.address) == lease]
            orphans = self._orphans(same, self._ask())
            for lease in orphans:
                leases.remove(lease)
        return orphans

    def _ask(self) -> Listed:
        """One list. Ids that were given may be cut off, as tools show them; one too many is kept rather than one too few."""
        given = self.options["sandboxes"]
        if given is not None:
            return lambda container_id: container_id.startswith(tuple(given))
        return living(self._sockets()).__contains__

    def _sockets(self) -> list[str]:
        """All of the node's runtimes: a list of one of them says nothing about the pods of another."""
        endpoint = self.options["runtime_endpoint"]
        told = cri.socket_path(endpoint) if endpoint is not None else None
        return [told] if told is not None else cri.find_sockets()

    def _find_data_dir(self) -> str:
        """As told, else as the network's file says, else host-local's default."""
        folder = self.options["conf_dir"] or runtime.read().conf_dir
        config = _config(folder, self.network)
        written = ipam.data_dir(config or {})
        if self.options["data_dir"] is None and written is not None and not paths.is_path(written):
            text = f"{show(written)} in the file of {self.network!r} is not usable, a relative path counts from wherever the runtime was started"
            raise InputError([Problem("data_dir", f"{text} (expected an absolute path here)")])
        path = self.options["data_dir"] or written or leases.DATA_DIR
        if config is None and not os.path.isdir(os.path.join(path, self.network)):
            known = ", ".join(files.entries(path)) or "none, the folder is empty or not there"
            problem = Problem("network", f"{self.network!r} is in no file of {folder} and has no leases in {path} (expected one of {known})")
            if not self.check_mode:
                raise InputError([problem])
            self.warnings.append(str(problem))
        return os.path.normpath(path)


def judged(found: t.Sequence[leases.Lease], listed: Listed, network: str, data_dir: str) -> list[tuple[leases.Lease, str | None]]:
    """Leases of a network, each with what speaks for its sandbox being alive, None for an orphan: as far as one list tells."""
    holders = leases.sandboxes(network, data_dir)
    in_use = namespaces.addresses() if found else {}
    return [(lease, _reason_to_keep(lease, listed, holders.get(lease.container_id), in_use)) for lease in found]


def _reason_to_keep(lease: leases.Lease, listed: Listed, holder: leases.Holder | None, in_use: t.Mapping[str, str]) -> str | None:
    if not lease.container_id:
        return f"{lease.path} does not say whose it is"
    if listed(lease.container_id):
        return "its sandbox exists"
    if holder is not None and holder.netns_alive:
        return f"its network namespace {holder.netns} is alive"
    if holder is not None and holder.netns and holder.netns_alive is None:
        return f"whether its network namespace {holder.netns} is alive cannot be seen"
    return f"{in_use[lease.address]} has it as an address of its own" if lease.address in in_use else None


def living(sockets: t.Sequence[str]) -> set[str]:
    """The ids of all sandboxes of the runtimes at these sockets. Somebody who answers but does not speak CRI, as Docker's
    containerd, has none."""
    if not sockets:
        raise NodeError(f"no container runtime can be asked for its sandboxes, there is no socket at {', '.join(cri.SOCKETS)} "
                        "(expected one of them, or its place in runtime_endpoint, or the ids of all living sandboxes in sandboxes)")  # fmt: skip
    found: set[str] = set()
    without: list[GrpcError] = []
    for path in sockets:
        try:
            found.update(sandbox.id for sandbox in cri.Cri(path, _LONGEST_ANSWER).sandboxes())
        except GrpcError as error:
            without.append(error)
            if error.code == UNIMPLEMENTED:
                continue
            # pylint takes a module named grpc for the library of that name. pylint: disable-next=bad-exception-cause
            raise NodeError(f"which sandboxes exist cannot be told: {error} "
                            "(expected it to answer; or name the node's only one in runtime_endpoint, or give sandboxes)") from error  # fmt: skip
    if len(without) == len(sockets):
        raise NodeError(f"which sandboxes exist cannot be told, no runtime here speaks CRI: {without[0]} (expected the ids of all living ones in sandboxes)")
    return found


def _remember(folder: str, orphans: t.Sequence[leases.Lease], *, keep: bool) -> dict[leases.Lease, float]:
    """Since when each of them has been seen as orphaned, on the monotonic clock. Those of the folder that are no more are
    forgotten: the next time they begin anew."""
    if not keep:
        return _since(_read_seen(), folder, orphans)
    files.make_folder(os.path.dirname(SEEN), 0o755)
    with files.locked(f"{SEEN}.lock"):
        seen = _read_seen()
        since = _since(seen, folder, orphans)
        seen[folder] = {lease.address: [lease.container_id, lease.interface, lease.modified, since[lease]] for lease in orphans}
        content = {"boot": files.read_text(_BOOT), "seen": {path: known for path, known in seen.items() if known}}
        files.write(SEEN, files.Bytes(json.dumps(content).encode()), mode=0o600)
    return since


def _since(seen: t.Mapping[str, t.Any], folder: str, orphans: t.Sequence[leases.Lease]) -> dict[leases.Lease, float]:
    now, known = time.monotonic(), seen.get(folder, {})
    since = {}
    for lease in orphans:
        *same, begin = known.get(lease.address, [now])
        since[lease] = begin if same == [lease.container_id, lease.interface, lease.modified] else now
    return since


def _read_seen() -> dict[str, t.Any]:
    """What was written since the node has been running; nothing when it is damaged: the wait begins anew."""
    try:
        content = json.loads(files.read_text(SEEN) or "{}")
        if content["boot"] != files.read_text(_BOOT):
            return {}
        now = time.monotonic()
        return {
            folder: {address: entry for address, entry in known.items() if len(entry) == 4 and 0 <= entry[3] <= now}
            for folder, known in content["seen"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _config(folder: str, network: str) -> dict[str, t.Any] | None:
    """The configuration of a network, as the first file in load order that names it has it."""
    for name in loader.load_order(files.entries(folder)):
        path = os.path.join(folder, name)
        try:
            config = model.parse((files.read_text(path) if os.path.isfile(path) else None) or "", name)
        except ValueError:
            continue
        if config.get("name") == network:
            return config
    return None


class _File(Resource):
    """A lease, as it is shown in a report."""

    def __init__(self, path: str) -> None:
        self.id = f"lease:{path}"


def _state(lease: leases.Lease) -> dict[str, t.Any]:
    return {"container_id": lease.container_id, "interface": lease.interface}


def _shown(lease: leases.Lease) -> dict[str, t.Any]:
    return {"address": lease.address, **_state(lease)}


def _parsed(text: str) -> str | None:
    """An address in the spelling of host-local."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
