# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods, made as a container runtime makes them: a network namespace and the plugins of the first network in the folder.

Which file counts, what is injected and in which order follow containerd (go-cni loadFromConfDir; CNI specification,
sections 1, 2 and 4).
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from .space import Place

if TYPE_CHECKING:
    from .node import Node

CONF_DIR = "/etc/cni/net.d"
# What containerd runs before the pod's own network.
_LOOPBACK = {"cniVersion": "0.3.1", "name": "cni-loopback", "plugins": [{"type": "loopback"}]}


class NetworkError(RuntimeError):
    """A runtime would not become ready with this folder."""


class PluginError(RuntimeError):
    """A plugin refused; .error is the JSON object of the CNI specification: code, msg, details."""

    def __init__(self, plugin: str, command: str, error: dict[str, Any]) -> None:
        self.plugin, self.command, self.error = plugin, command, error
        super().__init__(f"{plugin} {command}: code {error.get('code')}: {error.get('msg')} {error.get('details', '')}".rstrip())


def network_files(node: Node, conf_dir: str = CONF_DIR) -> list[str]:
    """Paths of the files a runtime looks at, in its order: bytes, not characters; hidden ones count."""
    listed = node.run(["find", conf_dir, "-mindepth", "1", "-maxdepth", "1", "-not", "-type", "d", "-print0"], check=False).stdout
    return sorted((path for path in listed.split("\0") if path.endswith((".conf", ".conflist", ".json"))), key=os.fsencode)


def load_network(node: Node, path: str | None = None) -> dict[str, Any]:
    """The network list that containerd takes: the first file, and no other when that one is bad. Raises NetworkError."""
    found = [path] if path else network_files(node)
    if not found:
        raise NetworkError(f"no network config found in {CONF_DIR}")
    try:
        data = json.loads(node.read(found[0]))
    except ValueError as error:
        raise NetworkError(f"{found[0]}: {error}") from None
    if not isinstance(data, dict):
        raise NetworkError(f"{found[0]}: not an object")
    if not found[0].endswith(".conflist"):
        data = {"cniVersion": data.get("cniVersion", ""), "name": data.get("name", ""), "plugins": [data]}
    elif not (isinstance(data.get("name"), str) and isinstance(data.get("plugins"), list) and data["plugins"]):
        raise NetworkError(f"{found[0]}: no name, or no plugins in list")
    if not all(isinstance(plugin, dict) and plugin.get("type") for plugin in data["plugins"]):
        raise NetworkError(f"{found[0]}: missing 'type'")
    return data


class Pod(Place):
    """A namespace with the network that the node's configuration gives it.

    result: the last plugin's answer. ips: addresses without prefix length, ip4 and ip6: the first of each family or "".
    """

    def __init__(self, node: Node, name: str, network: str | None, capabilities: dict[str, Any], ifname: str) -> None:
        self.node, self.name, self.ifname = node, name, ifname
        self.network = load_network(node, network)
        self._capabilities = capabilities
        self._id = hashlib.sha256(f"{node.pid} {name}".encode()).hexdigest()
        node.run(["ip", "netns", "add", name])
        try:
            self._add(_LOOPBACK, "lo")
            self.result = self._add(self.network, ifname)
        except BaseException:
            # A runtime takes back what a failed ADD left behind; the first error is the one to report.
            self._del(self.network, ifname, None, tolerant=True)
            node.run(["ip", "netns", "delete", name])
            raise
        self.ips = _addresses(self.result)
        self.ip4 = next((ip for ip in self.ips if ":" not in ip), "")
        self.ip6 = next((ip for ip in self.ips if ":" in ip), "")

    def enter(self) -> list[str]:
        return [*self.node.enter(), "ip", "netns", "exec", self.name]

    def delete(self) -> None:
        """DEL through the list in reverse, with the result of ADD, then the namespace goes."""
        self._del(self.network, self.ifname, self.result)
        self._del(_LOOPBACK, "lo", None)
        self.node.run(["ip", "netns", "delete", self.name])

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_: object) -> None:
        self.delete()

    def _add(self, network: dict[str, Any], ifname: str) -> dict[str, Any]:
        result: dict[str, Any] | None = None
        for plugin in network["plugins"]:
            result = json.loads(self._call("ADD", network, plugin, ifname, result))
        return result or {}

    def _del(self, network: dict[str, Any], ifname: str, result: dict[str, Any] | None, tolerant: bool = False) -> None:
        # Below 0.4.0 a plugin gets no result on DEL.
        known = result if tuple(network.get("cniVersion", "").split(".")) >= ("0", "4", "0") else None
        for plugin in reversed(network["plugins"]):
            try:
                self._call("DEL", network, plugin, ifname, known)
            except PluginError:
                if not tolerant:
                    raise

    def _call(self, command: str, network: dict[str, Any], plugin: dict[str, Any], ifname: str, previous: dict[str, Any] | None) -> str:
        wanted = [key for key, on in (plugin.get("capabilities") or {}).items() if on]
        runtime = {key: self._capabilities[key] for key in wanted if key in self._capabilities}
        config = {key: value for key, value in plugin.items() if key != "capabilities"}
        config.update(cniVersion=network.get("cniVersion", ""), name=network["name"])
        config.update({"runtimeConfig": runtime} if runtime else {}, **({"prevResult": previous} if previous else {}))
        env = {"CNI_COMMAND": command, "CNI_CONTAINERID": self._id, "CNI_NETNS": f"/run/netns/{self.name}", "CNI_IFNAME": ifname,
               "CNI_PATH": ":".join(self.node.cni_bin),
               "CNI_ARGS": f"IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME={self.name};K8S_POD_INFRA_CONTAINER_ID={self._id}"}
        binary = self._find(plugin["type"], command)
        done = self.node.run([binary], check=False, input=json.dumps(config), env=env, timeout=60)
        if done.returncode:
            raise PluginError(plugin["type"], command, _error(done.stdout, done.stderr))
        return done.stdout

    def _find(self, kind: str, command: str) -> str:
        paths = [f"{folder}/{kind}" for folder in self.node.cni_bin]
        found = self.node.run(["find", "-L", *paths, "-maxdepth", "0", "-type", "f"], check=False).stdout.splitlines()
        if not found:
            raise PluginError(kind, command, {"code": None, "msg": f'failed to find plugin "{kind}" in path {list(self.node.cni_bin)}'})
        return found[0]


def _error(out: str, err: str) -> dict[str, Any]:
    try:
        return json.loads(out)
    except ValueError:
        return {"code": None, "msg": "no answer", "details": (out + err).strip()}


def _addresses(result: dict[str, Any]) -> list[str]:
    # up to 0.2.0: ip4 and ip6; since then a list
    entries = [entry["address"] for entry in result.get("ips", [])]
    entries += [result[key]["ip"] for key in ("ip4", "ip6") if key in result]
    return [entry.partition("/")[0] for entry in entries]
