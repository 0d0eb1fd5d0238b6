# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The file that remembers which node of a site has which pod CIDRs.

JSON with one line for each node and each freed CIDR, sorted, and with an end that stays the last line: so two branches that add nodes
merge, and what a merge can break is found when the file is read. Its outermost two levels are those of an inventory with one empty
group, since Ansible reads every file of a folder that is given as inventory.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import stat
import time
import typing as t

from ansible_collections.kubenode.network.plugins.module_utils._addressing.allocate import Kept, natural
from ansible_collections.kubenode.network.plugins.module_utils._addressing.blocks import Block, parse
from ansible_collections.kubenode.network.plugins.module_utils._addressing.cidr import LONGEST_POD_PREFIX
from ansible_collections.kubenode.network.plugins.module_utils._addressing.site import name_fault
from ansible_collections.kubenode.network.plugins.module_utils._errors import KubenodeError

#: The name of the default file, beside the inventory.
NAME = "pod-cidrs.json"
SCHEMA = 1
_MARK = '{"kubenode_network_pod_cidrs":'
_HEAD = f'{_MARK} {{"vars": {{"schema": {SCHEMA}, "records": ['
_TAIL = '{"end": true}\n]}}}\n'
_LARGEST = 256 << 20  # bytes
_LOCK_SECONDS = 60.0

Clusters = dict[str, Kept]


class StoreError(KubenodeError):
    """The file cannot be read, written or locked, or must not be: it is somebody else's, or a newer release's."""


class Damaged(StoreError):
    """The file was one of ours and cannot be understood any more. ``data``: what is in it."""

    def __init__(self, text: str, data: bytes) -> None:
        super().__init__(text)
        self.data = data


def empty() -> Kept:
    return Kept([], {}, {})


# What is in the file


def text_of(clusters: Clusters) -> str:
    lines = [_HEAD]
    for name in sorted(clusters):
        lines += [f"{json.dumps(record)}," for record in _records(name, clusters[name])]
    return "\n".join([*lines, _TAIL])


def _records(cluster: str, kept: Kept) -> t.Iterator[dict[str, t.Any]]:
    if kept.ranges:
        yield {"cluster": cluster, "cluster_cidrs": [{"cidr": str(block), "node_mask_size": mask} for block, mask in kept.ranges]}
    for node in sorted(kept.nodes, key=natural):
        yield {"cluster": cluster, "node": node, "cidrs": [str(block) for block in kept.nodes[node]]}
    for block in sorted(kept.freed):
        yield {"cluster": cluster, "freed": str(block), "when": kept.freed[block]}


def parsed(data: bytes, path: str) -> Clusters:
    """The clusters by their names. Raises Damaged, or StoreError where the file is none of ours or of a newer release."""
    text = data.decode(errors="replace")
    if text.strip("\0 \r\n\t") and not text.startswith(_MARK):
        raise StoreError(f"{path} is no store of pod CIDRs (expected another path, or a file that begins with {_MARK})")
    schema = re.match(r'[^\n]{0,80}"schema": ([0-9]+)', text)
    if schema and int(schema[1][:9]) > SCHEMA:
        raise StoreError(f"{path} has schema {schema[1]}, of a newer release of kubenode.network (expected at most {SCHEMA}; update the collection)")
    try:
        return _clusters(json.loads(text, object_pairs_hook=_once))
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path} is damaged: {_reason(text, error)}", data) from None


def _reason(text: str, error: Exception) -> str:
    marker = re.search(r"(?m)^(<<<<<<<|=======|>>>>>>>)", text)
    if marker:
        return f"line {text.count(chr(10), 0, marker.start()) + 1} is a conflict marker of git"
    if not text.strip("\0 \r\n\t"):
        return "it is empty"
    return str(error) if isinstance(error, ValueError) else "it is nested too deeply"


def _once(pairs: list[tuple[str, t.Any]]) -> dict[str, t.Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key is there twice in {json.dumps(found)[:200]}")
    return found


def _clusters(document: t.Any) -> Clusters:
    try:
        contents = document["kubenode_network_pod_cidrs"]["vars"]
        records = contents["records"]
        whole = (list(document), list(contents), contents["schema"]) == (["kubenode_network_pod_cidrs"], ["schema", "records"], SCHEMA)
    except (KeyError, TypeError):
        whole = False
    if not whole or not isinstance(records, list) or records[-1:] != [{"end": True}]:
        raise ValueError("its frame is incomplete")
    clusters: Clusters = {}
    for record in records[:-1]:
        try:
            _add(clusters, record)
        except (KeyError, TypeError, ValueError) as error:
            reason = str(error) if isinstance(error, ValueError) else "is no line of it"
            raise ValueError(f"{json.dumps(record)[:200]} {reason}") from None
    return clusters


def _add(clusters: Clusters, record: dict[str, t.Any]) -> None:
    keys = list(record) if isinstance(record, dict) else []
    if keys[:1] != ["cluster"] or name_fault(record["cluster"]):
        raise ValueError("names no cluster")
    kept = clusters.setdefault(record["cluster"], empty())
    if keys == ["cluster", "node", "cidrs"]:
        _add_node(kept, record["node"], record["cidrs"])
    elif keys == ["cluster", "freed", "when"]:
        block = _block(record["freed"])
        kept.freed[block] = max(_number(record["when"]), kept.freed.get(block, 0))
    elif keys == ["cluster", "cluster_cidrs"]:
        if kept.ranges:
            raise ValueError("is there twice, with different ranges (expected one line for each cluster)")
        kept.ranges.extend((_block(one["cidr"]), _number(one["node_mask_size"])) for one in record["cluster_cidrs"])
    else:
        raise ValueError("is no line of it")


def _add_node(kept: Kept, name: str, cidrs: list[str]) -> None:
    blocks = [_block(cidr) for cidr in cidrs]
    if name_fault(name) or not isinstance(cidrs, list) or not blocks or len({block.version for block in blocks}) < len(blocks):
        raise ValueError("is no line of it")
    if kept.nodes.setdefault(name, blocks) != blocks:
        before = ", ".join(map(str, kept.nodes[name]))
        raise ValueError(f"and {before} are both for {name}, as when two branches were merged (expected the line that the node has its CIDRs from)")


def _block(text: t.Any) -> Block:
    block = parse(text)
    if block is None or block.length > LONGEST_POD_PREFIX[block.version]:
        raise ValueError("has what is no CIDR of pods")
    return block


def _number(value: t.Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 53:
        raise ValueError("has what is no number")
    return value


# The file itself


def read(path: str) -> bytes | None:
    """The content, None where there is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size > _LARGEST:
            raise StoreError(f"{path} is no file, or has more than {_LARGEST >> 20} MiB (expected a store of pod CIDRs)")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def write(path: str, data: bytes) -> None:
    """Puts the whole file in place by one rename, on the disk when this returns. The lock is held meanwhile."""
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    try:
        _sweep(folder, name)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            _keep_owner(descriptor, path)
            os.fsync(descriptor)
        os.rename(temporary, path)
        _sync(folder)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _keep_owner(descriptor: int, path: str) -> None:
    """The mode of the file that was there, and its owner where that is allowed."""
    with contextlib.suppress(FileNotFoundError):
        before = os.stat(path)
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, before.st_uid, before.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(before.st_mode))


def _sweep(folder: str, name: str) -> None:
    """Removes what runs left that were killed while they wrote."""
    for entry in os.listdir(folder):
        if re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.tmp", entry):
            os.unlink(os.path.join(folder, entry))


def _sync(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: str, seconds: float = _LOCK_SECONDS) -> t.Iterator[None]:
    """Waits for other runs that write this file. The lock is a file beside it, which goes away again: inventories are kept in git."""
    folder, name = os.path.split(path)
    lock = os.path.join(folder, f".{name}.lock")
    descriptor = _hold(lock, path, time.monotonic() + seconds)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(lock)  # who waits for it finds out, and takes a new one
        os.close(descriptor)


def _hold(lock: str, path: str, end: float) -> int:
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StoreError(f"{path} cannot be locked: {lock}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is(descriptor, lock):
                return descriptor
        except BlockingIOError:
            if time.monotonic() > end:
                os.close(descriptor)
                raise StoreError(f"{path} is in use: another run has held {lock} for too long (expected it to end; try again then)") from None
            time.sleep(0.05)
        except OSError as error:  # file systems without locks
            os.close(descriptor)
            raise StoreError(f"{path} cannot be locked: {lock}: {error.strerror} (expected a file system with flock(2))") from error
        os.close(descriptor)


def _is(descriptor: int, path: str) -> bool:
    """Whether the open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
