# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""System calls as strace writes them, and which of them change something."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from .inside import ANSWER

_CREATE = ("ENOSPC", "EIO", "EPERM", "EEXIST")
_FILE = ("ENOSPC", "EIO", "EPERM")
_PERMISSION = ("EIO", "EPERM")
#: System call -> the errors that it may fail with.
ERRORS: dict[str, tuple[str, ...]] = {
    "openat": _CREATE, "mkdir": _CREATE, "symlink": _CREATE, "link": _CREATE, "rename": _CREATE,
    "write": _FILE, "pwrite64": _FILE, "sendfile": _FILE, "copy_file_range": _FILE, "ftruncate": _FILE, "fsync": _FILE, "fdatasync": _FILE,
    "unlink": _PERMISSION, "rmdir": _PERMISSION, "chmod": _PERMISSION, "fchmod": _PERMISSION, "chown": _PERMISSION, "fchown": _PERMISSION,
    "sendto": ("EBUSY",), "sendmsg": ("EBUSY",),
    # A program that is run; how it ends is no system call of ours.
    "vfork": ("EAGAIN",), "fork": ("EAGAIN",), "clone": ("EAGAIN",), "clone3": ("EAGAIN",),
}
#: The same under the names that other C libraries and Pythons take.
for _name, _same in (("mkdir", "mkdirat"), ("symlink", "symlinkat"), ("link", "linkat"), ("rename", "renameat"), ("rename", "renameat2"),
                     ("unlink", "unlinkat"), ("chmod", "fchmodat"), ("chown", "fchownat"), ("chown", "lchown"), ("write", "writev"),
                     ("ftruncate", "truncate")):
    ERRORS[_same] = ERRORS[_name]
OPTIONS = ["-qq", "-yy", "-s", "200", "-e", f"trace={','.join(ERRORS)}"]

#: Calls that are counted by path: the kernel has those that set a sysctl of a link repeated as often as it takes.
BY_PATH = ("pwrite64",)

_LINE = re.compile(r"(?P<name>[a-z0-9_]+)\((?P<args>.*?)\)?\s+= (?P<result>.*)")
#: What is another one in every run -> what stands for it.
_PASSING = (
    (r"\.[0-9a-f]{8}\.tmp", ".XXXXXXXX.tmp"), (r"(pipe|socket|NETLINK|UNIX-STREAM|UNIX|anon_inode):\[[^]]*\]", r"\1:[]"), (r"veth[0-9a-f]{8}", "vethX"),
    (r"0x7f[0-9a-f]+", "ADDRESS"), (r"nlmsg_(seq|pid)=\d+", r"nlmsg_\1=N"), (r"[0-9a-f]{64}", "SHA256"),
    (r"\b\d+(<)", r"N\1"), (r"ns/net:\[\d+\]", "ns/net:[]"), (r"^((?:write|pwrite64)\(N</[^>]*>), .*", r"\1, ...)"),
)


class Call(NamedTuple):
    """One system call of a run. number: which one of its name it is, counted from 1, of those with this path where they are counted by
    path; text: without what changes by itself."""

    name: str
    number: int
    path: str
    text: str
    args: str
    result: str

    @property
    def key(self) -> str:
        return f"{self.name}:{self.number}" + (f"@{self.path}" if self.path else "")

    @property
    def errors(self) -> tuple[str, ...]:
        """What it may fail with."""
        if self.name in ("write", "writev") and "pipe:" in self.args:
            return ("EPIPE",)
        if self.name == "openat" and "O_EXCL" not in self.args:
            return tuple(error for error in ERRORS[self.name] if error != "EEXIST")
        return ERRORS[self.name]

    @property
    def changes(self) -> bool:
        """Whether it changes something, or is a place where a run may be: what failed by itself is none."""
        if self.args.startswith(f"{ANSWER}<") or self.result.startswith(("-1", "?")):
            return False
        if self.name == "openat":
            return re.search(r"O_WRONLY|O_RDWR|O_CREAT", self.args) is not None and '"/dev/null"' not in self.args
        if self.name in ("sendto", "sendmsg"):
            return "NETLINK" in self.args and not _only_asks(self.args)
        if self.name in ("write", "writev"):
            return re.match(r"\d+<(UNIX|anon_inode|socket)", self.args) is None
        return True


def _only_asks(message: str) -> bool:
    """Whether a message to rtnetlink changes nothing. Of the first one at a socket, strace knows the number only; each kind of object
    has four: new, delete, get, set (linux/rtnetlink.h)."""
    number = re.search(r"nlmsg_type=0x([0-9a-f]+)", message)
    return "RTM_GET" in message or (number is not None and int(number[1], 16) % 4 == 2)


def read(text: str) -> list[Call]:
    """The calls of a trace in their order, without those that the kernel has repeated."""
    counts: Counter[tuple[str, str]] = Counter()
    calls = []
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found and found["name"] in ERRORS and not found["result"].startswith("? ERESTART"):
            path = re.match(r"\d+<([^>]*)>", found["args"])[1] if found["name"] in BY_PATH else ""
            counts[found["name"], path] += 1
            calls.append(Call(found["name"], counts[found["name"], path], path, _lasting(line), found["args"], found["result"]))
    return calls


def _lasting(line: str) -> str:
    """The call without its result, nor what is another one in every run."""
    text = _LINE.sub(r"\g<name>(\g<args>)", line)
    for pattern, stands in _PASSING:
        text = re.sub(pattern, stands, text)
    return text


def inject(key: str, what: str) -> list[str]:
    """What tells strace to do something at a call."""
    place, _at, path = key.partition("@")
    name, _colon, number = place.partition(":")
    return ["-e", f"inject={name}:{what}:when={number}", *(["-P", path] if path else [])]


def injected(text: str, key: str) -> Call | None:
    """The call of a trace at which a fault was injected, None where the run did not come so far."""
    return next((call for call in read(text) if call.key == key), None)


def changing(calls: Iterable[Call]) -> list[Call]:
    return [call for call in calls if call.changes]
