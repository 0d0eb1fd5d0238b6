# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Messages to and from the kernel's network (netlink(7), rtnetlink(7)), as bytes: for what is asked in every run, and for what is
too much for a library. pyroute2's own batch takes 20 times as long for thousands of routes."""

from __future__ import annotations

import errno
import os
import socket
import struct
import typing as t

# linux/netlink.h
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x4, 0x10, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK = 270, 10, 12
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
_TYPE = 0x3FFF  # of an attribute, without its flags
_ERROR = struct.Struct("=i")
#: Dumps that a change spoils before it is taken for an error.
_TRIES = 10
#: Messages that are sent at once: the answers, should each of them fail, still fit into a socket's buffer as it is by default.
BATCH = 128


class Message(t.NamedTuple):
    """One change: RTM_NEWROUTE and the like, NLM_F_* beside NLM_F_REQUEST, and what comes behind the header."""

    kind: int
    flags: int
    body: bytes


class Failure(t.NamedTuple):
    """Which of the messages failed, and the kernel's reason."""

    index: int  # type: ignore[assignment]  # not that of a tuple
    reason: str


def _opened() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)


def dump(kind: int, body: bytes, answers: int, *, strict: bool = False) -> list[bytes]:
    """The bodies of all messages of the type ``answers`` with which the kernel answers. ``strict``: the fields of ``body`` say which,
    as kernels since 4.20 take them; older ones answer with everything. Raises OSError."""
    with _opened() as kernel:
        if strict:
            _set(kernel, NETLINK_GET_STRICT_CHK)
        for number in range(1, _TRIES + 1):
            kernel.send(HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, number, 0) + body)
            bodies, is_whole = _answers(kernel, answers)
            if is_whole:
                return bodies
    raise OSError(0, "they changed all the time")


def _set(kernel: socket.socket, option: int) -> bool:
    try:
        kernel.setsockopt(SOL_NETLINK, option, 1)
    except OSError:  # an older kernel
        return False
    return True


def _answers(kernel: socket.socket, kind: int) -> tuple[list[bytes], bool]:
    """What the kernel answers, and whether nothing changed meanwhile."""
    bodies: list[bytes] = []
    is_whole = True
    while True:
        for found, flags, _sequence, body in _messages(kernel.recv(1 << 18)):
            is_whole = is_whole and not flags & NLM_F_DUMP_INTR
            if found in (NLMSG_DONE, NLMSG_ERROR):
                number = -_ERROR.unpack_from(body)[0] if len(body) >= _ERROR.size else 0
                if number:
                    raise OSError(number, os.strerror(number))
                return bodies, is_whole
            if found == kind:
                bodies.append(body)


def _messages(data: bytes) -> t.Iterator[tuple[int, int, int, bytes]]:
    """Type, flags, sequence number and body of each message."""
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, flags, sequence, _port = HEADER.unpack_from(data, at)
        yield kind, flags, sequence, data[at + HEADER.size : at + length]
        at += max(_aligned(length), HEADER.size)


def change(messages: t.Sequence[Message]) -> list[Failure]:
    """Sends the messages, many at a time, and returns which of them failed: none is sent behind a batch with one that did. Raises
    OSError."""
    with _opened() as kernel:
        _set(kernel, NETLINK_CAP_ACK)  # else an answer holds the whole message again
        for start in range(0, len(messages), BATCH):
            failures = _sent(kernel, messages[start : start + BATCH], start)
            if failures:
                return failures
    return []


def _sent(kernel: socket.socket, messages: t.Sequence[Message], start: int) -> list[Failure]:
    """The kernel carries out one message after the other, and answers each that fails; the last one in any case."""
    last = start + len(messages) - 1
    kernel.send(b"".join(_packed(message, number, ask=number == last) for number, message in enumerate(messages, start)))
    failures: dict[int, Failure] = {}
    while True:
        for kind, _flags, sequence, body in _messages(kernel.recv(1 << 18)):
            if kind != NLMSG_ERROR:
                continue
            number = -_ERROR.unpack_from(body)[0]
            if number:
                failures[sequence] = Failure(sequence, os.strerror(number))
            if sequence == last:
                return list(failures.values())


class Events:
    """What the kernel tells of its network from now on, of the multicast ``groups`` (RTMGRP_*, as a bit mask). Raises OSError."""

    def __init__(self, groups: int) -> None:
        self._kernel = _opened()
        self._kernel.bind((0, groups))

    def wait(self, seconds: float | None) -> list[tuple[int, bytes]] | None:
        """Type and body of the next messages; None when there is none for so long, an empty list when some were lost."""
        self._kernel.settimeout(seconds)
        try:
            return [(kind, body) for kind, _flags, _sequence, body in _messages(self._kernel.recv(1 << 18))]
        except socket.timeout:
            return None
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            return []


def _packed(message: Message, number: int, *, ask: bool) -> bytes:
    flags = message.flags | NLM_F_REQUEST | (NLM_F_ACK if ask else 0)
    return HEADER.pack(HEADER.size + len(message.body), message.kind, flags, number, 0) + message.body


def attribute(kind: int, data: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + bytes(_aligned(length) - length)


def attributes(data: bytes, start: int = 0) -> dict[int, bytes]:
    """Type -> value of the attributes from ``start`` on."""
    found = {}
    while start + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        found[kind & _TYPE] = data[start + _ATTRIBUTE.size : start + length]
        start += max(_aligned(length), _ATTRIBUTE.size)
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3
