# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run as a script in a namespace, until a line with a number of seconds comes on stdin; then it waits so long for answers that are
missing, and prints one line of JSON. See streams.py.

`send SPEC`: SPEC is JSON, {"rate": packets a second of each stream, "first_port": N, "pings": [{"id": N, "host": IP, "size": bytes}],
"flows": [{"id": N, "host": IP, "port": N, "every": ticks}]}. A ping is one packet of that size, IP header included, which nobody may
fragment; a flow is a datagram from a port that was not used before, the first one or higher. Prints {id: {"sent": N, "lost": [times],
"duplicated": N, "silence": [time, seconds], "errors": {name: N}}}. Times are those of the monotonic clock, which namespaces share.

`receive PORT`: answers each datagram with its own text. Prints [[time, source address, text]].

A packet is lost when it is not answered at all, however late. Ticks that come too late are left out, not made up for.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import ipaddress
import itertools
import json
import os
import random
import select
import socket
import struct
import sys
import time

_BUFFER = 4 << 20  # what waits in a socket while this process does not run
_SOL_RAW, _IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _IPV6_DONTFRAG, _PROBE = 255, 10, 23, 62, 3
_SO_RCVBUFFORCE = 33


class Stream:
    """What was sent and answered. An answer that was not waited for is a second one."""

    def __init__(self, spec: dict) -> None:
        self.id, self.host, self.every = spec["id"], spec["host"], spec.get("every", 1)
        self.family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.sent, self.duplicated = 0, 0
        self.waiting: dict[int, float] = {}
        self.errors: collections.Counter = collections.Counter()
        self._last, self._silence = 0.0, (0.0, 0.0)

    def tick(self) -> None:
        self.sent += 1
        now = time.monotonic()
        if self._last:
            self._silence = max(self._silence, (now - self._last, self._last))
        self._last = self.waiting[self.sent] = now
        try:
            self.send(self.sent)
        except OSError as error:
            self.failed(error)

    def send(self, number: int) -> None:
        """Put one packet on the wire. What that is, each kind of stream says."""
        raise NotImplementedError

    def failed(self, error: OSError) -> None:
        self.errors[errno.errorcode.get(error.errno, str(error))] += 1

    def answered(self, number: int) -> None:
        if self.waiting.pop(number, None) is None:
            self.duplicated += 1

    def result(self) -> dict:
        seconds, since = self._silence
        return {"sent": self.sent, "lost": sorted(self.waiting.values()), "duplicated": self.duplicated, "silence": [since, seconds],
                "errors": self.errors}


class Ping(Stream):
    """Echo requests of one size. Their identifier tells the stream, their sequence number the packet (65536 at the most)."""

    def __init__(self, spec: dict, identifier: int, channel: socket.socket) -> None:
        super().__init__(spec)
        self._identifier, self._socket = identifier, channel
        six = self.family == socket.AF_INET6
        self._type, self._data = 128 if six else 8, bytes(spec["size"] - (48 if six else 28))

    def send(self, number: int) -> None:
        # The data is zero, so the checksum is that of the header. For IPv6 the kernel writes it.
        total = (self._type << 8) + self._identifier + number
        packet = struct.pack("!BBHHH", self._type, 0, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF, self._identifier, number) + self._data
        try:
            self._socket.send(packet)
        except OSError as error:  # that of an earlier packet, which an ICMP message told
            self.failed(error)
            self._socket.send(packet)


class Flow(Stream):
    """Datagrams, each from a socket of its own, which stays until it is answered."""

    def __init__(self, spec: dict, ports: itertools.count, loop: Loop) -> None:
        super().__init__(spec)
        self._port, self._ports, self._loop = spec["port"], ports, loop

    def send(self, number: int) -> None:
        channel = socket.socket(self.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        while True:
            try:
                channel.bind(("", next(self._ports)))
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
        channel.connect((self.host, self._port))
        self._loop.watch(channel, lambda: self._receive(channel, number))
        channel.send(f"{self.id} {number}".encode())

    def _receive(self, channel: socket.socket, number: int) -> None:
        try:
            channel.recv(64)
        except OSError as error:
            self.failed(error)
            return
        self.answered(number)
        self._loop.forget(channel)


class Loop:
    """Waits for sockets and for the time."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._readers: dict = {}

    def watch(self, channel: socket.socket, reader) -> None:
        self._readers[channel.fileno()] = channel, reader
        self._epoll.register(channel.fileno(), select.EPOLLIN)

    def forget(self, channel: socket.socket) -> None:
        del self._readers[channel.fileno()]
        channel.close()

    def wait_until(self, end: float) -> None:
        while True:
            left = end - time.monotonic()
            for number, _event in self._epoll.poll(max(left, 0)):
                self._readers[number][1]()
            if left <= 0:
                return


def _raw_socket(family: int, host: str) -> socket.socket:
    """A socket that gets the echo replies of one host and nothing else."""
    if family == socket.AF_INET6:
        channel = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        passing = bytearray(b"\xff" * 32)
        passing[16] ^= 2  # type 129; words of 32 bits in the machine's order
        channel.setsockopt(socket.IPPROTO_ICMPV6, 1, bytes(passing) if sys.byteorder == "little" else _swapped(passing))
        channel.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PROBE)
        channel.setsockopt(socket.IPPROTO_IPV6, _IPV6_DONTFRAG, 1)
    else:
        channel = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        channel.setsockopt(_SOL_RAW, 1, struct.pack("=I", 0xFFFFFFFE))
        channel.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PROBE)
    _enlarge(channel)
    channel.setblocking(False)
    channel.connect((host, 0))
    return channel


def _swapped(data: bytes) -> bytes:
    return b"".join(data[start:start + 4][::-1] for start in range(0, len(data), 4))


def _enlarge(channel: socket.socket) -> None:
    try:
        channel.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)  # whatever net.core.rmem_max says
    except PermissionError:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)


def _reader(channel: socket.socket, pings: dict[int, Ping]):
    header = 0 if channel.family == socket.AF_INET6 else 20

    def read() -> None:
        while True:
            try:
                data = channel.recv(64)
            except BlockingIOError:
                return
            except OSError as error:  # told by an ICMP message; not known of which stream
                next(iter(pings.values())).failed(error)
                continue
            identifier, number = struct.unpack_from("!HH", data, header + 4)
            if identifier in pings:
                pings[identifier].answered(number)

    return read


def _pings(specs: list[dict], loop: Loop) -> list[Ping]:
    """One socket for each host: every raw socket gets a copy of what comes from its host."""
    made: dict[str, tuple[socket.socket, dict[int, Ping]]] = {}
    identifiers = itertools.count(random.randrange(1, 60000))
    for spec in specs:
        host = spec["host"]
        if host not in made:
            made[host] = _raw_socket(socket.AF_INET6 if ":" in host else socket.AF_INET, host), {}
            loop.watch(made[host][0], _reader(*made[host]))
        identifier = next(identifiers)
        made[host][1][identifier] = Ping(spec, identifier, made[host][0])
    return [ping for _socket, pings in made.values() for ping in pings.values()]


def _send(spec: dict) -> None:
    loop = Loop()
    ports = itertools.count(spec["first_port"])
    streams = [*_pings(spec["pings"], loop), *(Flow(each, ports, loop) for each in spec["flows"])]
    print("ready", flush=True)
    period = 1 / spec["rate"]
    next_tick = time.monotonic()
    for number in itertools.count():
        if _told():
            break
        for stream in streams:
            if number % stream.every == 0:
                stream.tick()
        next_tick = max(next_tick + period, time.monotonic())
        loop.wait_until(next_tick)
    end = time.monotonic() + float(sys.stdin.readline())
    while time.monotonic() < end and any(stream.waiting for stream in streams):
        loop.wait_until(time.monotonic() + 0.02)
    loop.wait_until(time.monotonic() + 0.02)  # a second answer comes right behind the first
    print(json.dumps({stream.id: stream.result() for stream in streams}))


def _receive(port: int) -> None:
    channel = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    # The answer must leave from the address that was asked.
    channel.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    _enlarge(channel)
    channel.bind(("::", port))
    print("ready", flush=True)
    seen = []
    while not _told(channel):
        data, control, _flags, peer = channel.recvmsg(64, 256)
        seen.append((time.monotonic(), _plain(peer[0]), data.decode()))
        with contextlib.suppress(OSError):  # no way back: the sender notices
            channel.sendmsg([data], [(level, kind, value[:16] + bytes(4)) for level, kind, value in control], 0, peer)
    print(json.dumps(seen))


def _plain(address: str) -> str:
    found = ipaddress.ip_address(address.partition("%")[0])
    return str(getattr(found, "ipv4_mapped", None) or found)


def _told(channel: socket.socket | None = None) -> bool:
    """Whether it is time to stop; with a channel, waits for either."""
    readable = select.select([sys.stdin, *([channel] if channel else [])], [], [], None if channel else 0)[0]
    return sys.stdin in readable and channel not in readable


def _main(argv: list[str]) -> None:
    # Packets are to be sent while a change is made, which keeps the machine busy.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    if argv[0] == "send":
        _send(json.loads(argv[1]))
    else:
        _receive(int(argv[1]))


if __name__ == "__main__":
    _main(sys.argv[1:])
