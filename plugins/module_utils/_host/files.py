# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import stat
import time
import typing as t

from .._errors import NodeError
from .process import changing

#: Contents that were found on the node and may be wanted back, each under its SHA-256.
STORE = "/var/lib/kubenode-network/found"
#: What a run unpacks for itself. Beside the store, and so on most nodes on the file system of what is to be moved into place.
SCRATCH = "/var/lib/kubenode-network/unpacked"
CHUNK = 1 << 20
LONGEST_TEXT = 64 << 20  # bytes
#: There where SELinux is on.
SELINUX = "/sys/fs/selinux/enforce"


class Content(t.Protocol):
    """Bytes to be written, with their SHA-256 known beforehand."""

    @property
    def sha256(self) -> str: ...

    def chunks(self) -> t.Iterator[bytes]: ...


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.sha256 = hashlib.sha256(data).hexdigest()

    def chunks(self) -> t.Iterator[bytes]:
        yield self.data


class FileContent:
    """The content of a file, read when it is needed. ``movable``: the file is one that this run made for itself, and may be put in place
    instead of a copy."""

    def __init__(self, path: str, sha256: str | None = None, *, movable: bool = False) -> None:
        self.path = path
        self.sha256 = sha256 or sha256_of(path)
        self.movable = movable

    def chunks(self) -> t.Iterator[bytes]:
        with open(self.path, "rb") as file:
            yield from iter(lambda: file.read(CHUNK), b"")


def sha256_of(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def read_text(path: str) -> str | None:
    """The file's text, None when there is none; bytes that are not UTF-8 are replaced. A pipe would be waited for, and a
    device read without end, so nothing but a file is read."""
    try:
        with open(path, encoding="utf-8", errors="replace", opener=_without_waiting) as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise NodeError(f"{path} cannot be read: it is neither a file nor a link to one")
            if info.st_size > LONGEST_TEXT:
                raise NodeError(f"{path} cannot be read: it has more than {LONGEST_TEXT >> 20} MiB (expected a text)")
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise NodeError(f"{path} cannot be read: {error.strerror}") from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def read_bytes(path: str) -> bytes | None:
    """The file's content, None when there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise NodeError(f"{path} cannot be read: {error.strerror}") from error


def state(path: str, hashed: t.Callable[[str], str] = sha256_of) -> dict[str, t.Any] | None:
    """``{"sha256", "mode" ("0644"), "owner" (uid), "group" (gid)}``, ``{"symlink": target}`` or None."""
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            return {"symlink": os.readlink(path)}
        if not stat.S_ISREG(info.st_mode):
            raise NodeError(f"{path} is neither a file nor a symbolic link")
        return {"sha256": hashed(path), "mode": f"{stat.S_IMODE(info.st_mode):04o}", "owner": info.st_uid, "group": info.st_gid}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise NodeError(f"{path} cannot be read: {error.strerror}") from error


def write(path: str, content: Content, *, mode: int, owner: int = 0, group: int = 0) -> None:
    """Puts a whole file in place by one rename within its folder.

    A loader that watches the folder sees nothing but the rename: the temporary name ends in ``.tmp``, which no loader
    of CNI configuration reads, and the file is complete, labelled and synced before (cni.md section 8).
    """
    changing()
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    sweep(path)
    try:
        is_moved = _move(content, temporary)
        descriptor = os.open(temporary, os.O_WRONLY | (0 if is_moved else os.O_CREAT | os.O_EXCL) | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            if not is_moved:
                _fill(file, content, path)
                file.flush()  # before the mode: a later write would take set-user-id bits away
            os.fchown(descriptor, owner, group)
            os.fchmod(descriptor, mode)
            _label(temporary, path)
            os.fsync(descriptor)
        os.rename(temporary, path)
        _sync_folder(folder)
    except OSError as error:
        raise NodeError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _move(content: Content, path: str) -> bool:
    """Whether the content's own file could be moved: not to another file system."""
    if not isinstance(content, FileContent) or not content.movable:
        return False
    try:
        os.rename(content.path, path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return False
    return True


def make_scratch() -> str:
    """A new empty folder, which one run at a time may have."""
    clear_scratch()
    make_folder(os.path.dirname(SCRATCH), 0o700)
    make_folder(SCRATCH, 0o700)
    return SCRATCH


def clear_scratch() -> None:
    """Removes that folder, as far as it can be; the next run does the rest."""
    changing()
    shutil.rmtree(SCRATCH, ignore_errors=True)
    with contextlib.suppress(NodeError, OSError):
        remove_folder(os.path.dirname(SCRATCH))


def sweep(path: str) -> None:
    """Removes temporary files of runs that were killed while they wrote this file; the lock keeps living ones out."""
    folder, name = os.path.split(path)
    for entry in entries(folder):
        if re.fullmatch(rf"\.{re.escape(name)}\.[0-9a-f]{{8}}\.tmp", entry):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, entry))


def _fill(file: t.BinaryIO, content: Content, path: str) -> None:
    digest = hashlib.sha256()
    for chunk in content.chunks():
        digest.update(chunk)
        file.write(chunk)
    if digest.hexdigest() != content.sha256:
        raise NodeError(f"{path} was not written: its source changed while it was read")


def _label(temporary: str, path: str) -> None:
    """Gives the file the SELinux label of its final name; before the rename, or a loader might be denied."""
    if not os.path.exists(SELINUX):
        return
    import selinux  # only there on SELinux hosts, as a package of the distribution that Ansible itself asks for

    selinux.lsetfilecon(temporary, selinux.matchpathcon(path, stat.S_IFREG)[1])


def symlink(path: str, target: str) -> None:
    changing()
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.urandom(4).hex()}.tmp")
    sweep(path)
    try:
        os.symlink(target, temporary)
        os.rename(temporary, path)
        _sync_folder(folder)
    except OSError as error:
        raise NodeError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def rename(path: str, new: str) -> None:
    """Gives a file another name in its folder, in place of whatever has that name."""
    changing()
    try:
        os.rename(path, new)
        _sync_folder(os.path.dirname(new))
    except OSError as error:
        raise NodeError(f"{path} cannot be renamed to {new}: {error.strerror}") from error


def chown_chmod(path: str, *, mode: int, owner: int, group: int) -> None:
    changing()
    try:
        os.chown(path, owner, group)
        os.chmod(path, mode)
    except OSError as error:
        raise NodeError(f"owner and mode of {path} cannot be changed: {error.strerror}") from error


def remove(path: str) -> None:
    changing()
    try:
        os.unlink(path)
        _sync_folder(os.path.dirname(path))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise NodeError(f"{path} cannot be removed: {error.strerror}") from error


class Entry(t.NamedTuple):
    """What is at a path, behind a symbolic link. ``kind`` is file, folder, other, or link for one that leads nowhere; ``link``
    is where a symbolic link leads, "" for what is none. ``modified``: seconds since the epoch."""

    kind: str
    link: str
    mode: int
    owner: int
    group: int
    modified: float


def look(path: str) -> Entry | None:
    """What is at a path, None when nothing is."""
    try:
        own = os.lstat(path)
        link = os.readlink(path) if stat.S_ISLNK(own.st_mode) else ""
        info = _behind(path) or own
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise NodeError(f"{path} cannot be read: {error.strerror}") from error
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    return Entry(kinds.get(stat.S_IFMT(info.st_mode), "other"), link, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime)


def _behind(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def file_system(path: str) -> str:
    """The type of the file system that a path is on, or would be: ``ext4``, ``tmpfs`` (proc_pid_mountinfo(5)); "" when unknown."""
    real, best, kind = os.path.realpath(path), "", ""
    for line in (read_text("/proc/self/mountinfo") or "").splitlines():
        before, _dash, after = line.partition(" - ")
        point = unescaped(before.split()[4])
        if len(point) >= len(best) and (real == point or real.startswith(point.rstrip("/") + "/")):
            best, kind = point, after.split()[0]  # of two mounts at one place the later one counts
    return kind


def unescaped(text: str) -> str:
    """A path as proc_pid_mountinfo(5) writes it, with ``\\040`` for a space."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def folder_state(path: str) -> dict[str, t.Any] | None:
    """``{"mode", "owner", "group"}`` or None. A symbolic link to a folder counts as the folder."""
    try:
        info = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):
            raise NodeError(f"{path} is a symbolic link that leads nowhere") from None
        return None
    if not stat.S_ISDIR(info.st_mode):
        raise NodeError(f"{path} is there but is not a folder")
    return {"mode": f"{stat.S_IMODE(info.st_mode):04o}", "owner": info.st_uid, "group": info.st_gid}


def make_folder(path: str, mode: int) -> None:
    """Makes the folder and its missing parents (0755), whatever the umask."""
    if os.path.isdir(path):
        return
    changing()
    parent = os.path.dirname(path)
    make_folder(parent, 0o755)
    try:
        os.mkdir(path, mode)  # never open to more than it is meant for, whatever ends the run here
        os.chmod(path, mode)
        _sync_folder(parent)
    except OSError as error:
        raise NodeError(f"{path} cannot be made: {error.strerror}") from error


def remove_folder(path: str) -> None:
    """Removes the folder if it is empty; one in use stays."""
    changing()
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EBUSY):
            raise NodeError(f"{path} cannot be removed: {error.strerror}") from error


def entries(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def keep(path: str, sha256: str) -> None:
    """Keeps the file's content in the store, so that it can be written back later."""
    keep_content(FileContent(path, sha256))  # no hard link: others may write to the file in place


def keep_content(content: Content) -> None:
    kept = os.path.join(STORE, content.sha256)
    if os.path.exists(kept) and sha256_of(kept) == content.sha256:
        return
    make_folder(os.path.dirname(STORE), 0o700)
    make_folder(STORE, 0o700)
    write(kept, content, mode=0o600)


def kept(sha256: str) -> Content:
    path = os.path.join(STORE, sha256)
    if not os.path.exists(path):
        raise NodeError(f"the content that was found here before is no longer in {STORE} ({sha256})")
    return FileContent(path, sha256)


def forget(hashes: t.Iterable[str]) -> None:
    """Drops contents from the store, and the store's folders when they are empty."""
    with contextlib.suppress(OSError, NodeError):  # what is left over does no harm, and the work itself is done
        for sha256 in hashes:
            remove(os.path.join(STORE, sha256))
        remove_folder(STORE)
        remove_folder(os.path.dirname(STORE))


@contextlib.contextmanager
def locked(path: str, seconds: float = 60, holder: str = "") -> t.Iterator[None]:
    """Holds a lock on this node, in the name of ``holder``; waits for another run that has it. The kernel drops it when the
    process ends."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NodeError(f"{path} cannot be locked: {error.strerror}") from error
    try:
        _wait_for_lock(descriptor, path, seconds)
        _say_who_holds(descriptor, path, holder or f"process {os.getpid()}")
        yield
    finally:
        os.close(descriptor)


def holder_of(path: str) -> str | None:
    """Who holds the lock now, None for nobody. Waits for no one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        return _holder_in(descriptor)
    finally:
        os.close(descriptor)


def _holder_in(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"


def _say_who_holds(descriptor: int, path: str, holder: str) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{holder}\n".encode(), 0)
    except OSError as error:
        raise NodeError(f"{path} cannot be written: {error.strerror}") from error


def _wait_for_lock(descriptor: int, path: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise NodeError(f"{_holder_in(descriptor)} has held {path} for {seconds:.0f} s; try again when it is done") from None
            time.sleep(0.1)


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
