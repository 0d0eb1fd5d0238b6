# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import loader

GOOD = '{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge"}]}'
SINGLE = '{"cniVersion": "1.0.0", "name": "lo", "type": "loopback"}'


# Both columns as containerd 1.6.20, 1.7.24 and 2.1.9 did it.
@pytest.mark.parametrize("name", ["10-a.conf", "10-a.conflist", "10-a.json", ".10-a.conf", "a.conf", "10-x.conf.json", ".conf"])
def test_loaded(name):
    assert loader.is_loadable(name)


@pytest.mark.parametrize(
    "name",
    [
        "10-a.yaml",
        "10-a.conf.bak",
        "10-a.conflist.disabled",
        "10-a.CONF",
        "10-a.conf~",
        "10-a.conflist.tmp",
        "10-a.conf ",
        "conf",
        "10-aconf",
        ".10-x.conflist.a1b2.tmp",
        "",
    ],
)
def test_not_loaded(name):
    assert not loader.is_loadable(name)


def test_order_is_of_bytes():
    names = ["a.conf", "Z.conf", "9-x.conf", "10-x.conf", ".x.conf", "A.conf", "10-x.conflist", "README", "\u00e9.conf", "10-x.json"]
    expected = [".x.conf", "10-x.conf", "10-x.conflist", "10-x.json", "9-x.conf", "A.conf", "Z.conf", "a.conf", "\u00e9.conf"]
    assert loader.load_order(names) == expected
    assert loader.load_order(reversed(names)) == expected


def test_names_that_are_not_utf8_sort_too():
    assert loader.load_order(["\udcff.conf", "a.conf"]) == ["a.conf", "\udcff.conf"]


def test_the_first_file_wins():
    files = {"99-loopback.conf": SINGLE, "10-b.conflist": GOOD, "10-a.conflist": GOOD, "10-a.conflist.bak": "x"}
    assert loader.containerd_view(files) == loader.Verdict(
        winner="10-a.conflist",
        order=["10-a.conflist", "10-b.conflist", "99-loopback.conf"],
        shadowed=["10-b.conflist", "99-loopback.conf"],
    )


def test_a_loopback_file_alone_wins():
    assert loader.containerd_view({"99-loopback.conf": SINGLE}).winner == "99-loopback.conf"


def test_a_bad_file_ahead_breaks_the_load():
    verdict = loader.containerd_view({"05-x.conflist": '{"name": "n"}', "10-a.conflist": GOOD})
    assert verdict.winner is None
    assert verdict.error == "05-x.conflist: has no plugins (expected a list)"
    assert verdict.invalid == {"05-x.conflist": "has no plugins (expected a list)"}
    assert verdict.shadowed == ["10-a.conflist"]


def test_a_bad_file_behind_is_not_opened_but_named():
    verdict = loader.containerd_view({"10-a.conflist": GOOD, "20-x.conf": GOOD, "30-y.json": SINGLE})
    assert (verdict.winner, verdict.error) == ("10-a.conflist", None)
    assert verdict.invalid == {"20-x.conf": "has no type, it holds a list (expected the extension .conflist)"}
    assert verdict.shadowed == ["30-y.json"]


def test_an_unreadable_file_breaks_the_load():
    assert loader.containerd_view({"10-a.conflist": None}).error == "10-a.conflist: cannot be read"


@pytest.mark.parametrize("files", [{}, {"README": "x", "10-a.conflist.disabled": GOOD}])
def test_nothing_to_load(files):
    verdict = loader.containerd_view(files)
    assert verdict == loader.Verdict(error="no network configuration (expected a file that ends in .conf, .conflist, .json)")


def test_siblings():
    names = ["10-a.json", "10-a.conf", "10-a.conflist", "10-a.conflist.bak", "10-ab.conf", "10-a.conf.json", "9-a.conf"]
    assert loader.siblings("10-a.conflist", names) == ["10-a.conf", "10-a.json"]
    assert loader.siblings("10-a.conf", ["10-a.conf"]) == []


@pytest.mark.parametrize(
    ("priority", "single", "name"),
    [(10, False, "10-mynet.conflist"), (5, True, "05-mynet.conf"), (0, False, "00-mynet.conflist"), (99, True, "99-mynet.conf")],
)
def test_config_filename(priority, single, name):
    assert loader.config_filename(priority, "mynet", single) == name
    assert loader.check_filename(name, "filename") == []


@pytest.mark.parametrize("name", ["10-mynet.conflist", "x.conf", "a" * 191 + ".conflist"])
def test_good_filename(name):
    assert loader.check_filename(name, "filename") == []


LEADS_OUT = "leads out of the directory (expected a name without / and ..)"
EXTENSION = "has another extension (expected .conflist, or .conf for a single plugin)"
CHARACTERS = "holds other characters than printable ASCII without spaces (expected only these)"


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("a/b.conf", [f"'a/b.conf' {LEADS_OUT}"]),
        ("a..conf", [f"'a..conf' {LEADS_OUT}"]),
        ("x.json", [f"'x.json' {EXTENSION}"]),
        ("x.CONF", [f"'x.CONF' {EXTENSION}"]),
        ("x", [f"'x' {EXTENSION}"]),
        ("a b.conf", [f"'a b.conf' {CHARACTERS}"]),
        ("a\n.conf", [f"'a\\n.conf' {CHARACTERS}"]),
        ("\u00e9.conf", [f"'\u00e9.conf' {CHARACTERS}"]),
        (".x.conf", ["'.x.conf' is hidden, yet loaders read it before all others (expected no leading dot)"]),
        ("a" * 192 + ".conflist", ["201 characters are too many (expected at most 200)"]),
        ("", ["'' is not a file name (expected e.g. 10-mynet.conflist)"]),
        (5, ["5 is not a file name (expected e.g. 10-mynet.conflist)"]),
        ("../x y", [f"'../x y' {LEADS_OUT}", "'../x y' is hidden", f"'../x y' {CHARACTERS}", f"'../x y' {EXTENSION}"]),
    ],
)
def test_bad_filename(name, messages):
    problems = loader.check_filename(name, "filename")
    assert {problem.path for problem in problems} == {"filename"}
    assert len(problems) == len(messages)
    for problem, message in zip(problems, messages):
        assert problem.message.startswith(message)
