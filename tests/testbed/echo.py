# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run as a script in a namespace. `serve tcp|udp BIND PORT`: say ready on standard error, then answer each request with the
source seen, and log it as a JSON line on standard output. `ask tcp|udp HOST PORT TIMEOUT TEXT`: send one request, print the answer."""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
import sys


def _plain(address: str) -> str:
    found = ipaddress.ip_address(address.partition("%")[0])
    return str(getattr(found, "ipv4_mapped", None) or found)


def _reply(kind: str, peer: tuple, data: bytes) -> bytes:
    line = json.dumps({"kind": kind, "source": _plain(peer[0]), "port": peer[1], "text": data.decode()})
    print(line, flush=True)
    return line.encode() + b"\n"


def _listen(kind: str, bind: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if bind == "::":
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((bind, port))
    return listener


def _serve_tcp(listener: socket.socket) -> None:
    listener.listen()
    print("ready", file=sys.stderr, flush=True)
    while True:
        connection, peer = listener.accept()
        with connection:
            connection.settimeout(2)
            try:
                connection.sendall(_reply("tcp", peer, connection.recv(65536)))
            except OSError as error:
                print(json.dumps({"kind": "tcp", "source": _plain(peer[0]), "error": str(error)}), flush=True)


def _serve_udp(listener: socket.socket) -> None:
    # The answer must leave from the address that was asked, which on a host with several needs the packet's own info.
    if listener.family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    print("ready", file=sys.stderr, flush=True)
    while True:
        data, control, _flags, peer = listener.recvmsg(65536, 256)
        control = [(level, kind, value[:16] + struct.pack("i", 0)) for level, kind, value in control]
        try:
            listener.sendmsg([_reply("udp", peer, data)], control, 0, peer)
        except OSError:
            pass  # no way back: the asker notices, and the log has the source


def _ask(kind: str, host: str, port: int, timeout: float, text: str) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as asker:
        asker.settimeout(timeout)
        asker.connect((host, port))
        asker.sendall(text.encode())
        return asker.recv(65536).decode()


def _main(argv: list[str]) -> None:
    if argv[0] == "serve":
        listener = _listen(argv[1], argv[2], int(argv[3]))
        (_serve_tcp if argv[1] == "tcp" else _serve_udp)(listener)
    try:
        print(_ask(argv[1], argv[2], int(argv[3]), float(argv[4]), argv[5]), end="")
    except OSError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    _main(sys.argv[1:])
