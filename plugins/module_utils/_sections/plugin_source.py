# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
import typing as t
import urllib.parse

from .._cni import releases, versions
from .._errors import NodeError, Passing, Problem
from .._host import files, kept, plugins
from .._host.process import Answer
from .base import Options, Run

#: The binaries of containernetworking/plugins releases 0.6 to 1.9; other files in a source are left there.
REFERENCE = (
    "bandwidth", "bridge", "dhcp", "dummy", "firewall", "flannel", "host-device", "host-local", "ipvlan", "loopback",
    "macvlan", "portmap", "ptp", "sbr", "static", "tap", "tuning", "vlan", "vrf",
)  # fmt: skip
REFERENCE_NAMES = ", ".join(REFERENCE)
#: Where Kubernetes' packages were until they were taken away, and where they are now.
LEGACY_HOSTS = ("apt.kubernetes.io", "yum.kubernetes.io", "packages.cloud.google.com")
SUCCESSOR = "https://pkgs.k8s.io/core:/stable:/vX.Y/"
#: Bytes of a download, far above what all plugins together take (1.9.1: 66 MB unpacked) and a list of checksums has.
ARCHIVE_LIMIT, CHECKSUMS_LIMIT = 500_000_000, 1_000_000
CHECKSUM_FORMS = "expected sha256: and 64 or sha512: and 128 hexadecimal digits"
ALGORITHMS = {64: "sha256", 128: "sha512"}


def is_url(text: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", text) is not None


def is_checksum_file(text: str) -> bool:
    """Whether a ``checksum`` names a file of checksums, by a URL or a path, and is none itself."""
    return is_url(text) or not (":" in text or re.fullmatch(r"[0-9a-fA-F]*", text))


def shown(src: str) -> str:
    """A source as messages name it: a URL without what may be secret, user, password and query."""
    if not is_url(src):
        return src
    parts = urllib.parse.urlsplit(src)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def split_checksum(text: str) -> tuple[str, str] | None:
    match = re.fullmatch(r"(sha256):([0-9a-fA-F]{64})|(sha512):([0-9a-fA-F]{128})", text)
    return ((match.group(1) or match.group(3)), (match.group(2) or match.group(4)).lower()) if match else None


def check(options: Options) -> list[Problem]:
    """What is wrong with ``src``, ``checksum``, ``version`` and ``plugins``, wherever the source is; touches nothing."""
    problems = []
    if options["plugins"] == []:
        problems.append(Problem("plugins", f"[] is empty (expected some of {REFERENCE_NAMES}, or no list, for all that the source holds)"))
    for index, name in enumerate(options["plugins"] or []):
        if name not in REFERENCE:
            problems.append(Problem(f"plugins[{index}]", f"{name!r} is not a reference plugin (expected some of {REFERENCE_NAMES})"))
    checksum = options["checksum"]
    if checksum is not None and not split_checksum(checksum) and not is_checksum_file(checksum):
        problems.append(Problem("checksum", f"{checksum!r} is not a checksum ({CHECKSUM_FORMS})"))
    for name in ("src", "checksum"):
        if options[name] and is_url(options[name]):
            problems += _check_url(name, options[name])
    return problems + _check_version(options)


def _check_url(name: str, text: str) -> list[Problem]:
    try:
        url = urllib.parse.urlsplit(text)
        host, _port = url.hostname, url.port
    except ValueError:  # which quotes what a password with a slash in it looks like
        return [Problem(name, "is not a URL (expected http:// or https://, a host, and %2F for a slash in a password, %23 for a #, %3F for a ?)")]
    if url.scheme not in ("http", "https"):
        return [Problem(name, f"{shown(text)!r} is no address of the web (expected http:// or https://, or a path for a file)")]
    if host in LEGACY_HOSTS:
        return [Problem(name, f"{shown(text)!r} is gone: Kubernetes' packages left {host} (expected their successor {SUCCESSOR})")]
    unknown = re.search(r"\{(?!arch\}|version\})[^}]*\}?", text.rpartition("@")[2])
    if unknown:
        return [Problem(name, f"{shown(text)!r} has {unknown.group()!r} in it (expected no braces but {{arch}} and {{version}})")]
    if not host or not archive_name(text) or re.search(r"[\x00-\x20\x7f]", text):
        return [Problem(name, f"{shown(text)!r} names no file (expected a URL like https://HOST/cni-plugins-linux-{{arch}}-{{version}}.tgz)")]
    return []


def _check_version(options: Options) -> list[Problem]:
    version = options["version"]
    if version is not None and not re.fullmatch(r"v?[0-9]+\.[0-9]+\.[0-9]+([-+.~][0-9A-Za-z.~+-]+)?", version):
        return [Problem("version", f"{version!r} is not a release of the plugins (expected one like v1.9.1)")]
    asking = [name for name in ("src", "checksum") if "{version}" in (options[name] or "")]
    return [Problem("version", f"is required by {{version}} in {asking[0]} (expected one like v1.9.1)")] if asking and version is None else []


def depends_on_node(options: Options) -> bool:
    """Whether the node has to be asked before the source can be opened on the controller: for its architecture, or for
    whether a download is needed at all."""
    return is_url(options["src"]) or any("{arch}" in (options[name] or "") for name in ("src", "checksum"))


def fill(options: Options, architecture: str) -> dict[str, t.Any]:
    """The options with ``{arch}`` and ``{version}`` replaced in ``src`` and ``checksum``."""
    filled = dict(options)
    for name in ("src", "checksum"):
        if options[name]:
            filled[name] = options[name].replace("{arch}", architecture).replace("{version}", options["version"] or "{version}")
    return filled


def archive_name(src: str) -> str:
    return urllib.parse.unquote(urllib.parse.urlsplit(src).path.rpartition("/")[2]) if is_url(src) else os.path.basename(src)


def with_digits(options: Options, run: Run) -> dict[str, t.Any]:
    """The options with a ``checksum`` that is one: a file of checksums is read for that of the archive."""
    checksum = options["checksum"]
    if checksum is None or not is_checksum_file(checksum):
        return {**options, "checksum": checksum and checksum[:7] + checksum[7:].lower()}
    from .._host import download  # takes longer to import than a run in which nothing is downloaded

    try:
        text = download.fetch_text(checksum, limit=CHECKSUMS_LIMIT) if is_url(checksum) else files.read_text(checksum)
    except NodeError as error:
        said = f"{shown(checksum)!r} cannot be downloaded: {error}" if is_url(checksum) else error
        run.refuse("checksum", f"{said} (expected a file of checksums)")
        return dict(options)
    if text is None:
        run.refuse("checksum", f"{checksum!r} is not there (expected a file of checksums, or sha256: or sha512: and the digits)")
        return dict(options)
    name = archive_name(options["src"])
    digits = sorted(set(digits_for(name, text)))
    if len(digits) != 1:
        said = "has more than one checksum" if digits else "has no checksum"
        run.refuse("checksum", f"{shown(checksum)!r} {said} for {name!r} (expected one line with the digits and that name)")
        return dict(options)
    return {**options, "checksum": f"{ALGORITHMS[len(digits[0])]}:{digits[0]}"}


def digits_for(name: str, text: str) -> list[str]:
    """The checksums of one name in a file as sha256sum(1) writes it, also with --binary and with --tag."""
    pairs = re.findall(r"^\\?([0-9a-fA-F]{64}|[0-9a-fA-F]{128}) [ *](?:\./)?(.+?)\r?$", text, re.MULTILINE)
    pairs += [(digits, named) for named, digits in re.findall(r"^SHA(?:256|512) \((?:\./)?(.+)\) = ([0-9a-fA-F]{64,128})\r?$", text, re.MULTILINE)]
    return [digits.lower() for digits, named in pairs if named == name and len(digits) in ALGORITHMS]


def is_installed(options: Options, known: t.Mapping[str, t.Any] | None) -> bool:
    """Whether the node's document says that the plugins came from this very archive, so that it need not be downloaded."""
    if known is None or not is_url(options["src"]) or options["checksum"] is None:
        return False
    return bool((known.get("archive"), known.get("selection")) == (options["checksum"], selection(options)))


def selection(options: Options) -> list[str] | None:
    return None if options["plugins"] is None else sorted(set(options["plugins"]))


def look_into(options: Options, run: Run, *, writes: bool = False) -> dict[str, files.FileContent]:
    """The wanted reference plugins of the source, by name: a folder or an archive on this machine, or an archive that is
    downloaded. An archive is unpacked, into a folder that goes with ``run.cleanups``: where the run ``writes``, one from which the
    binaries can be moved into place. Empty when ``run.problems`` says what is wrong."""
    known = len(run.problems)
    if os.path.isdir(options["src"]):
        paths = _in_folder(options, run)
        names = _selected(options, paths, run) if len(run.problems) == known else []
        contents = {name: files.FileContent(paths[name], kept.sha256_of(paths[name])) for name in names}
    else:
        contents = _in_archive(options, _own_scratch(run) if writes else scratch(run), run)
    return contents if len(run.problems) == known else {}


def scratch(run: Run) -> str:
    """A folder that goes when the run ends."""
    folder = tempfile.mkdtemp(prefix="kubenode-network-")
    run.cleanups.append(functools.partial(shutil.rmtree, folder, ignore_errors=True))
    return folder


def _own_scratch(run: Run) -> str:
    run.cleanups.append(files.clear_scratch)
    return files.make_scratch()


def _in_folder(options: Options, run: Run) -> dict[str, str]:
    src = options["src"]
    if options["checksum"] is not None:
        run.refuse("checksum", f"is for archives only, but {src!r} is a folder (expected no checksum, or an archive)")
    found = {entry.name: entry.path for entry in os.scandir(src) if entry.is_file()}
    inside = os.path.join(os.path.realpath(src), "")
    for name in REFERENCE:
        if name in found and not os.path.realpath(found[name]).startswith(inside):
            run.refuse("src", f"{found[name]!r} leads out of the folder, to {os.path.realpath(found[name])!r} (expected the binaries themselves)")
    return found


def _in_archive(options: Options, folder: str, run: Run) -> dict[str, files.FileContent]:
    """The checksum comes first, so that an archive that somebody swapped is not even parsed, and it is that of our copy, which
    nobody can swap any more."""
    from .._host import archives  # takes long to import, and a folder needs none

    src, copy = shown(options["src"]), os.path.join(folder, ".archive")
    if options["checksum"] is None:
        run.refuse("checksum", f"is required for the archive {src!r} (expected sha256: or sha512: and the digits that its publisher names)")
        return {}
    algorithm, digits = split_checksum(options["checksum"]) or ("sha256", "")
    actual = _copy(options["src"], copy, algorithm, run)
    if actual is None:
        return {}
    if actual != digits:
        run.refuse("checksum", f"the archive {src!r} has {algorithm}:{actual} (expected {algorithm}:{digits}); it was not unpacked")
        return {}
    try:
        unpacked = archives.unpack(copy, REFERENCE if options["plugins"] is None else set(options["plugins"]), folder, _asking(run))
    except archives.Unreadable as error:
        run.refuse("src", f"{str(error).replace(copy, src)} (expected a tar archive, plain or compressed with gzip or xz)")
        return {}
    for problem in unpacked.wrong:
        run.refuse("src", f"the archive {src!r} is refused: {problem} (expected plain files)")
    return {name: unpacked.contents[name] for name in _selected(options, unpacked.names, run) if name in unpacked.contents}


def _asking(run: Run) -> t.Callable[[str], None]:
    """Has each binary asked, as ``release`` will, while the next one is unpacked: programs start on another processor."""
    import concurrent.futures  # which a folder does not need

    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    run.cleanups.append(pool.shutdown)

    def ask(path: str) -> None:
        if os.access(path, os.X_OK):
            run.planned.asked[path] = pool.submit(plugins.ask_release, path)

    return ask


def _copy(src: str, copy: str, algorithm: str, run: Run) -> str | None:
    """The checksum of the archive, which is at ``copy`` then; None when it could not be downloaded."""
    from .._host import archives, download

    if not is_url(src):
        return archives.copy(src, copy, algorithm)
    try:
        return download.fetch(src, copy, algorithm, limit=ARCHIVE_LIMIT)
    except NodeError as error:
        run.refuse("src", f"{shown(src)!r} cannot be downloaded: {error} (expected an archive of plugin binaries)")
        return None


def _selected(options: Options, found: t.Collection[str], run: Run) -> list[str]:
    there = [name for name in REFERENCE if name in found]
    src = shown(options["src"])
    if not there:
        run.refuse("src", f"{src!r} holds no CNI plugin binary (expected some of {REFERENCE_NAMES})")
    for index, name in enumerate(options["plugins"] or []):
        if there and name not in there:
            run.refuse(f"plugins[{index}]", f"{name!r} is not in {src} (expected some of {', '.join(there)})")
    return [name for name in there if options["plugins"] is None or name in options["plugins"]]


def check_binaries(paths: t.Mapping[str, str], src: str, architectures: t.Sequence[str], run: Run) -> None:
    """Refuses what this node cannot run; a runtime would find that out with the first pod."""
    for name, path in paths.items():
        made_for = plugins.architecture(path)
        if made_for is None:
            run.refuse("src", f"the file {name!r} of {shown(src)} is no program (expected an ELF executable or a script)")
        elif made_for != plugins.SCRIPT and made_for not in architectures:
            expected = " or ".join(architectures)
            run.refuse("src", f"the binary {name!r} of {shown(src)} is made for {made_for} (expected {expected}, as this node is)")


def release(wanted: str | None, contents: t.Mapping[str, files.FileContent], known: t.Mapping[str, t.Any] | None, run: Run) -> str | None:
    """The release that the binaries are of, as far as they tell; None when that is nothing, or not the same. Those that the
    node's document has a release for need not be asked again."""
    if known is not None and "release" in known and known["plugins"] == {name: content.sha256 for name, content in contents.items()}:
        said = dict.fromkeys(contents, known["release"])
    else:
        paths = {name: runnable(name, content, run) for name, content in contents.items()}
        asked = {path: said for path, said in _answered(run).items() if path in paths.values()}
        abouts = dict(zip(paths, plugins.abouts(list(paths.values()), asked)))
        said = {name: plugins.release_in(about) for name, about in abouts.items()}
        if not any(said.values()):
            answers = plugins.ask_versions(list(paths.values()), asked)
            said = dict.fromkeys(contents, _recognised(wanted, paths, abouts, answers, run))
    for name, is_of in said.items():
        if wanted is not None and is_of is not None and is_of.startswith("v") and is_of.lstrip("v") != wanted.lstrip("v"):
            run.refuse("version", f"{wanted!r} is not what the binary {name!r} says it is (expected {is_of}, or another source)")
    found = set(said.values())
    return found.pop() if len(found) == 1 else None


def _answered(run: Run) -> dict[str, plugins.Said]:
    """What was asked while the archive was unpacked. One that could not be run is left to be asked again: a program that was just being
    started then may have had that file open still, for it closes what is not its own only after it is said to run (ETXTBSY)."""
    answers = {path: future.result() for path, future in run.planned.asked.items()}
    ran = {path: said for path, said in answers.items() if not isinstance(said.about, NodeError)}
    return {path: said._replace(versions=None) if isinstance(said.versions, NodeError) else said for path, said in ran.items()}


def _recognised(
    wanted: str | None, paths: t.Mapping[str, str], abouts: t.Mapping[str, str], answers: t.Sequence[Answer], run: Run
) -> str | None:
    """What binaries are of that were built without the number, by what they can do."""
    found = []
    for (name, path), answer in zip(paths.items(), answers):
        try:
            probe = run.probes.of(path, functools.partial(plugins.probe_reference, said=abouts[name], answer=answer))
            found.append(releases.recognise(name, probe.versions, probe.about, probe.tags))
        except Passing:
            raise  # or the node's document would have less than there is to be known
        except NodeError:
            continue  # one that does not answer VERSION tells nothing
    is_of = releases.common(found)
    number = re.match(r"v?([0-9]+\.[0-9]+\.[0-9]+)", wanted or "")
    if number and (is_of.is_before(number[1]) or (is_of.first and versions.older(number[1], is_of.first))):
        run.refuse("version", f"{wanted!r} is not what the binaries are, {is_of} (expected another version, or another source)")
    return str(is_of) if is_of.first else None


def runnable(name: str, content: files.FileContent, run: Run) -> str:
    """A path from which a binary that is not installed yet can be asked for its versions. In memory if need be: temporary
    folders are often mounted noexec."""
    if os.access(content.path, os.X_OK):
        return content.path
    if content.path not in run.planned.runnable:
        descriptor = os.memfd_create(name)
        run.cleanups.append(functools.partial(os.close, descriptor))
        for chunk in content.chunks():
            os.write(descriptor, chunk)
        run.planned.runnable[content.path] = f"/proc/{os.getpid()}/fd/{descriptor}"
    return run.planned.runnable[content.path]
