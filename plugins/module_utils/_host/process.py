# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import subprocess
import tempfile
import threading
import types
import typing as t

from .._errors import NodeError, Passing

#: sudo and cron often leave out the sbin folders, where the firewall tools live, and /usr/local, where containerd may.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"])


def find(program: str) -> str | None:
    """The program's path, or None when it is not installed."""
    return once(lambda: _find(program), "find", program)


def _find(program: str) -> str | None:
    for folder in PATH.split(os.pathsep):
        path = os.path.join(folder, program)
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


#: What was read of the kernel while nothing was changed, by what was asked; None where nobody counts on that.
_seen: dict[tuple[str, ...], t.Any] | None = None

T = t.TypeVar("T")


@contextlib.contextmanager
def looking() -> t.Iterator[None]:
    """In here, what ``once`` and ``look`` read is read once, until anything of _host changes the node: a program that is run
    otherwise, a message to the kernel, a sysctl, a file. So nothing that was read before a change is taken for what is behind it."""
    global _seen
    _seen = {}
    try:
        yield
    finally:
        _seen = None


def changing() -> None:
    """To be called by whatever changes the node, before it does."""
    if _seen:
        _seen.clear()


def once(read: t.Callable[[], T], *key: str) -> T:
    """What ``read`` gives, or gave, for this key. Nobody may write into it."""
    if _seen is None:
        return read()
    if key not in _seen:
        _seen[key] = read()
    return t.cast(T, _seen[key])


def run(
    argv: t.Sequence[str], *, stdin: str = "", env: t.Mapping[str, str] | None = None, timeout: float = 60, cwd: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program in the C locale and returns its result, whatever its exit status."""
    changing()
    return _run(argv, stdin=stdin, env=env, timeout=timeout, cwd=cwd)


class Question(t.NamedTuple):
    """A program that is run to be asked something, and changes nothing."""

    argv: t.Sequence[str]
    stdin: str = ""
    env: t.Mapping[str, str] = types.MappingProxyType({})


Answer = t.Union["subprocess.CompletedProcess[str]", NodeError]


def ask_each(questions: t.Sequence[Question], *, timeout: float = 60) -> list[Answer]:
    """The answers to several, or why there is none; as many programs run at a time as there are processors."""
    answers: list[Answer] = []
    at_once = os.cpu_count() or 1
    for first in range(0, len(questions), at_once):
        some = questions[first : first + at_once]
        started = [_started(question) for question in some]
        answers += [_ended(process, question, timeout) for process, question in zip(started, some)]
    return answers


def _started(question: Question) -> subprocess.Popen[str] | NodeError:
    try:
        return _start(question.argv, stdin=question.stdin, env=question.env)
    except NodeError as error:
        return error


def _ended(process: subprocess.Popen[str] | NodeError, question: Question, timeout: float) -> Answer:
    try:
        return process if isinstance(process, NodeError) else _end(process, stdin=question.stdin, timeout=timeout)
    except NodeError as error:
        return error


def look(argv: t.Sequence[str], *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """The same, asked once until something changes. That it failed is not remembered: it may have been short of something."""
    key = tuple(argv)
    if _seen is not None and key in _seen:
        return t.cast("subprocess.CompletedProcess[str]", _seen[key])
    result = _run(argv, timeout=timeout)
    if _seen is not None and result.returncode == 0:
        _seen[key] = result
    return result


def _run(
    argv: t.Sequence[str], *, stdin: str = "", env: t.Mapping[str, str] | None = None, timeout: float = 60, cwd: str | None = None
) -> subprocess.CompletedProcess[str]:
    return _end(_start(argv, stdin=stdin, env=env, cwd=cwd), stdin=stdin, timeout=timeout)


def _start(argv: t.Sequence[str], *, stdin: str, env: t.Mapping[str, str] | None, cwd: str | None = None) -> subprocess.Popen[str]:
    try:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="surrogateescape",  # comments of others in firewall rules may be in any encoding
            env={"PATH": PATH, "LC_ALL": "C", "LANG": "C", **(env or {})},
            cwd=cwd,
        )
    except FileNotFoundError as error:
        raise NodeError(f"{argv[0]} is not installed on this node") from error
    except OSError as error:
        raise NodeError(f"{argv[0]} could not be run: {error}") from error


def _end(process: subprocess.Popen[str], *, stdin: str, timeout: float) -> subprocess.CompletedProcess[str]:
    argv = t.cast("list[str]", process.args)
    with process:
        try:
            stdout, stderr = process.communicate(stdin or None, timeout)
        except BaseException as error:  # an interruption, too
            process.kill()
            if isinstance(error, (OSError, subprocess.TimeoutExpired)):
                raise NodeError(f"{argv[0]} could not be run: {error}") from error
            raise
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


def output(
    argv: t.Sequence[str], *, stdin: str = "", env: t.Mapping[str, str] | None = None, timeout: float = 60, cwd: str | None = None
) -> str:
    """Runs a program that must succeed and returns what it printed."""
    return _must(argv, run(argv, stdin=stdin, env=env, timeout=timeout, cwd=cwd))


def seen(argv: t.Sequence[str], *, timeout: float = 60) -> str:
    """The same for a program that changes nothing."""
    return _must(argv, look(argv, timeout=timeout))


def _must(argv: t.Sequence[str], result: subprocess.CompletedProcess[str]) -> str:
    if result.returncode != 0:
        raise failed(argv, result.returncode, result.stderr or result.stdout)
    return result.stdout


#: What the kernel says when it has no room or no time just now.
_KILLED = (-signal.SIGKILL, -signal.SIGTERM)  # as for want of memory
_PASSING = [os.strerror(number) for number in (errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EMFILE, errno.ENFILE)]


def an_answer(argv: t.Sequence[str], result: Answer) -> subprocess.CompletedProcess[str]:
    """The result of a program whose failure means something. Raises Passing for another, and NodeError where there is no result."""
    if isinstance(result, NodeError):
        raise result
    if result.returncode in _KILLED or (result.returncode and any(text in result.stderr for text in _PASSING)):
        raise Passing(str(failed(argv, result.returncode, result.stderr or result.stdout)))
    return result


def pipe(argvs: t.Sequence[t.Sequence[str]], *, cwd: str) -> None:
    """Runs programs, each of which reads what the one before it writes, and all of which must succeed."""
    changing()
    with contextlib.ExitStack() as stack:
        running: list[subprocess.Popen[bytes]] = []
        errors: list[t.IO[bytes]] = []
        for argv in argvs:
            source = running[-1].stdout if running else subprocess.DEVNULL
            target = subprocess.PIPE if len(running) < len(argvs) - 1 else subprocess.DEVNULL
            try:
                errors.append(stack.enter_context(tempfile.TemporaryFile()))
                process = subprocess.Popen(list(argv), stdin=source, stdout=target, stderr=errors[-1], cwd=cwd, env={"PATH": PATH, "LC_ALL": "C"})
            except OSError as error:
                raise NodeError(f"{argv[0]} could not be run: {error}") from error
            if running and running[-1].stdout is not None:
                running[-1].stdout.close()  # or a program that ends early would leave the one before it waiting
            running.append(stack.enter_context(process))
        for process, argv, stderr in reversed(list(zip(running, argvs, errors))):
            status = process.wait()
            if status != 0:
                stderr.seek(0)
                raise failed(argv, status, stderr.read().decode("utf-8", "replace"))


def failed(argv: t.Sequence[str], status: int, said: str) -> NodeError:
    text = without_passwords(said.strip().replace("\n", "; "))
    return NodeError(f"{' '.join(argv)} failed with status {status}: {text}")


def without_passwords(text: str) -> str:
    """The text without what stands before the host in a URL: package managers show their repositories and proxies."""
    return re.sub(r"(?<=://)[^/\s\"'<>]*@", "********@", text)


@contextlib.contextmanager
def ended_by_signals() -> t.Iterator[None]:
    """Lets a hangup (a connection that breaks) and a termination end the block as an exception does, so that it can put
    things back. Further ones are ignored meanwhile, and those that are ignored already (nohup) stay so."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is told of signals
        return
    numbers = [number for number in (signal.SIGHUP, signal.SIGTERM) if signal.getsignal(number) is not signal.SIG_IGN]

    def end(number: int, _frame: types.FrameType | None) -> None:
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise SystemExit(f"ended by signal {signal.Signals(number).name}")

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
