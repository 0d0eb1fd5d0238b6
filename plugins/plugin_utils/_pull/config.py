# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What the role pull wrote on this node: where the node's document comes from, and by what it is applied."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
import typing as t
import urllib.parse

from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError, Problem
from ansible_collections.kubenode.network.plugins.module_utils._host import files

#: In a URL or as the name of the host: the node's own name, as it is when the run starts.
HOSTNAME = "{hostname}"
HOST = "{host}"
#: ansible-pull puts these into command lines of its own, so nothing in them may need quotes.
GIT_URL = r"[A-Za-z0-9][A-Za-z0-9@:/._~+-]*|/[A-Za-z0-9/._~+-]+"
WORD = r"[A-Za-z0-9][A-Za-z0-9/._+-]*"
PATH = r"/[A-Za-z0-9/._+-]+"
COMMIT = r"[0-9a-f]{40}|[0-9a-f]{64}"


@dataclasses.dataclass(frozen=True)
class Config:
    """``source``: git or http. ``host``: the node's name in the inventory. ``bin_dir``: where ansible-pull and ansible-playbook are.
    ``python``: the interpreter that runs modules. ``state_dir``: the folder of all that is kept. ``timeout``: seconds of one Ansible run."""

    source: str
    url: str
    host: str
    bin_dir: str
    python: str
    state_dir: str
    timeout: float
    version: str | None = None
    inventory: str = "inventory"
    key_file: str | None = None
    accept_host_key: bool = False
    verify_commit: bool = False
    allowed_signers: str | None = None
    ca: str | None = None
    client_certificate: str | None = None
    checksum_url: str | None = None
    allow_plain_http: bool = False
    vault_password_file: str | None = None


def load(path: str) -> Config:
    """Raises NodeError for what cannot be read, InputError for what may not be."""
    text = files.read_text(path)
    if text is None:
        raise NodeError(f"{path} is not there (expected the role kubenode.network.pull to write it)")
    try:
        given = json.loads(text)
        config = Config(**{**given, "timeout": float(given["timeout"])})  # a template gives text before ansible-core 2.19
    except (KeyError, TypeError, ValueError) as error:
        raise NodeError(f"{path} is not as the role kubenode.network.pull wrote it: {error}") from error
    wrong = _check_types(config)
    if wrong:
        raise InputError(wrong)
    config = dataclasses.replace(config, host=config.host.replace(HOSTNAME, socket.gethostname()))
    sums = config.checksum_url and _with_host(config.checksum_url, config.host)
    config = dataclasses.replace(config, url=_with_host(config.url, config.host), checksum_url=sums)
    problems = check(config)
    if problems:
        raise InputError(problems)
    return config


def _with_host(url: str, host: str) -> str:
    return url.replace(HOSTNAME, socket.gethostname()).replace(HOST, host)


def _check_types(config: Config) -> list[Problem]:
    """YAML makes a number of a version like 1.10, which is another one then."""
    kinds = {"timeout": (float, "a number"), **dict.fromkeys(("accept_host_key", "verify_commit", "allow_plain_http"), (bool, "true or false"))}
    found = dataclasses.asdict(config)
    may_be_none = {field.name for field in dataclasses.fields(config) if field.default is None}
    wrong = [name for name, value in found.items() if not isinstance(value, kinds.get(name, (str,))[0]) and not (value is None and name in may_be_none)]
    return [Problem(name, f"{found[name]!r} is not usable (expected {kinds.get(name, (str, 'text, in quotes'))[1]})") for name in wrong]


def check(config: Config) -> list[Problem]:
    problems = []
    if not re.fullmatch(WORD, config.host) or "/" in config.host:
        problems.append(Problem("host", f"{config.host!r} is not a host's name (expected letters, digits, ., _ and -)"))
    return problems + (_check_git(config) if config.source == "git" else _check_http(config))


def _check_git(config: Config) -> list[Problem]:
    patterns = {"url": GIT_URL, "version": WORD, "inventory": WORD, "key_file": PATH}
    given = {name: getattr(config, name) for name in patterns if getattr(config, name) is not None}
    wrong = [name for name, value in given.items() if not re.fullmatch(patterns[name], value) or ".." in value.split("/")]
    problems = [Problem(name, f"{_shown(given[name])!r} is not usable (expected letters, digits, /, ., _, + and -, and no ..)") for name in wrong]
    # For ssh a user alone is one; for the web it may be a token.
    if re.search("//[^/]*:[^/]*@", config.url) or re.match("https?://[^/]*@", config.url):
        said = "has a password or token, which everybody on the node could see (expected a key file, or a credential helper of git)"
        problems.append(Problem("url", said))
    if not config.allow_plain_http and config.url.startswith(("http:", "git:")) and not config.verify_commit:
        problems.append(Problem("url", f"{_shown(config.url)!r} is not encrypted (expected https, ssh, verify_commit or allow_plain_http)"))
    return problems


def _check_http(config: Config) -> list[Problem]:
    problems = []
    for name in ("url", "checksum_url"):
        value = getattr(config, name)
        if value is None:
            continue
        parts = urllib.parse.urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[\s{}]", value):
            problems.append(Problem(name, f"{_shown(value)!r} is not a URL (expected https://HOST/PATH)"))
        elif parts.scheme == "http" and not config.allow_plain_http:
            problems.append(Problem(name, f"{_shown(value)!r} is not encrypted (expected https, or allow_plain_http)"))
    return problems


def _shown(value: t.Any) -> str:
    """A value without what may be secret in a URL."""
    return re.sub(r"(?<=://)[^/\s]*@|\?.*", "", str(value))
