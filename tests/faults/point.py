# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One point: a run that is killed or fails at one place, and what becomes of the node and its pods."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from testbed import Node, Pod, diff_dumps
from testbed.dump import dump

from . import inside, scenarios, trace
from .scenarios import ABSENT, SCENARIOS, Scenario

#: A run is killed, and repeated; is killed, and everything is taken away instead; is killed by a power cut, and repeated after the boot.
KILL, DROP, CUT = CRASHES = ("kill", "drop", "cut")
FAILS, LOCKED = "fails", "locked"
#: What a program that fails says instead of doing its work, and its exit status.
FAILURES = {
    FAILS: ("Cannot allocate memory", 1),
    LOCKED: ("Another app is currently holding the xtables lock; still 9s 0us time ahead to have a chance to grab the lock...", 4),
}
CONF_DIR = "/etc/cni/net.d"
DOCUMENT = "/etc/kubenode-network/node.json"
INSTALLED = "/usr/local/lib/kubenode-network/kubenode-network.pyz"
STORE = "/var/lib/kubenode-network/found"
#: An error says which resource could not be changed, or which file, key or program it was.
NAMES_A_THING = r"^[a-z0-9_]+:\S+ could not be changed: |/[a-z]+/|sysctl \S+|^nothing was changed: |^\S+ .*failed with status [0-9]+: "
_SHOWN = 1500


class Point(NamedTuple):
    """A place in a scenario's run and what happens there. key: ``rename:3``, before that call; ``pwrite64:1@/proc/sys/vm/swappiness``,
    before the first one with that path; or ``child:3``, when the third program that is run has ended."""

    scenario: str
    fault: str
    key: str

    def __str__(self) -> str:
        return "/".join(self)

    @classmethod
    def parse(cls, text: str) -> Point:
        return cls(*text.split("/", 2))


class Plain(NamedTuple):
    """A run that nothing disturbs. places: key -> what is done there; errors: key -> what may go wrong there; dumps: before and after
    the run, at the end of all, and the last two of a node that was switched off meanwhile; trace: as strace wrote it."""

    places: dict[str, str]
    errors: dict[str, list[str]]
    dumps: dict[str, Any]
    trace: str


class World(NamedTuple):
    """A node ready for a scenario's run."""

    node: Node
    pods: list[Pod]
    others: list[Pod]


class Lost(Exception):
    """What the run left is not what it should be; the text says what."""


def points(name: str, plain: Plain) -> list[Point]:
    """Every point of a scenario."""
    crashes = [KILL, CUT] if SCENARIOS[name].options is ABSENT else CRASHES  # where to repeat it is to take everything away
    return [Point(name, fault, key) for key in plain.places for fault in (*crashes, *plain.errors[key])]


@contextmanager
def prepared(scenario: Scenario) -> Iterator[World]:
    with ExitStack() as stack:
        node = stack.enter_context(scenarios.start())
        world = World(node, [], [])
        if scenario.before is not None:
            _succeed(_run(node, scenario.before), "the run before")
            world.pods.extend(node.pod(name) for name in scenario.pods)
            world.others.append(scenarios.other_pod(node))
            if world.pods:
                _wait_for_pods(world)
        yield world


def _wait_for_pods(world: World) -> None:
    """Duplicate address detection keeps a new pod's IPv6 address back for a moment."""
    for _attempt in range(5):
        if not _silent(world):
            return
    raise Lost(f"before the run: {_silent(world)}")


def plain(scenario: Scenario) -> Plain:
    """The undisturbed runs of a scenario."""
    dumps: dict[str, Any] = {}
    with prepared(scenario) as world:
        dumps["before"] = _dump(world.node)
        ended, text = _traced(world.node, scenario, [])
        children = _succeed(ended.value, "the run")["children"]
        calls = trace.changing(trace.read(text))
        dumps["after"] = _finish(world, scenario)
        dumps["end"] = _take_all_away(world)
    with prepared(scenario) as world:
        _succeed(_run(world.node, scenario.options), "the run")
        _power_cut(world)
        dumps["after cut"] = _finish(world, scenario)
        dumps["end of cut"] = _take_all_away(world)
    ran = {f"child:{number}": argv for number, argv in enumerate(children, 1)}
    places = {**{call.key: call.text for call in calls}, **ran}
    errors = {**{call.key: list(call.errors) for call in calls}, **{key: _failures(argv) for key, argv in ran.items()}}
    return Plain(places, errors, dumps, text)


def _failures(argv: str) -> list[str]:
    return [FAILS, LOCKED] if re.match(r"\S*tables\S*-restore", argv) else [FAILS]


def carry_out(point: Point, undisturbed: Plain) -> str:
    """"" where nothing is lost, or what is. "passed by: ...": the run did not come to the place; "later: ...": it passed over an
    error and left the node otherwise than it should be, which the next run mends."""
    scenario = SCENARIOS[point.scenario]
    try:
        with prepared(scenario) as world:
            return _carry_out(point, undisturbed, world, scenario)
    except (Lost, inside.Crash) as error:
        return str(error)[:_SHOWN] or type(error).__name__


def _carry_out(point: Point, undisturbed: Plain, world: World, scenario: Scenario) -> str:
    call, _colon, number = point.key.partition(":")
    if call == "child":
        ended, met = _with_child(point.fault, int(number), world.node, scenario)
    else:
        what = "signal=KILL" if point.fault in CRASHES else f"error={point.fault}"
        ended, text = _traced(world.node, scenario, trace.inject(point.key, what))
        at = trace.injected(text, point.key)
        met = at.text if at else "nothing"
    if met != undisturbed.places[point.key]:
        return f"passed by: {met} instead of {undisturbed.places[point.key]}"
    if point.fault in CRASHES:
        return _after_crash(point.fault, undisturbed, world, scenario, ended)
    return _after_error(undisturbed, world, scenario, ended)


def _after_crash(fault: str, undisturbed: Plain, world: World, scenario: Scenario, ended: inside.Ended) -> str:
    if ended.status != -9:
        raise Lost(f"the run was not killed but ended: {ended}")
    _check_readers(world)
    if fault == DROP:
        _compare("at the end", undisturbed.dumps["end"], _take_all_away(world))
        return ""
    kind = ("after", "end")
    if fault == CUT:
        kind = ("after cut", "end of cut")
        _power_cut(world)
        _check_readers(world)
    _compare("after the next run", undisturbed.dumps[kind[0]], _finish(world, scenario))
    _check_readers(world)
    _compare("at the end", undisturbed.dumps[kind[1]], _take_all_away(world))
    return ""


def _after_error(undisturbed: Plain, world: World, scenario: Scenario, ended: inside.Ended) -> str:
    if ended.status != 0:
        raise Lost(f"the run ended with {ended}")
    _check_readers(world)
    if ended.value.get("failed"):
        _compare(f"after a run that failed ({ended.value['msg']})", undisturbed.dumps["before"], _dump(world.node))
        if not re.search(NAMES_A_THING, ended.value["msg"]):
            raise Lost(f"the error names nothing: {ended.value['msg']}")
        return ""
    expected = _without_store(undisturbed.dumps["after"])
    difference = diff_dumps(expected, _without_store(_dump(world.node)))
    _compare("after the next run", expected, _without_store(_finish(world, scenario)))
    return f"later: {difference}" if difference else ""


def _traced(node: Node, scenario: Scenario, inject: list[str]) -> tuple[inside.Ended, str]:
    """The scenario's run below strace, and what that wrote."""
    with tempfile.NamedTemporaryFile(prefix="kubenode-trace-") as file:
        ended = inside.call(node, _noting_children(scenarios.run(scenario.options)), [*trace.OPTIONS, "-o", file.name, *inject])
        return ended, Path(file.name).read_text(errors="replace")


def _with_child(fault: str, number: int, node: Node, scenario: Scenario) -> tuple[inside.Ended, str]:
    """The scenario's run with a fault at a program that it runs, and which program that was."""
    with tempfile.NamedTemporaryFile("r", prefix="kubenode-child-") as file:
        ended = inside.call(node, _noting_children(scenarios.run(scenario.options), number, fault, file.name))
        return ended, file.read() or "nothing"


def _noting_children(work: Callable[[], Any], number: int = 0, fault: str = "", note: str = "") -> Callable[[], Any]:
    """A run whose result says, as ``children``, what programs it ran. One of them, counted from 1, is written down and fails, or
    the run is killed when it has ended."""
    children: list[str] = []
    execute, communicate = subprocess.Popen._execute_child, subprocess.Popen.communicate  # type: ignore[attr-defined]

    def executing(self: Any, args: Any, executable: Any, *rest: Any) -> None:
        children.append(" ".join(args))
        self.number = len(children)
        if self.number == number:
            Path(note).write_text(children[-1])
            if fault in FAILURES:
                said, status = FAILURES[fault]
                args, executable = ["/bin/sh", "-c", 'echo "$1" >&2; exit "$2"', "sh", said, str(status)], "/bin/sh"
        execute(self, args, executable, *rest)

    def communicating(self: Any, *args: Any, **options: Any) -> Any:
        said = communicate(self, *args, **options)
        if self.number == number and fault in CRASHES:
            os.kill(os.getpid(), signal.SIGKILL)
        return said

    def carry_out() -> Any:
        subprocess.Popen._execute_child, subprocess.Popen.communicate = executing, communicating  # type: ignore[attr-defined,method-assign]
        return {**work(), "children": children}

    return carry_out


def _run(node: Node, asked: scenarios.Options) -> dict[str, Any]:
    return inside.call(node, scenarios.run(asked)).value


def _succeed(result: dict[str, Any], what: str) -> dict[str, Any]:
    if result.get("failed"):
        raise Lost(f"{what} fails: {result['msg']}")
    return result


def _finish(world: World, scenario: Scenario) -> Any:
    """The next run, and one more, which has nothing to do."""
    _succeed(_run(world.node, scenario.options), "the next run")
    again = _succeed(_run(world.node, scenario.options), "the run after the next")
    if again["changed"]:
        raise Lost(f"the run after the next changes {[change['resource'] for change in again['changes']]}")
    return _dump(world.node)


def _take_all_away(world: World) -> Any:
    while world.pods:
        world.pods.pop().delete()
    world.node.run(["find", "/var/lib/cni", "-type", "f", "-delete"])  # of pods that a boot ended, as their runtime does then
    _succeed(_run(world.node, ABSENT), "the removal of everything")
    return _dump(world.node)


def _power_cut(world: World) -> None:
    """The node without power, and then its boot. Its pods are gone."""
    world.pods.clear()
    world.others.clear()
    world.node.cut_power()
    scenarios.arrive(world.node)
    if world.node.exists(INSTALLED) and world.node.exists(DOCUMENT):
        done = world.node.run(["/usr/bin/python3", "-I", INSTALLED, "apply"], check=False)
        if done.returncode not in (0, 3):
            raise Lost(f"the boot command: exit {done.returncode}: {done.stdout}{done.stderr}")


def _check_readers(world: World) -> None:
    broken = inside.call(world.node, _winner).value
    if broken:
        raise Lost(f"a loader sees {broken}")
    silent = _silent(world)
    if silent:
        raise Lost(f"no answer: {silent}")


def _winner() -> str:
    """What is wrong with the file that a runtime takes, in the words of libcni's loader (cni.md 2); "" when nothing is."""
    names = sorted(name for name in map(str, Path(CONF_DIR).iterdir()) if name.endswith((".conf", ".conflist", ".json")))
    if not names:
        return "no network at all"
    try:
        data = json.loads(Path(names[0]).read_text())
        listed = data["plugins"] if names[0].endswith(".conflist") else [data]
        good = isinstance(data["name"], str) and listed and all(isinstance(plugin["type"], str) for plugin in listed)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{names[0]}: {type(error).__name__}: {error}"
    return "" if good else f"{names[0]}: no name or no plugins"


def _silent(world: World) -> list[str]:
    """Pings without an answer: from the node to each pod, and from each of our pods to the outside."""
    targets = [(f"node to {ip}", ["ping", ip]) for pod in (*world.pods, *world.others) for ip in pod.ips]
    away = (world.node.outside.ip4, world.node.outside.ip6)
    targets += [(f"{pod.name} to {ip}", ["ip", "netns", "exec", pod.name, "ping", ip]) for pod in world.pods for ip in away]

    def ping() -> list[str]:
        null = subprocess.DEVNULL
        started = [(name, subprocess.Popen([*argv, "-c1", "-W2"], stdout=null, stderr=null)) for name, argv in targets]
        return [name for name, process in started if process.wait() != 0]

    return inside.call(world.node, ping).value if targets else []


def _dump(node: Node) -> Any:
    return _lasting(inside.call(node, dump).value)


def _lasting(data: Any) -> Any:
    """Without the pods' ends on the node, whose names and addresses are new each time."""
    if isinstance(data, dict):
        return {key: _lasting(value) for key, value in data.items() if not _is_pods(key)}
    if isinstance(data, list):
        return [_lasting(item) for item in data if not (isinstance(item, str) and _is_pods(item))]
    return data


def _is_pods(text: str) -> bool:
    return re.search(r"\bveth[0-9a-f]{8}\b", text) is not None


def _without_store(data: Any) -> Any:
    """Without contents that were kept and are not needed any more: what cannot be cleared away does no harm."""
    return {**data, "files": {path: file for path, file in data["files"].items() if not path.startswith(STORE)}}


def _compare(when: str, expected: Any, actual: Any) -> None:
    difference = diff_dumps(expected, actual)
    if difference:
        raise Lost(f"{when}:\n{difference}")
