# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import re
import signal
import threading
import time

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import process

NUMBERS = (signal.SIGHUP, signal.SIGTERM)


def test_output_that_is_not_utf_8_is_read():
    assert process.output(["printf", r"a\351b"]) == "a\udce9b"


def test_output_of_a_program_that_fails_is_an_error_in_one_line():
    with pytest.raises(NodeError) as caught:
        process.output(["ls", "/no/such/place"])
    said = "ls /no/such/place failed with status 2: ls: cannot access '/no/such/place': No such file or directory"
    assert str(caught.value) == said


def asked(*argvs, timeout=20):
    return process.ask_each([process.Question(argv, "hello", {"WORD": "world"}) for argv in argvs], timeout=timeout)


def test_each_of_several_programs_gets_what_it_is_asked_and_gives_its_own_answer():
    many = [["sh", "-c", f'cat; printf " $WORD {number}"; exit {number % 3}'] for number in range(20)]
    assert [(answer.stdout, answer.returncode) for answer in asked(*many)] == [(f"hello world {number}", number % 3) for number in range(20)]


def test_a_program_that_gives_no_answer_leaves_those_of_the_others():
    first, second, third, last = asked(["true"], ["/no/such/program"], ["sleep", "60"], ["echo", "here"], timeout=0.5)
    assert (first.returncode, last.stdout) == (0, "here\n")
    assert str(second) == "/no/such/program is not installed on this node"
    assert re.fullmatch(r"sleep could not be run: Command .* timed out after 0\.5 seconds", str(third))
    with pytest.raises(NodeError, match="not installed"):
        process.an_answer(["x"], second)


def test_a_program_that_takes_too_long_is_ended():
    began = time.monotonic()
    with pytest.raises(NodeError, match="sleep could not be run: Command .* timed out"):
        process.run(["sleep", "60"], timeout=0.2)
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Cannot download https://me:se%40cret@repo.example/x: 404", "Cannot download https://********@repo.example/x: 404"),
        ("baseurl='http://token@h:80'; proxy=\"socks5://a:b@c\"", "baseurl='http://********@h:80'; proxy=\"socks5://********@c\""),
        ("https://me:p@ss@repo.example/a@b", "https://********@repo.example/a@b"),
        ("mail root@h, see https://h/x?y=a@b", "mail root@h, see https://h/x?y=a@b"),
    ],
)
def test_no_password_of_a_url_gets_into_an_error(said, shown):
    with pytest.raises(NodeError) as caught:
        process.output(["sh", "-c", 'printf "%s" "$SAID" >&2; exit 1'], env={"SAID": said})
    assert str(caught.value).endswith(f" failed with status 1: {shown}")


@pytest.fixture
def seen():
    """The signals that the block let through: a broken one must not end the tests."""
    numbers = []
    before = {number: signal.signal(number, lambda number, frame: numbers.append(number)) for number in NUMBERS}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_a_signal_ends_the_block_as_an_exception(seen, number):
    done = []
    with pytest.raises(SystemExit) as caught:
        with process.ended_by_signals():
            send(number)
            done.append("too far")
    assert caught.value.code == f"ended by signal {number.name}"
    assert (done, seen) == ([], [])


@pytest.mark.parametrize("second", NUMBERS, ids=lambda number: number.name)
@pytest.mark.parametrize("first", NUMBERS, ids=lambda number: number.name)
def test_further_signals_do_not_stop_what_the_first_one_began(seen, first, second):
    done = []
    with pytest.raises(SystemExit, match=first.name):
        with process.ended_by_signals():
            try:
                send(first)
            finally:
                send(second)
                done.append("put back")
    assert (done, seen) == (["put back"], [])


def test_behind_the_block_signals_are_what_they_were(seen):
    with process.ended_by_signals():
        pass
    for number in NUMBERS:
        send(number)
    assert seen == list(NUMBERS)


def test_a_signal_that_is_ignored_stays_ignored(seen):
    """As under nohup, or in a job that is to outlive its connection."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with process.ended_by_signals():
        send(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_in_another_thread_signals_are_left_alone():
    done = []

    def work():
        with process.ended_by_signals():
            done.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [before]


def test_what_reads_is_asked_once_until_something_may_have_changed(tmp_path):
    log = tmp_path / "log"
    count = ["sh", "-c", f"echo >> {log}; wc -l < {log}"]
    with process.looking():
        assert [process.seen(count).strip() for _time in range(3)] == ["1", "1", "1"]
        process.run(["true"])
        assert [process.seen(count).strip() for _time in range(2)] == ["2", "2"]
        process.changing()
        assert process.seen(count).strip() == "3"
    assert [process.seen(count).strip() for _time in range(2)] == ["4", "5"]


def test_what_failed_is_not_kept():
    answers = iter([OSError("not yet"), "there"])

    def read():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with process.looking():
        with pytest.raises(OSError, match="not yet"):
            process.once(read, "key")
        assert [process.once(read, "key") for _time in range(2)] == ["there", "there"]


def test_a_program_that_failed_is_asked_again(tmp_path):
    """It may have been short of memory; an undo reads right behind that."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho >>{tmp_path}/asked\n[ $(wc -l <{tmp_path}/asked) -gt 1 ]\n")
    program.chmod(0o755)
    with process.looking():
        assert [process.look([str(program)]).returncode for _time in range(3)] == [1, 0, 0]
    assert (tmp_path / "asked").read_text() == "\n\n"
