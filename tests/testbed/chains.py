# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hundreds of networks through ADD and DEL of real plugins, one after the other, in one node.

The part below _main runs in the node, as a script, so that a plugin costs its own start and nothing else. What it gives to
a plugin is what libcni gives (api.go buildOneConfig, injectRuntimeConfig): the network's name and version, the results,
the data of the capabilities that are true.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

# What a runtime would hand in, by capability.
RUNTIME = {
    "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}],
    "bandwidth": {"ingressRate": 10**6, "ingressBurst": 10**6, "egressRate": 10**6, "egressBurst": 10**6},
}
#: A chain for portmap's externalSetMarkChain: kube-proxy makes one, the plugin does not.
MARK_CHAIN = "KUBE-MARK-MASQ"
#: What the node has before a network comes, and keeps.
UPLINK = "eth0"


class Chains:
    """Plugins of one folder, in a node that has nothing else to do. A context manager."""

    def __init__(self, node, plugins) -> None:
        argv = [sys.executable, "-I", "-S", __file__, str(plugins)]
        self._process = node.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def run(self, config, ifname="eth0") -> str | None:
        """ADD, then DEL, of a network list in a new pod; None, or which plugin refused what and why. Nothing stays.

        A DEL that fails is tried once more, as kubelet would; if that passes, the answer starts with "once: ".
        """
        self._process.stdin.write(json.dumps({"config": config, "ifname": ifname}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Wait until the last network is gone."""
        if not self._process.stdin.closed:
            self._process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _command(*argv: str, text: str = "") -> str:
    return subprocess.run(argv, input=text, check=True, capture_output=True, text=True).stdout


class _Attachment:
    """One pod on one network."""

    def __init__(self, folder: str, config: dict, ifname: str, number: int) -> None:
        self.folder, self.config = folder, config
        self.pod = f"pod{number}"
        self.env = {"PATH": os.environ["PATH"], "CNI_PATH": folder, "CNI_NETNS": f"/run/netns/{self.pod}", "CNI_IFNAME": ifname,
                    "CNI_CONTAINERID": self.pod, "CNI_ARGS": "IgnoreUnknown=1", "LC_ALL": "C"}

    def run(self) -> str | None:
        result = None
        for plugin in self.config["plugins"]:
            result, error = self._call("ADD", plugin, result)
            if error:
                return error
        error = self._delete(result)
        return f"once: {error}" if error and not self._delete(result) else error

    def _delete(self, result: dict) -> str | None:
        # Before 0.4.0 a plugin gets no result on DEL (api.go DelNetworkList).
        version = tuple(int(part) for part in self.config["cniVersion"].split("."))
        for plugin in reversed(self.config["plugins"]):
            error = self._call("DEL", plugin, result if version >= (0, 4, 0) else None)[1]
            if error:
                return error
        return None

    def _call(self, command: str, plugin: dict, previous: dict | None) -> tuple[dict | None, str | None]:
        wanted = [name for name, on in (plugin.get("capabilities") or {}).items() if on]
        runtime = {name: RUNTIME[name] for name in wanted if name in RUNTIME}
        config = {name: value for name, value in plugin.items() if name != "capabilities"}
        config.update(name=self.config["name"], cniVersion=self.config["cniVersion"])
        config.update({"runtimeConfig": runtime} if runtime else {}, **({"prevResult": previous} if previous else {}))
        done = subprocess.run([f"{self.folder}/{plugin['type']}"], input=json.dumps(config), env={**self.env, "CNI_COMMAND": command},
                              capture_output=True, text=True, check=False)
        if done.returncode:
            return None, f"{plugin['type']} {command}: {_error(done)}"
        return (json.loads(done.stdout) if command == "ADD" else None), None


def _error(done: subprocess.CompletedProcess) -> str:
    try:
        answer = json.loads(done.stdout)
        return f"{answer.get('msg', '')} {answer.get('details', '')}".strip()
    except ValueError:
        return (done.stdout + done.stderr)[-300:]


def _clean(pod: str) -> None:
    _command("ip", "netns", "delete", pod)
    links = [link["ifname"] for link in json.loads(_command("ip", "-json", "link"))]
    # A deleted link may take its peer along, which -force then does not mind.
    doomed = [name for name in links if name not in ("lo", UPLINK)]
    subprocess.run(["ip", "-force", "-batch", "-"], input="".join(f"link delete {name}\n" for name in doomed), text=True, check=False,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _command("nft", "flush", "ruleset")


def _main(folder: str) -> None:
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        attachment = _Attachment(folder, order["config"], order["ifname"], number)
        _command("ip", "netns", "add", attachment.pod)
        if MARK_CHAIN in line:
            for program in ("iptables", "ip6tables"):
                _command(program, "-t", "nat", "-N", MARK_CHAIN)
        try:
            print(json.dumps(attachment.run()), flush=True)
        finally:
            _clean(attachment.pod)


if __name__ == "__main__":
    _main(sys.argv[1])
