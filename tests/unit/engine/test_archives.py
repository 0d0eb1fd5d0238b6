# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives that are damaged, or that say of themselves what no disk can hold."""

from __future__ import annotations

import contextlib
import io
import random
import tarfile

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import archives


def packed(compression):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=f"w:{compression}") as archive:
        for name in ("bridge", "portmap"):
            entry = tarfile.TarInfo(name)
            entry.size = 20_000
            archive.addfile(entry, io.BytesIO(random.Random(name).randbytes(entry.size)))
    return made.getvalue()


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_whatever_is_damaged_is_told_as_such(tmp_path, compression):
    chance, whole, passed = random.Random(1), packed(compression), 0
    for _number in range(200):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 255
        (tmp_path / "x").write_bytes(data)
        with contextlib.suppress(NodeError):
            archives.list_files(str(tmp_path / "x"))
            passed += 1
    assert passed < 200


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
