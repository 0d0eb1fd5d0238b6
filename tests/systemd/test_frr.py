# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real router reads the routes that are exported for it."""

from __future__ import annotations

import json
import subprocess
import sys

from testbed import wait_for
from testbed.ansible import play_env
from testbed.paths import CHECKOUT
from testbed.space import clean_env
from testbed.systemd import SystemdNode

PEERS = {"node-1": {"pod_cidrs": ["10.244.1.0/24", "fd00:10:244:1::/64"], "addresses": ["198.51.100.11", "2001:db8:0:7::11"]}}


def exported(folder):
    (folder / "results").write_text("")
    (folder / "ansible.cfg").write_text("[defaults]\n")
    given = {"kubenode_network_peers": PEERS, "kubenode_network_export_file": str(folder / "frr.conf"), "ansible_python_interpreter": sys.executable}
    (folder / "vars.json").write_text(json.dumps(given))
    playbook = CHECKOUT / "playbooks" / "export_routes.yml"
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-e", f"@{folder / 'vars.json'}", str(playbook)]
    done = subprocess.run(argv, env=clean_env(play_env(str(folder))), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "frr.conf").read_text()


def test_frr_makes_the_routes(tmp_path):
    with SystemdNode("frr") as router:
        router.run(["apt-get", "-q", "-y", "--no-install-recommends", "install", "frr"], timeout=120, env={"DEBIAN_FRONTEND": "noninteractive"})
        for line in ("link add up0 type bridge", "link set up0 up", "address add 198.51.100.1/24 dev up0", "address add 2001:db8:0:7::1/64 dev up0 nodad"):
            router.run(["ip", *line.split()])
        router.write("/etc/frr/frr.conf", exported(tmp_path))
        checked = router.run(["vtysh", "-C", "-f", "/etc/frr/frr.conf"])
        assert "Unknown command" not in checked.stdout + checked.stderr
        router.run(["systemctl", "restart", "frr.service"])

        def routes():
            shown = [json.loads(router.run(["ip", "-j", f"-{family}", "route", "show", "proto", "196"]).stdout) for family in "46"]
            return {route["dst"]: route.get("gateway") for family in shown for route in family}

        wait_for(lambda: routes() == {"10.244.1.0/24": "198.51.100.11", "fd00:10:244:1::/64": "2001:db8:0:7::11"}, 20, f"FRR's routes, {routes()}")
