# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run as a script in a namespace: many connections, or many bytes.

`serve tcp|udp PORT`: sends back what comes, until a line on stdin; then prints {source address: number of its ports}.
`ask tcp|udp HOST PORT CONNECTIONS ROUNDS`: opens the connections, keeps all of them, and in each round asks something else on each.
Prints {"opened": N, "answered": [N of each round]}.
`swallow PORT`: reads from one connection after the other, and prints bytes a second of each. `pour HOST PORT SECONDS`: feeds it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import resource
import select
import socket
import sys
import time
from collections import Counter

_BATCH = 200  # on their way at a time
_PATIENCE = 10.0  # seconds without any answer
_CHUNK = 1 << 18
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def _listener(kind: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6, _KINDS[kind])
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    listener.bind(("::", port))
    if kind == "tcp":
        listener.listen(4096)
    print("ready", flush=True)
    return listener


def _serve(kind: str, port: int) -> None:
    listener = _listener(kind, port)
    channels, peers = {listener.fileno(): listener}, set()
    with select.epoll() as waiting:
        waiting.register(listener, select.EPOLLIN)
        waiting.register(sys.stdin, select.EPOLLIN)
        while True:
            numbers = [number for number, _event in waiting.poll()]
            if sys.stdin.fileno() in numbers:
                break
            for number in numbers:
                if kind == "udp":
                    data, control, _flags, peer = listener.recvmsg(256, 256)
                    listener.sendmsg([data], [(level, name, value[:16] + bytes(4)) for level, name, value in control], 0, peer)
                    peers.add(peer[:2])
                elif number == listener.fileno():
                    channel, peer = listener.accept()
                    channels[channel.fileno()] = channel
                    waiting.register(channel, select.EPOLLIN)
                    peers.add(peer[:2])
                else:
                    _send_back(channels, number)
    addresses = (ipaddress.ip_address(peer[0]) for peer in peers)
    print(json.dumps(Counter(str(address.ipv4_mapped or address) for address in addresses)))


def _send_back(channels: dict[int, socket.socket], number: int) -> None:
    data = channels[number].recv(256)
    if data:
        channels[number].sendall(data)
    else:
        channels.pop(number).close()


def _ask(kind: str, host: str, port: int, connections: int, rounds: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = []
    try:
        for _number in range(connections):
            channel = socket.socket(family, _KINDS[kind])
            channel.settimeout(_PATIENCE)
            channel.connect((host, port))
            opened.append(channel)
    except OSError as error:
        print(f"connection {len(opened) + 1}: {error}", file=sys.stderr)
    answered = [sum(_asked(opened[start:start + _BATCH], start, word) for start in range(0, len(opened), _BATCH)) for word in range(rounds)]
    print(json.dumps({"opened": len(opened), "answered": answered}))


def _asked(channels: list[socket.socket], start: int, word: int) -> int:
    """Ask on each of the channels; return the number of right answers."""
    expected = {}
    with select.epoll() as waiting:
        for number, channel in enumerate(channels, start):
            expected[channel.fileno()] = channel, f"{number} {word}".encode()
            waiting.register(channel, select.EPOLLIN)
            channel.send(expected[channel.fileno()][1])
        right = 0
        while expected:
            ready = waiting.poll(_PATIENCE)
            if not ready:
                break
            for number, _event in ready:
                channel, text = expected.pop(number)
                waiting.unregister(channel)
                right += _answer(channel) == text
    return right


def _answer(channel: socket.socket) -> bytes:
    try:
        return channel.recv(256)
    except OSError as error:
        return str(error).encode()


def _swallow(port: int) -> None:
    listener = _listener("tcp", port)
    buffer = bytearray(_CHUNK)
    while True:
        channel, _peer = listener.accept()
        begun, total = time.monotonic(), 0
        with channel:
            while count := channel.recv_into(buffer):
                total += count
        print(json.dumps(total / (time.monotonic() - begun)), flush=True)


def _pour(host: str, port: int, seconds: float) -> None:
    data = memoryview(bytes(_CHUNK))
    with socket.create_connection((host, port), timeout=10) as channel:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            channel.sendall(data)


def _main(argv: list[str]) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if argv[0] in ("swallow", "pour"):  # what else runs on the machine is not to be measured
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    if argv[0] == "serve":
        _serve(argv[1], int(argv[2]))
    elif argv[0] == "ask":
        _ask(argv[1], argv[2], *map(int, argv[3:]))
    elif argv[0] == "swallow":
        _swallow(int(argv[1]))
    else:
        _pour(argv[1], int(argv[2]), float(argv[3]))


if __name__ == "__main__":
    _main(sys.argv[1:])
