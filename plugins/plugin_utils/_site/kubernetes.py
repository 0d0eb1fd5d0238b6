# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What a live Kubernetes API knows of nodes: their pod CIDRs, which kube-controller-manager gives them, and their addresses."""

from __future__ import annotations

import contextlib
import difflib
import json
import math
import socket
import ssl
import time
import typing as t
import warnings

from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError, Problem
from ansible_collections.kubenode.network.plugins.module_utils._sections.plugin_source import shown

from . import kube_client

#: Nodes in one answer, as kubectl has it: the API reads them from its store in pieces of this size.
PAGE = 500
#: Seconds that the API may be silent for, at least and at most, whatever is left of the timeout.
SILENCE = (10.0, 30.0)
#: Seconds between two tries, the first time and at most.
PAUSES = (1.0, 10.0)
#: Of many nodes at fault, a person reads the first few.
SHOWN = 10

#: OpenSSL's X509_V_ERR_*: what is wrong with the certificate, and what to do.
_CERTIFICATES = {
    9: ("is not valid yet", "the clock of this machine to be right"),
    10: ("has expired", "it to be renewed, e.g. by kubeadm certs renew, and the clock of this machine to be right"),
    62: ("is for another name", "host, or server in the kubeconfig, to be a name in the certificate"),
    64: ("is for another address", "host, or server in the kubeconfig, to be an address in the certificate"),
}
_UNKNOWN = ("is of no authority that is known here", "ca_cert, or certificate-authority in the kubeconfig, to be the authority of that cluster")


class Node(t.NamedTuple):
    """``pod_cidrs``: as given, the primary one first; ``addresses``: the node's own, of type InternalIP."""

    pod_cidrs: list[str]
    addresses: list[str]


class _Passing(NodeError):
    """What may be otherwise at the next try, ``after`` seconds at the earliest."""

    def __init__(self, text: str, after: float = 0) -> None:
        self.after = after
        super().__init__(text)


class _View:
    """All nodes as the API showed them last, and what the ``wanted`` lack (name -> its place in the option). ``version`` is what a watch
    goes on from."""

    def __init__(self, wanted: t.Mapping[str, int]) -> None:
        self.wanted = wanted
        self.nodes: dict[str, Node] = {}
        self.without = set(wanted)
        self.version = ""

    def take(self, item: t.Mapping[str, t.Any]) -> None:
        name, spec = item["metadata"]["name"], item.get("spec") or {}
        first = spec.get("podCIDR")  # the only one that an API before 1.16 has
        cidrs = spec.get("podCIDRs") or ([first] if first else [])
        addresses = (item.get("status") or {}).get("addresses") or []
        self.nodes[name] = Node(cidrs, [one["address"] for one in addresses if one["type"] == "InternalIP"])
        if cidrs:
            self.without.discard(name)
        else:
            self._lacks(name)

    def drop(self, item: t.Mapping[str, t.Any]) -> None:
        name = item["metadata"]["name"]
        self.nodes.pop(name, None)
        self._lacks(name)

    def _lacks(self, name: str) -> None:
        if name in self.wanted:
            self.without.add(name)

    def problems(self, url: str, waited: float) -> list[Problem]:
        lacking = [name for name in self.wanted if name in self.without]
        problems = [Problem(f"nodes[{self.wanted[name]}]", f"{name!r} {self._fault(name, url, waited)}") for name in lacking[:SHOWN]]
        more = len(lacking) - SHOWN
        return problems if more <= 0 else [*problems, Problem("nodes", f"{more} more problems of this kind")]

    def _fault(self, name: str, url: str, waited: float) -> str:
        if name in self.nodes:
            remedy = "kube-controller-manager to run, with --allocate-node-cidrs=true and a --cluster-cidr that has room"
            return f"has no pod CIDR in {url} after {waited:g} s (expected {remedy})"
        like = next(iter(difflib.get_close_matches(name, self.nodes, n=1) or self.nodes), None)
        return f"is no node of {url} (expected {f'a name that kubectl get nodes shows, e.g. {like}' if like else 'it to join, there is no node yet'})"


def read_nodes(wanted: t.Mapping[str, int], connection: t.Mapping[str, t.Any], timeout: float) -> dict[str, Node]:
    """Pod CIDRs and addresses of all nodes, by their names, as soon as those that are ``wanted`` have pod CIDRs.

    ``wanted``: name -> its place in the option ``nodes``. ``connection`` has options that kube_client found right; ``timeout`` is in
    seconds, 0 asks once. All nodes are listed, page by page, and then watched until the last has its own. Raises InputError, with the
    nodes or the kubeconfig at fault, and NodeError.
    """
    lib = kube_client.library()
    with warnings.catch_warnings(), kube_client.connected(connection, lib) as client:
        warnings.simplefilter("ignore")  # that of urllib3, that validate_certs is false
        api = _Api(client, lib, time.monotonic() + timeout)
        view = _wait(api, wanted)
    problems = view.problems(api.url, timeout)
    if problems:
        raise InputError(problems)
    return view.nodes


def _wait(api: _Api, wanted: t.Mapping[str, int]) -> _View:
    """What there is when all nodes have pod CIDRs, or no time is left."""
    pause = PAUSES[0]
    while True:
        is_last = api.left() <= 0
        after = 0.0
        try:
            view = api.list(wanted)
            if is_last or not view.without:
                return view
            api.watch(view)
            if not view.without:
                return view
        except _Passing as error:
            if is_last:
                raise
            after = error.after
        time.sleep(min(max(pause, after), api.left()))
        pause = min(2 * pause, PAUSES[1])


class _Api:
    def __init__(self, client: t.Any, lib: kube_client.Library, end: float) -> None:
        self.nodes = lib.client.CoreV1Api(client)
        self.failure: type[Exception] = lib.client.ApiException
        self.url = shown(client.configuration.host)
        self.end = end

    def left(self) -> float:
        return max(0.0, self.end - time.monotonic())

    def list(self, wanted: t.Mapping[str, int]) -> _View:
        view = _View(wanted)
        more: dict[str, t.Any] = {}
        with self._told("list"):
            while True:
                page = json.loads(self._ask(limit=PAGE, **more).data)
                for item in page["items"]:
                    view.take(item)
                view.version = page["metadata"]["resourceVersion"]
                if not page["metadata"].get("continue"):
                    return view
                more = {"_continue": page["metadata"]["continue"]}

    def watch(self, view: _View) -> None:
        """Follows what happens to nodes until all have pod CIDRs, no time is left, or the API ends it."""
        seconds = max(1, math.ceil(self.left()))  # an API takes 0 for its own default, which is long
        query = {"watch": True, "timeout_seconds": seconds, "resource_version": view.version}
        with self._told("watch"), contextlib.closing(self._ask(silence=seconds + 5.0, **query)) as stream:
            for line in _lines(stream):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _Passing(f"{self.url}: the watch of nodes ended: {event['object'].get('reason')}")
                take = view.drop if event["type"] == "DELETED" else view.take
                take(event["object"])
                if not view.without:
                    return

    def _ask(self, silence: float | None = None, **query: t.Any) -> t.Any:
        """The answer, as it comes: models of thousands of nodes would take seconds to make. ``silence``: seconds, if not the usual."""
        usual = min(max(self.left(), SILENCE[0]), SILENCE[1])
        return self.nodes.list_node(_preload_content=False, _request_timeout=(usual, silence or usual), **query)

    @contextlib.contextmanager
    def _told(self, verb: str) -> t.Iterator[None]:
        """What goes wrong inside, in one line that says what to do."""
        try:
            yield
        except NodeError:
            raise
        except self.failure as error:
            # One without a status stands for a failure below HTTP.
            raise self._refused(error, verb) if getattr(error, "status", 0) else self._unreached(error) from error
        except (KeyError, TypeError, ValueError):
            # An answer that was cut off, or that of something else; or a token that cannot be sent, and then it is in the error's text.
            raise _Passing(f"{self.url}: its answer is no list of nodes (expected the Kubernetes API there)") from None
        except Exception as error:  # of urllib3, whichever the client brings
            raise self._unreached(error) from error

    def _refused(self, error: t.Any, verb: str) -> NodeError:
        status, url = error.status, self.url
        text = f"{url}: HTTP {status} {error.reason}"
        if status == 401:
            return NodeError(f"{text} (expected a token or client certificate that the API knows and that has not expired)")
        if status == 403:
            return NodeError(f"{text}{_said(error)} (expected permission to {verb} nodes: a ClusterRole with the verbs list and watch on the resource nodes)")
        if status in (408, 410, 429) or status >= 500:
            after = (error.headers or {}).get("Retry-After", "")
            return _Passing(f"{text} (expected the Kubernetes API to be well)", float(after) if after.isdigit() else 0)
        return NodeError(f"{text} (expected the Kubernetes API there)")

    def _unreached(self, error: BaseException) -> NodeError:
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return NodeError(f"{self.url}: {_certificate_fault(cause.verify_code, cause.verify_message)}")
            if type(cause).__name__ == "CertificateError":  # urllib3 before 2.0 looks at names itself
                return NodeError(f"{self.url}: {_certificate_fault(62, str(cause))}")
            if isinstance(cause, ssl.SSLError) and cause.reason and "ALERT" in cause.reason:
                return NodeError(f"{self.url}: the API ended TLS: {cause.reason} (expected a client certificate that it accepts)")
            if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
                return NodeError(f"{self.url}: TLS failed: {cause.reason or cause} (expected the Kubernetes API there)")
            if isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN:
                return NodeError(f"{self.url}: {cause.strerror} (expected a name that this machine can resolve)")
        reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), None)
        return _Passing(f"{self.url}: {reason or _silence(causes)} (expected the Kubernetes API to answer)")


def _lines(stream: t.Any) -> t.Iterator[bytes]:
    """Whole lines, each as soon as it has come."""
    rest = b""
    for piece in stream.stream(amt=None, decode_content=False):
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line for line in whole if line.strip())


def _causes(error: BaseException | None) -> t.Iterator[BaseException]:
    """An error and what it came from, the last cause first."""
    if error is not None:
        yield from _causes(error.__cause__ or error.__context__)
        yield error


def _certificate_fault(code: int, reason: str) -> str:
    what, remedy = _CERTIFICATES.get(code, _UNKNOWN)
    return f"its certificate {what}: {reason.rstrip('.')} (expected {remedy})"


def _said(error: t.Any) -> str:
    """What the API says of a refusal, who may not do what, as the part of a message."""
    try:
        return f": {json.loads(error.body)['message']}"
    except (KeyError, TypeError, ValueError):
        return ""


def _silence(causes: t.Sequence[BaseException]) -> str:
    names = {type(cause).__name__ for cause in causes}
    if names & {"ConnectTimeoutError", "ReadTimeoutError", "TimeoutError"}:
        return "it does not answer in time"
    return "the connection was cut off"
