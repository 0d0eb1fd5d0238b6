# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives that are damaged, or that say of themselves what no disk can hold."""

from __future__ import annotations

import io
import os
import tarfile

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import archives


def packed(compression):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=f"w:{compression}") as archive:
        for name in ("bridge", "portmap"):
            entry = tarfile.TarInfo(name)
            entry.size = 200_000
            archive.addfile(entry, io.BytesIO(os.urandom(entry.size)))
    return bytearray(made.getvalue())


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_an_archive_that_is_damaged_in_its_middle(tmp_path, compression):
    data = packed(compression)
    middle = len(data) // 4
    data[middle : middle + 2000] = b"\xff" * 2000
    (tmp_path / "x").write_bytes(data)
    try:
        archives.list_files(str(tmp_path / "x"))
    except NodeError as error:
        assert "is not a readable tar archive: " in str(error) and "\n" not in str(error)


def test_a_sparse_file_of_terabytes(tmp_path):
    entry = tarfile.TarInfo("bridge")
    entry.type = tarfile.GNUTYPE_SPARSE
    head = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    head[483:495] = b"%011o\0" % 8_000_000_000  # its real size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    (tmp_path / "x").write_bytes(bytes(head) + bytes(1024))
    with pytest.raises(NodeError, match="it has more than 2000 MB when it is unpacked"):
        archives.list_files(str(tmp_path / "x"))
