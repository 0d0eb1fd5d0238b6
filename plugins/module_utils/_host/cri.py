# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What the container runtime says, over CRI (kubernetes/cri-api, pkg/apis/runtime/v1/api.proto): cri.md."""

from __future__ import annotations

import os
import re
import stat
import typing as t

from .._errors import NodeError, Problem
from .files import read_text
from .grpc import UNIMPLEMENTED, GrpcError, unary
from .leases import CONTAINER_ID
from .paths import is_path, shown

CRICTL = "/etc/crictl.yaml"
#: Where runtimes listen unless they are told otherwise.
SOCKETS = (
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/cri-dockerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/var/run/dockershim.sock",
)
#: The same messages under two names: containerd before 1.6 and CRI-O before 1.23 know the second one only.
_PACKAGES = ("runtime.v1", "runtime.v1alpha2")


class PodSandbox(t.NamedTuple):
    """``created_ns``: nanoseconds since the epoch."""

    id: str
    name: str
    namespace: str
    uid: str
    ready: bool
    created_ns: int


class Condition(t.NamedTuple):
    status: bool
    reason: str
    message: str


class RuntimeStatus(t.NamedTuple):
    """``conditions`` by name (RuntimeReady, NetworkReady). ``info``: texts in JSON (containerd: cniconfig, config) or
    plain (lastCNILoadStatus)."""

    conditions: dict[str, Condition]
    info: dict[str, str]


class Version(t.NamedTuple):
    name: str
    version: str
    api_version: str


class Cri:
    """Asks the runtime at a unix socket. Every question raises GrpcError when it is not answered in time."""

    def __init__(self, socket: str, seconds: float = 10.0) -> None:
        self.socket, self.seconds = socket, seconds

    def sandboxes(self) -> list[PodSandbox]:
        """All of them, also those that are not ready. NodeError when one of them cannot be told from the others."""
        return [_sandbox(item) for item in self._call("ListPodSandbox").messages(1)]

    def status(self) -> RuntimeStatus:
        answer = self._call("Status", b"\x08\x01")  # verbose=1: true
        conditions = [item for status in answer.messages(1) for item in status.messages(1)]
        return RuntimeStatus(
            {item.text(1): Condition(bool(item.number(2)), item.text(3), item.text(4)) for item in conditions},
            {item.text(1): item.text(2) for item in answer.messages(2)},
        )

    def version(self) -> Version:
        answer = self._call("Version")
        return Version(answer.text(2), answer.text(3), answer.text(4))

    def _call(self, method: str, request: bytes = b"") -> Message:
        for package in _PACKAGES:
            try:
                return Message(unary(self.socket, f"/{package}.RuntimeService/{method}", request, self.seconds), self.socket)
            except GrpcError as error:
                if error.code != UNIMPLEMENTED or package == _PACKAGES[-1]:
                    raise
        raise AssertionError("not reached")


def _sandbox(item: Message) -> PodSandbox:
    """Who lists a sandbox without its id has not said that its lease is nobody's."""
    if not re.fullmatch(CONTAINER_ID, item.text(1)):
        raise NodeError(f"{item.source} sent an answer that is not understood: it lists a sandbox with the id {item.text(1)[:80]!r}")
    metadata = (item.messages(2) or [Message(b"", item.source)])[-1]
    return PodSandbox(item.text(1), metadata.text(1), metadata.text(3), metadata.text(2), item.number(3) == 0, item.number(4))


def find_socket() -> str | None:
    """The socket of the node's runtime: the one that crictl is told of, else the first that is there."""
    found = find_sockets()
    return found[0] if found else None


def find_sockets() -> list[str]:
    """All sockets where a runtime may listen, the one that crictl is told of first. That one need not be there."""
    told = crictl_socket()
    there = [path for path in SOCKETS if _is_socket(path)]
    distinct = {os.path.realpath(path): path for path in reversed([*([told] if told else []), *there])}
    return list(reversed(list(distinct.values())))


def crictl_socket() -> str | None:
    """``runtime-endpoint`` of crictl's configuration, as a path."""
    line = re.search(r"^runtime-endpoint:[ \t]*[\"']?([^\"'\s#]+)", read_text(CRICTL) or "", re.MULTILINE)
    return socket_path(line.group(1)) if line else None


def socket_path(endpoint: str) -> str | None:
    """The path in ``unix:///run/containerd/containerd.sock``, or one without the scheme. None for anything else."""
    path = re.sub(r"^unix:(?://)?(?=/)", "", endpoint)
    return path if is_path(path) else None


def check_endpoint(option: str, endpoint: str | None) -> list[Problem]:
    if endpoint is None or socket_path(endpoint) is not None:
        return []
    return [Problem(option, f"{shown(endpoint)} is not a unix socket (expected e.g. unix:///run/containerd/containerd.sock)")]


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


# Protocol Buffers (protobuf.dev/programming-guides/encoding)

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


#: What one answer may have; a sandbox has some thirty, most of them labels. To read so many takes less than a second.
_MOST_FIELDS = 250_000


class Message:
    """The fields of a message by their numbers. ``source`` says in an error whose message it is; ``left`` counts down the
    fields that a message and those inside of it may have."""

    def __init__(self, data: bytes, source: str, left: t.Iterator[int] | None = None) -> None:
        self.source = source
        self._left = left if left is not None else iter(range(_MOST_FIELDS))
        self._fields: dict[int, list[int | bytes]] = {}
        position = 0
        try:
            while position < len(data):
                if next(self._left, None) is None:
                    raise ValueError(f"it has more than {_MOST_FIELDS} fields")
                number, value, position = _field(data, position)
                self._fields.setdefault(number, []).append(value)
        except (IndexError, ValueError) as error:
            raise NodeError(f"{source} sent an answer that cannot be read: {error}") from error

    def messages(self, number: int) -> list[Message]:
        values = self._fields.get(number, [])
        if not all(isinstance(value, bytes) for value in values):
            raise NodeError(f"{self.source} sent an answer that cannot be read: its field {number} is a number instead of a message")
        return [Message(value, self.source, self._left) for value in values if isinstance(value, bytes)]

    def text(self, number: int) -> str:
        value = self._fields.get(number, [b""])[-1]
        return value.decode(errors="replace") if isinstance(value, bytes) else ""

    def number(self, number: int) -> int:
        value = self._fields.get(number, [0])[-1]
        return value if isinstance(value, int) else 0


def _field(data: bytes, position: int) -> tuple[int, int | bytes, int]:
    """Number and value of the field at a position, and the position behind it."""
    key, position = _varint(data, position)
    kind = key & 7
    if kind == _VARINT:
        value, position = _varint(data, position)
        return key >> 3, value - (1 << 64) if value >> 63 else value, position
    if kind == _BYTES:
        length, position = _varint(data, position)
    elif kind in (_FIXED32, _FIXED64):
        length = 4 if kind == _FIXED32 else 8
    else:
        raise ValueError(f"a field of kind {kind}")
    if position + length > len(data):
        raise ValueError("a field is cut off")
    return key >> 3, data[position : position + length], position + length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        value |= (byte & 127) << shift
        position += 1
        if byte < 128:
            return value & (1 << 64) - 1, position
    raise ValueError("a number is too long")
