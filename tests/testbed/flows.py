# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream of new flows: what shows that a masquerade rule was missing for an instant, which an established flow never does."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .space import Place

RATE = 100  # a second
_SEND = """
import select, socket, sys, time
host, port, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
count, start = 0, time.monotonic()
while not select.select([0], [], [], max(0, start + count / rate - time.monotonic()))[0]:
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.sendto(str(count).encode(), (host, port))
    count += 1
    if count == 1:
        print("started", flush=True)
print(count)
"""


class NewFlows:
    """UDP packets from a place to a server, each from a socket of its own, until the end of the block. Then sources: source
    address that the server saw -> how many; sent and lost: how many."""

    def __init__(self, source: Place, target: Place, host: str, port: int) -> None:
        self.sources: Counter[str] = Counter()
        self.sent = self.lost = 0
        self._source, self._target, self._host, self._port = source, target, host, port

    def __enter__(self) -> NewFlows:
        self._server = self._target.serve_udp(self._port)
        argv = [sys.executable, "-I", "-S", "-c", _SEND, self._host, str(self._port), str(RATE)]
        self._sender = self._source.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._sender.stdout.readline() == "started\n"
        return self

    def __exit__(self, *_: object) -> None:
        out, _err = self._sender.communicate("end\n", timeout=10)
        self.sent = int(out)
        time.sleep(0.2)  # what is on its way
        self.sources.update(request["source"] for request in self._server.stop())
        self.lost = self.sent - sum(self.sources.values())
