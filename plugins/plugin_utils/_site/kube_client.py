# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""From options, named as in kubernetes.core, to a client of the Kubernetes API.

What is wrong is said in words of our own: the client's messages show parts of the kubeconfig, tokens among them.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import ssl
import sys
import tempfile
import typing as t

import yaml
from ansible import constants as C
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError, Problem

#: That of Debian 12.
MINIMUM = (22, 6)

_HOST = re.compile(r"https?://[^/?#\s]+(?:/[^?#\s]*)?")
_TOKEN = re.compile(r"[\x21-\x7e]+")
#: What the client says of a kubeconfig without showing what is in it. Names of keys and files are no secret.
_HARMLESS = re.compile(
    r"File does not exist: .+|exec: (?:process returned \d+|failed to decode process output|missing [\w ]+|malformed \w+)"
    r"|\[Errno \d+\] [\w ]+(?:: '[^']*')?|Expected (?:key|object with name|only one object with name) \S+"
)


class Library(t.NamedTuple):
    """What is used of the package ``kubernetes``, which takes most of a second to import."""

    client: t.Any
    config: t.Any
    loader: t.Any


def library() -> Library:
    """NodeError says what to install where when the package is missing, broken or too old."""
    try:
        import kubernetes
        from kubernetes import client, config
        from kubernetes.config import kube_config
    except Exception as error:  # a library made for another Python fails in other ways than ImportError
        raise _unusable(f"{type(error).__name__}: {error}") from error
    found = tuple(int(part) for part in re.findall(r"\d+", kubernetes.__version__)[:2])
    if found < MINIMUM:
        raise _unusable(f"found {kubernetes.__version__}")
    return Library(client, config, kube_config)


def _unusable(reason: str) -> NodeError:
    wanted = f"kubernetes >= {MINIMUM[0]}.{MINIMUM[1]}"
    return NodeError(
        f"source=kubernetes needs the Python library {wanted} on the controller, in the Python that runs Ansible there, {sys.executable}: "
        f"{reason} (expected it to be installed with '{sys.executable} -m pip install \"{wanted}\"', or as python3-kubernetes)"
    )


def check(options: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the options alone and the files that they name. Empty ones are not set, but for the token."""
    problems = []
    if options.get("timeout", 0) < 0:
        problems.append(Problem("timeout", f"{options['timeout']} is below zero (expected seconds, e.g. 60)"))
    host, key = options.get("host"), options.get("api_key")
    if host and not _HOST.fullmatch(host):
        problems.append(Problem("host", f"{host.rpartition('@')[2]!r} is not the URL of an API (expected e.g. https://192.0.2.1:6443)"))
    if key is not None and not _TOKEN.fullmatch(key):
        problems.append(Problem("api_key", "is empty, or has spaces or control characters in it (expected a token alone)"))
    if options.get("client_key") and not options.get("client_cert"):
        problems.append(Problem("client_key", f"{options['client_key']!r} has no use without client_cert (expected both)"))
    for option in ("ca_cert", "client_cert", "client_key"):
        problems += _check_file(option, options.get(option))
    if not problems:
        problems += _check_pem(options.get("ca_cert"), options.get("client_cert"), options.get("client_key"), ("ca_cert", "client_cert"))
    if _wants_kubeconfig(options):
        problems += _Kubeconfig(options).problems
    return problems


@contextlib.contextmanager
def connected(options: t.Mapping[str, t.Any], lib: Library) -> t.Iterator[t.Any]:
    """An ApiClient, which does not retry by itself. Raises InputError."""
    with _key_files(lib):
        configuration = lib.client.Configuration()
        if _wants_kubeconfig(options):
            _load(configuration, options, lib)
        _override(configuration, options)
        configuration.retries = False
        # The name of a token in api_key differs from release to release. Nothing here lasts so long that one must be renewed.
        token = next((value.strip() for value in configuration.api_key.values() if value), None)
        configuration.api_key, configuration.refresh_api_key_hook = {}, None
        with lib.client.ApiClient(configuration, *(("authorization", token) if token else ())) as client:
            yield client


@contextlib.contextmanager
def _key_files(lib: Library) -> t.Iterator[None]:
    """The client writes keys that a kubeconfig has in it to files, and removes them when Python ends, which Ansible's processes never do."""
    before, tempfile.tempdir = tempfile.tempdir, C.DEFAULT_LOCAL_TMP
    try:
        yield
    finally:
        tempfile.tempdir = before
        lib.loader._cleanup_temp_files()


def _wants_kubeconfig(options: t.Mapping[str, t.Any]) -> bool:
    """Not where the options say all that one has to know."""
    if options.get("kubeconfig") or options.get("context"):
        return True
    return not (options.get("host") and (options.get("api_key") or options.get("client_cert")))


class _Kubeconfig:
    """What has to be known of a kubeconfig before the client loads it. Several files in one path stand for one, as with kubectl."""

    def __init__(self, options: t.Mapping[str, t.Any]) -> None:
        self.path: str = options.get("kubeconfig") or os.environ.get("KUBECONFIG") or "~/.kube/config"
        self.problems: list[Problem] = []
        self.context: str | None = options.get("context") or None
        paths = [os.path.expanduser(path) for path in self.path.split(os.pathsep) if path]
        found = [path for path in paths if os.path.exists(path)]
        if not found:
            expected = "(expected a kubeconfig, e.g. a copy of /etc/kubernetes/admin.conf, or host with api_key or client_cert)"
            self.problems.append(Problem("kubeconfig", f"{self.path!r} is not there on the controller {expected}"))
            return
        documents = [document for path in found for document in self._read(path)]
        if not self.problems:
            self._choose(documents)

    def _read(self, path: str) -> list[dict[str, t.Any]]:
        try:
            with open(path, encoding="utf-8") as file:
                document = yaml.safe_load(file)
        except OSError as error:
            self._refuse(path, f"cannot be read: {error.strerror}")
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            self._refuse(path, f"is not YAML{f', see line {mark.line + 1}' if mark else ''}")
        else:
            if isinstance(document, dict) and all(isinstance(document.get(part) or [], list) for part in ("clusters", "contexts", "users")):
                return [document]
            self._refuse(path, "is not a kubeconfig")
        return []

    def _refuse(self, path: str, fault: str) -> None:
        self.problems.append(Problem("kubeconfig", f"{path!r} {fault} (expected a kubeconfig as kubectl reads it)"))

    def _choose(self, documents: list[dict[str, t.Any]]) -> None:
        """The first file that says so has the current context, as for kubectl; for the client it is the last."""
        contexts = [one.get("name") for document in documents for one in document.get("contexts") or [] if isinstance(one, dict)]
        expected = f"(expected {'one of ' if len(contexts) > 1 else ''}{', '.join(str(name) for name in contexts) or 'one, but it has none'})"
        current = next((document["current-context"] for document in documents if document.get("current-context")), None)
        if self.context is None and current is None:
            self.problems.append(Problem("context", f"is missing, and {self.path!r} has no current-context {expected}"))
        elif (self.context or current) not in contexts:
            whose = "" if self.context else ", the current-context,"
            self.problems.append(Problem("context", f"{self.context or current!r}{whose} is not in {self.path!r} {expected}"))
        self.context = self.context or current


def _load(configuration: t.Any, options: t.Mapping[str, t.Any], lib: Library) -> None:
    file = _Kubeconfig(options)
    if file.problems:
        raise InputError(file.problems)
    reason: str | None
    try:
        with _heard() as records:
            lib.config.load_kube_config(config_file=file.path, context=file.context, client_configuration=configuration, persist_config=False)
    except Exception as error:  # whatever a kubeconfig of another shape makes of it
        reason = _reason(error, lib)
    else:
        reason = next((_harmless(record.getMessage()) for record in records if record.levelno >= logging.ERROR), None)
    if reason:
        text = f"{file.path!r} cannot be used, with context {file.context}: {reason} (expected a kubeconfig as kubectl reads it)"
        raise InputError([Problem("kubeconfig", text)])
    faults = _check_pem(configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file, ("kubeconfig", "kubeconfig"))
    if faults:
        raise InputError(faults)


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextlib.contextmanager
def _heard() -> t.Iterator[list[logging.LogRecord]]:
    """The client logs that a program for credentials failed, with all that the program said, and goes on without any."""
    root, handler = logging.getLogger(), _Records()
    before, root.handlers = root.handlers, [handler]
    try:
        yield handler.records
    finally:
        root.handlers = before


def _harmless(text: str) -> str:
    found = _HARMLESS.search(text)
    return found.group() if found else "its parts do not fit together"


def _reason(error: Exception, lib: Library) -> str:
    if isinstance(error, lib.config.ConfigException):
        return _harmless(str(error))
    if isinstance(error, OSError):
        return f"{error.strerror}: {error.filename}"
    return f"its parts are not of the right type ({type(error).__name__})"


def _override(configuration: t.Any, options: t.Mapping[str, t.Any]) -> None:
    """Credentials among the options take the place of all in the kubeconfig: of two, an API would take the certificate."""
    if options.get("host"):
        configuration.host = options["host"].rstrip("/")
    if options.get("api_key") or options.get("client_cert"):
        configuration.api_key = {"authorization": f"Bearer {options['api_key']}"} if options.get("api_key") else {}
        configuration.cert_file, configuration.key_file = options.get("client_cert"), options.get("client_key")
    if options.get("ca_cert"):
        configuration.ssl_ca_cert = options["ca_cert"]
    if options.get("validate_certs") is not None:
        configuration.verify_ssl = options["validate_certs"]


def _check_file(option: str, path: str | None) -> list[Problem]:
    if not path:
        return []
    try:
        with open(path, "rb"):
            return []
    except OSError as error:
        return [Problem(option, f"{path!r} cannot be read on the controller: {error.strerror} (expected a PEM file)")]


def _check_pem(authority: str | None, certificate: str | None, key: str | None, paths: tuple[str, str]) -> list[Problem]:
    """``paths``: where a fault of the authority's certificate and one of the client's are to be looked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    problems = []
    if authority:
        try:
            context.load_verify_locations(authority)
        except OSError:
            problems.append(Problem(paths[0], f"{authority!r} has no certificate of an authority in it (expected PEM)"))
    if certificate:
        try:
            context.load_cert_chain(certificate, key, password=lambda: "")  # or OpenSSL would ask for it on the terminal
        except OSError as error:
            fault = getattr(error, "reason", None) or error.strerror
            text = f"{certificate!r} and its key {(key or certificate)!r} cannot be used: {fault} (expected PEM, the key of that certificate, not encrypted)"
            problems.append(Problem(paths[1], text))
    return problems
