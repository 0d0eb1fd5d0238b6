# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Archives that are damaged, or that say of themselves what no disk can hold."""

from __future__ import annotations

import contextlib
import hashlib
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
    for number in range(200):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 255
        (tmp_path / "x").write_bytes(data)
        folder = tmp_path / str(number)
        folder.mkdir()
        with contextlib.suppress(NodeError):
            archives.unpack(str(tmp_path / "x"), {"bridge"}, str(folder))
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
        archives.unpack(str(tmp_path / "x"), {"bridge"}, str(tmp_path))


def archive_of(path, *entries):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def test_only_what_is_asked_for_is_unpacked_in_one_pass(tmp_path):
    archive_of(tmp_path / "x", ("./bridge", b"first"), ("portmap", b"other"), ("below/ptp", b"deep"), ("LICENSE", b"text"))
    found = archives.unpack(str(tmp_path / "x"), {"bridge", "ptp", "vlan"}, str(tmp_path))
    assert (found.names, found.wrong, list(found.contents)) == ({"bridge", "portmap", "LICENSE"}, [], ["bridge"])
    content = found.contents["bridge"]
    assert (b"".join(content.chunks()), content.sha256, content.movable) == (b"first", hashlib.sha256(b"first").hexdigest(), True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bridge", "x"]


def test_of_a_name_that_stands_twice_the_second_is_told(tmp_path):
    archive_of(tmp_path / "x", ("bridge", b"first"), ("./bridge", b"second"), ("../portmap", b"out"))
    found = archives.unpack(str(tmp_path / "x"), {"bridge", "portmap"}, str(tmp_path / "."))
    assert found.wrong == ["its entry 'bridge' stands twice", "its entry '../portmap' leaves the folder"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bridge", "x"]
