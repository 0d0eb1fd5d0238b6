# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules configure works for pods that the real plugins start."""

from __future__ import annotations

import json

import pytest
from testbed import diff_dumps, proof

MYNET = [{"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True,
          "ipam": {"type": "host-local", "subnet": "10.244.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}}]
IPV4, IPV6 = "10.244.1.0/24", "fd00:10:244:1::/64"
MAPPING = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}


def kubenet(node, pod_cidrs, **bridge):
    result = node.module("node_network", {
        "sysctl_bridge_nf": {}, "kubenet_bridge": {"pod_cidrs": pod_cidrs, **bridge},
        "masquerade": {"cluster_cidrs": ["10.244.0.0/16", "fd00:10:244::/48"]},
    })
    assert not result.get("failed"), result
    return result


@pytest.mark.parametrize("filename", ["10-mynet.conflist", "10-mynet.conf"])
def test_the_handbooks_network(plugin_node, filename):
    """Bridge network mynet on 10.244.0.0/16 with a loopback file behind it, whose missing name is supplied."""
    node = plugin_node
    result = node.module("cni_config", {"name": "mynet", "filename": filename, "cni_version": "0.3.1", "loopback": True, "plugins": MYNET})
    assert result["winner"] == filename
    assert node.run(["ls", "/etc/cni/net.d"]).stdout.split() == [filename, "99-loopback.conf"]
    assert json.loads(node.read("/etc/cni/net.d/99-loopback.conf")) == {"cniVersion": "0.3.1", "name": "lo", "type": "loopback"}
    config = json.loads(node.read(f"/etc/cni/net.d/{filename}"))
    assert (config["name"], config["cniVersion"]) == ("mynet", "0.3.1")
    with node.pod("a") as a, node.pod("b") as b, node.outside.serve_tcp(9000):
        assert a.ips == ["10.244.0.2"]
        proof.ping(a, b.ip4)
        proof.ping(a, "10.244.0.1")
        assert proof.tcp(a, node.outside.ip4, 9000)["source"] == node.ip4


@pytest.mark.parametrize("pod_cidrs", [[IPV4], [IPV4, IPV6], [IPV6]], ids=["ipv4", "dual stack", "ipv6"])
def test_the_kubenet_form(plugin_node, pod_cidrs):
    node = plugin_node
    kubenet(node, pod_cidrs)
    with node.pod("a", capabilities=MAPPING) as a, node.pod("b") as b, node.outside.serve_tcp(9000), a.serve_tcp(80):
        for cidr in pod_cidrs:
            version = "ip6" if ":" in cidr else "ip4"
            own, other = getattr(a, version), getattr(b, version)
            outside, node_address = getattr(node.outside, version), getattr(node, version)
            assert own == (cidr.replace("::/64", "::2") if version == "ip6" else "10.244.1.2")
            proof.ping(a, other, size=1400)
            proof.ping(a, "fd00:10:244:1::1" if version == "ip6" else "10.244.1.1")
            assert proof.tcp(b, outside, 9000)["source"] == node_address, "masqueraded"
            proof.tcp(node.outside, node_address, 8080)
            proof.tcp(a, node_address, 8080)  # by hairpin, back through the port that it came from


def test_cluster_destinations_are_not_masqueraded(plugin_node):
    node = plugin_node
    kubenet(node, [IPV4])
    node.outside.run(["ip", "address", "add", "10.244.7.7/32", "dev", "lo"])
    node.outside.route(IPV4, via=node.ip4)
    with node.pod("a") as a, node.outside.serve_tcp(9000):
        assert proof.tcp(a, "10.244.7.7", 9000)["source"] == a.ip4
        assert proof.tcp(a, node.outside.ip4, 9000)["source"] == node.ip4


def test_the_bridge_keeps_its_mtu_when_the_last_pod_leaves(plugin_node):
    """kubenet's went back to 1500 (kubenet.md section 4)."""
    node = plugin_node
    kubenet(node, [IPV4])
    for _round in range(2):
        with node.pod("a") as pod:
            assert json.loads(pod.run(["ip", "-j", "link", "show", "eth0"]).stdout)[0]["mtu"] == 1450
        assert json.loads(node.run(["ip", "-j", "link", "show", "cbr0"]).stdout)[0]["mtu"] == 1450
    kubenet(node, [IPV4], mtu="1500")
    with node.pod("b"):
        pass
    assert json.loads(node.run(["ip", "-j", "link", "show", "cbr0"]).stdout)[0]["mtu"] == 1500
    assert kubenet(node, [IPV4], mtu="1500")["changed"] is False


def test_an_mtu_that_was_found_out_is_written_like_one_that_was_told(plugin_node):
    node = plugin_node
    kubenet(node, [IPV4])
    assert list(json.loads(node.read("/etc/cni/net.d/10-kubenet.conflist"))["plugins"][0]) == [
        "type", "bridge", "mtu", "isGateway", "ipMasq", "hairpinMode", "promiscMode", "ipam",
    ]
    changed = [change["resource"] for change in kubenet(node, [IPV4], mtu="1450")["changes"]]
    assert changed == ["document:/etc/kubenode-network/node.json"], "it has what was asked for"


def test_running_pods_stay_connected_through_a_change(plugin_node):
    node = plugin_node
    kubenet(node, [IPV4])
    with node.pod("a") as a, node.pod("b") as b:
        ping = a.popen(["ping", "-q", "-i", "0.02", "-c", "100", b.ip4], stdout=-1)
        for mtu in ("1400", "1430", "auto"):
            assert kubenet(node, [IPV4], mtu=mtu)["changed"]
        assert " 0% packet loss" in ping.communicate(timeout=20)[0]


def test_a_network_on_another_bridge_beside_the_kubenet_one(plugin_node):
    node = plugin_node
    result = node.module("node_network", {
        "kubenet_bridge": {"pod_cidrs": [IPV4], "mtu": "1400"},
        "networks": [
            {"name": "pods", "plugins": [{"type": "bridge", "bridge": "cbr0"}]},
            {"name": "other", "priority": 20, "plugins": [{"type": "bridge", "bridge": "br9"}]},
        ],
    })
    pods, other = (json.loads(node.read(f"/etc/cni/net.d/{name}.conflist"))["plugins"][0] for name in ("10-pods", "20-other"))
    assert pods == {
        "type": "bridge", "bridge": "cbr0", "isGateway": True, "ipMasq": False, "hairpinMode": True, "promiscMode": False, "mtu": 1400,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": IPV4}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    assert other == {"type": "bridge", "bridge": "br9"}
    assert result["winner"] == "10-pods.conflist"


def test_portmap_in_a_list_of_somebody_else(plugin_node):
    """Everything but our entry stays, in its order, and taking it out leaves the same content."""
    node = plugin_node
    calico = {"name": "k8s-pod-network", "cniVersion": "0.4.0", "plugins": [
        {"type": "calico", "log_level": "info", "ipam": {"type": "host-local", "subnet": "usePodCidr"}, "policy": {"type": "k8s"}}]}
    path = "/etc/cni/net.d/10-calico.conflist"
    node.write(path, json.dumps(calico), 0o600)
    assert node.module("portmap", {"network": "k8s-pod-network", "external_set_mark_chain": "KUBE-MARK-MASQ"})["changed"]
    entry = {"type": "portmap", "capabilities": {"portMappings": True}, "externalSetMarkChain": "KUBE-MARK-MASQ"}
    assert json.dumps(json.loads(node.read(path))) == json.dumps({**calico, "plugins": [*calico["plugins"], entry]})
    assert node.run(["stat", "-c", "%a", path]).stdout == "600\n"
    assert node.module("portmap", {"network": "k8s-pod-network", "state": "absent"})["changed"]
    assert json.dumps(json.loads(node.read(path))) == json.dumps(calico)


def test_portmap_in_check_mode_before_its_network_is_written(plugin_node):
    result = plugin_node.module("portmap", {"network": "later"}, check=True)
    assert result["changed"]
    assert "'later' is in no file of /etc/cni/net.d yet; a task with kubenode.network.cni_config has to come before" in result["warnings"][0]


def test_the_last_plugin_of_a_list_stays(plugin_node):
    node = plugin_node
    node.write("/etc/cni/net.d/10-odd.conflist", '{"cniVersion": "1.0.0", "name": "odd", "plugins": [{"type": "portmap"}]}')
    result = node.module("portmap", {"network": "odd", "state": "absent"})
    assert "network: 'odd' in /etc/cni/net.d/10-odd.conflist has no plugin but portmap" in result["msg"]


def test_portmap_and_cni_config_agree_on_one_network(plugin_node):
    """A network that one task writes and another adds portmap to does not change back and forth."""
    node = plugin_node
    for changed in (True, False):
        assert node.module("cni_config", {"name": "mynet", "plugins": MYNET})["changed"] is changed
        assert node.module("portmap", {"network": "mynet"})["changed"] is changed
    with node.pod("a", capabilities=MAPPING) as a, a.serve_tcp(80):
        proof.tcp(node.outside, node.ip4, 8080)
    assert node.module("portmap", {"network": "mynet", "state": "absent"})["changed"]
    assert [plugin["type"] for plugin in json.loads(node.read("/etc/cni/net.d/10-mynet.conflist"))["plugins"]] == ["bridge"]
    different = [*MYNET, {"type": "portmap", "capabilities": {"portMappings": True}, "snat": False}]
    node.module("portmap", {"network": "mynet"})
    result = node.module("cni_config", {"name": "mynet", "plugins": different})
    assert "plugins[1]: portmap differs from what the module kubenode.network.portmap set for mynet" in result["msg"]


def test_portmap_and_node_network_agree_on_the_default_network(plugin_node):
    """Whoever ran last, the next run changes nothing, also with options other than the default's."""
    node = plugin_node
    path = "/etc/cni/net.d/10-kubenet.conflist"
    for options in ({}, {"snat": False}):
        for changed in (True, False):
            node.module("node_network", {"kubenet_bridge": {"pod_cidrs": [IPV4]}})
            result = node.module("portmap", {"network": "kubenet", **options})
            assert (result["changed"], result.get("failed")) == (changed, None)
        assert not node.module("node_network", {"kubenet_bridge": {"pod_cidrs": [IPV4]}})["changed"]
        assert json.loads(node.read(path))["plugins"][1] == {"type": "portmap", "capabilities": {"portMappings": True}, **options}
    explicit = {"name": "own", "priority": 20, "plugins": [*MYNET, {"type": "portmap", "capabilities": {"portMappings": True}}]}
    assert node.module("cni_config", explicit)["changed"]
    assert node.module("portmap", {"network": "own"})["changed"], "the document takes note"
    assert not node.module("cni_config", explicit)["changed"]
    result = node.module("portmap", {"network": "own", "snat": False})
    assert "network: 'own' has a portmap entry in the list that it was written with" in result["msg"]


def test_warnings_when_pods_or_networks_lose_something(plugin_node):
    node = plugin_node
    options = {"cni_plugins": {"src": "/usr/lib/cni", "remote_src": True}, "kubenet_bridge": {"pod_cidrs": [IPV4]}}
    node.run(["rm", "-r", "/opt/cni/bin"])
    assert not node.module("node_network", options).get("warnings")
    with node.pod("a"):
        for check in (True, False):
            warnings = node.module("kubenet_bridge", {"pod_cidrs": ["10.244.9.0/24"], "mtu": "1400"}, check=check)["warnings"]
            assert "10.244.1.1/24 goes away from cbr0, and pods with addresses outside are cut off until they are started anew: veth" in warnings[0]
            assert "10-kubenet.conflist still gives pods an MTU of 1450" in warnings[1]
        kubenet(node, [IPV4])
        for fewer in ({"state": "absent"}, {**options["cni_plugins"], "plugins": ["host-local", "loopback", "portmap"]}):
            refused = node.module("cni_plugins", fewer, check=True)
            assert "the network kubenet needs bridge" in refused["msg"]
    node.write("/etc/cni/net.d/50-other.conflist", '{"cniVersion": "1.0.0", "name": "other", "plugins": [{"type": "ptp"}]}')
    assert "50-other.conflist, but this collection did not write it" not in node.module("cni_config", {"name": "x", "state": "absent"}).get("warnings", [])
    assert "50-other.conflist is there, but this" in node.module("cni_config", {"name": "other", "state": "absent"})["warnings"][0]
    assert "new pods now get the network of 50-other.conflist" in node.module("cni_config", {"name": "kubenet", "state": "absent"})["warnings"][0]


def test_a_library_that_is_missing_is_said_and_nothing_touched(node):
    node.write("/run/broken/pyroute2.py", "raise ImportError('not for this Python')\n")
    before, env = node.dump(), {"PYTHONPATH": "/run/broken"}
    announced = node.module("kubenet_bridge", {"pod_cidrs": [IPV4]}, check=True, env=env)
    assert announced["changed"]
    assert "a run would first need this: the Python library pyroute2 is needed on this node to change bridge:cbr0" in announced["warnings"][0]
    result = node.module("kubenet_bridge", {"pod_cidrs": [IPV4]}, env=env)
    assert result["missing_library"] == "pyroute2"
    assert result["msg"].startswith("nothing was changed: the Python library pyroute2 is needed on this node")
    assert not diff_dumps(before, node.dump())
    assert node.module("kubenet_bridge", {"pod_cidrs": [IPV4]})["changed"]
    assert not node.module("kubenet_bridge", {"pod_cidrs": [IPV4]}, env=env)["changed"], "a run without a change needs none"


def test_a_file_that_sorts_first_is_reported(plugin_node):
    node = plugin_node
    node.write("/etc/cni/net.d/05-other.conflist", '{"cniVersion": "1.0.0", "name": "other", "plugins": [{"type": "ptp"}]}')
    result = node.module("cni_config", {"name": "mynet", "plugins": MYNET})
    assert result["winner"] == "05-other.conflist"
    assert "05-other.conflist sorts before 10-mynet.conflist" in json.dumps(result["warnings"])
    node.write("/etc/cni/net.d/05-other.conflist", "{")
    assert "05-other.conflist" in json.dumps(node.module("cni_config", {"name": "mynet", "plugins": MYNET})["warnings"])


def test_auto_takes_the_highest_version_that_all_plugins_support(plugin_node):
    node = plugin_node
    node.write("/opt/cni/bin/old", '#!/bin/sh\necho \'{"cniVersion": "0.4.0", "supportedVersions": ["0.3.1", "0.4.0"]}\'\n', 0o755)
    result = node.module("cni_config", {"name": "mynet", "plugins": [*MYNET, {"type": "old"}]})
    assert result["networks"]["mynet"]["cni_version"] == "0.4.0"
    assert node.module("cni_config", {"name": "mynet", "plugins": MYNET})["networks"]["mynet"]["cni_version"] == "1.0.0"
    node.write("/opt/cni/bin/old", "#!/bin/sh\necho nonsense\n", 0o755)
    result = node.module("cni_config", {"name": "mynet", "plugins": [*MYNET, {"type": "old"}]})
    assert "plugins[1].type: 'old' does not work: /opt/cni/bin/old does not answer VERSION as a CNI plugin does: nonsense" in result["msg"]


@pytest.mark.parametrize("source", ["archive", "folder"])
def test_auto_asks_plugins_that_are_not_installed_yet_where_temporary_files_cannot_be_run(node, source):
    temporary = "/run/temporary"  # the checkout may lie in /tmp
    node.run(["mkdir", temporary])
    node.run(["mount", "-t", "tmpfs", "-o", "noexec,mode=1777", "tmpfs", temporary])
    names, src = ["bridge", "host-local", "loopback", "portmap"], f"{temporary}/source"
    node.run(["mkdir", src])
    node.run(["cp", *(f"/usr/lib/cni/{name}" for name in names), src])
    assert node.run([f"{src}/bridge"], check=False).returncode == 126, "it can be run from there"
    options = {"src": src, "remote_src": True}
    if source == "archive":
        node.run(["tar", "-czf", f"{temporary}/cni.tgz", "-C", src, "."])
        digits = node.run(["sha256sum", f"{temporary}/cni.tgz"]).stdout.split()[0]
        options = {"src": f"{temporary}/cni.tgz", "remote_src": True, "checksum": f"sha256:{digits}"}
    before = node.run(["ls", "-A", temporary]).stdout
    params = {"cni_plugins": options, "kubenet_bridge": {"pod_cidrs": [IPV4]}}
    for check in (True, False):
        result = node.module("node_network", params, check=check, env={"TMPDIR": temporary})
        assert result["networks"]["kubenet"]["cni_version"] == "1.0.0", result
        assert result["changed"] and node.run(["ls", "-A", temporary]).stdout == before
    assert node.module("node_network", params)["changed"] is False
    with node.pod("a") as pod:
        proof.ping(pod, "10.244.1.1")


# Ranges of several networks


def pooled(name, *subnets, priority=10, **keys):
    ranges = [[subnet if isinstance(subnet, dict) else {"subnet": subnet}] for subnet in subnets]
    ipam = {"type": "host-local", "ranges": ranges, **keys}
    return {"name": name, "priority": priority, "plugins": [{"type": "ptp", "ipam": ipam}]}


def test_two_networks_of_a_run_that_give_one_address_twice(plugin_node):
    node = plugin_node
    before = node.dump()
    result = node.module("node_network", {"networks": [pooled("a", "10.9.0.0/16", "fd00::/64"), pooled("b", "10.8.0.0/24", "10.9.1.0/24", priority=20)]})
    assert result["msg"] == (
        "nothing was changed: networks[1].plugins[0].ipam.ranges[1][0].subnet: '10.9.1.0/24' (10.9.1.1-10.9.1.254) overlaps "
        "networks[0].plugins[0].ipam.ranges[0][0].subnet (10.9.0.1-10.9.255.254) of the network 'a', and two pods would get one address (expected apart)"
    )
    assert not diff_dumps(before, node.dump())


def test_a_network_that_comes_from_the_bridge_and_one_beside_it(plugin_node):
    listed = [{"name": "kubenet", "plugins": [{"type": "bridge", "bridge": "cbr0"}]}, {**pooled("b", "10.244.1.128/25"), "conf_dir": "/etc/other"}]
    result = plugin_node.module("node_network", {"kubenet_bridge": {"pod_cidrs": ["10.244.1.0/24"]}, "networks": listed})
    assert "networks[1].plugins[0].ipam.ranges[0][0].subnet: '10.244.1.128/25' (10.244.1.129-10.244.1.254) overlaps networks[0].plugins[0]" in result["msg"]


STATIC = {"type": "static", "addresses": [{"address": "10.9.0.9/24", "gateway": "10.9.0.1"}]}


@pytest.mark.parametrize("networks", [
    [pooled("a", {"subnet": "10.9.0.0/24", "rangeEnd": "10.9.0.99"}), pooled("b", {"subnet": "10.9.0.0/24", "rangeStart": "10.9.0.100"})],
    [pooled("a", "10.9.0.0/24"), pooled("b", "10.9.1.0/24")],
    [pooled("a", "10.9.0.0/24"), {"name": "b", "plugins": [{"type": "ptp", "ipam": STATIC}]}],
    [{**pooled("a", "10.9.0.0/24"), "loopback": True}, {**pooled("b", "fd00::/64"), "loopback": True}],
], ids=["parts of one subnet", "neighbours", "static", "loopback"])  # fmt: skip
def test_networks_of_a_run_that_are_apart(plugin_node, networks):
    for number, network in enumerate(networks):
        network["priority"] = 10 + number
    result = plugin_node.module("node_network", {"networks": networks})
    assert result["changed"], result
    assert not [text for text in result.get("warnings", []) if "overlaps" in text]


def warned(result):
    assert not result.get("failed"), result
    return [text for text in result.get("warnings", []) if "overlaps" in text]


def test_a_network_that_was_there_before_is_told(plugin_node):
    """Of somebody else as long as pods get it; of ours always, which may be about to go."""
    node = plugin_node
    theirs = {"cniVersion": "1.0.0", "name": "theirs", "plugins": [{"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.9.0.0/16"}}]}
    for filename, warns in (("05-theirs.conflist", True), ("50-theirs.conflist", False)):
        node.write(f"/etc/cni/net.d/{filename}", json.dumps(theirs))
        result = node.module("cni_config", pooled("a", "10.9.1.0/24"), check=True)
        said = f"networks: 10.9.1.0/24 of the network 'a' overlaps 10.9.0.0/16 of 'theirs' in {filename}, so two pods may get one address"
        assert warned(result) == ([said] if warns else [])
        assert warned(node.module("cni_config", pooled("a", "10.10.0.0/24"), check=True)) == []
        assert warned(node.module("cni_config", {**pooled("a", "10.9.1.0/24"), "foreign": "disable"}, check=True)) == []
        assert warned(node.module("cni_config", {**pooled("theirs", "10.9.1.0/24"), "filename": "40-theirs.conflist"}, check=True)) == []
        node.run(["rm", f"/etc/cni/net.d/{filename}"])
    node.module("cni_config", pooled("a", "10.9.1.0/24"))
    assert len(warned(node.module("cni_config", pooled("b", "10.9.1.0/24", priority=20)))) == 1
    assert warned(node.module("cni_config", pooled("b", "10.9.2.0/24", priority=20))) == []
    moved = {"networks": [{"name": "a", "state": "absent"}, pooled("b", "10.9.1.0/24", priority=20)]}
    assert warned(node.module("node_network", moved)) == []
