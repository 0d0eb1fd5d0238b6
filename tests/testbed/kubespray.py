# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster as kubespray has it: nodes on one wire, an inventory of its shape, and what its own runs leave on a node."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml

from .ansible import Play, play_env, play_of
from .authority import Authority, Pair
from .node import Node
from .outside import Outside
from .paths import HERE
from .space import clean_env

PLAYBOOK = "kubenode.network.kubespray"
#: In place of /tmp/releases: the nodes' /tmp is that of the host.
RELEASES = "/opt/releases"
ADMIN_CONF = "/etc/kubernetes/admin.conf"
#: group_vars of the inventory, by file: kubespray's names with the values that its sample gives them, and the one choice that is made.
GROUP_VARS: dict[str, dict[str, Any]] = {
    "all/all.yml": {
        "bin_dir": "/usr/local/bin", "etcd_data_dir": "/var/lib/etcd", "loadbalancer_apiserver_port": 6443,
        "loadbalancer_apiserver_healthcheck_port": 8081, "no_proxy_exclude_workers": False, "ntp_enabled": False,
        "unsafe_show_logs": False, "allow_unsupported_distribution_setup": False,
    },
    "all/etcd.yml": {"etcd_deployment_type": "host"},
    "all/containerd.yml": {"containerd_storage_dir": "/var/lib/containerd"},
    "k8s_cluster/k8s-cluster.yml": {
        "kube_config_dir": "/etc/kubernetes", "kube_script_dir": "{{ bin_dir }}/kubernetes-scripts", "kube_owner": "kube",
        "kube_cert_group": "kube-cert", "local_release_dir": RELEASES, "retry_stagger": 5, "kube_log_level": 2,
        "credentials_dir": "{{ inventory_dir }}/credentials", "kube_network_plugin": "cni", "kube_network_plugin_multus": False,
        "kube_service_addresses": "10.233.0.0/18", "kube_pods_subnet": "10.233.64.0/18", "kube_network_node_prefix": 24,
        "kube_service_addresses_ipv6": "fd85:ee78:d8a6:8607::1000/116", "kube_pods_subnet_ipv6": "fd85:ee78:d8a6:8607::1:0000/112",
        "kube_network_node_prefix_ipv6": 120, "kube_apiserver_port": 6443, "kube_proxy_mode": "ipvs", "kube_proxy_strict_arp": False,
        "cluster_name": "cluster.local", "dns_mode": "coredns", "enable_nodelocaldns": True, "nodelocaldns_ip": "169.254.25.10",
        "container_manager": "containerd", "kata_containers_enabled": False, "k8s_image_pull_policy": "IfNotPresent",
    },
    "k8s_cluster/addons.yml": {"helm_enabled": False, "metrics_server_enabled": False},
}  # fmt: skip


class Kubespray:
    """Nodes node1, node2, ... of which the first is the control plane, all of one wire. A context manager."""

    def __init__(self, count: int, folder: Path) -> None:
        self.inventory = folder / "inventory" / "mycluster"
        self.folder = folder
        self.hosts: dict[str, dict[str, Any]] = {}
        self.nodes: dict[str, Node] = {}
        self._own = ExitStack()
        try:
            outside = self._own.enter_context(Outside())
            for number in range(1, count + 1):
                self._add(Node(f"node{number}", outside=outside))
        except BaseException:
            self._own.close()
            raise
        self.write_inventory()

    def _add(self, node: Node) -> None:
        self.nodes[node.name] = self._own.enter_context(node)
        node.write("/etc/passwd", node.read("/etc/passwd") + "kube:x:990:990::/home/kube:/usr/sbin/nologin\n")
        # As in a cloud: the controller has a name for the node, and the world outside another address.
        self.hosts[node.name] = {"ansible_host": f"{node.name}.example", "ip": node.ip4, "ip6": node.ip6, "access_ip": f"203.0.113.{len(self.nodes)}",
                                 "ansible_connection": "space", "space_pid": node.pid}

    def write_inventory(self, *, group: bool = True) -> None:
        """hosts.yaml and group_vars; without the group k8s_cluster, which newer releases make in each of their runs."""
        names = list(self.nodes)
        children: dict[str, Any] = {"kube_control_plane": {"hosts": {names[0]: {}}}, "kube_node": {"hosts": {name: {} for name in names}},
                                    "etcd": {"hosts": {names[0]: {}}}, "calico_rr": {"hosts": {}}}
        if group:
            children["k8s_cluster"] = {"children": {"kube_control_plane": {}, "kube_node": {}}}
        for name, variables in GROUP_VARS.items():
            self._write(f"group_vars/{name}", variables)
        connection = {"ansible_user": "root", "ansible_pipelining": True, "ansible_python_interpreter": sys.executable}
        self._write("hosts.yaml", {"all": {"hosts": self.hosts, "vars": connection, "children": children}})

    def _write(self, name: str, data: Any) -> None:
        path = self.inventory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(data))

    def run(self, *args: str, playbook: str = PLAYBOOK, timeout: float = 280, **extra: Any) -> Play:
        """ansible-playbook -i inventory/mycluster/hosts.yaml PLAYBOOK -b, with extra variables."""
        (self.folder / "vars.yml").write_text(yaml.safe_dump(extra))
        (self.folder / "ansible.cfg").write_text("[defaults]\n")
        (self.folder / "results").write_text("")
        (self.folder / "tmp").mkdir(exist_ok=True)
        env = clean_env({**play_env(str(self.folder)), "TMPDIR": str(self.folder / "tmp"), "PYTHONPATH": str(HERE.parent),
                         "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connections")})
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", str(self.inventory / "hosts.yaml"), "-b", "-e", f"@{self.folder / 'vars.yml'}"]
        run = subprocess.run([*argv, playbook, *args], env=env, text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout)
        return play_of(run, (self.folder / "results").read_text())

    def close(self) -> None:
        self._own.close()

    def __enter__(self) -> Kubespray:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def put_kubeconfig(node: Node, authority: Authority, user: Pair) -> None:
    """What kubeadm leaves on a control plane, with the change of kubespray: the API is at its own loopback address."""
    ca, cert, key = (base64.b64encode(path.read_bytes()).decode() for path in (authority.certificate, *user))
    cluster = {"server": "https://127.0.0.1:6443", "certificate-authority-data": ca}
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "admin", "clusters": [{"name": "cluster.local", "cluster": cluster}],
              "contexts": [{"name": "admin", "context": {"cluster": "cluster.local", "user": "admin"}}],
              "users": [{"name": "admin", "user": {"client-certificate-data": cert, "client-key-data": key}}]}
    node.run(["install", "-d", "-m", "0750", "/etc/kubernetes"])
    node.write(ADMIN_CONF, yaml.safe_dump(config), 0o600)


def put_archive(node: Node, archive: Path, version: str = "1.1.1", arch: str = "amd64") -> str:
    """What `downloads.cni` leaves on the node; returns its path there."""
    path = f"{RELEASES}/cni-plugins-linux-{arch}-{version}.tgz"
    node.run(["install", "-d", "-m", "0755", RELEASES])
    node.run(["install", "-m", "0755", str(archive), path])
    return path


def make_archive(path: Path, names: tuple[str, ...], src: Path) -> Path:
    """An archive of plugins as the releases are: ./ before each name, and a user of the machine that built it."""

    def foreign(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime = 1001, 127, "builder", "builders", 1_700_000_000
        return entry

    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        for name in names:
            file.add(src / name, arcname=f"./{name}", filter=foreign)
    return path


def digits(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
