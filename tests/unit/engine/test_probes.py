# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of the answers of programs. tests/integration/test_versions.py has the same of real runs."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import kept, plugins
from ansible_collections.kubenode.network.plugins.module_utils._host.plugins import Probe, Probes

ANSWER = Probe(("0.4.0", "1.0.0"), "CNI bridge plugin v1.6.0\n", frozenset({"isGateway", "mtu"}))


class Place:
    """A program, a cache, and who was asked."""

    def __init__(self, root):
        self.cache = root / "run" / "plugins.json"
        self.program = root / "bridge"
        self.program.write_bytes(b"\x7fELF one")
        self.asked = []

    def ask(self, path):
        self.asked.append(path)
        return ANSWER

    def run(self, path=None):
        """One run that asks the program twice: how often it was really asked."""
        before = len(self.asked)
        probes = Probes.load(str(self.cache))
        for _time in range(2):
            assert probes.of(str(path or self.program), self.ask) == ANSWER
        probes.save(str(self.cache))
        return len(self.asked) - before


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_program_is_asked_once(place):
    assert [place.run() for _run in range(3)] == [1, 0, 0]
    assert (oct(place.cache.stat().st_mode & 0o7777), oct(place.cache.parent.stat().st_mode & 0o7777)) == ("0o600", "0o700")


def replaced(place):
    other = place.program.with_name("new")
    other.write_bytes(place.program.read_bytes())
    os.rename(other, place.program)


def rewritten(place):
    place.program.write_bytes(b"\x7fELF two")


def longer(place):
    with place.program.open("ab") as file:
        file.write(b"!")


def put_back_in_time(place):
    """What tar and cp --archive do."""
    os.utime(place.program, ns=(1, 1))


def of_another_mode(place):
    place.program.chmod(0o700)


@pytest.mark.parametrize("change", [replaced, rewritten, longer, put_back_in_time, of_another_mode])
def test_a_program_that_changed_is_asked_again(place, change):
    place.run()
    change(place)
    assert [place.run(), place.run()] == [1, 0]


def test_a_link_that_leads_elsewhere_is_asked_again(place, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(place.program)
    assert [place.run(link), place.run(link)] == [1, 0]
    (tmp_path / "other").write_bytes(b"\x7fELF other")
    link.unlink()
    link.symlink_to("other")
    assert place.run(link) == 1


def test_a_program_that_changes_while_it_is_asked_is_not_kept(place):
    probes = Probes.load(str(place.cache))
    probes.of(str(place.program), lambda path: longer(place) or ANSWER)
    probes.save(str(place.cache))
    assert not place.cache.exists()


def test_scripts_are_asked_every_time(place):
    """What they run may change without them."""
    place.program.write_text("#!/bin/sh\nexec /opt/real/bridge\n")
    assert [place.run(), place.run()] == [2, 2] and not place.cache.exists()


def test_a_program_that_is_not_installed_yet_is_asked_once_in_each_run(place):
    descriptor = os.memfd_create("bridge")
    try:
        os.write(descriptor, place.program.read_bytes())
        path = f"/proc/{os.getpid()}/fd/{descriptor}"
        assert [place.run(path), place.run(path)] == [1, 1] and not place.cache.exists()
    finally:
        os.close(descriptor)


def test_a_failure_is_not_kept(place):
    def fail(path):
        raise NodeError("no")

    probes = Probes.load(str(place.cache))
    with pytest.raises(NodeError):
        probes.of(str(place.program), fail)
    assert probes.of(str(place.program), place.ask) == ANSWER


def test_nothing_is_written_without_news_and_what_is_gone_goes(place, tmp_path):
    place.run()
    before = place.cache.stat().st_ino
    place.run()
    assert place.cache.stat().st_ino == before
    other = tmp_path / "portmap"
    other.write_bytes(b"\x7fELF")
    place.program.unlink()
    place.run(other)
    assert list(json.loads(place.cache.read_text())["probes"]) == [str(other)]


DAMAGES = {
    "cut off": lambda text: text[:-20],
    "empty": lambda text: "",
    "no object": lambda text: "[1]",
    "nested without end": lambda text: "[" * 100_000,
    "newer": lambda text: text.replace('"schema": 1', '"schema": 2'),
    "no schema": lambda text: text.replace("schema", "scheme"),
    "no probes": lambda text: '{"schema": 1, "probes": 5}',
    "a probe of another shape": lambda text: text.replace('"versions"', '"version"'),
    "a text that is none": lambda text: text.replace('"0.4.0"', "4"),
    "another key": lambda text: text.replace('"key": [', '"key": ["x", '),
    "not UTF-8": lambda text: "\udcff",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_ignored(place, damage):
    place.run()
    text = DAMAGES[damage](place.cache.read_text())
    place.cache.write_bytes(text.encode(errors="surrogateescape"))
    assert [place.run(), place.run()] == [1, 0]


def somebody_elses(cache):
    os.chown(cache, 1234, 1234)


def writable_by_others(cache):
    cache.chmod(0o622)


def a_link(cache):
    target = cache.with_name("target")
    os.rename(cache, target)
    cache.symlink_to(target)


def a_pipe(cache):
    cache.unlink()
    os.mkfifo(cache, 0o600)


@pytest.mark.parametrize("change", [somebody_elses, writable_by_others, a_link, a_pipe])
def test_a_cache_that_others_may_have_written_is_not_believed(place, change, monkeypatch):
    place.run()
    if change is somebody_elses and os.geteuid() != 0:
        monkeypatch.setattr(os, "geteuid", lambda: 1234)
    else:
        change(place.cache)
    assert place.run() == 1


def test_a_cache_that_cannot_be_written_is_no_error(place):
    place.cache.parent.write_text("a file")
    assert [place.run(), place.run()] == [1, 1]


def test_the_names_in_a_binary(tmp_path):
    binary = tmp_path / "x"
    binary.write_bytes(b'\x7fELF\0json:"mtu"\0json:"mac,omitempty"\0json:"cut off\0json:"-"json:",inline"\0json:"portIsolation"')
    assert plugins._tags(str(binary)) == {"mtu", "mac", "-", "portIsolation"}


def test_only_reference_plugins_are_run_without_a_command(tmp_path):
    log, script = tmp_path / "log", tmp_path / "plugin"
    script.write_text(f'#!/bin/sh\necho "run ${{CNI_COMMAND:-bare}}" >>{log}\necho \'{{"supportedVersions": ["1.0.0"]}}\'\necho about me >&2\n')
    script.chmod(0o755)
    assert plugins.probe(str(script)) == Probe(("1.0.0",))
    assert log.read_text() == "run VERSION\n"
    assert plugins.probe_reference(str(script)) == Probe(("1.0.0",), "about me")
    assert log.read_text() == "run VERSION\nrun bare\nrun VERSION\n"


@pytest.mark.parametrize(
    "line, is_asked",
    [
        ("CNI protocol versions supported: 0.4.0, 1.0.0", False),
        ("CNI protocol versions supported: 1.0.0", False),
        ("CNI protocol versions supported: ", True),
        ("CNI protocol versions supported: 1.0.0, none", True),
        ("no CNI protocol versions supported: 1.0.0", True),
    ],
)
def test_a_binary_that_names_its_versions_is_not_asked_for_them(tmp_path, monkeypatch, line, is_asked):
    monkeypatch.setattr(kept, "is_elf", lambda path: True)
    script = tmp_path / "plugin"
    script.write_text(f'#!/bin/sh\n[ -z "$CNI_COMMAND" ] || echo \'{{"supportedVersions": ["asked"]}}\'\necho "CNI plugin\n{line}" >&2\n')
    script.chmod(0o755)
    versions = ("asked",) if is_asked else tuple(line.rpartition(": ")[2].split(", "))
    assert plugins.probe_reference(str(script)) == Probe(versions, "CNI plugin")
    script.chmod(0o644)
    with pytest.raises(NodeError, match="plugin is not executable"):
        plugins.probe_reference(str(script))


def test_a_script_is_asked_whatever_it_names(tmp_path):
    """One that calls a plugin, and a program that is missing when it is asked."""
    script = tmp_path / "plugin"
    named = "CNI protocol versions supported: 0.4.0, 1.0.0"
    script.write_text(f'#!/bin/sh\n[ -z "$CNI_COMMAND" ] || exec no_such_program\necho "CNI plugin\n{named}" >&2\n')
    script.chmod(0o755)
    with pytest.raises(NodeError, match="does not answer VERSION as a CNI plugin does: .*no_such_program"):
        plugins.probe_reference(str(script))


@pytest.mark.parametrize("answer", ['{"supportedVersions": 5}', "[" * 100_000, '{"supportedVersions": null}'])
def test_an_answer_of_another_shape_is_none(tmp_path, answer):
    (tmp_path / "answer").write_text(answer)
    script = tmp_path / "plugin"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/answer\n")
    script.chmod(0o755)
    with pytest.raises(NodeError, match="does not answer VERSION as a CNI plugin does"):
        plugins.supported_versions(str(script))
