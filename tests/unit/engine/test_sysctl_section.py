# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Section sysctl_bridge_nf on a kernel that is a folder: what it resolves, and what the kernel of the tests does not have."""

from __future__ import annotations

import itertools
import json

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import providers
from ansible_collections.kubenode.network.plugins.module_utils._document import Document
from ansible_collections.kubenode.network.plugins.module_utils._host import routes, sysctls
from ansible_collections.kubenode.network.plugins.module_utils._host.runtime import Settings
from ansible_collections.kubenode.network.plugins.module_utils._sections import sysctl_bridge_nf as section
from ansible_collections.kubenode.network.plugins.module_utils._sections.base import Run

KEYS = (*(f"net/bridge/bridge-nf-call-{table}" for table in sysctls.NF_TABLES), "net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding",
        "net/ipv6/conf/eth0/accept_ra")


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Folders in place of /proc/sys, /sys/class/net and the files of the boot; a bridge br0, and eth0 with a learned default route."""
    for key in KEYS:
        (tmp_path / "sys" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / key).write_text("1\n" if key.endswith("accept_ra") else "0\n")
    for table in sysctls.NF_TABLES:
        path = tmp_path / "links" / "br0" / "bridge" / f"nf_call_{table}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("0\n")
    monkeypatch.setattr(sysctls, "ROOT", str(tmp_path / "sys"))
    monkeypatch.setattr(sysctls, "LINKS", str(tmp_path / "links"))
    monkeypatch.setattr(sysctls, "configuration", lambda *paths: {})
    monkeypatch.setattr(sysctls, "has_udev", lambda: True)
    monkeypatch.setattr(routes, "router_advertised_links", lambda: {"eth0"})
    (tmp_path / "net.d").mkdir()
    return tmp_path


def new_run(node):
    run = Run(Document({}))
    run.__dict__["runtime"] = Settings(conf_dir=str(node / "net.d"))
    run.__dict__["installed_runtime"] = None
    return run


def options(**given):
    return {**{name: option.get("default") for name, option in section.OPTIONS.items()}, **given}


def planned(node, given):
    run = new_run(node)
    (part,) = section.parts(given, run)
    assert run.problems == []
    return part, [(want.resource.id, want.state, want.last) for want in part.wants]


@pytest.mark.parametrize("kind", [None, "bridge", "ptp", "odd"])
def test_what_is_resolved_gives_the_same_part(node, kind):
    """Whatever has been left to be found out: the node may have another network by then."""
    given = itertools.product(("auto", "enabled", "unmanaged"), (None, "cilium", "kubenet", "multus"), (None, ["br0"], ["br0", "later"]),
                              (True, False), (None, [], ["ipv4", "ipv6"]))
    for word, provider, bridges, call, forwarding in given:
        asked = options(bridge_nf=word, provider=provider, bridges=bridges, bridge_nf_call_ip6tables=call, forwarding=forwarding)
        if section.check(asked):
            continue
        if kind:
            (node / "net.d" / "10-a.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "a", "plugins": [{"type": kind}]}))
        part, wants = planned(node, asked)
        (node / "net.d" / "10-a.conflist").unlink(missing_ok=True)
        resolved = section.resolved(json.loads(json.dumps(part.desired)))
        assert set(resolved) == set(section.OPTIONS) and resolved["bridge_nf"] != "auto" and section.check(resolved) == []
        again, same = planned(node, resolved)
        assert (again.desired, same) == (part.desired, wants)


def test_a_module_that_a_file_of_modprobe_blocks_is_said(node, monkeypatch):
    """With a list of loaded modules in place of the kernel's: that of the tests has none."""
    texts = {"/etc/modprobe.d/hardening.conf": "\nblacklist br-netfilter\n"}
    monkeypatch.setattr(sysctls, "configuration", lambda folders, *more: texts if "modprobe" in folders[0] else {})
    for loadable, blocked in ((True, [{"path": "/etc/modprobe.d/hardening.conf", "line": 2, "text": "blacklist br-netfilter"}]), (False, [])):
        monkeypatch.setattr(sysctls, "is_loadable", lambda module, loadable=loadable: loadable)
        run = new_run(node)
        section.parts(options(), run)
        assert run.results[section.NAME]["module_blocked"] == blocked
        text = "sysctl_bridge_nf: /etc/modprobe.d/hardening.conf line 2 (blacklist br-netfilter) keeps br_netfilter from being loaded at the next boot"
        assert run.warnings == ([text] if loadable else [])


def test_without_systemd_the_rule_for_udev_is_one_with_sysctl(node, monkeypatch):
    monkeypatch.setattr(sysctls, "boot_program", lambda: ["/sbin/sysctl", "-q", "--system", "--pattern", "^net.bridge"])
    assert section._udev_rules({"iptables": "1"}, []).endswith('KERNEL=="br_netfilter", RUN+="/sbin/sysctl -q --system --pattern ^net.bridge"\n')
    monkeypatch.setattr(sysctls, "boot_program", lambda: None)
    assert section._udev_rules({"iptables": "1"}, ["br0"]) == 'ACTION=="add", SUBSYSTEM=="net", KERNEL=="br0", ATTR{bridge/nf_call_iptables}="1"\n'
    assert section._files({}, {"iptables": "1"}, None) == {section.MODULES_FILE: "br_netfilter\n"}, "no file without a rule, or a value"


@pytest.mark.parametrize(("plugins", "plugin", "bridged"), [
    ([{"type": "bridge"}, {"type": "portmap"}], "bridge", True),
    ([{"type": "flannel"}], "flannel", True),
    ([{"type": "flannel", "delegate": {"bridge": "cni0", "isDefaultGateway": True}}], "flannel", True),
    ([{"type": "flannel", "delegate": {"type": "ipvlan"}}], "ipvlan", False),
    ([{"type": "azure-vnet", "mode": "transparent"}], "azure-vnet", False),
    ([{"type": "azure-vnet", "mode": "bridge"}], "azure-vnet", True),
    ([{"type": "ptp"}, {"type": "cilium-cni"}], "ptp", False),
    ([{"type": "ptp"}, {"type": "odd"}], "odd", None),
    ([{"type": "odd"}, {"type": "bridge"}], "bridge", True),
    ([{"type": "loopback"}, {"type": "tuning"}], "", None),
])
def test_how_a_network_attaches_pods(plugins, plugin, bridged):
    assert providers.attachment({"name": "a", "plugins": plugins}) == (plugin, bridged)
    if len(plugins) == 1:
        assert providers.attachment({"name": "a", **plugins[0]}) == (plugin, bridged)
