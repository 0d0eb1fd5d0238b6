# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every function of `_host` that changes something or runs a program, with every fault at each of its calls.

It raises a NodeError that names what it is about, or succeeds. A file that was there is as it was, or wholly new; nothing is left
beside it that the same call would not clear away next time.
"""

from __future__ import annotations

import builtins
import errno
import functools
import io
import json
import os
import re
import shutil
import stat
import struct
import subprocess
import tarfile
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import (
    archives,
    bytecode,
    code,
    download,
    files,
    firewall,
    iptables,
    kept,
    leases,
    links,
    namespaces,
    nft,
    packages,
    plugins,
    process,
    routes,
    rtnetlink,
    services,
    sysctls,
)
from pyroute2.netlink.exceptions import NetlinkError

from faults.calls import changing_functions

OLD, NEW = b"what was there\n", b"what is wanted\n"
OWN = {"owner": os.getuid(), "group": os.getgid()}
ERRNOS = (errno.ENOSPC, errno.EIO, errno.EPERM, errno.EEXIST, errno.EROFS, errno.EBUSY)
OF_NETLINK = (errno.EBUSY, errno.EPERM, errno.ENODEV)
#: Functions of ``os`` that change something; ``open`` only where it is asked to write.
OF_OS = ("chmod", "chown", "fchmod", "fchown", "fsync", "ftruncate", "mkdir", "open", "pwrite", "rename", "rmdir", "symlink", "unlink")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
BRIDGE_TABLE = {"nftables": [{"table": {"family": "bridge", "name": "t"}}]}
#: What programs print, by words of their command lines; others print nothing.
SAID = (
    ("--version", "iptables v1.8.9 (nf_tables)\n"), ("-j link", "[]"), ("ip -j", "[]"), ("nft -j", json.dumps(BRIDGE_TABLE)), ("-L OUTPUT", "-j kubenode\n"),
    ("-L kubenode", "-p IPv4 -j DROP\n"), ("plugin", '{"supportedVersions": ["0.4.0"]}'), ("nsenter", "Inter-|\n"),
)


class Fault(NamedTuple):
    """``make``: the exception that a call raises, or what a program gives."""

    name: str
    make: Callable[[], Any]


FAULTS = {
    "file": [Fault(errno.errorcode[number], lambda number=number: OSError(number, os.strerror(number))) for number in ERRNOS],
    "program": [
        Fault("EAGAIN", lambda: BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))),
        Fault("not installed", lambda: FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))),
        Fault("too slow", lambda: subprocess.TimeoutExpired("program", 60)),
        Fault("fails", lambda: subprocess.CompletedProcess([], 1, "", "Cannot allocate memory\n")),
        Fault("locked", lambda: subprocess.CompletedProcess([], 4, "", "Another app is currently holding the xtables lock.\n")),
        Fault("killed", lambda: subprocess.CompletedProcess([], -9, "", "")),
    ],
    "netlink": [
        *(Fault(errno.errorcode[number], lambda number=number: NetlinkError(number, os.strerror(number))) for number in OF_NETLINK),
        Fault("ENOBUFS", lambda: OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))),
    ],
    "rtnetlink": [
        *(Fault(errno.errorcode[number], lambda number=number: OSError(number, os.strerror(number))) for number in (errno.ENOBUFS, errno.EPERM)),
        Fault("refused", lambda: errno.ENETUNREACH),
    ],
}


class Injector:
    """Notes the kinds of the calls that are made, and lets one of them, counted from 0, go wrong."""

    def __init__(self, number: int = -1, fault: Fault | None = None) -> None:
        self.kinds: list[str] = []
        self.names: list[str] = []
        self._number, self._fault = number, fault

    def hit(self, kind: str, name: str) -> Any:
        """Raises, or returns what a program gives instead of its answer; None where nothing goes wrong."""
        self.kinds.append(kind)
        self.names.append(name)
        if len(self.kinds) - 1 != self._number:
            return None
        made = self._fault.make()
        if isinstance(made, Exception):
            raise made
        return made


class File:
    """A file whose writes may go wrong."""

    def __init__(self, real: Any, injector: Injector) -> None:
        self._real, self._injector = real, injector

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self._real.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def write(self, data: Any) -> int:
        self._injector.hit("file", "write")
        return self._real.write(data)

    def flush(self) -> None:
        self._injector.hit("file", "flush")
        self._real.flush()


class Netlink:
    """pyroute2's IPRoute, as far as it is used."""

    def __init__(self, injector: Injector) -> None:
        injector.hit("netlink", "open")
        self._injector = injector

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def link_lookup(self, **_: Any) -> list[int]:
        self._injector.hit("netlink", "link_lookup")
        return [7]

    def get_links(self, *_: Any) -> list[Any]:
        self._injector.hit("netlink", "get_links")
        return [types.SimpleNamespace(get_attr=lambda _name: 1400)]

    def link(self, *_: Any, **__: Any) -> None:
        self._injector.hit("netlink", "link")

    addr = link


class Kernel:
    """A socket to the kernel that takes every change, or refuses the first of those that were sent."""

    def __init__(self, injector: Injector) -> None:
        injector.hit("rtnetlink", "socket")
        self._injector, self._sent = injector, []

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def setsockopt(self, *_: int) -> None:
        pass

    def send(self, data: bytes) -> None:
        self._injector.hit("rtnetlink", "send")
        self._sent = [sequence for _kind, _flags, sequence, _body in rtnetlink._messages(data)]

    def recv(self, _size: int) -> bytes:
        refused = self._injector.hit("rtnetlink", "recv")
        answers = [*([(self._sent[0], -refused)] if refused else []), (self._sent[-1], 0)]
        return b"".join(rtnetlink.HEADER.pack(20, rtnetlink.NLMSG_ERROR, 0, number, 0) + struct.pack("=i", error) for number, error in answers)


def inject(monkeypatch: pytest.MonkeyPatch, injector: Injector) -> None:
    for name in OF_OS:
        monkeypatch.setattr(os, name, _failing(injector, name, getattr(os, name)))
    real_open = builtins.open

    def opening(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if not set(mode) & set("wax+"):
            return real_open(file, mode, *args, **options)
        if not isinstance(file, int):
            injector.hit("file", "open")
        return File(real_open(file, mode, *args, **options), injector)

    monkeypatch.setattr(builtins, "open", opening)
    monkeypatch.setattr(subprocess, "Popen", functools.partial(Started, injector))
    monkeypatch.setattr(links, "_netlink", lambda: Netlink(injector))
    monkeypatch.setattr(rtnetlink, "_opened", lambda: Kernel(injector))


def _failing(injector: Injector, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        if name != "open" or args[1] & WRITING:
            injector.hit("file", name)
        return real(*args, **options)

    return call


class Started:
    """A program: the answer that it would give, or none within any time."""

    def __init__(self, injector: Injector, argv: list[str], **_: Any) -> None:
        line = " ".join(argv)
        said = next((text for words, text in SAID if words in line), "")
        self.args, self.stdout, self._late = argv, io.BytesIO(), None
        try:
            self._result = injector.hit("program", line) or subprocess.CompletedProcess(argv, 0, said, "")
        except subprocess.TimeoutExpired as error:  # which to start does not
            self._result, self._late = subprocess.CompletedProcess(argv, 1, "", ""), error

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def returncode(self) -> int:
        return self._result.returncode

    def communicate(self, _input: str | None, _timeout: float) -> tuple[str, str]:
        if self._late:
            raise self._late
        return self._result.stdout, self._result.stderr

    def kill(self) -> None:
        self._late = None

    def wait(self) -> int:
        return self._result.returncode


class Case(NamedTuple):
    """``call`` gets a folder with what ``furnish`` puts there; ``named``: what an error has to name, {} being that folder."""

    call: Callable[[str], Any]
    named: str = "{}/existing"


def _enter(manager: Any) -> None:
    with manager:
        pass


def _sweep(folder: str) -> None:
    Path(folder, "empty", ".new.00c0ffee.tmp").write_bytes(OLD)
    files.sweep(f"{folder}/empty/new")


def _lease(folder: str) -> leases.Lease:
    return leases.Lease("10.0.0.2", "c", "eth0", f"{folder}/existing", 0.0)


def _save_probes(folder: str) -> None:
    probes = plugins.Probes()
    probes.of("/bin/true", lambda _path: plugins.Probe())
    probes.save(f"{folder}/existing")


def _save_facts(folder: str) -> None:
    path, kept.PATH = kept.PATH, f"{folder}/existing"
    try:
        kept.Table({}).save()
    finally:
        kept.PATH = path


def _archive() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("package/__init__.py"), "")
    return made.getvalue()


def _keep_code(folder: str) -> None:
    importer = bytecode.Importer(_archive(), "package", "", {})
    importer.has_new_code = importer.is_new = True
    before = bytecode.CACHE, bytecode.ENGINE, code._importer
    bytecode.CACHE, bytecode.ENGINE, code._importer = f"{folder}/existing", f"{folder}/new", lambda: importer
    try:
        code.keep()
    finally:
        bytecode.CACHE, bytecode.ENGINE, code._importer = before


def _with_store(act: Callable[[str], Any]) -> Callable[[str], Any]:
    def call(folder: str) -> Any:
        store, files.STORE = files.STORE, f"{folder}/store"
        try:
            return act(folder)
        finally:
            files.STORE = store

    return call


def _below(module: Any, name: str, act: Callable[[], Any]) -> Callable[[str], Any]:
    """With a folder instead of /proc/sys or /sys/class/net."""
    def call(folder: str) -> Any:
        root = getattr(module, name)
        setattr(module, name, folder)
        try:
            return act()
        finally:
            setattr(module, name, root)

    return call


def _with_scratch(act: Callable[[], Any]) -> Callable[[str], Any]:
    return lambda folder: _below(files, "SCRATCH", act)(f"{folder}/scratch/unpacked")


def _told(program: str, answers: list[process.Answer]) -> None:
    for answer in answers:
        process.an_answer([program], answer)


def _fetch(folder: str) -> str:
    chunks = download._chunks
    download._chunks = lambda _url, _limit: iter([NEW])
    try:
        return download.fetch("https://example.com/x", f"{folder}/new", "sha256", limit=100)
    finally:
        download._chunks = chunks


_TABLE, _CHAIN, _MANAGER = "kubenode", "kubenode", "apt-get"
_LINK = "cbr0"
CASES: dict[str, Case] = {
    "archives.copy": Case(lambda folder: archives.copy(f"{folder}/existing", f"{folder}/new", "sha256")),
    "archives.unpack": Case(lambda folder: archives.unpack(f"{folder}/archive.tar", {"bridge"}, folder), "bridge"),
    "code.keep": Case(_keep_code),
    "download.fetch": Case(_fetch, "{}/new"),
    "files.chown_chmod": Case(lambda folder: files.chown_chmod(f"{folder}/existing", mode=0o640, **OWN)),
    "files.clear_scratch": Case(_with_scratch(files.clear_scratch)),
    "files.forget": Case(_with_store(lambda folder: files.forget(["kept"])), "{}/store"),
    "files.keep": Case(_with_store(lambda folder: files.keep(f"{folder}/existing", files.sha256_of(f"{folder}/existing"))), "{}/store"),
    "files.keep_content": Case(_with_store(lambda folder: files.keep_content(files.Bytes(NEW))), "{}/store"),
    "files.locked": Case(lambda folder: _enter(files.locked(f"{folder}/lock", 0)), "{}/lock"),
    "files.make_scratch": Case(_with_scratch(files.make_scratch), "{}/scratch"),
    "files.make_folder": Case(lambda folder: files.make_folder(f"{folder}/made/below", 0o700), "{}/made"),
    "files.remove": Case(lambda folder: files.remove(f"{folder}/existing")),
    "files.remove_folder": Case(lambda folder: files.remove_folder(f"{folder}/empty"), "{}/empty"),
    "files.rename": Case(lambda folder: files.rename(f"{folder}/existing", f"{folder}/renamed")),
    "files.sweep": Case(_sweep),
    "files.symlink": Case(lambda folder: files.symlink(f"{folder}/existing", "target")),
    "files.write": Case(lambda folder: files.write(f"{folder}/existing", files.Bytes(NEW), mode=0o640, **OWN)),
    "firewall.delete_bridge_table": Case(lambda _folder: firewall.delete_bridge_table(_TABLE), "nft"),
    "firewall.delete_ebtables_chain": Case(lambda _folder: firewall.delete_ebtables_chain(_CHAIN), "ebtables"),
    "firewall.ebtables_works": Case(lambda _folder: firewall.ebtables_works(), "ebtables"),
    "firewall.holds_bridge_chain": Case(lambda _folder: firewall.holds_bridge_chain(_CHAIN), "nft|ebtables"),
    "firewall.legacy_chains": Case(lambda _folder: firewall.legacy_chains("ipv4"), "iptables"),
    "firewall.nft_chains": Case(lambda _folder: firewall.nft_chains(), "nft"),
    "firewall.program_version": Case(lambda _folder: firewall.program_version("iptables"), "iptables"),
    "firewall.read_bridge_table": Case(lambda _folder: firewall.read_bridge_table(_TABLE), "nft"),
    "firewall.read_ebtables_chain": Case(lambda _folder: firewall.read_ebtables_chain(_CHAIN), "ebtables"),
    "firewall.replace_bridge_table": Case(lambda _folder: firewall.replace_bridge_table(_TABLE, ["drop"]), "nft"),
    "firewall.replace_ebtables_chain": Case(lambda _folder: firewall.replace_ebtables_chain(_CHAIN, ["-p IPv6 -j DROP"]), "ebtables"),
    "firewall.saved_nft_chains": Case(lambda _folder: firewall.saved_nft_chains("ipv4"), "iptables"),
    "iptables.answers": Case(lambda _folder: iptables.answers("nft", "ipv4"), "iptables"),
    "iptables.change": Case(lambda _folder: iptables.change("nft", "ipv4", "nat", ["-N X"]), "iptables"),
    "iptables.default_variant": Case(lambda _folder: iptables.default_variant("ipv4"), "iptables"),
    "iptables.installed": Case(lambda _folder: iptables.installed("nft", "ipv4"), "iptables"),
    "iptables.knows_random_fully": Case(lambda _folder: iptables.knows_random_fully("nft", "ipv4"), "iptables"),
    "iptables.program": Case(lambda _folder: iptables.program("nft", "ipv4"), "iptables"),
    "iptables.read": Case(lambda _folder: iptables.read("nft", "ipv4", "nat"), "iptables"),
    "kept.Table.save": Case(_save_facts),
    "leases.plugin_lock": Case(lambda folder: _enter(leases.plugin_lock(folder, 0)), "{}/lock"),
    "leases.remove": Case(lambda folder: leases.remove(_lease(folder))),
    "links.add_address": Case(lambda _folder: links.add_address(_LINK, "fd00::1/64"), _LINK),
    "links.attach": Case(lambda _folder: links.attach("veth0", _LINK), "ip"),
    "links.create_bridge": Case(lambda _folder: links.create_bridge(_LINK, "02:00:00:00:00:01"), _LINK),
    "links.delete_address": Case(lambda _folder: links.delete_address(_LINK, "10.0.0.1/24"), _LINK),
    "links.delete_link": Case(lambda _folder: links.delete_link(_LINK), _LINK),
    "links.read_links": Case(lambda _folder: links.read_links(), "ip"),
    "links.set_flags": Case(lambda _folder: links.set_flags(_LINK, up=True), _LINK),
    "links.set_hairpin": Case(lambda _folder: links.set_hairpin("veth0", True), "ip"),
    "links.set_mac": Case(lambda _folder: links.set_mac(_LINK, "02:00:00:00:00:01"), _LINK),
    "links.set_mtu": Case(lambda _folder: links.set_mtu(_LINK, 1400), _LINK),
    "links.set_txqueuelen": Case(lambda _folder: links.set_txqueuelen(_LINK, 7), _LINK),
    "namespaces.addresses": Case(lambda _folder: namespaces.addresses(), "namespace|nsenter"),
    "nft.chains": Case(lambda _folder: nft.chains(), "nft"),
    "nft.has_chain": Case(lambda _folder: nft.has_chain("ipv4", "nat", "POSTROUTING"), "nft"),
    "nft.add_base_chain": Case(lambda _folder: nft.add_base_chain("ipv4", "nat", "POSTROUTING", "nat", "postrouting", 100), "nft"),
    "nft.delete_chain": Case(lambda _folder: nft.delete_chain("ipv4", "nat", "POSTROUTING"), "nft"),
    "nft.delete_table": Case(lambda _folder: nft.delete_table("ipv4", _TABLE), "nft"),
    "nft.has_table": Case(lambda _folder: nft.has_table("ipv4", _TABLE), "nft"),
    "nft.load_table": Case(lambda _folder: nft.load_table("ipv4", _TABLE, []), "nft"),
    "nft.read_table": Case(lambda _folder: nft.read_table("ipv4", _TABLE), "nft"),
    "nft.replace_table": Case(lambda _folder: nft.replace_table("ipv4", _TABLE, ""), "nft"),
    "nft.speaks_json": Case(lambda _folder: nft.speaks_json(), "nft"),
    "packages.files_of": Case(lambda _folder: packages.files_of("p", _MANAGER), "dpkg-query"),
    "packages.install": Case(lambda _folder: packages.install("p", _MANAGER), "apt-get"),
    "packages.is_needed": Case(lambda _folder: packages.is_needed("p", _MANAGER), "dpkg"),
    "packages.is_whole": Case(lambda _folder: packages.is_whole("p", _MANAGER), "dpkg-query"),
    "packages.owners": Case(lambda _folder: packages.owners(["/bin/true"], _MANAGER), "dpkg-query"),
    "packages.remove": Case(lambda _folder: packages.remove("p", _MANAGER), "dpkg"),
    "packages.unpack": Case(lambda folder: packages.unpack("p", _MANAGER, f"{folder}/downloaded"), "apt-get|dpkg-deb|{}/downloaded"),
    "plugins.Probes.save": Case(_save_probes),
    "plugins.abouts": Case(lambda folder: plugins.abouts([f"{folder}/plugin"]), "{}/plugin"),
    "plugins.ask_release": Case(lambda folder: _told(f"{folder}/plugin", list(filter(None, plugins.ask_release(f"{folder}/plugin")))), "{}/plugin"),
    "plugins.ask_versions": Case(lambda folder: _told(f"{folder}/plugin", plugins.ask_versions([f"{folder}/plugin"] * 2)), "{}/plugin"),
    "plugins.probe": Case(lambda folder: plugins.probe(f"{folder}/plugin"), "{}/plugin"),
    "plugins.probe_reference": Case(lambda folder: plugins.probe_reference(f"{folder}/plugin"), "{}/plugin"),
    "plugins.probe_runtime": Case(lambda folder: plugins.probe_runtime(f"{folder}/plugin"), "{}/plugin"),
    "plugins.supported_versions": Case(lambda folder: plugins.supported_versions(f"{folder}/plugin"), "{}/plugin"),
    "process.ask_each": Case(lambda _folder: _told("program", process.ask_each([process.Question(["program"])] * 2)), "program"),
    "process.look": Case(lambda _folder: process.look(["program"]), "program"),
    "process.seen": Case(lambda _folder: process.seen(["program"]), "program"),
    "process.output": Case(lambda _folder: process.output(["program"]), "program"),
    "process.pipe": Case(lambda folder: process.pipe([["first"], ["second"]], cwd=folder), "first|second"),
    "process.run": Case(lambda _folder: process.run(["program"]), "program"),
    "routes.change_own": Case(lambda _folder: routes.change_own({"10.244.2.0/24": "192.0.2.12"}, {}, []), "10.244.2.0/24|the routes"),
    "services.forget_unit": Case(lambda _folder: services.forget_unit("x.service"), "systemctl"),
    "services.is_active": Case(lambda _folder: services.is_active("x.service"), "systemctl"),
    "services.reload_network_manager": Case(lambda _folder: services.reload_network_manager(), "nmcli|systemctl"),
    "services.reload_networkd": Case(lambda _folder: services.reload_networkd(), "networkctl|systemctl"),
    "services.reload_systemd": Case(lambda _folder: services.reload_systemd(), "systemctl"),
    "services.reload_udev": Case(lambda _folder: services.reload_udev(), "udevadm"),
    "services.start": Case(lambda _folder: services.start("x.service"), "systemctl"),
    "services.stop": Case(lambda _folder: services.stop("x.service"), "systemctl"),
    "services.start_enabled": Case(lambda _folder: services.start_enabled("x.service"), "systemctl"),
    "services.start_detached": Case(lambda _folder: services.start_detached(["guard"], "x.service"), "guard|systemd-run"),
    "sysctls.load_module": Case(lambda _folder: sysctls.load_module("br_netfilter"), "modprobe"),
    "sysctls.reload_udev": Case(lambda _folder: sysctls.reload_udev(), "udevadm"),
    "sysctls.write": Case(_below(sysctls, "ROOT", lambda: sysctls.write("net/ip_forward", "1")), "net/ip_forward"),
    "sysctls.write_bridge_nf": Case(_below(sysctls, "LINKS", lambda: sysctls.write_bridge_nf(_LINK, "iptables", "1")), _LINK),
}
#: What may be new or gone behind a call, of what it works on.
OF_A_CALL = {
    "archives.copy": {"new"}, "archives.unpack": {"bridge"}, "download.fetch": {"new"}, "files.forget": {"store", "store/kept"}, "files.locked": {"lock"},
    "files.clear_scratch": {"scratch", "scratch/unpacked", "scratch/unpacked/old"},
    "files.make_scratch": {"scratch", "scratch/unpacked", "scratch/unpacked/old"},
    "files.make_folder": {"made", "made/below"}, "files.remove": {"existing"}, "files.remove_folder": {"empty"}, "files.rename": {"existing", "renamed"},
    "leases.plugin_lock": {"lock"}, "leases.remove": {"existing"}, "packages.unpack": {"downloaded/.root"}, "sysctls.write": {"net/ip_forward"},
    "sysctls.write_bridge_nf": {"cbr0/bridge/nf_call_iptables"},
}


def furnish(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    for name in ("empty", "store", "net", "cbr0/bridge", "downloaded", "scratch/unpacked"):
        (folder / name).mkdir(parents=True)
    for name in ("existing", "store/kept", "net/ip_forward", "cbr0/bridge/nf_call_iptables", "downloaded/p_1.deb", "scratch/unpacked/old"):
        (folder / name).write_bytes(OLD)
    (folder / "existing").chmod(0o640)
    (folder / "plugin").write_text('json:"ranges"')
    (folder / "plugin").chmod(0o755)
    with tarfile.open(folder / "archive.tar", "w") as archive:
        entry = tarfile.TarInfo("./bridge")
        entry.size = len(NEW)
        archive.addfile(entry, io.BytesIO(NEW))


def look(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        kind = stat.S_IFMT(path.lstat().st_mode)
        found[str(path.relative_to(folder))] = path.read_bytes() if kind == stat.S_IFREG else kind
    return found


def carry_out(case: Case, folder: Path, injector: Injector, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """The error of the call, None where it succeeds."""
    kept.distrust()  # or what an earlier call found out would not be asked again
    with monkeypatch.context() as patching:
        inject(patching, injector)
        try:
            case.call(str(folder))
        except NodeError as error:
            return str(error)
    return None


@pytest.fixture(autouse=True)
def everything_runs(monkeypatch):
    """Every program and service is there."""
    monkeypatch.setattr(services, "systemd_runs", lambda: True)
    for module in (firewall, iptables, nft, process, services, sysctls):
        # Programs of a variant have no name that says so, and are asked.
        monkeypatch.setattr(module, "find", lambda program: None if "-nft" in program or "-legacy" in program else f"/usr/sbin/{program}")
    monkeypatch.setattr(firewall, "legacy_tables", lambda _family: ["nat"])
    monkeypatch.setattr(namespaces, "mounted", lambda: {"net:[1]": ["/run/netns/x"]})
    monkeypatch.setattr(namespaces, "_is_at", lambda _path, _space: True)
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/run/udev/control" or exists(path))


def test_every_function_has_a_case():
    assert sorted(CASES) == sorted(changing_functions())


#: What is not called twice for one thing.
ONCE = {"archives.copy", "archives.unpack", "download.fetch", "files.rename", "leases.remove"}


@pytest.mark.parametrize("name", CASES)
def test_every_fault_is_an_error_that_names_it(name, tmp_path, monkeypatch):
    case, folder = CASES[name], tmp_path / "node"
    furnish(folder)
    before = look(folder)
    plain = Injector()
    assert carry_out(case, folder, plain, monkeypatch) is None
    after = look(folder)
    assert plain.kinds, "it changes nothing and runs nothing"
    for number, fault in [(number, fault) for number, kind in enumerate(plain.kinds) for fault in FAULTS[kind]]:
        where = f"{fault.name} at {plain.names[number]} (call {number})"
        furnish(folder)
        error = carry_out(case, folder, Injector(number, fault), monkeypatch)
        named = case.named.replace("{}", re.escape(str(folder)))
        assert error is None or (re.search(named, error) and "\n" not in error), f"{where}: {error}"
        stuck = plain.names[number] == "unlink"  # what would clear temporary files away failed itself
        check_files(where, before, after, look(folder), OF_A_CALL.get(name, set()), stuck=stuck)
        if name not in ONCE:
            assert carry_out(case, folder, Injector(), monkeypatch) is None, f"after {where} it fails once more"
            assert not [path for path in look(folder) if path.endswith(".tmp")], f"{where} leaves something for ever"


def check_files(where, before, after, left, mine, *, stuck):
    """mine: what the call works on; stuck: whether temporary files may be there."""
    others = {path: content for path, content in left.items() if path not in mine and not (stuck and path.endswith(".tmp"))}
    for path, content in others.items():
        assert path in before or path in after, f"{where} leaves {path}"
        assert content in (before.get(path), after.get(path)), f"{where} leaves {path} with {content!r}"
    assert set(before) <= set(left) | mine, f"{where}: {set(before) - set(left)} is gone"
