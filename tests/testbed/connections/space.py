# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way from a controller on this machine into one of many nodes, as ssh with pipelining would be."""

from __future__ import annotations

DOCUMENTATION = """
name: space
author: the kubenode.network authors
short_description: enter the namespaces of a process
description: What ssh would do, with nsenter.
extends_documentation_fragment: [connection_pipelining]
options:
  pid:
    description: First process of the node. A node without one cannot be reached.
    type: int
    vars: [{name: space_pid}]
"""

import os  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402

from ansible.errors import AnsibleConnectionFailure  # noqa: E402
from ansible.plugins.connection import ConnectionBase  # noqa: E402
from testbed.space import NAMESPACES, Process, clean_env  # noqa: E402


class Connection(ConnectionBase):
    transport = "space"
    has_pipelining = True

    def _connect(self):
        if not self._connected and not os.path.exists(f"/proc/{self.get_option('pid')}/ns/net"):
            raise AnsibleConnectionFailure("no route to host")
        self._connected = True
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        self._connect()
        enter = ["nsenter", f"--target={self.get_option('pid')}", *NAMESPACES, "--"]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        with Process([*enter, "/bin/sh", "-c", cmd], env=clean_env(), start_new_session=True, **pipes) as process:
            try:
                out, err = process.communicate(in_data)
            except BaseException:  # the task's time is over
                process.kill()
                raise
        return process.returncode, out, err

    def put_file(self, in_path, out_path):
        super().put_file(in_path, out_path)
        self._connect()
        # Files of both sides are seen below /proc.
        shutil.copyfile(in_path, f"/proc/{self.get_option('pid')}/root{out_path}")

    def fetch_file(self, in_path, out_path):
        super().fetch_file(in_path, out_path)
        shutil.copyfile(f"/proc/{self.get_option('pid')}/root{in_path}", out_path)

    def close(self):
        self._connected = False
