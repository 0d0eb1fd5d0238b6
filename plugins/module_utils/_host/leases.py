# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Who holds which pod address: host-local's leases, and what libcni remembers of each attachment.

host-local (plugins/ipam/host-local/backend/disk) keeps one file an address, ``<data dir>/<network>/<ip>``, which holds
the container id, a line break and the interface's name; releases before 0.8 wrote the id alone. libcni (libcni/api.go)
keeps the result of every ADD until its DEL succeeds, in files whose names are ambiguous, so that their content counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import re
import stat
import time
import typing as t

from .._errors import NodeError
from .files import entries
from .paths import is_path

DATA_DIR = "/var/lib/cni/networks"
#: libcni's own place, and those that dockershim and cri-dockerd tell it, and Multus for the networks that it calls.
CACHE_DIRS = ("/var/lib/cni/results", "/var/lib/cni/cache/results", "/var/lib/cni/multus/results")
#: As libcni and every plugin check it (pkg/utils).
CONTAINER_ID = r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*"
_LONGEST = 1 << 20  # bytes; a result has a few thousand


class Lease(t.NamedTuple):
    """An address that host-local gave away. ``container_id`` is empty when the file does not say whose it is: it is
    damaged, but its address is taken all the same. ``modified``: seconds since the epoch."""

    address: str
    container_id: str
    interface: str
    path: str
    modified: float


class Attachment(t.NamedTuple):
    """A container's interface in a network as its ADD left it. ``netns`` is empty where the runtime did not say;
    ``addresses`` come without prefix lengths."""

    network: str
    container_id: str
    interface: str
    netns: str
    addresses: tuple[str, ...]


class Holder(t.NamedTuple):
    """What is known of one sandbox in a network. ``interface`` is its first one there. ``netns_alive`` is None when
    nothing says where its namespace is, or what is there is not one as seen from here."""

    container_id: str
    interface: str
    addresses: tuple[str, ...]
    netns: str
    netns_alive: bool | None


def data_dir(written: t.Any) -> str:
    """The folder of leases for what a network's file says of it. What is no path has none, and what is relative counts from
    wherever the runtime was started; there may be older ones in the usual folder."""
    return os.path.normpath(written) if is_path(written) else DATA_DIR


def read_leases(data_dir: str, network: str) -> list[Lease]:
    """Every lease of a network, in the order of the addresses; none for a name that is not one of a folder. Files that
    host-local would not take for one of its own are passed over."""
    if not _is_name(network):
        return []
    folder = os.path.join(data_dir, network)
    found = [read_lease(folder, name) for name in _listed(folder) if _is_address(name)]
    return sorted((lease for lease in found if lease is not None), key=lambda lease: _numeric(lease.address))


def read_lease(folder: str, address: str) -> Lease | None:
    """The lease of one address in a network's folder, None when there is none."""
    path = os.path.join(folder, address)
    try:
        data, info = _read(path)
    except OSError:
        return Lease(address, "", "", path, 0.0) if os.path.lexists(path) else None
    container_id, _line_break, interface = data.partition("\n")
    if not re.fullmatch(CONTAINER_ID, container_id.strip()):
        container_id = interface = ""
    return Lease(address, container_id.strip(), interface.strip(), path, info.st_mtime)


def cached_attachments(network: str, cache_dir: str | None = None) -> list[Attachment]:
    """The attachments of a network that libcni remembers, in the usual places or in one. Files that are none, or cannot
    be read, are passed over."""
    folders = CACHE_DIRS if cache_dir is None else (cache_dir,)
    paths = [os.path.join(folder, name) for folder in folders for name in _listed(folder) if name.startswith(f"{network}-")]
    found = [_attachment(path, network) for path in paths]
    return [attachment for attachment in found if attachment is not None]


def attached_networks() -> dict[str, int]:
    """Network -> number of attachments, of all networks that libcni remembers. What releases before 0.8 left does not say of which
    network it is, and is passed over."""
    counts: dict[str, int] = {}
    for path in (os.path.join(folder, name) for folder in CACHE_DIRS for name in _listed(folder)):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            network = _text(_dict(json.loads(_read(path)[0])).get("networkName"))
            counts.update({network: counts.get(network, 0) + 1} if network else {})
    return counts


def sandboxes(network: str, data_dir: str = DATA_DIR, cache_dir: str | None = None) -> dict[str, Holder]:
    """Container id -> what its leases and its attachments in the network say together."""
    known: dict[str, list[Attachment]] = {}
    for lease in read_leases(data_dir, network):
        if lease.container_id:
            attachment = Attachment(network, lease.container_id, lease.interface, "", (lease.address,))
            known.setdefault(lease.container_id, []).append(attachment)
    for attachment in cached_attachments(network, cache_dir):
        known.setdefault(attachment.container_id, []).append(attachment)
    return {container_id: _holder(container_id, attachments) for container_id, attachments in known.items()}


@contextlib.contextmanager
def plugin_lock(folder: str, seconds: float = 60) -> t.Iterator[None]:
    """Holds host-local's own lock of a network: no address is given away or released meanwhile but by us. As every ADD and
    DEL waits for it, it is to be held for a moment only."""
    path = os.path.join(folder, "lock")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o750)
    except OSError as error:
        raise NodeError(f"{path} cannot be locked: {error.strerror}") from error
    end = time.monotonic() + seconds
    try:
        while not _is_locked(descriptor):
            if time.monotonic() > end:
                raise NodeError(f"a plugin has held {path} for {seconds:g} s (expected it to be done in a moment); is one hanging?")
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove(lease: Lease) -> None:
    """Releases an address, as DEL does it. The plugin's lock has to be held."""
    try:
        os.unlink(lease.path)
    except OSError as error:
        raise NodeError(f"{lease.path} cannot be removed: {error.strerror}") from error


def namespace_alive(path: str) -> bool | None:
    """Whether a network namespace is there; None when there is something else, as where a mount is not seen from here."""
    try:
        # All namespaces are files of one file system; an unmounted /run/netns/NAME is an empty file of another.
        return True if os.stat(path).st_dev == os.stat("/proc/self/ns/net").st_dev else None
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):  # the latter for what no path can be
        return None


def _holder(container_id: str, known: t.Sequence[Attachment]) -> Holder:
    """One live namespace is enough to be alive, and one that cannot be judged is enough not to be dead."""
    states = {one.netns: namespace_alive(one.netns) for one in known if one.netns}
    alive = next((state for state in (True, None) if state in states.values()), False if states else None)
    return Holder(
        container_id,
        interface=next((one.interface for one in known if one.interface), ""),
        addresses=tuple(dict.fromkeys(address for one in known for address in one.addresses)),
        netns=next((path for path, state in states.items() if state is alive), ""),
        netns_alive=alive,
    )


def _attachment(path: str, network: str) -> Attachment | None:
    try:
        cached = json.loads(_read(path)[0])
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(cached, dict):
        return None
    if "kind" not in cached:
        cached = _from_raw_result(cached, os.path.basename(path), network)
    container_id, result = cached.get("containerId"), _dict(cached.get("result"))
    if cached.get("networkName") != network or not isinstance(container_id, str) or not container_id:
        return None
    netns = _text(cached.get("netns")) or next((_text(one.get("sandbox")) for one in _dicts(result.get("interfaces")) if one.get("sandbox")), "")
    return Attachment(network, container_id, _text(cached.get("ifName")), netns, tuple(_addresses(result)))


def _from_raw_result(result: dict[str, t.Any], name: str, network: str) -> dict[str, t.Any]:
    """libcni before 0.8 kept nothing but the result, in a file named ``<network>-<container id>`` and, from 0.7,
    ``-<interface>``."""
    rest = name[len(network) + 1 :]
    inside = next((_text(one.get("name")) for one in _dicts(result.get("interfaces")) if one.get("sandbox")), "") or "eth0"
    container_id = rest[: -len(inside) - 1] if rest.endswith(f"-{inside}") else rest
    return {"networkName": network, "containerId": container_id, "ifName": inside, "result": result}


def _addresses(result: dict[str, t.Any]) -> t.Iterator[str]:
    """Of a result of any version: a list, up to 0.2.0 ``ip4`` and ``ip6``."""
    written = [entry.get("address") for entry in _dicts(result.get("ips"))]
    written += [_dict(result.get(key)).get("ip") for key in ("ip4", "ip6")]
    for text in written:
        with contextlib.suppress(ValueError):
            yield str(ipaddress.ip_address(_text(text).partition("/")[0]))


def _read(path: str) -> tuple[str, os.stat_result]:
    """A regular file's text and what the file is, both of the same file. OSError for anything else."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(f"{path} is not a file")
        return file.read(_LONGEST).decode(errors="replace"), info


def _listed(folder: str) -> list[str]:
    try:
        return entries(folder)
    except OSError as error:
        raise NodeError(f"{folder} cannot be read: {error.strerror}") from error


def _is_name(network: str) -> bool:
    return bool(network) and network not in (".", "..") and not re.search("[/\0]", network)


def _is_address(name: str) -> bool:
    """Whether host-local may have named a file so: it writes every address in one spelling, and none with a zone."""
    try:
        return "%" not in name and str(ipaddress.ip_address(name)) == name
    except ValueError:
        return False


def _numeric(address: str) -> tuple[int, int]:
    parsed = ipaddress.ip_address(address)
    return parsed.version, int(parsed)


def _text(value: t.Any) -> str:
    return value if isinstance(value, str) else ""


def _dict(value: t.Any) -> dict[str, t.Any]:
    return value if isinstance(value, dict) else {}


def _dicts(values: t.Any) -> list[dict[str, t.Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
