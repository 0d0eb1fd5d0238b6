# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Where a node's document comes from. A source tries what is there now, keeps what was applied, and can apply that again."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
import ssl
import typing as t

from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import download, files, process
from ansible_collections.kubenode.network.plugins.module_utils._sections import plugin_source

from . import document, playbook
from .config import COMMIT, Config
from .playbook import APPLY, DOCUMENT, FETCH, Outcome


class Source(t.Protocol):
    def good(self) -> str | None:
        """The revision that was applied last, None before the first."""

    def attempt(self) -> Outcome:
        """Fetches what is there now and applies it."""

    def promote(self) -> None:
        """Keeps what the attempt applied as the last good one."""

    def apply_good(self) -> Outcome:
        """Applies the last good one once more."""


class Git:
    """A repository with an inventory, checked out and applied by ansible-pull."""

    #: Keeps the last good commit from being collected as garbage when the branch has gone another way.
    GOOD = "refs/kubenode/good"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.checkout = os.path.join(config.state_dir, "work", "checkout")
        self.inventory = os.path.join(self.checkout, config.inventory)

    def good(self) -> str | None:
        return self._revision(self.GOOD)

    def attempt(self) -> Outcome:
        try:
            head = self._remote_head()
        except NodeError as error:
            return Outcome(None, stage=FETCH, message=str(error))
        if head == self.good():
            return self.apply_good()  # ansible-pull starts Ansible twice more to find out the same
        return self._pull()

    def _pull(self) -> Outcome:
        self._clear()
        config = self.config
        argv = ["ansible-pull", "--url", config.url, "--directory", self.checkout, "--clean", *self._play()]
        if config.version:
            argv += ["--checkout", config.version]
        if config.version and re.fullmatch(COMMIT, config.version):
            argv.append("--full")  # servers give single commits to those who have the branch
        if config.key_file:
            argv += ["--private-key", config.key_file]
        argv += ["--accept-host-key"] if config.accept_host_key else []
        argv += ["--verify-commit"] if config.verify_commit else []
        outcome = playbook.run(config, [*argv, playbook.PLAYBOOK])
        return outcome._replace(revision=None if outcome.stage == FETCH else self._revision("HEAD"))

    def promote(self) -> None:
        process.output([*self._git(), "update-ref", self.GOOD, "HEAD"], env=playbook.git_environment(self.config))

    def apply_good(self) -> Outcome:
        checkout = ["checkout", "--quiet", "--force", "--detach", self.GOOD]
        process.output([*self._git(), *checkout], env=playbook.git_environment(self.config))
        outcome = playbook.run(self.config, ["ansible-playbook", *self._play(), playbook.PLAYBOOK])
        return outcome._replace(revision=self.good())

    def _remote_head(self) -> str:
        """The commit that the repository has by the wanted name. Raises NodeError."""
        version, env = self.config.version, playbook.git_environment(self.config)
        if version and re.fullmatch(COMMIT, version):
            return version
        if self.config.key_file:
            trust = "accept-new" if self.config.accept_host_key else "yes"
            options = f"-o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout={download.SILENCE:.0f} -o StrictHostKeyChecking={trust}"
            env["GIT_SSH_COMMAND"] = f"ssh -i {self.config.key_file} {options}"
        # An annotated tag is an object of its own; what it stands for is told by the third name.
        names = [f"refs/heads/{version}", f"refs/tags/{version}^{{}}", f"refs/tags/{version}"] if version else ["HEAD"]
        lines = process.output(["git", "ls-remote", "--", self.config.url, *names], env=env).splitlines()
        found = {name: commit for commit, name in (line.split("\t") for line in lines)}
        if not found:
            raise NodeError(f"{self.config.url} has no {version or 'HEAD'} (expected a branch, a tag or a commit)")
        return next(found[name] for name in names if name in found)

    def _play(self) -> list[str]:
        return ["--inventory", self.inventory, "--limit", self.config.host, "--extra-vars", json.dumps(playbook.extra_vars(self.config))]

    def _clear(self) -> None:
        """Takes the files of the checkout away, and leaves what git knows.

        ansible-pull reads an inventory that is there before it fetches; one that is broken would keep it from fetching the next
        one. ``--clean`` then brings the files back. What a killed run left locked is nobody's, for we hold the lock of all runs.
        """
        if self._revision("HEAD") is None:
            shutil.rmtree(self.checkout, ignore_errors=True)
            return
        for entry in os.scandir(self.checkout):
            if entry.name != ".git":
                shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
        for lock in glob.glob(os.path.join(glob.escape(self.checkout), ".git", "**", "*.lock"), recursive=True):
            os.unlink(lock)

    def _revision(self, name: str) -> str | None:
        if not os.path.isdir(os.path.join(self.checkout, ".git")):
            return None
        found = process.run([*self._git(), "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}"])
        return found.stdout.strip() or None

    def _git(self) -> list[str]:
        # Named, or git would look for one in the folders above.
        return ["git", f"--git-dir={self.checkout}/.git", f"--work-tree={self.checkout}"]


class Http:
    """A document of one node behind a URL: variables of the role node_network."""

    def __init__(self, config: Config) -> None:
        self.config = config
        work = os.path.join(config.state_dir, "work")
        self.path, self.variables = os.path.join(work, "good.json"), os.path.join(work, "variables.json")
        self.tried: dict[str, t.Any] | None = None
        self.met: str | None = None  # the revision of what came, accepted or not

    def good(self) -> str | None:
        kept = self._kept()
        return kept["revision"] if kept else None

    def attempt(self) -> Outcome:
        try:
            self.tried = self._fetch()
        except NodeError as error:
            return Outcome(self.met, stage=FETCH, message=f"{plugin_source.shown(self.config.url)}: {error}")
        except InputError as error:
            return Outcome(self.met, stage=DOCUMENT, message=f"{plugin_source.shown(self.config.url)}: {error}")
        return self._apply(self.tried)

    def promote(self) -> None:
        if self.tried != self._kept():
            files.write(self.path, files.Bytes(json.dumps(self.tried).encode()), mode=0o600)

    def apply_good(self) -> Outcome:
        return self._apply(t.cast("dict[str, t.Any]", self._kept()))

    def _kept(self) -> dict[str, t.Any] | None:
        """``{"url", "validators", "revision", "variables"}`` of the last good document, if it came from the same place."""
        try:
            kept = json.loads(files.read_text(self.path) or "null")
            is_whole = isinstance(kept["revision"], str) and isinstance(kept["validators"], dict) and isinstance(kept["variables"], dict)
        except (KeyError, RecursionError, TypeError, ValueError):
            return None
        return kept if is_whole and kept.get("url") == self.config.url else None

    def _fetch(self) -> dict[str, t.Any]:
        config, kept = self.config, self._kept()
        tls = self._tls()
        answer = download.fetch_changed(config.url, kept["validators"] if kept else {}, limit=document.LARGEST, tls=tls)
        if answer is None and kept:
            return kept
        if answer is None:
            raise NodeError("it says that nothing has changed since a version that was never fetched")
        revision = hashlib.sha256(answer.data).hexdigest()
        sums = self._sums(tls)
        self.met = revision
        if sums is not None:
            _compare(revision, sums, config)
        return {"url": config.url, "validators": answer.validators, "revision": revision, "variables": document.read(answer.data)}

    def _sums(self, tls: ssl.SSLContext) -> bytes | None:
        url = self.config.checksum_url
        if url is None:
            return None
        try:
            answer = download.fetch_changed(url, {}, limit=document.LARGEST, tls=tls)
        except NodeError as error:
            raise NodeError(f"its checksum in {plugin_source.shown(url)}: {error}") from error
        return answer.data if answer else b""

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.config.ca)
            if self.config.client_certificate:
                context.load_cert_chain(self.config.client_certificate)
        except OSError as error:
            raise NodeError(f"the certificates cannot be used: {error.strerror or error}") from error
        return context

    def _apply(self, found: t.Mapping[str, t.Any]) -> Outcome:
        variables = {**found["variables"], **playbook.extra_vars(self.config)}
        files.write(self.variables, files.Bytes(json.dumps(variables).encode()), mode=0o600)
        argv = ["ansible-playbook", "--inventory", f"{self.config.host},", "--extra-vars", f"@{self.variables}", playbook.PLAYBOOK]
        outcome = playbook.run(self.config, argv)
        # An inventory of one name is never at fault.
        return outcome._replace(revision=found["revision"], stage=outcome.stage and APPLY)


def _compare(revision: str, sums: bytes, config: Config) -> None:
    """Holds a document against a file as sha256sum(1) writes it, or with nothing but the checksum."""
    lines = [line.split() for line in sums.decode("utf-8", "replace").splitlines() if line.strip()]
    name = os.path.basename(plugin_source.shown(config.url))
    wanted = [words[0] for words in lines if len(lines) == 1 == len(words) or words[-1].lstrip("*").rpartition("/")[2] == name]
    if not wanted:
        raise NodeError(f"{name} is not named in {plugin_source.shown(config.checksum_url or '')}")
    if wanted[0].lower() != revision:
        raise NodeError(f"its SHA-256 is {revision[:12]}… instead of {wanted[0][:12]}…")


SOURCES: dict[str, t.Callable[[Config], Source]] = {"git": Git, "http": Http}
