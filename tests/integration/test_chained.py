# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""portmap and bandwidth in the networks of the founding documents, of other people and of this collection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from testbed import diff_dumps, proof, wait_for, warm
from testbed.containerd import Containerd

FOLDER = "/etc/cni/net.d"
# As the founding documents have them, character by character.
MYNET = """{
    "cniVersion": "0.3.0",
    "name": "mynet",
    "type": "bridge",
    "bridge": "cni0",
    "isGateway": true,
    "ipMasq": true,
    "ipam": {
        "type": "host-local",
        "subnet": "10.244.0.0/16",
        "routes": [
            {"dst": "0.0.0.0/0"}
        ]
    }
}
"""
LOOPBACK = """{
    "cniVersion": "0.3.0",
    "type": "loopback"
}
"""
CALICO = """{
  "name": "k8s-pod-network",
  "cniVersion": "0.4.0",
  "plugins": [
    {
      "type": "calico",
      "log_level": "info",
      "datastore_type": "kubernetes",
      "nodename": "127.0.0.1",
      "ipam": {
        "type": "host-local",
        "subnet": "usePodCidr"
      },
      "policy": {
        "type": "k8s"
      },
      "kubernetes": {
        "kubeconfig": "/etc/cni/net.d/calico-kubeconfig"
      }
    }%s
  ]
}
"""
CALICO_PORTMAP = """,
    {
      "type": "portmap",
      "capabilities": {"portMappings": true},
      "externalSetMarkChain": "KUBE-MARK-MASQ"
    }"""
CALICO_BANDWIDTH = """,
    {
      "type": "bandwidth",
      "capabilities": {"bandwidth": true}
    }"""
CILIUM = """{
  "cniVersion": "0.3.1",
  "name": "portmap-chain",
  "plugins": [
    {"type": "ptp", "mtu": 1450, "x-odd": 1e3, "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]]}},
    {"type": "cilium-cni", "enable-debug": false, "log-file": "/var/run/cilium/cilium-cni.log", "x": 12345678901234567890}
  ]
}
"""
HOST_PORT = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
RATES = {"ingress_rate": "8M", "ingress_burst": "1M", "egress_rate": "4M", "egress_burst": "1M"}
BRIDGE = [{"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True,
           "ipam": {"type": "host-local", "subnet": "10.244.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}}]


@pytest.fixture
def net(plugin_node):
    plugin_node.run(["mkdir", FOLDER])
    return plugin_node


def do(node, module, changed=True, **options):
    """Runs the module after its check mode, and once more: announced is done, and done is done."""
    before = node.dump()
    announced = node.module(module, options, check=True)
    assert not diff_dumps(before, node.dump()), "check mode touched the node"
    done = node.module(module, options)
    assert not done.get("failed"), done["msg"]
    assert (done["changed"], done["changes"], done["diff"]) == (changed, announced["changes"], announced["diff"])
    again = node.module(module, options)
    assert (again["changed"], again["changes"]) == (False, [])
    return done


def listed(node):
    return node.run(["ls", "-A", FOLDER]).stdout.split()


def raw(node, name):
    """Path().read_text() would turn line breaks into others."""
    return node.run(["base64", "-w0", f"{FOLDER}/{name}"]).stdout


def types(node, name):
    return [plugin["type"] for plugin in json.loads(node.read(f"{FOLDER}/{name}"))["plugins"]]


def test_the_handbooks_single_configuration_gets_host_ports_and_comes_back(net):
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET, 0o640)
    node.write(f"{FOLDER}/99-loopback.conf", LOOPBACK)
    node.run(["chown", "1:2", f"{FOLDER}/10-mynet.conf"])
    found = node.dump()
    done = do(node, "portmap", network="mynet")
    assert listed(node) == ["10-mynet.conflist", "99-loopback.conf"]
    assert node.run(["stat", "-c", "%a %u %g", f"{FOLDER}/10-mynet.conflist"]).stdout == "640 1 2\n"
    single, config = json.loads(MYNET), json.loads(node.read(f"{FOLDER}/10-mynet.conflist"))
    head = {key: single.pop(key) for key in ("cniVersion", "name")}
    entry = {"type": "portmap", "capabilities": {"portMappings": True}}
    assert json.dumps(config) == json.dumps({**head, "plugins": [single, entry]})
    assert done["portmap"] == {"path": f"{FOLDER}/10-mynet.conflist", "entry": entry}
    form, added = done["diff"][:2]
    assert (form["before_header"], form["before"]) == (f"file:{FOLDER}/10-mynet.conf", MYNET)
    assert form["after_header"] == f"file:{FOLDER}/10-mynet.conflist"
    assert json.loads(form["after"]) == {**head, "plugins": [single]} and json.loads(added["after"]) == entry
    with node.pod("a", capabilities=HOST_PORT) as a, a.serve_tcp(80):
        proof.tcp(node.outside, node.ip4, 8080)
    do(node, "portmap", network="mynet", state="absent")
    assert not [line for line in diff_dumps(found, node.dump()).splitlines() if "files./etc" in line or "files./var/lib/kubenode" in line]


@pytest.mark.parametrize("option", [{"network": "k8s-pod-network"}, {"filename": "10-calico.conflist"}], ids=["network", "filename"])
def test_calico_of_the_documents_is_extended_and_given_back(net, option):
    node, path = net, f"{FOLDER}/10-calico.conflist"
    node.write(path, CALICO % "", 0o600)
    before = raw(node, "10-calico.conflist")
    do(node, "portmap", **option, external_set_mark_chain="KUBE-MARK-MASQ")
    entry = CALICO_PORTMAP.replace('{"portMappings": true}', '{\n        "portMappings": true\n      }')
    assert node.read(path) == CALICO % entry
    do(node, "bandwidth", **option)
    assert node.read(path) == CALICO % (entry + CALICO_BANDWIDTH.replace('{"bandwidth": true}', '{\n        "bandwidth": true\n      }'))
    assert node.run(["stat", "-c", "%a", path]).stdout == "600\n"
    do(node, "portmap", **option, state="absent")
    do(node, "bandwidth", **option, state="absent")
    assert raw(node, "10-calico.conflist") == before


@pytest.mark.parametrize(("module", "entry"), [("portmap", CALICO_PORTMAP), ("bandwidth", CALICO_BANDWIDTH)])
def test_an_entry_of_the_documents_is_left_as_it_is_and_taken_out(net, module, entry):
    node, path = net, f"{FOLDER}/10-calico.conflist"
    node.write(path, CALICO % entry)
    do(node, module, network="k8s-pod-network")  # the document takes note
    assert node.read(path) == CALICO % entry
    do(node, module, network="k8s-pod-network", state="absent")
    assert node.read(path) == CALICO % ""


def test_an_entry_of_somebody_else_keeps_its_keys(net):
    """What we set is merged into it, what we set no longer goes back to what was found, and their edits in between stay."""
    node, path = net, f"{FOLDER}/10-calico.conflist"
    theirs = CALICO_PORTMAP.replace('"capabilities": {"portMappings": true}', '"x": 1.50, "snat": true, "capabilities": {"odd": true, "portMappings": false}')
    node.write(path, CALICO % theirs)
    do(node, "portmap", network="k8s-pod-network", snat=False, conditions_v4=["-s", "10.0.0.0/8"])
    made = json.loads(node.read(path))["plugins"][1]
    assert json.dumps(made) == json.dumps({"type": "portmap", "x": 1.5, "snat": False, "capabilities": {"odd": True, "portMappings": True},
                                           "externalSetMarkChain": "KUBE-MARK-MASQ", "conditionsV4": ["-s", "10.0.0.0/8"]})
    assert '"x": 1.50' in node.read(path)
    node.run(["sed", "-i", 's/"snat": false/"snat": false, "later": 1/', path])
    do(node, "portmap", network="k8s-pod-network")
    assert json.loads(node.read(path))["plugins"][1] == {**{key: made[key] for key in made if key != "conditionsV4"}, "snat": True, "later": 1}
    refused = node.module("portmap", {"network": "k8s-pod-network", "mark_masq_bit": 3})
    text = f"mark_masq_bit: 'k8s-pod-network' in {path}: 3 cannot be combined with externalSetMarkChain: 'KUBE-MARK-MASQ' (expected only one of the two)"
    assert refused["msg"] == f"nothing was changed: {text}"


def test_an_entry_comes_before_cilium_in_a_list_with_odd_numbers(net):
    node, path = net, f"{FOLDER}/05-cilium.conflist"
    node.write(path, CILIUM)
    do(node, "bandwidth", filename="05-cilium.conflist", **RATES)
    line = ('    {"type": "bandwidth", "capabilities": {"bandwidth": true}, "ingressRate": 8000000, "ingressBurst": 1000000, '
            '"egressRate": 4000000, "egressBurst": 1000000},\n')
    lines = CILIUM.splitlines(keepends=True)
    assert node.read(path) == "".join([*lines[:5], line, *lines[5:]])
    do(node, "bandwidth", network="portmap-chain", state="absent")
    assert node.read(path) == CILIUM


@pytest.mark.parametrize("first", ["portmap", "bandwidth"])
def test_two_entries_in_a_converted_file_leave_in_any_order(net, first):
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET)
    before = raw(node, "10-mynet.conf")
    last = {"portmap": "bandwidth", "bandwidth": "portmap"}[first]
    do(node, "portmap", filename="10-mynet.conf")
    do(node, "bandwidth", filename="10-mynet.conf", **RATES)
    do(node, "portmap", changed=False, filename="10-mynet.conf")
    assert types(node, "10-mynet.conflist") == ["bridge", "portmap", "bandwidth"]
    do(node, first, network="mynet", state="absent")
    assert types(node, "10-mynet.conflist") == ["bridge", last]
    do(node, last, network="mynet", state="absent")
    assert (listed(node), raw(node, "10-mynet.conf")) == (["10-mynet.conf"], before)
    assert not node.exists("/etc/kubenode-network/node.json")


def test_edits_of_others_in_a_converted_file_stay(net):
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET)
    do(node, "portmap", network="mynet")
    node.run(["sed", "-i", 's/"cni0"/"cni7"/', f"{FOLDER}/10-mynet.conflist"])
    do(node, "portmap", network="mynet", state="absent")
    assert listed(node) == ["10-mynet.conf"]
    assert json.loads(node.read(f"{FOLDER}/10-mynet.conf")) == json.loads(MYNET.replace("cni0", "cni7"))
    assert '\n    "bridge": "cni7",\n' in node.read(f"{FOLDER}/10-mynet.conf"), "indented as before"


def test_a_converted_file_with_a_plugin_of_others_stays_a_list(net):
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET)
    do(node, "portmap", network="mynet")
    config = json.loads(node.read(f"{FOLDER}/10-mynet.conflist"))
    config["plugins"].append({"type": "tuning", "mtu": 1400})
    node.write(f"{FOLDER}/10-mynet.conflist", json.dumps(config))
    do(node, "portmap", network="mynet", state="absent")
    assert (listed(node), types(node, "10-mynet.conflist")) == (["10-mynet.conflist"], ["bridge", "tuning"])


def test_files_that_stand_in_the_way_of_a_list(net):
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET)
    node.write(f"{FOLDER}/10-mynet.conflist", CALICO % "")
    result = node.module("portmap", {"network": "mynet"})
    assert f"network: {FOLDER}/10-mynet.conf holds one plugin only, and {FOLDER}/10-mynet.conflist, which it would become, is there" in result["msg"]
    node.run(["mv", f"{FOLDER}/10-mynet.conflist", f"{FOLDER}/10-mynet.conf.d.conflist"])
    result = node.module("portmap", {"filename": "10-mynet.conf"})
    assert "filename: " in result["msg"] and "10-mynet.conf.d.conflist sorts between the two" in result["msg"]
    node.run(["mv", f"{FOLDER}/10-mynet.conf", f"{FOLDER}/real"])
    node.run(["ln", "-s", "real", f"{FOLDER}/10-mynet.conf"])
    assert "is a symbolic link, which cannot become a list" in node.module("portmap", {"network": "mynet"})["msg"]


def test_a_run_that_was_killed_between_the_two_files_is_finished(net):
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET)
    do(node, "portmap", network="mynet")
    config = json.loads(node.read(f"{FOLDER}/10-mynet.conflist"))
    do(node, "portmap", network="mynet", state="absent")
    text = json.dumps({**config, "plugins": config["plugins"][:1]}, indent=4) + "\n"
    node.write(f"{FOLDER}/10-mynet.conflist", text)
    do(node, "portmap", network="mynet")
    assert (listed(node), types(node, "10-mynet.conflist")) == (["10-mynet.conflist"], ["bridge", "portmap"])


def test_a_run_that_was_killed_between_our_own_two_files_is_finished(net):
    node = net
    do(node, "cni_config", name="mynet", filename="10-mynet.conf", plugins=BRIDGE)
    do(node, "portmap", network="mynet")
    text = node.read(f"{FOLDER}/10-mynet.conflist")
    do(node, "portmap", network="mynet", state="absent")
    for left, refused in ((text.replace("cni0", "cni8"), True), (text, False)):
        node.write(f"{FOLDER}/10-mynet.conflist", left)
        assert node.module("portmap", {"network": "mynet"}).get("failed", False) is refused
    assert listed(node) == ["10-mynet.conflist"]


def absent(node, *names):
    """Takes away the network, or its entries."""
    for name in names:
        do(node, name, state="absent", **({"name": "mynet"} if name == "cni_config" else {"network": "mynet"}))


ENTRIES_FIRST, NETWORK_FIRST = ("portmap", "bandwidth", "cni_config"), ("cni_config",)


@pytest.mark.parametrize(("theirs", "asked", "order"), [
    ("10-mynet.conf", "10-mynet.conf", ENTRIES_FIRST), ("10-mynet.conf", "10-mynet.conf", NETWORK_FIRST), ("10-mynet.conf", "10-mynet.conflist", ENTRIES_FIRST),
    ("10-mynet.conf", "10-mynet.conflist", NETWORK_FIRST), ("10-mynet.conf", "10-mynet.conf", ("bandwidth", "cni_config")),
    ("10-mynet.json", "10-mynet.conf", ENTRIES_FIRST), ("10-mynet.json", "10-mynet.conflist", NETWORK_FIRST),
])  # fmt: skip
def test_a_single_configuration_with_entries_is_taken_over_and_comes_back(net, theirs, asked, order):
    node = net
    node.write(f"{FOLDER}/{theirs}", MYNET.replace("cni0", "cni5"), 0o600)
    node.run(["chown", "1:2", f"{FOLDER}/{theirs}"])
    before = node.dump()
    node.module("portmap", {"network": "mynet", "snat": False})
    node.module("bandwidth", {"network": "mynet", **RATES})
    ours = {"name": "mynet", "filename": asked, "plugins": BRIDGE}
    taken = do(node, "cni_config", **ours)
    assert (listed(node), taken["winner"]) == (["10-mynet.conflist"], "10-mynet.conflist")
    assert types(node, "10-mynet.conflist") == ["bridge", "portmap", "bandwidth"]
    assert node.run(["stat", "-c", "%a %u %g", f"{FOLDER}/10-mynet.conflist"]).stdout == "644 0 0\n"
    assert node.module("portmap", {"network": "mynet", "snat": False})["changed"] is False
    for name in order[:-1]:
        absent(node, name)
    if order == ENTRIES_FIRST:
        assert listed(node) == [asked] and '"bridge": "cni0"' in node.read(f"{FOLDER}/{asked}")
        assert node.module("cni_config", ours)["changed"] is False
    absent(node, "cni_config")
    assert not diff_dumps(before, node.dump())


def test_pods_keep_their_host_ports_when_their_network_is_taken_over(net):
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET)
    do(node, "portmap", network="mynet")
    with node.pod("a", capabilities=HOST_PORT) as a, a.serve_tcp(80):
        do(node, "cni_config", name="mynet", filename="10-mynet.conf", cni_version="0.3.0", plugins=BRIDGE)
        proof.tcp(node.outside, node.ip4, 8080)
    do(node, "cni_config", name="mynet", state="absent")
    assert listed(node) == ["10-mynet.conf"]


@pytest.mark.parametrize("theirs", ["", CALICO_PORTMAP.replace('"type": "portmap",', '"x": 1.50, "type": "portmap",')], ids=["no entry", "their entry"])
@pytest.mark.parametrize("order", [NETWORK_FIRST, ("portmap", "cni_config")], ids=["network", "entry"])
def test_a_list_with_an_entry_is_taken_over_and_comes_back(net, theirs, order):
    node, path = net, f"{FOLDER}/10-mynet.conflist"
    node.write(path, (CALICO % theirs).replace("k8s-pod-network", "mynet"), 0o600)
    before = node.dump()
    do(node, "portmap", network="mynet", snat=False)
    do(node, "cni_config", name="mynet", filename="10-mynet.conflist", plugins=BRIDGE)
    assert types(node, "10-mynet.conflist") == ["bridge", "portmap"]
    absent(node, *order)
    assert not [line for line in diff_dumps(before, node.dump()).splitlines() if "files./" in line]


def test_what_others_changed_before_a_take_over_comes_back(net):
    """A list that they gave a third plugin stays one, and a single configuration that they put there anew stays that."""
    node = net
    for anew in (False, True):
        node.write(f"{FOLDER}/10-mynet.conf", MYNET)
        do(node, "portmap", network="mynet")
        config = json.loads(node.read(f"{FOLDER}/10-mynet.conflist"))
        config["plugins"].insert(1, {"type": "tuning", "mtu": 1400})
        node.write(f"{FOLDER}/10-mynet.conflist", json.dumps(config))
        if anew:
            node.write(f"{FOLDER}/10-mynet.conf", MYNET.replace("cni0", "cni6"))
        do(node, "cni_config", name="mynet", filename="10-mynet.conflist", plugins=BRIDGE)
        assert listed(node) == (["10-mynet.conf"] if anew else []) + ["10-mynet.conflist"]
        absent(node, "cni_config")
        assert types(node, "10-mynet.conflist") == ["bridge", "tuning"]
        node.run(["sh", "-c", f"rm {FOLDER}/*"])


def test_a_list_that_is_gone_is_written_anew(net):
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET)
    do(node, "portmap", network="mynet")
    node.run(["rm", f"{FOLDER}/10-mynet.conflist"])
    do(node, "cni_config", name="mynet", filename="10-mynet.conf", plugins=BRIDGE)
    assert types(node, "10-mynet.conflist") == ["bridge", "portmap"]
    absent(node, "cni_config")
    assert listed(node) == [] and not node.exists("/etc/kubenode-network/node.json")


@pytest.mark.parametrize("filename", ["10-mynet.conf", "10-mynet.conflist"])
def test_a_file_with_an_entry_of_another_network_is_not_taken_over(net, filename):
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET)
    do(node, "portmap", network="mynet")
    before = node.dump()
    result = node.module("cni_config", {"name": "other", "filename": filename, "plugins": BRIDGE})
    assert f"filename: {filename!r} is somebody else's file of the network mynet, with an entry of ours (expected another name, or first" in result["msg"]
    assert not diff_dumps(before, node.dump())
    do(node, "portmap", network="mynet", state="absent")
    do(node, "cni_config", name="other", filename=filename, plugins=BRIDGE)


def test_a_list_behind_a_link_is_not_taken_over_with_its_entry(net):
    node = net
    node.write(f"{FOLDER}/real", (CALICO % "").replace("k8s-pod-network", "mynet"))
    node.run(["ln", "-s", "real", f"{FOLDER}/10-mynet.conflist"])
    do(node, "portmap", network="mynet")
    result = node.module("cni_config", {"name": "mynet", "filename": "10-mynet.conflist", "plugins": BRIDGE})
    assert "is somebody else's file of this network, with an entry of ours behind a symbolic link (expected another name" in result["msg"]


def test_our_own_single_configuration_is_a_list_as_long_as_it_has_entries(net):
    node = net
    ours = {"name": "mynet", "filename": "10-mynet.conf", "loopback": True, "plugins": BRIDGE}
    do(node, "cni_config", **ours)
    alone = node.read(f"{FOLDER}/10-mynet.conf")
    do(node, "portmap", network="mynet")
    assert listed(node) == ["10-mynet.conflist", "99-loopback.conf"]
    result = node.module("cni_config", ours)
    assert (result["changed"], result["winner"], result.get("warnings", [])) == (False, "10-mynet.conflist", [])
    do(node, "bandwidth", filename="10-mynet.conf", **RATES)
    assert types(node, "10-mynet.conflist") == ["bridge", "portmap", "bandwidth"]
    with node.pod("a", capabilities=HOST_PORT) as a, a.serve_tcp(80):
        proof.tcp(node.outside, node.ip4, 8080)
    do(node, "portmap", network="mynet", state="absent")
    do(node, "cni_config", changed=False, **ours)
    do(node, "bandwidth", filename="10-mynet.conflist", state="absent")
    assert (listed(node), node.read(f"{FOLDER}/10-mynet.conf")) == (["10-mynet.conf", "99-loopback.conf"], alone)
    do(node, "cni_config", changed=False, **ours)
    do(node, "portmap", network="mynet")
    do(node, "cni_config", name="mynet", state="absent")
    assert listed(node) == [] and not node.exists("/etc/kubenode-network/node.json")


def test_a_single_configuration_that_we_took_over_comes_back_in_the_end(net):
    """It was there before ours: it is away while ours is a list, and does not come back to beat it."""
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET.replace("cni0", "cni5"), 0o600)
    node.write(f"{FOLDER}/99-loopback.conf", LOOPBACK)
    before = node.dump()
    ours = {"name": "ours", "filename": "10-mynet.conf", "plugins": BRIDGE}
    do(node, "cni_config", **ours)
    do(node, "portmap", network="ours")
    assert listed(node) == ["10-mynet.conflist", "99-loopback.conf"]
    result = node.module("cni_config", ours)
    assert (result["changed"], result["winner"]) == (False, "10-mynet.conflist")
    do(node, "portmap", network="ours", state="absent")
    assert listed(node) == ["10-mynet.conf", "99-loopback.conf"] and '"name": "ours"' in node.read(f"{FOLDER}/10-mynet.conf")
    do(node, "portmap", network="ours")
    assert do(node, "cni_config", name="ours", state="absent")["winner"] == "10-mynet.conf"
    assert not diff_dumps(before, node.dump())


def rate(node, pod, reverse, address=None):
    """Bits per second from the node to the pod, or from the pod. On a busy machine iperf3 may give up before it has a figure."""
    argv = ["iperf3", "-c", address or pod.ip4, "-t", "2", "-O", "1", "-J", *(["-R"] if reverse else [])]
    for _attempt in range(3):
        server = pod.popen(["iperf3", "-s", "-1", "-D", "-I", "/run/iperf3.pid"])
        assert server.wait(5) == 0
        said = json.loads(node.run(argv, timeout=15).stdout)
        if "sum_received" in said["end"]:
            return said["end"]["sum_received"]["bits_per_second"]
    raise AssertionError(said)


def test_pods_have_the_rates_of_the_entry(net):
    """Both directions, as tc has them and as ratios of what goes through."""
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET)
    measured = {}
    for limited in (False, True):
        if limited:
            do(node, "bandwidth", network="mynet", ingress_rate="40M", ingress_burst="1M", egress_rate="20M", egress_burst="1M")
        with node.pod("a") as a:
            for reverse in (False, True):
                measured[limited, reverse] = rate(node, a, reverse)
            if limited:
                shaped = node.run(["tc", "qdisc", "show"]).stdout
                assert "qdisc tbf" in shaped and "rate 40Mbit" in shaped and "rate 20Mbit" in shaped
    assert measured[False, False] > 5 * measured[True, False] and measured[False, True] > 5 * measured[True, True]
    assert 1.5 < measured[True, False] / measured[True, True] < 2.7, "a pod may receive twice as much as it may send"


def test_a_rate_without_a_burst_holds_from_the_start_in_both_families(net):
    """kubenet's limit of what pods send had no effect, and an IPv6 pod with a limit did not start (kubenet.md section 10)."""
    node = net
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}], [{"subnet": "fd00:10:244::/64"}]]}
    node.write(f"{FOLDER}/10-dual.conflist", json.dumps({"cniVersion": "0.4.0", "name": "dual", "plugins": [
        {"type": "bridge", "bridge": "cni0", "isDefaultGateway": True, "ipam": ipam}]}))
    done = do(node, "bandwidth", network="dual", ingress_rate="20M", egress_rate="10M")
    assert done["bandwidth"]["entry"] == {"type": "bandwidth", "capabilities": {"bandwidth": True}, "ingressRate": 20000000, "ingressBurst": 2000000,
                                          "egressRate": 10000000, "egressBurst": 1000000}
    with node.pod("a") as a:
        wait_for(lambda: not node.run(["ping", "-c1", "-W1", a.ip6], check=False).returncode, what="IPv6 of the pod")
        for address in (a.ip4, a.ip6):
            received, sent = (rate(node, a, reverse, address) / 10**6 for reverse in (False, True))
            assert 10 < received < 30 and 5 < sent < 15, (address, received, sent)


def test_annotations_of_pods_are_passed_on(net):
    """Without rates of our own the runtime's count, which the capability asks for."""
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET)
    do(node, "bandwidth", network="mynet")
    limits = {"bandwidth": {"ingressRate": 1000000, "ingressBurst": 2**32 - 1}}
    with node.pod("a", capabilities=limits):
        assert "rate 1Mbit" in node.run(["tc", "qdisc", "show"]).stdout
    with node.pod("b"):
        assert "tbf" not in node.run(["tc", "qdisc", "show"]).stdout


@pytest.mark.parametrize(("version", "text"), [
    ('"cniVersion": "0.2.0",', "'bandwidth' does not speak CNI 0.2.0 (expected a cniVersion of 0.3.0 or later)"),
    ("", "'bandwidth' does not speak CNI 0.1.0"),
])
def test_bandwidth_in_a_network_of_an_old_version(net, version, text):
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET.replace('"cniVersion": "0.3.0",', version))
    result = node.module("bandwidth", {"network": "mynet"})
    assert text in result["msg"] and f"'mynet' in {FOLDER}/10-mynet.conf" in result["msg"]
    do(node, "portmap", network="mynet")  # which knows all versions
    with node.pod("a", capabilities=HOST_PORT) as a, a.serve_tcp(80):
        proof.tcp(node.outside, node.ip4, 8080)


def test_files_that_cannot_be_changed_without_a_loss(net):
    node, path = net, f"{FOLDER}/10-mynet.conf"
    for text, reason in [
        (MYNET.replace('"bridge": "cni0"', '"mtu": 1400, "mtu": 1500'), "has the key 'mtu' twice"),
        (MYNET.replace('"name": "mynet"', '"Name": "mynet"'), "has no usable name, ''"),
    ]:
        node.write(path, text)
        before = node.dump()
        assert f"filename: {path}" in node.module("portmap", {"filename": "10-mynet.conf"})["msg"]
        assert reason in node.module("portmap", {"filename": "10-mynet.conf"})["msg"]
        assert not diff_dumps(before, node.dump())


def test_a_name_that_no_file_has_is_refused_with_the_names_that_are_there(net):
    net.write(f"{FOLDER}/10-mynet.conf", MYNET)
    net.write(f"{FOLDER}/99-loopback.conf", LOOPBACK)  # the handbook's has no name
    assert net.module("portmap", {"network": "nope"})["msg"].endswith(f"network: 'nope' is in no file of {FOLDER} (expected one of mynet)")


def test_the_second_network_of_a_name_is_refused(net):
    node = net
    for name in ("10-a.conflist", "20-b.conflist"):
        node.write(f"{FOLDER}/{name}", CALICO % "")
    result = node.module("portmap", {"filename": "20-b.conflist"})
    assert f"filename: {FOLDER}/20-b.conflist has the network 'k8s-pod-network', which 10-a.conflist has, too, and comes first" in result["msg"]


def test_portmap_has_no_effect_with_crio(net):
    node = net
    node.write("/etc/crio/crio.conf", '[crio.network]\nnetwork_dir = "/etc/cni/net.d"\nplugin_dirs = ["/opt/cni/bin"]\n')
    node.write(f"{FOLDER}/10-calico.conflist", CALICO % "")
    assert "portmap: the node's runtime is CRI-O (/etc/crio/crio.conf)" in node.module("portmap", {"network": "k8s-pod-network"})["warnings"][0]
    assert not node.module("bandwidth", {"network": "k8s-pod-network"}).get("warnings")


RUNNER = {"module": "engine_runner", "paths": [str(Path(__file__).parent)]}
OURS = {"name": "mynet", "filename": "10-mynet.conf", "plugins": BRIDGE}
STEPS = [("portmap", {"network": "mynet"}), ("bandwidth", {"network": "mynet", **RATES}), ("portmap", {"network": "mynet", "state": "absent"}),
         ("bandwidth", {"network": "mynet", "state": "absent"})]
TAKE_OVER = [STEPS[0], ("cni_config", OURS), STEPS[2], ("cni_config", {"name": "mynet", "state": "absent"})]


@pytest.mark.parametrize("when", ["write", "verify"])
@pytest.mark.parametrize("whose", ["found", "ours", "taken over"])
def test_failure_at_every_step_leaves_the_node_as_it_was(net, whose, when):
    node = net
    if whose == "ours":
        node.module("cni_config", OURS)
    else:
        node.write(f"{FOLDER}/10-mynet.conf", MYNET, 0o600)
    first = raw(node, "10-mynet.conf")
    for section, options in TAKE_OVER if whose == "taken over" else STEPS:
        start, step = node.dump(), 0
        while True:
            step += 1
            order = json.dumps({"section": section, "params": options, "fail": [step, when], "pause": None}) + "\n"
            result = json.loads(warm.run(node, RUNNER, stdin=order, timeout=30).stdout)
            if "error" not in result:
                break
            assert result["error"].endswith("everything done before it was put back, the node is as it was"), result
            difference = diff_dumps(start, node.dump())
            assert not difference, f"{section} {options}, after a failure of step {step}:\n{difference}"
        assert result["changes"] == step - 1 >= 2
    assert raw(node, "10-mynet.conf") == first


def test_containerd_has_the_network_all_the_time(net):
    node = net
    node.write(f"{FOLDER}/10-mynet.conf", MYNET)
    with Containerd(node) as containerd:
        containerd.wait_ready()
        do(node, "portmap", network="mynet")
        with_entry = containerd.pod("a", port_mappings=({"container_port": 80, "host_port": 8080},))
        with with_entry.serve_tcp(80):
            proof.tcp(node.outside, node.ip4, 8080)
        with_entry.remove()
        do(node, "portmap", network="mynet", state="absent")
        containerd.wait_ready()
        assert [network["name"] for network in containerd.networks()] == ["mynet"]
        assert containerd.load_errors() == []


@pytest.mark.parametrize("filename", ["05-theirs.conf", "05-theirs.conflist"])
def test_an_entry_in_a_file_that_is_put_aside_is_not_forgotten(net, filename):
    node = net
    theirs = {"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.77.0.0/24"}}
    head = {"cniVersion": "0.4.0", "name": "theirs"}
    node.write(f"{FOLDER}/{filename}", json.dumps({**head, **theirs} if filename.endswith(".conf") else {**head, "plugins": [theirs]}))
    before = node.dump()
    do(node, "portmap", network="theirs")
    do(node, "cni_config", name="mynet", plugins=BRIDGE, foreign="disable")
    result = node.module("portmap", {"network": "theirs", "state": "absent"})
    assert f"state: {FOLDER}/05-theirs.conflist has an entry of ours and is put aside (expected it back first, by foreign=report or" in result["msg"]
    do(node, "cni_config", name="mynet", state="absent")
    do(node, "portmap", network="theirs", state="absent")
    assert not diff_dumps(before, node.dump())


@pytest.mark.parametrize("filename", ["05-theirs.conf", "05-theirs.conflist"])
def test_a_folder_that_cannot_be_written_to_needs_nothing_put_back(net, filename):
    node = net
    node.run(["mount", "-t", "tmpfs", "none", FOLDER])
    theirs = {"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.77.0.0/24"}}
    head = {"cniVersion": "0.4.0", "name": "theirs"}
    node.write(f"{FOLDER}/{filename}", json.dumps({**head, **theirs} if filename.endswith(".conf") else {**head, "plugins": [theirs]}))
    node.run(["mount", "-o", "remount,ro", FOLDER])
    assert node.module("portmap", {"network": "theirs"})["msg"].endswith("Read-only file system; everything done before it was put back, the node is as it was")


@pytest.mark.parametrize("depth", [200, 900])
def test_a_file_that_is_nested_too_deeply_is_refused(net, depth):
    node = net
    text = '{"cniVersion": "0.4.0", "name": "theirs", "plugins": [{"type": "ptp", "x": %s}]}'
    node.write(f"{FOLDER}/05-theirs.conflist", text % ("[" * depth + "]" * depth))
    for state in ("present", "absent"):
        result = node.module("portmap", {"network": "theirs", "state": state})
        assert f"{FOLDER}/05-theirs.conflist: is nested more than 100 deep, so it cannot be written back" in result["msg"]
