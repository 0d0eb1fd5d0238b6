# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traffic that goes on while something is changed, and what became of every packet of it (packets.py does the talking).

    with Streams() as streams:
        streams.start(pod, pings=[Ping(outside.ip4, 1450)], flows=[Flow(outside.ip4, 9000, outside, due=node.ip4)])
        streams.mark("the change")
        ...
        report = streams.finish()
    assert not report.problems(), report

A ping alone never sees a missing rule: its connection is known to the kernel. New flows do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .paths import HERE

if TYPE_CHECKING:
    from .space import Place

_PORTS = range(10000, 40000)  # for the first flow
RATE = 100  # packets of each ping a second
SMALL = 84  # bytes: IPv4 header, ICMP header and 56 of data, which ping calls 64


@dataclass(frozen=True)
class Ping:
    """Echo requests that nobody may fragment. size: bytes of the whole packet, IP header included."""

    host: str
    size: int

    def __str__(self) -> str:
        return f"ping {self.host} with {self.size} bytes"


@dataclass(frozen=True)
class Flow:
    """Datagrams to a port, each from a port of its own, one at each `every`-th tick. at, at_port: where they arrive; due: the source
    address that is right there; what: a name for it."""

    host: str
    port: int
    at: Place
    due: str
    at_port: int = 0
    every: int = 2
    what: str = ""

    def __str__(self) -> str:
        return self.what or f"new flows to {self.host} port {self.port}"


@dataclass
class Fate:
    """What became of one stream. lost: when those packets were sent; silence: the longest time between two packets, and its start."""

    name: str
    due: str
    sent: int
    lost: list[float]
    duplicated: int
    silence: tuple[float, float]
    errors: dict[str, int]
    sources: Counter[str] = field(default_factory=Counter)
    wrong: list[float] = field(default_factory=list)  # when datagrams with another source than the due one came


@dataclass
class Report:
    """The fate of all streams; marks: what was done when."""

    fates: list[Fate]
    marks: list[tuple[float, str]]

    def problems(self) -> list[str]:
        """A line for each stream that lost, doubled or showed something. Empty when all was well."""
        return [line for fate in self.fates for line in self._problems(fate)]

    def _problems(self, fate: Fate) -> list[str]:
        lines = []
        if not fate.sent:
            lines.append(f"{fate.name}: nothing was sent")
        if fate.lost:
            errors = f", errors {fate.errors}" if fate.errors else ""
            lines.append(f"{fate.name}: {len(fate.lost)} of {fate.sent} lost, {self._span(fate.lost)}{errors}")
        if fate.duplicated:
            lines.append(f"{fate.name}: {fate.duplicated} more arrived than the {fate.sent} sent")
        if fate.wrong:
            lines.append(f"{fate.name}: seen as {dict(fate.sources)} (expected {fate.due}), {self._span(fate.wrong)}")
        return lines

    def _span(self, times: list[float]) -> str:
        done = [text for when, text in self.marks if when <= times[0]]
        begun = max((when for when, _text in self.marks if when <= times[0]), default=times[0])
        return f"from {times[0] - begun:.3f} to {times[-1] - begun:.3f} s after {done[-1] if done else 'the start'!r}"

    def silence(self) -> float:
        """Seconds that no stream was ever longer without a packet; a fault that is shorter may not be seen."""
        return max(fate.silence[1] for fate in self.fates)

    def __str__(self) -> str:
        lost, duplicated, wrong = (sum(column) for column in zip(*((len(each.lost), each.duplicated, len(each.wrong)) for each in self.fates)))
        sent, seconds = sum(fate.sent for fate in self.fates), self.marks[-1][0] - self.marks[0][0]
        counts = f"{sent} sent, {lost} lost, {duplicated} duplicated, {wrong} with a wrong source"
        summary = f"{len(self.fates)} streams in {seconds:.1f} s: {counts}; longest silence {self.silence() * 1000:.0f} ms"
        return "\n".join([summary, *self.problems()])


class _Program:
    """packets.py in a place."""

    def __init__(self, place: Place, *argv: str) -> None:
        command, pipe = [sys.executable, "-I", "-S", str(HERE / "packets.py"), *argv], subprocess.PIPE
        self.process = place.popen(command, stdin=pipe, stdout=pipe, stderr=pipe)
        self._where = f"{place.name}: {argv[0]}"

    def wait(self) -> None:
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{self._where}: {self.process.stderr.read()}")

    def stop(self, grace: float = 0) -> None:
        self.process.stdin.write(f"{grace}\n")
        self.process.stdin.flush()

    def result(self) -> Any:
        out, error = self.process.communicate(timeout=30)
        if self.process.returncode:
            raise RuntimeError(f"{self._where}: {error}")
        return json.loads(out)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Streams:
    """Senders and receivers. A context manager; finish() ends the traffic and tells."""

    #: Each begins behind the last one's: for as long as conntrack remembers a flow, packets from its port go the way that flow went.
    _first_port = _PORTS.start

    def __init__(self) -> None:
        self._senders: list[_Program] = []
        self._receivers: dict[tuple[Place, int], _Program] = {}
        self._streams: list[tuple[str, Ping | Flow]] = []
        self._marks: list[tuple[float, str]] = []

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, *_: object) -> None:
        for program in [*self._senders, *self._receivers.values()]:
            program.kill()

    def start(self, source: Place, pings: Sequence[Ping] = (), flows: Sequence[Flow] = (), rate: int = RATE) -> None:
        """Send from a place until finish(), with so many ticks a second: at each of them a packet of every ping."""
        self._listen(flows)
        spec: dict[str, Any] = {"rate": rate, "first_port": Streams._first_port, "pings": [], "flows": []}
        for stream in [*pings, *flows]:
            entry = {"id": len(self._streams), "host": stream.host}
            if isinstance(stream, Ping):
                spec["pings"].append({**entry, "size": stream.size})
            else:
                spec["flows"].append({**entry, "port": stream.port, "every": stream.every})
            self._streams.append((f"{source.name}: {stream}", stream))
        self._senders.append(_Program(source, "send", json.dumps(spec)))
        self._senders[-1].wait()
        self.mark(f"start of {source.name}")

    def _listen(self, flows: Sequence[Flow]) -> None:
        places = dict.fromkeys(_arrival(flow) for flow in flows)
        new = {place: _Program(place[0], "receive", str(place[1])) for place in places if place not in self._receivers}
        self._receivers.update(new)
        for program in new.values():
            program.wait()

    def mark(self, text: str) -> None:
        """Say what is done now, for the report."""
        self._marks.append((time.monotonic(), text))

    def finish(self, grace: float = 3) -> Report:
        """End the traffic; grace: seconds to wait for answers that are missing yet."""
        self.mark("end")
        for sender in self._senders:
            sender.stop(grace)
        results: dict[str, dict[str, Any]] = {}
        for sender in self._senders:
            results.update(sender.result())
        Streams._first_port += sum(result["sent"] for result in results.values())
        if Streams._first_port not in _PORTS:
            Streams._first_port = _PORTS.start
        for receiver in self._receivers.values():
            receiver.stop()
        seen = {place: _by_stream(receiver.result()) for place, receiver in self._receivers.items()}
        fates = []
        for number, (name, stream) in enumerate(self._streams):
            fate = Fate(name, stream.due if isinstance(stream, Flow) else "", **results[str(number)])
            if isinstance(stream, Flow):
                _add_arrivals(fate, seen[_arrival(stream)].get(number, []))
            fates.append(fate)
        return Report(fates, self._marks)


def _arrival(flow: Flow) -> tuple[Place, int]:
    return flow.at, flow.at_port or flow.port


def _by_stream(seen: list[list[Any]]) -> dict[int, list[list[Any]]]:
    arrivals: dict[int, list[list[Any]]] = {}
    for arrival in seen:
        arrivals.setdefault(int(arrival[2].split()[0]), []).append(arrival)
    return arrivals


def _add_arrivals(fate: Fate, arrivals: list[list[Any]]) -> None:
    fate.sources = Counter(source for _when, source, _text in arrivals)
    fate.wrong = [when for when, source, _text in arrivals if source != fate.due]
    fate.duplicated += len(arrivals) - len({text for _when, _source, text in arrivals})
