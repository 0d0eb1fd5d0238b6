# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of CNI files that others write into as well, and the pods whose network a change would take."""

from __future__ import annotations

import json

import pytest
from testbed import Node, PluginError, diff_dumps, proof

CONF_DIR = "/etc/cni/net.d"
MYNET = [{"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True,
          "ipam": {"type": "host-local", "subnet": "10.244.1.0/24", "routes": [{"dst": "0.0.0.0/0"}]}}]
SECOND = [{"type": "bridge", "bridge": "cni1", "ipam": {"type": "host-local", "subnet": "10.244.2.0/24"}}]
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
#: What Debian's podman puts there.
PODMAN = {"cniVersion": "0.4.0", "name": "podman", "plugins": [
    {"type": "bridge", "bridge": "cni-podman0", "isGateway": True, "ipMasq": True, "hairpinMode": True,
     "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}], "ranges": [[{"subnet": "10.88.0.0/16", "gateway": "10.88.0.1"}]]}}]}


def other(name, *types):
    return json.dumps({"cniVersion": "1.0.0", "name": name, "plugins": [{"type": kind} for kind in types or ["ptp"]]})


@pytest.fixture
def node():
    with Node(uplink=False) as node:
        node.install_plugins()
        yield node


def names(node):
    return node.run(["ls", "-A", CONF_DIR]).stdout.split()


def put(node, **files):
    """Files by their names, in which _ stands for - and __ for a dot; None takes one away."""
    for name, text in files.items():
        node.write(f"{CONF_DIR}/{name[1:].replace('__', '.').replace('_', '-')}", text)


def config(node, check=False, **options):
    return node.module("cni_config", {"name": "mynet", "plugins": MYNET, **options}, check=check)


# foreign


def test_pitfall_3_and_4_files_of_others_are_put_aside_and_come_back(node):
    put(node, _05_calico__conflist=other("calico"), _10_mynet__conf=json.dumps({"cniVersion": "1.0.0", "name": "x", "type": "ptp"}),
        _87_podman_bridge__conflist=json.dumps(PODMAN), _08_broken__conflist="{", _50_mine__conflist=other("mine"))
    before = node.dump()
    predicted, done = config(node, check=True, foreign="disable"), config(node, foreign="disable")
    assert predicted["changes"] == done["changes"]
    assert (done["winner"], done["foreign"], done.get("warnings", [])) == ("10-mynet.conflist", [], [])
    assert done["shadowed_by"] == {"50-mine.conflist": "10-mynet.conflist"}, "a file that is not in the way stays"
    assert [name for name in names(node) if name.endswith(".kubenode-disabled")] == [
        "05-calico.conflist.kubenode-disabled", "08-broken.conflist.kubenode-disabled",
        "10-mynet.conf.kubenode-disabled", "87-podman-bridge.conflist.kubenode-disabled"]
    assert config(node, foreign="disable")["changed"] is False
    assert node.module("cni_config", {"name": "mynet", "state": "absent"})["changed"]
    assert not diff_dumps(before, node.dump())


def test_new_files_are_there_before_others_are_put_aside_and_the_reverse(node):
    put(node, _05_calico__conflist=other("calico"))
    ids = [change["resource"] for change in config(node, foreign="disable")["changes"]]
    assert ids.index(f"file:{CONF_DIR}/10-mynet.conflist") < ids.index(f"cni_file:{CONF_DIR}/05-calico.conflist")
    ids = [change["resource"] for change in node.module("cni_config", {"name": "mynet", "state": "absent"})["changes"]]
    assert ids.index(f"file:{CONF_DIR}/10-mynet.conflist") > ids.index(f"cni_file:{CONF_DIR}/05-calico.conflist")


def test_a_package_that_brings_its_file_again_is_put_aside_again_and_nothing_is_lost(node):
    put(node, _87_podman_bridge__conflist=json.dumps(PODMAN))
    config(node, foreign="disable")
    put(node, _87_podman_bridge__conflist=json.dumps({**PODMAN, "name": "newer"}))
    assert config(node)["foreign"][0]["filename"] == "87-podman-bridge.conflist"  # report: both are there
    put(node, _87_podman_bridge__conflist=json.dumps({**PODMAN, "name": "newer"}))
    result = config(node, foreign="disable")
    assert result["changes"][0]["resource"] == f"cni_file:{CONF_DIR}/87-podman-bridge.conflist"
    assert "87-podman-bridge.conflist" not in names(node)
    node.module("cni_config", {"name": "mynet", "state": "absent"})
    assert json.loads(node.read(f"{CONF_DIR}/87-podman-bridge.conflist"))["name"] == "newer"


def test_a_file_that_its_owner_took_away_meanwhile_is_not_missed(node):
    put(node, _87_podman_bridge__conflist=json.dumps(PODMAN))
    config(node, foreign="disable")
    node.run(["rm", f"{CONF_DIR}/87-podman-bridge.conflist.kubenode-disabled"])
    assert "87-podman-bridge" not in json.dumps(config(node, foreign="disable")["changes"][:-1])
    assert config(node, foreign="disable")["changed"] is False
    assert not node.module("cni_config", {"name": "mynet", "state": "absent"}).get("failed")


def test_to_report_is_the_default_and_brings_back(node):
    put(node, _05_calico__conflist=other("calico"), _87_podman_bridge__conflist=json.dumps(PODMAN), _10_mynet__json=other("x"))
    config(node, foreign="disable")
    result = config(node)
    assert result["winner"] == "05-calico.conflist"
    assert {found["filename"]: (found["kind"], found["harmful"]) for found in result["foreign"]} == {
        "05-calico.conflist": ("first", True), "10-mynet.json": ("sibling", False), "87-podman-bridge.conflist": ("vendor", False)}
    assert result["warnings"][0] == f"networks: in {CONF_DIR} 05-calico.conflist sorts before 10-mynet.conflist, so pods get the network of 05-calico.conflist"
    assert not [name for name in names(node) if "kubenode" in name]


def test_the_same_name_with_another_extension_is_said_to_win(node):
    put(node, _10_mynet__conf=json.dumps({"cniVersion": "1.0.0", "name": "mynet", "type": "ptp"}))
    text = "10-mynet.conf is 10-mynet.conflist with another extension and sorts before 10-mynet.conflist, so pods get the network of 10-mynet.conf"
    assert config(node)["warnings"] == [f"networks: in {CONF_DIR} {text}"]


def test_pitfall_5_a_broken_file_ahead_is_named_with_its_place(node):
    put(node, _05_x__conflist='{"name": "x",\n "plugins": [}')
    result = config(node)
    assert result["winner"] is None
    assert "05-x.conflist comes before 10-mynet.conflist and is not valid, containerd stops at it and loads nothing: is not valid JSON" in result["warnings"][0]
    assert "line 2 column 14" in result["invalid_files"]["05-x.conflist"]


@pytest.mark.parametrize("kinds", [["multus"], ["multus-shim"], ["cilium-cni"], ["calico", "cilium-cni"]])
@pytest.mark.parametrize("word", ["report", "disable", "refuse"])
def test_files_that_are_meant_to_come_first_stay(node, kinds, word):
    put(node, _00_meant__conflist=other("first", *kinds))
    result = config(node, foreign=word)
    assert (result["winner"], result["foreign"], result.get("warnings", [])) == ("00-meant.conflist", [], [])


def test_to_refuse_touches_nothing(node):
    put(node, _05_calico__conflist=other("calico"), _87_podman_bridge__conflist=json.dumps(PODMAN))
    before = node.dump()
    for check in (True, False):
        result = config(node, check=check, foreign="refuse")
        assert [problem["path"] for problem in result["problems"]] == ["foreign", "foreign"]
        assert "87-podman-bridge.conflist is a default of podman" in result["msg"]
    assert not diff_dumps(before, node.dump())


def test_two_networks_of_ours_are_not_in_each_others_way(node):
    put(node, _05_second__conflist=other("old"))
    networks = [{"name": "first", "plugins": MYNET, "priority": 20, "foreign": "disable"}, {"name": "second", "plugins": SECOND, "priority": 5}]
    result = node.module("node_network", {"networks": networks})
    assert (result["winner"], result["foreign"]) == ("05-second.conflist", [])
    assert names(node) == ["05-second.conflist", "20-first.conflist"]
    assert node.module("node_network", {"networks": networks})["changed"] is False


def test_portmap_leaves_aside_what_the_network_put_aside(node):
    put(node, _05_calico__conflist=other("calico"))
    config(node, foreign="disable")
    assert not node.module("portmap", {"network": "mynet"}).get("failed")
    assert "05-calico.conflist" not in names(node)


def test_the_runtimes_own_settings_decide_who_wins(node):
    put(node, _05_x__conflist="{", _20_crio__conflist=other("crio"))
    node.write("/etc/crio/crio.conf", '[crio.network]\ncni_default_network = "crio"\n')
    result = config(node)
    assert (result["winner"], list(result["invalid_files"])) == ("20-crio.conflist", ["05-x.conflist"])
    assert any("the container runtime is told to use crio, so pods get the network of 20-crio.conflist" in warning for warning in result["warnings"])


def test_cri_o_passes_over_what_its_plugins_cannot_do(node):
    put(node, _05_x__conflist=other("x", "nowhere"), _06_y__conflist=json.dumps({"cniVersion": "1.1.0", "name": "y", "plugins": [{"type": "bridge"}]}))
    node.write("/etc/crio/crio.conf", "[crio.network]\n")
    result = config(node)
    assert (result["winner"], result["invalid_files"]) == ("10-mynet.conflist", {
        "05-x.conflist": "the plugin 'nowhere' is not installed",
        "06-y.conflist": "the plugin 'bridge' does not speak CNI 1.1.0 (it speaks 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0)"})


# living pods


def lease(node, address, network="mynet"):
    return node.run(["cat", f"/var/lib/cni/networks/{network}/{address}"]).stdout.split()[0]


def bridge(**keys):
    return [{**MYNET[0], **keys}]


def ipam(**keys):
    return bridge(ipam={**MYNET[0]["ipam"], **keys})


STRANDING = {
    "subnet": (ipam(subnet="10.244.2.0/24"), "subnet 10.244.1.0/24 would go"),
    "gateway": (ipam(gateway="10.244.1.254"), "the gateway of 10.244.1.0/24 would become 10.244.1.254"),
    "data dir": (ipam(dataDir="/run/leases"), 'dataDir \'/var/lib/cni/networks\' would become \'/run/leases\''),
    "bridge": (bridge(bridge="cni7"), "bridge 'cni0' would become 'cni7'"),
    "type": ([{"type": "ptp", "ipam": MYNET[0]["ipam"]}], "'bridge' would become 'ptp'"),
    "masquerade": (bridge(ipMasq=False), "ipMasq would be off, and the rules of these pods stay behind"),
}
SAFE = {
    "mtu": bridge(mtu=1400),
    "hairpin": bridge(hairpinMode=True),
    "portmap": [*MYNET, PORTMAP],
    "another family": ipam(ranges=[[{"subnet": "fd00:10:244:1::/64"}]]),
    "the same, spelled out": ipam(dataDir="/var/lib/cni/networks"),
}


@pytest.fixture(scope="module")
def living():
    with Node(uplink=False) as node:
        node.install_plugins()
        config(node)
        with node.pod("a"), node.pod("b"):
            yield node


@pytest.mark.parametrize("name", STRANDING)
def test_pitfall_11_and_12_a_change_that_cuts_off_pods_is_refused(living, name):
    plugins, reason = STRANDING[name]
    before = living.dump()
    for check in (True, False):
        result = config(living, check=check, plugins=plugins)
        pods = f"2 pods: 10.244.1.2 of {lease(living, '10.244.1.2')[:12]}, 10.244.1.3 of {lease(living, '10.244.1.3')[:12]}"
        text = f"plugins: {reason}, but the network 'mynet' has {pods} (expected these pods to be moved away first, or force=true)"
        assert result["msg"] == f"nothing was changed: {text}"
    assert not diff_dumps(before, living.dump())
    forced = config(living, check=True, plugins=plugins, force=True)
    assert not forced.get("failed")
    assert f"networks: {reason}, but the network 'mynet' has {pods} (forced)" in forced["warnings"]


@pytest.mark.parametrize("name", SAFE)
def test_a_change_that_is_safe_goes_through_under_pods(living, name):
    assert config(living, plugins=SAFE[name])["changed"]
    with living.pod("c") as pod:
        proof.ping(pod, "10.244.1.1")
    if name in ("portmap", "another family"):
        assert "would go" in config(living, check=True)["msg"], "back again is not"
    assert config(living, force=True)["changed"]


def test_a_network_with_pods_is_not_taken_away(living):
    before = living.dump()
    result = living.module("cni_config", {"name": "mynet", "state": "absent"})
    assert result["msg"].startswith("nothing was changed: state: the network would no longer be there, but the network 'mynet' has 2 pods: 10.244.1.2 of ")
    assert not diff_dumps(before, living.dump())


def test_another_network_does_not_come_before_one_with_pods(living):
    result = living.module("cni_config", {"name": "new", "priority": 5, "plugins": MYNET})
    assert result["msg"].startswith("nothing was changed: name: the network would no longer be there, but the network 'mynet' has 2 pods")
    assert not living.module("cni_config", {"name": "new", "priority": 50, "plugins": MYNET}, check=True).get("failed"), "behind it does no harm"


def test_a_network_of_others_with_pods_is_not_put_aside(living):
    living.write(f"{CONF_DIR}/05-theirs.conflist", json.dumps({"cniVersion": "1.0.0", "name": "theirs", "plugins": bridge(bridge="cni5")}))
    try:
        with living.pod("d"):
            assert "the network 'theirs' has 1 pod: 10.244.1." in config(living, foreign="disable")["msg"]
        assert config(living, check=True, foreign="disable")["winner"] == "10-mynet.conflist"
    finally:
        living.run(["rm", f"{CONF_DIR}/05-theirs.conflist"])


def test_a_new_pod_cidr_is_refused_by_the_option_that_says_it(node):
    node.module("node_network", {"kubenet_bridge": {"pod_cidrs": ["10.244.1.0/24"], "mtu": "1450"}})
    with node.pod("a"):
        other_cidr = {"kubenet_bridge": {"pod_cidrs": ["10.244.9.0/24"], "mtu": "1450"}}
        before = node.dump()
        result = node.module("node_network", other_cidr)
        assert result["problems"][0]["path"] == "kubenet_bridge.pod_cidrs"
        assert "subnet 10.244.1.0/24 would go, but the network 'kubenet' has 1 pod: 10.244.1.2 of " in result["msg"]
        assert not diff_dumps(before, node.dump())
        assert node.module("node_network", {**other_cidr, "force": True})["changed"]


def test_force_of_one_network_is_not_that_of_another(node):
    def networks(subnet, force):
        return {"networks": [{"name": "first", "plugins": MYNET, "force": force},
                             {"name": "second", "priority": 20, "plugins": bridge(bridge="cni1", ipam={"type": "host-local", "subnet": subnet})}]}

    node.write("/etc/containerd/config.toml", 'version = 2\n[plugins."io.containerd.grpc.v1.cri".cni]\nmax_conf_num = 0\n')
    assert node.module("node_network", networks("10.244.2.0/24", False))["changed"]
    with node.pod("a", network=f"{CONF_DIR}/20-second.conflist"):
        result = node.module("node_network", networks("10.244.3.0/24", True))
    assert result["msg"].startswith("nothing was changed: networks[1].plugins: subnet 10.244.2.0/24 would go, but the network 'second' has 1 pod: ")


@pytest.mark.parametrize("whose", ["ours", "theirs"])
@pytest.mark.parametrize("module, options", [("portmap", {}), ("bandwidth", {"ingress_rate": "1M", "ingress_burst": "1M"})])
def test_an_entry_is_not_taken_out_under_pods_that_need_it(node, whose, module, options):
    if whose == "ours":
        config(node)
    else:
        put(node, _10_mynet__conf=json.dumps({"cniVersion": "1.0.0", "name": "mynet", **MYNET[0]}))
    absent = {"network": "mynet", "state": "absent"}
    with node.pod("early"):  # one more plugin does no harm
        assert node.module(module, {"network": "mynet", **options})["changed"]
    with node.pod("a"):
        before = node.dump()
        for check in (True, False):
            result = node.module(module, absent, check=check)
            text = f"state: '{module}' would go, and what it made for these pods stays behind, but the network 'mynet' has 1 pod: 10.244.1.3 of "
            assert result["msg"].startswith(f"nothing was changed: {text}")
        assert not diff_dumps(before, node.dump())
        assert not node.module(module, {**absent, "force": True}, check=True).get("failed")
    assert node.module(module, absent)["changed"]


def test_what_the_refusal_protects_from_happens_with_force(node):
    """The plugin refuses the next pod while the bridge has the other gateway (cni.md 3.1)."""
    config(node)
    with node.pod("a"):
        config(node, plugins=ipam(subnet="10.244.2.0/24"), force=True)
        with pytest.raises(PluginError, match="already has an IP address different from"), node.pod("b"):
            pass
        config(node, force=True)


def test_a_network_that_another_file_hides_keeps_what_its_pods_need(node):
    config(node)
    with node.pod("a"):
        put(node, _05_theirs__conflist=other("theirs"))
        for options in ({"plugins": ipam(subnet="10.244.2.0/24")}, {"plugins": ipam(subnet="10.244.2.0/24"), "foreign": "disable"}):
            assert "subnet 10.244.1.0/24 would go, but the network 'mynet' has 1 pod" in config(node, **options)["msg"]
        result = node.module("cni_config", {"name": "mynet", "state": "absent"})
        assert "the network would no longer be there, but the network 'mynet' has 1 pod" in result["msg"]
        assert config(node, plugins=SAFE["mtu"])["changed"] and config(node, foreign="disable")["changed"]


def test_an_empty_data_dir_is_none(node):
    put(node, _10_mynet__conflist=json.dumps({"cniVersion": "1.0.0", "name": "mynet", "plugins": ipam(dataDir="")}))
    with node.pod("a"):
        assert "the network 'mynet' has 1 pod" in config(node, plugins=ipam(subnet="10.244.2.0/24"))["msg"]
        assert config(node)["changed"]


SOCKET = "python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])'"


@pytest.mark.parametrize("made", ["mkfifo", "ln -s 05-x.conflist", "ln -s /dev/zero", SOCKET])
def test_what_no_loader_can_read_is_in_the_way_like_a_broken_file(node, made):
    node.run(["mkdir", CONF_DIR])
    node.run(["sh", "-c", f"cd {CONF_DIR} && {made} 05-x.conflist"])
    before = node.dump()
    assert "05-x.conflist comes before 10-mynet.conflist and is not valid, containerd stops at it" in config(node)["warnings"][0]
    assert config(node, foreign="disable")["winner"] == "10-mynet.conflist"
    assert node.module("cni_config", {"name": "mynet", "state": "absent"})["changed"]
    assert not diff_dumps(before, node.dump())


def test_a_folder_by_another_spelling_is_the_same_folder(node):
    node.run(["mkdir", CONF_DIR])
    node.run(["ln", "-s", "net.d", "/etc/cni/alias"])
    before = node.dump()
    assert config(node)["changed"]
    changed = [change["resource"] for change in config(node, conf_dir="/etc/cni/alias")["changes"]]
    assert changed == ["document:/etc/kubenode-network/node.json"], "it has what was asked for"
    second = node.module("cni_config", {"name": "second", "plugins": MYNET, "priority": 20, "conf_dir": "/etc/cni/alias", "foreign": "disable"})
    assert (second["winner"], names(node)) == ("10-mynet.conflist", ["10-mynet.conflist", "20-second.conflist"])
    for name in ("mynet", "second"):
        assert node.module("cni_config", {"name": name, "state": "absent", "conf_dir": "/etc/cni/alias"})["changed"]
    assert not diff_dumps(before, node.dump())


def test_a_link_of_the_name_that_a_file_would_get_aside_is_not_lost(node):
    put(node, _05_theirs__conflist=other("theirs"))
    node.run(["ln", "-s", "target", f"{CONF_DIR}/05-theirs.conflist.kubenode-disabled"])
    before = node.dump()
    assert "05-theirs.conflist.kubenode-disabled is there already, a symbolic link that leads to target" in config(node, foreign="disable")["msg"]
    assert not diff_dumps(before, node.dump())


def test_what_a_run_that_was_killed_put_aside_comes_back_one_day(node):
    put(node, _05_theirs__conflist=other("theirs"))
    before = node.dump()
    node.run(["mv", f"{CONF_DIR}/05-theirs.conflist", f"{CONF_DIR}/05-theirs.conflist.kubenode-disabled"])  # as far as the run came
    assert config(node, check=True, foreign="disable")["changes"] == config(node, foreign="disable")["changes"]
    assert config(node, foreign="disable")["changed"] is False
    assert node.module("cni_config", {"name": "mynet", "state": "absent"})["changed"]
    assert not diff_dumps(before, node.dump())


def test_what_two_networks_want_aside_stays_there_until_both_are_gone(node):
    put(node, _05_theirs__conflist=other("theirs"), _15_between__conflist=other("between"))
    before = node.dump()
    config(node, foreign="disable")
    second = {"name": "second", "plugins": MYNET, "priority": 20, "foreign": "disable"}
    node.module("cni_config", second)
    assert node.module("cni_config", second)["changed"] is False
    assert node.module("cni_config", {"name": "mynet", "state": "absent"})["winner"] == "20-second.conflist"
    assert node.module("cni_config", {"name": "second", "state": "absent"})["changed"]
    assert not diff_dumps(before, node.dump())


def test_a_folder_that_is_a_link_to_nowhere_is_refused_before_anything_is_touched(node):
    node.run(["mkdir", "-p", "/etc/cni"])
    node.run(["ln", "-s", "/nowhere", CONF_DIR])
    messages = {config(node, check=check)["msg"] for check in (True, False)}
    assert messages == {f"{CONF_DIR} is a symbolic link that leads nowhere"}


def test_the_name_of_a_file_that_is_put_aside_is_taken(node):
    put(node, _05_theirs__conflist=other("theirs"))
    before = node.dump()
    config(node, foreign="disable")
    result = config(node, filename="05-theirs.conflist")
    assert "filename: '05-theirs.conflist' is the name of somebody else's file that is put aside and is to come back" in result["msg"]
    assert node.module("cni_config", {"name": "mynet", "state": "absent"})["changed"]
    assert not diff_dumps(before, node.dump())
