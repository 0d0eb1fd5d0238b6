# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._host import files


def test_look_says_what_is_there(tmp_path):
    (tmp_path / "file").write_text("x")
    os.chmod(tmp_path / "file", 0o640)
    os.utime(tmp_path / "file", (1, 1234.5))
    (tmp_path / "to-file").symlink_to("file")
    (tmp_path / "to-nowhere").symlink_to("/nowhere")
    os.mkfifo(tmp_path / "fifo")
    ours = os.geteuid(), os.getegid()
    assert files.look(str(tmp_path / "file")) == files.Entry("file", "", 0o640, *ours, 1234.5)
    assert files.look(str(tmp_path / "to-file")) == files.Entry("file", "file", 0o640, *ours, 1234.5)
    kinds = {name: files.look(str(tmp_path / name)).kind for name in ("to-nowhere", "fifo", ".")}
    assert kinds == {"to-nowhere": "link", "fifo": "other", ".": "folder"}
    assert files.look(str(tmp_path / "none")) is None and files.look(str(tmp_path / "file" / "below")) is None


MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /var/lib/cni rw - tmpfs tmpfs rw,mode=755
31 22 0:26 / /var/lib/a\040b rw shared:3 master:2 - xfs /dev/sdb rw
32 22 0:27 / /run rw - tmpfs tmpfs rw
33 32 0:28 / /run rw - ramfs none rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/var/lib/cni/networks/n", "tmpfs"), ("/var/lib/cni", "tmpfs"), ("/var/lib/cn", "ext4"), ("/var/lib/a b/x", "xfs"), ("/run/x", "ramfs"), ("/", "ext4")],
)
def test_a_file_system_is_that_of_the_innermost_mount(monkeypatch, path, kind):
    monkeypatch.setattr(files, "read_text", lambda path: MOUNTS)
    monkeypatch.setattr(os.path, "realpath", lambda path: path)
    assert files.file_system(path) == kind
