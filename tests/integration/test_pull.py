# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that fetches its own network from git or HTTP: what is there now, what is broken, and what is not there."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from testbed import Node, diff_dumps, load_network, web, wheels
from testbed.paths import CHECKOUT, COLLECTIONS, HERE

PULL = "/usr/local/sbin/kubenode-network-pull"
VAR = "/var/lib/kubenode-network-pull"
ROLE = "- hosts: all\n  gather_facts: false\n  roles: [kubenode.network.pull]\n"
PORT = 8443
CLUSTER = "10.244.0.0/16"
DOCUMENT = {
    "node_network_pod_cidrs": ["10.244.1.0/24"],
    "node_network_sysctl_bridge_nf": {},
    "node_network_kubenet_bridge": {"mtu": "1450"},
    "node_network_masquerade": {"cluster_cidrs": [CLUSTER], "node_cidrs": [], "backend": "nftables"},
    "node_network_boot": False,
}
BAD = {"node_network_pod_cidrs": ["10.244.1.0/33"]}


class Site:
    """A site's repository, as its administrators work with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"file://{path}"
        self.git("init", "--quiet", "--initial-branch=main", str(path))
        key, self.signers = path.with_name("key"), path.with_name("signers")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        self.signers.write_text(f"admin@example.com {key.with_name('key.pub').read_text()}")
        for name, value in (("gpg.format", "ssh"), ("user.signingKey", str(key)), ("commit.gpgSign", "true")):
            self.git("config", name, value)
        # An address and a way that are meant for a controller.
        self.host = {"ansible_host": "192.0.2.10", "ansible_connection": "ssh", **DOCUMENT}
        self.hosts = "node\nother\n"

    def git(self, *argv: str) -> str:
        who = ["-c", "user.name=admin", "-c", "user.email=admin@example.com"]
        folder = ["-C", str(self.path)] if self.path.exists() else []
        return subprocess.run(["git", *folder, *who, *argv], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def commit(self, *options: str, hosts: str | None = None, **variables) -> str:
        for path, text in (("inventory/hosts", hosts or self.hosts), ("inventory/host_vars/node.yml", yaml.safe_dump({**self.host, **variables}))):
            (self.path / path).parent.mkdir(parents=True, exist_ok=True)
            (self.path / path).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=x", *options)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "site")


def install(node: Node, **variables):
    play = node.playbook(ROLE, variables, env={"ANSIBLE_PIPELINING": "1"}, timeout=800)
    assert play.rc == 0, play.stdout + play.stderr
    return play


def status(node: Node) -> dict:
    return json.loads(node.read(f"{VAR}/status.json"))


def tick(node: Node, command: list[str] | None = None) -> tuple[int, str, str | None]:
    """Run once: the exit code, the result, and what failed."""
    done = node.run(command or [PULL], check=False, timeout=300)
    found = status(node)
    assert (found["stage"] is None) == (done.returncode == 0), done.stdout + done.stderr
    return done.returncode, found["result"], found["stage"]


def network(node: Node) -> dict:
    """The node's state without what the runs themselves leave behind."""
    return {key: value for key, value in node.dump().items() if key != "files"}


def mtu(node: Node) -> str:
    return node.read("/sys/class/net/cbr0/mtu").strip()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_follows_a_repository(plugin_node, site, tmp_path):
    """Installed without a package index; what is broken, unsigned or gone leaves the node as it was, and is mended by what comes next."""
    node = plugin_node
    node.write("/etc/hosts", f"127.0.1.1 {node.name}\n{node.read('/etc/hosts')}")  # as installers do; ansible-pull would ask DNS
    before = node.dump()
    galaxy = Path(sys.executable).with_name("ansible-galaxy")
    subprocess.run([galaxy, "collection", "build", CHECKOUT, "--output-path", tmp_path], check=True, stdout=subprocess.DEVNULL)
    variables = {
        "pull_url": site.url, "pull_git_version": "main", "pull_git_verify_commit": True, "pull_git_allowed_signers": str(site.signers),
        "pull_ansible_python": sys.executable, "pull_ansible_wheels": str(wheels.make(tmp_path / "wheels", "ansible-core", "pyroute2")),
        "pull_collection": str(next(tmp_path.glob("*.tar.gz"))), "pull_schedule": "cron",
        # As -e gives them.
        "pull_interval": "15", "pull_timeout": "300", "pull_git_accept_host_key": "false", "pull_now": "true",
    }  # fmt: skip
    first = site.commit()
    install(node, **variables)
    assert load_network(node)["name"] == "kubenet" and mtu(node) == "1450"
    assert status(node) == status(node) | {"result": "changed", "stage": None, "message": None, "revision": first, "tried": None, "failures": 0}
    assert "*/15 * * * * root /" in node.read("/etc/cron.d/kubenode-network-pull")
    assert '"accept_host_key": false' in node.read("/etc/kubenode-network-pull/config.json")
    assert tick(node) == (0, "unchanged", None)

    second = site.commit(node_network_kubenet_bridge={"mtu": "1400"})
    assert tick(node) == (0, "changed", None)
    assert (mtu(node), status(node)["revision"]) == ("1400", second)

    good = network(node)
    broken = site.commit(**BAD)
    node.run(["ip", "link", "set", "cbr0", "txqueuelen", "77"])
    assert tick(node) == (1, "failed", "apply")
    found = status(node)
    assert (found["revision"], found["tried"], found["failures"]) == (second, broken, 1)
    assert "nothing was changed: kubenet_bridge.pod_cidrs[0]: '10.244.1.0/33' is not a CIDR" in found["message"]
    assert diff_dumps(good, network(node)) == "", "the last good one is in force, and mends what differs from it"

    site.commit(hosts="{ no inventory")
    assert tick(node) == (1, "failed", "document")
    assert "failed to parse inventory" in status(node)["message"]

    site.commit(hosts="[node:children]\nmembers\n[members]\nother\n")
    assert tick(node) == (1, "failed", "apply")
    assert "node is a group in the inventory (expected the name of this node)" in status(node)["message"]

    site.commit("--no-gpg-sign", node_network_kubenet_bridge={"mtu": "1300"})
    assert tick(node) == (3, "failed", "fetch")
    assert "ailed to verify GPG signature" in status(node)["message"]

    site.path.rename(tmp_path / "gone")
    assert tick(node) == (3, "failed", "fetch")
    assert status(node)["failures"] == 5 and str(site.path) in status(node)["message"]
    assert (diff_dumps(good, network(node)), status(node)["revision"]) == ("", second)
    (tmp_path / "gone").rename(site.path)

    third = site.commit(node_network_kubenet_bridge={"mtu": "1420"})
    assert tick(node) == (0, "changed", None)
    assert (mtu(node), status(node)["revision"], status(node)["failures"]) == ("1420", third, 0)
    log = node.read("/var/lib/kubenode-network-pull/work/checkout/.git/logs/HEAD")
    assert log.count(" kubenode-network-pull <root@localhost> ") == len(log.splitlines()) > 5, "git has asked nobody for the node's name"

    install(node, **{**variables, "pull_state": "absent"})
    assert [path for path in node.dump()["files"] if "pull" in path and path not in before["files"]] == []
    assert mtu(node) == "1420", "the network stays"


@pytest.fixture
def served(plugin_node, tmp_path):
    """A folder that a server in the node serves by HTTPS, and a way to end and to start that server."""
    folder = tmp_path / "served"
    folder.mkdir()
    certificate = web.make_certificate(tmp_path / "key.pem", "127.0.0.1")
    argv = [sys.executable, str(HERE / "web.py"), str(folder), str(PORT), "/run/asked", str(certificate)]
    with contextlib.ExitStack() as stack:

        def start():
            process = stack.enter_context(plugin_node.popen(argv, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            assert process.stdout.readline() == "ready\n"
            return process

        yield folder, start


#: The command as the role writes it, out of this checkout.
RUNNER = """
import sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.kubenode.network.plugins.plugin_utils._pull.main import main
sys.exit(main(["--config", "/etc/pull.json"]))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_follows_a_file(plugin_node, served, tmp_path):
    node, (folder, start) = plugin_node, served

    def publish(**variables):
        (folder / "node.yml").write_text(yaml.safe_dump({**DOCUMENT, **variables}))
        names = subprocess.run(["sha256sum", "node.yml"], cwd=folder, check=True, stdout=subprocess.PIPE, text=True)
        (folder / "SHA256SUMS").write_text(names.stdout)

    server, url = start(), f"https://127.0.0.1:{PORT}/files"
    settings = {"source": "http", "url": url + "/{host}.yml", "host": "node", "checksum_url": f"{url}/SHA256SUMS", "ca": str(tmp_path / "key.pem.crt"),
                "bin_dir": str(Path(sys.executable).parent), "python": sys.executable, "state_dir": VAR, "timeout": 300}  # fmt: skip
    node.write("/etc/pull.json", json.dumps(settings), 0o600)
    command = [sys.executable, "-c", RUNNER, str(COLLECTIONS)]
    publish()
    assert tick(node, command) == (0, "changed", None)
    assert (load_network(node)["name"], mtu(node)) == ("kubenet", "1450")

    publish(node_network_kubenet_bridge={"mtu": "1400"})
    runs = [node.popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _run in range(2)]
    said = [run.communicate(timeout=300) for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 4], said
    assert sum("Make the pod network of this node" in out for out, _err in said) == 1
    assert mtu(node) == "1400"

    good, revision = network(node), status(node)["revision"]
    publish(**BAD)
    node.run(["ip", "link", "set", "cbr0", "txqueuelen", "77"])
    assert tick(node, command) == (1, "failed", "apply")
    assert "10.244.1.0/33" in status(node)["message"] and status(node)["revision"] == revision
    assert diff_dumps(good, network(node)) == "", "the last good one is in force, and mends what differs from it"

    server.kill()
    server.wait()
    assert tick(node, command) == (3, "failed", "fetch")
    assert status(node)["message"] == f"{url}/node.yml: Connection refused" and status(node)["failures"] == 2
    assert diff_dumps(good, network(node)) == ""
    modes = node.run(["find", VAR, "-type", "f", "-perm", "/077", "-not", "-path", "*/ansible/*"]).stdout.split()
    assert modes == [f"{VAR}/status.json"], "the rest is root's alone"


@pytest.mark.parametrize("variables, message", [
    ({"pull_collection": "https://x/y.tar.gz"}, "pull_url: is missing (expected the URL of a repository or of a file)"),
    ({"pull_url": "https://x/y", "pull_interval": 90}, "pull_interval: 90 is not usable (expected minutes that divide an hour, or hours that divide a day)"),
    ({"pull_url": "https://x/y", "pull_interval": "15", "pull_spread": "-1"}, "pull_spread, pull_timeout: -1, 900 are not usable (expected seconds)"),
])
def test_bad_variables_touch_nothing(node, variables, message):
    before = node.dump()
    play = node.playbook(ROLE, variables)
    failed = [json.dumps(task["result"]) for task in play.tasks if task["status"] == "failed"]
    assert play.rc == 2 and len(failed) == 1 and message in failed[0]
    assert diff_dumps(before, node.dump()) == ""
