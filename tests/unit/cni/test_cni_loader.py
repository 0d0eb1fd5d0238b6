# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

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


CONTAINERD = loader.Loader("containerd", "1.1.1")
LOADERS = ["containerd", "crio", "podman", "dockershim", "libcni"]


def network(name, **keys):
    return json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "bridge"}], **keys})


def test_the_first_file_wins():
    files = {"99-loopback.conf": SINGLE, "10-b.conflist": GOOD, "10-a.conflist": GOOD, "10-a.conflist.bak": "x"}
    assert loader.view(CONTAINERD, files) == loader.Verdict(
        winner="10-a.conflist",
        winners=["10-a.conflist"],
        order=["10-a.conflist", "10-b.conflist", "99-loopback.conf"],
        shadowed_by={"10-b.conflist": "10-a.conflist", "99-loopback.conf": "10-a.conflist"},
    )


def test_a_loopback_file_alone_wins():
    assert loader.view(CONTAINERD, {"99-loopback.conf": SINGLE}).winner == "99-loopback.conf"


@pytest.mark.parametrize("number, expected", [(0, ["1.conflist", "2.conflist", "99-loopback.conf"]), (2, ["1.conflist", "2.conflist"]), (9, None)])
def test_containerd_uses_as_many_files_as_it_is_told(number, expected):
    files = {"1.conflist": network("a"), "2.conflist": network("b"), "99-loopback.conf": SINGLE}
    verdict = loader.view(loader.Loader(max_conf_num=number), files)
    assert verdict.winners == (expected or list(files))
    assert list(verdict.shadowed_by) == [name for name in files if name not in verdict.winners]


def test_containerd_fails_at_any_bad_file_that_it_reads():
    files = {"1.conflist": network("a"), "2.conflist": "{", "3.conflist": network("c")}
    assert loader.view(loader.Loader(max_conf_num=1), files).winners == ["1.conflist"]
    for number in (0, 2):
        verdict = loader.view(loader.Loader(max_conf_num=number), files)
        assert (verdict.winner, verdict.winners) == (None, [])
        assert verdict.error.startswith("2.conflist: is not valid JSON")
        assert verdict.shadowed_by == {"1.conflist": "2.conflist", "3.conflist": "2.conflist"}


def test_a_bad_file_ahead_breaks_the_load():
    verdict = loader.view(CONTAINERD, {"05-x.conflist": '{"name": "n"}', "10-a.conflist": GOOD})
    assert verdict.winner is None
    assert verdict.error == "05-x.conflist: has no plugins (expected a list)"
    assert verdict.invalid == {"05-x.conflist": "has no plugins (expected a list)"}
    assert verdict.shadowed_by == {"10-a.conflist": "05-x.conflist"}


@pytest.mark.parametrize("name", ["crio", "dockershim", "podman"])
def test_others_go_on_behind_a_bad_file(name):
    verdict = loader.view(loader.Loader(name), {"05-x.conflist": '{"name": "n"}', "10-a.conflist": GOOD})
    assert (verdict.winner, verdict.error) == ("10-a.conflist", None)
    assert list(verdict.invalid) == ["05-x.conflist"]
    assert loader.view(loader.Loader(name), {"05-x.conflist": "["}).error.startswith("no valid network; 05-x.conflist: is not valid JSON")


def test_a_bad_file_behind_is_not_opened_but_named():
    verdict = loader.view(CONTAINERD, {"10-a.conflist": GOOD, "20-x.conf": GOOD, "30-y.json": SINGLE})
    assert (verdict.winner, verdict.error) == ("10-a.conflist", None)
    assert verdict.invalid == {"20-x.conf": "has no type, it holds a list (expected the extension .conflist)"}
    assert verdict.shadowed_by == {"30-y.json": "10-a.conflist"}


def test_an_unreadable_file_breaks_the_load():
    assert loader.view(CONTAINERD, {"10-a.conflist": None}).error == "10-a.conflist: cannot be read"


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("files", [{}, {"README": "x", "10-a.conflist.disabled": GOOD}])
def test_nothing_to_load(name, files):
    verdict = loader.view(loader.Loader(name), files)
    extensions = ".conflist" if name == "podman" else ".conf, .conflist, .json"
    assert verdict == loader.Verdict(error=f"no network configuration (expected a file that ends in {extensions})")


@pytest.mark.parametrize("name", ["crio", "dockershim", "podman"])
def test_what_a_loader_asks_its_plugins_is_told_from_outside(name):
    files = {"1.conflist": network("a"), "2.conflist": network("b")}
    verdict = loader.view(loader.Loader(name), files, broken={"1.conflist": "no bridge"})
    assert (verdict.winner, verdict.invalid) == ("2.conflist", {"1.conflist": "no bridge"})
    assert loader.view(CONTAINERD, files, broken={"1.conflist": "no bridge"}).winner == "1.conflist"


def test_cri_o_loads_every_network_and_gives_pods_one_of_them():
    files = {"1.conflist": network("a"), "2.conflist": network("b"), "3.conf": json.dumps({"name": "a", "type": "ptp"}), "4.conf": '{"type": "ptp"}'}
    verdict = loader.view(loader.Loader("crio"), files)
    assert verdict.winners == ["1.conflist", "2.conflist", "4.conf"]
    assert verdict.shadowed_by == {"3.conf": "1.conflist"}
    assert loader.view(loader.Loader("crio", default_network="b"), files).winners == ["2.conflist", "1.conflist", "4.conf"]
    assert loader.view(loader.Loader("crio", default_network="4.conf"), files).winner == "4.conf"  # named after its file
    verdict = loader.view(loader.Loader("crio", default_network="none"), files)
    assert (verdict.winner, verdict.error, verdict.shadowed_by) == (None, "no valid network named 'none'", {})


def test_dockershim_takes_the_first_valid_one():
    verdict = loader.view(loader.Loader("dockershim"), {"1.conf": "{}", "2.conflist": network("b"), "3.conflist": network("c")})
    assert (verdict.winners, verdict.shadowed_by) == (["2.conflist"], {"3.conflist": "2.conflist"})


def test_podman_reads_lists_only_and_its_names_are_strict():
    files = {"1.conf": SINGLE, "2.conflist": network("a b"), "3.conflist": network("podman"), "4.conflist": network("podman"), "5.conflist": network("z")}
    verdict = loader.view(loader.Loader("podman"), files)
    assert verdict.order == ["2.conflist", "3.conflist", "4.conflist", "5.conflist"]
    assert verdict.invalid == {"2.conflist": "name: 'a b' is not one that podman takes"}
    assert (verdict.winners, verdict.shadowed_by) == (["3.conflist", "5.conflist"], {"4.conflist": "3.conflist"})
    assert loader.view(CONTAINERD, files).winner == "1.conf"


def test_libcni_looks_for_a_name_among_lists_first():
    files = {"1.conf": SINGLE, "2.conflist": network("b"), "3.conflist": network("lo"), "4.json": "{"}
    verdict = loader.view(loader.Loader("libcni", default_network="lo"), files)
    assert verdict.order == ["2.conflist", "3.conflist", "1.conf", "4.json"]
    assert (verdict.winner, verdict.shadowed_by) == ("3.conflist", {"1.conf": "3.conflist"})
    assert loader.view(loader.Loader("libcni", default_network="c"), files).error.startswith("4.json: ")
    assert loader.view(loader.Loader("libcni", default_network="c"), {"2.conflist": network("b")}).error == "no valid network named 'c'"


@pytest.mark.parametrize("libcni, reads", [("1.1.2", False), ("1.2.3", False), ("1.3.0", True)])
def test_plugins_of_a_sub_directory(libcni, reads):
    bare = json.dumps({"cniVersion": "1.0.0", "name": "net"})
    folders = {"net": {"10-a.conf": '{"type": "bridge"}', "20-b.conflist": "not read", "README": "neither"}}
    containerd = loader.Loader("containerd", libcni)
    assert loader.view(containerd, {"1.conflist": bare}, folders=folders).winner == ("1.conflist" if reads else None)
    assert loader.view(containerd, {"1.conflist": bare}).winner is None
    bad = {"net": {"10-a.conf": "{}"}}
    verdict = loader.view(containerd, {"1.conflist": network("net")}, folders=bad)
    assert verdict.error == ("1.conflist: net/10-a.conf: type: missing (expected the name of a plugin)" if reads else None)
    assert loader.view(containerd, {"1.conflist": network("net", loadOnlyInlinedPlugins=True)}, folders=bad).winner == "1.conflist"


@pytest.mark.parametrize("keys, loads_from", [
    ({"disableCheck": "true"}, "1.2.3"), ({"disableCheck": "FALSE"}, "1.2.3"), ({"disableCheck": "no"}, None), ({"disableGC": 1}, "before 1.2.3"),
    ({"loadOnlyInlinedPlugins": []}, "before 1.3.0"), ({"cniVersions": "1.0.0"}, "before 1.2.3"), ({"cniVersions": ["1.0.0", "x"]}, "before 1.2.3"),
    ({"cniVersions": ["1.0.0"], "cniVersion": "v1"}, "before 1.2.3"), ({"cniVersions": ["1"]}, "1.1.2"),
])  # fmt: skip
def test_releases_of_libcni_differ_in_what_they_take(keys, loads_from):
    for libcni in ("1.1.2", "1.2.3", "1.3.0"):
        verdict = loader.view(loader.Loader("containerd", libcni), {"1.conflist": network("net", **keys)})
        before = (loads_from or "").removeprefix("before ")
        expected = loads_from is not None and ((libcni < before) if before != loads_from else (libcni >= loads_from))
        assert bool(verdict.winner) is expected, (libcni, verdict)


@pytest.mark.parametrize("name", LOADERS)
def test_what_is_known_from_source_only_says_so(name):
    assert loader.Loader(name).evidence == ("observed" if name in ("containerd", "podman") else "source")


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


@pytest.mark.parametrize("config, answers, reason", [
    ({"plugins": [{"type": "bridge", "ipam": {"type": "none"}}]}, {"bridge": ["1.0.0"]}, None),
    ({"plugins": [{"type": "bridge"}, {"type": "x"}]}, {"bridge": ["1.0.0"]}, "the plugin 'x' is not installed"),
    ({"cniVersion": "1.1.0", "plugins": [{"type": "bridge"}]}, {"bridge": ["0.4.0", "1.0.0"]},
     "the plugin 'bridge' does not speak CNI 1.1.0 (it speaks 0.4.0, 1.0.0)"),
    ({"cniVersion": "", "plugins": [{"type": "bridge"}]}, {"bridge": ["0.1.0"]}, None),
])  # fmt: skip
def test_what_plugins_answer_decides_for_loaders_that_ask(config, answers, reason):
    text = json.dumps({"cniVersion": "1.0.0", "name": "n", **config})
    assert loader.refusal(text, "1.conflist", answers) == reason


def test_who_asks_plugins():
    assert [name for name in LOADERS if loader.asks_plugins(loader.Loader(name))] == ["crio", "podman", "dockershim"]
