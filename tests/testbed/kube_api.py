# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTPS server that speaks the node API of Kubernetes: list in pages and watch, for known tokens and client certificates.

What it answers follows the documentation of the API (API concepts) as far as a client can see it: Status objects for refusals, a list of one
resource version over all of its pages, 410 for one that is gone, watches that go on from a version, in chunks.
"""

from __future__ import annotations

import http.server
import json
import ssl
import threading
import time
import urllib.parse
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .authority import Pair

_REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}


class Refusal(Exception):
    """An answer that is a Status."""

    def __init__(self, code: int, message: str) -> None:
        self.status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                       "reason": _REASONS[code], "code": code}
        super().__init__(message)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: KubeApi
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, _mark, text = self.path.partition("?")
        query = dict(urllib.parse.parse_qsl(text))
        fault = self.server.faults.popleft() if self.server.faults else None
        try:
            user = self._user()
            self.server.requests.append((user, path, query))
            verb = "watch" if query.get("watch", "").lower() == "true" else "list"
            if verb == "watch":
                self.server.start_timers()
            if isinstance(fault, int):
                raise Refusal(fault, f"injected {fault}")
            if path != "/api/v1/nodes":
                raise Refusal(404, "the server could not find the requested resource")
            if (user, verb) in self.server.forbidden:
                raise Refusal(403, f'nodes is forbidden: User "{user}" cannot {verb} resource "nodes" in API group "" at the cluster scope')
            if verb == "list":
                self._answer(200, self.server.page(query), cut=fault == "cut")
            else:
                self._watch(query, str(fault))
        except Refusal as refusal:
            self._answer(refusal.status["code"], refusal.status)
        except OSError:
            self.close_connection = True  # the client went away

    def _user(self) -> str:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        certificate = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        if certificate:
            return next(value for ((key, value),) in certificate["subject"] if key == "commonName")
        if token in self.server.tokens:
            return self.server.tokens[token]
        raise Refusal(401, "Unauthorized")

    def _answer(self, code: int, data: dict[str, Any], *, cut: bool = False) -> None:
        body = json.dumps(data).encode()
        self.send_response(code, _REASONS.get(code))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code == 429:
            self.send_header("Retry-After", str(self.server.retry_after))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    def _watch(self, query: dict[str, str], fault: str) -> None:
        end, version = time.monotonic() + float(query["timeoutSeconds"]), int(query["resourceVersion"])
        if version < self.server.oldest:
            raise Refusal(410, f"too old resource version: {version} ({self.server.oldest})")
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if fault == "expired":
            self._chunk({"type": "ERROR", "object": Refusal(410, "too old resource version").status})
            end = time.monotonic()
        while time.monotonic() < end and not self.server.ended:
            for event in self.server.events_after(version, end):
                version = int(event["object"]["metadata"]["resourceVersion"])
                self._chunk(event, cut=fault == "cut")
                if fault == "cut":
                    self.close_connection = True
                    return
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, event: dict[str, Any], *, cut: bool = False) -> None:
        line = json.dumps(event).encode() + b"\n"
        chunk = b"%x\r\n%s\r\n" % (len(line), line)
        self.wfile.write(chunk[: len(chunk) // 2] if cut else chunk)

    def log_message(self, *_: object) -> None:
        pass


class KubeApi(http.server.ThreadingHTTPServer):
    """Serves until the ``with`` block ends.

    ``tokens``: token -> user; ``requests``: (user, path, query) of each. ``faults``: what the next requests meet, each None, a status,
    ``"cut"`` (the connection ends in the middle of the answer) or ``"expired"`` (a watch says that its version is gone).
    ``forbidden``: (user, verb); ``oldest``: the first version to watch from.
    """

    daemon_threads = True  # a client may keep its connection open

    def __init__(self, pair: Pair | None = None, authority: Path | None = None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.tokens: dict[str, str] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.faults: deque[int | str | None] = deque()
        self.forbidden: set[tuple[str, str]] = set()
        self.retry_after = 1
        self.oldest = 0
        self.ended = False
        self._nodes: dict[str, dict[str, Any]] = {}
        self._events: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._timers: list[threading.Timer] = []
        self._version = 100
        if pair is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
            if authority:
                context.load_verify_locations(authority)
                context.verify_mode = ssl.CERT_OPTIONAL
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.port = self.server_address[1]
        self.url = f"http{'s' if pair else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> KubeApi:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for timer in self._timers:
            timer.cancel()
        self.ended = True
        with self._changed:
            self._changed.notify_all()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def put(self, name: str, cidrs: list[str] | None = None, addresses: list[str] | None = None, spec: dict[str, Any] | None = None) -> None:
        """A node, new or changed, as the kubelet and kube-controller-manager leave it. Without CIDRs it waits for them. ``spec`` is the whole of it."""
        if spec is None:
            spec = {"podCIDR": cidrs[0], "podCIDRs": cidrs} if cidrs else {}
        with self._changed:
            kind = "MODIFIED" if name in self._nodes else "ADDED"
            self._version += 1
            known = [{"type": "InternalIP", "address": address} for address in addresses or []]
            node = {"metadata": {"name": name, "resourceVersion": str(self._version)}, "spec": spec,
                    "status": {"addresses": [{"type": "Hostname", "address": name}, *known]}}
            self._nodes[name] = node
            self._events.append({"type": kind, "object": {"kind": "Node", "apiVersion": "v1", **node}})
            self._changed.notify_all()

    def remove(self, name: str) -> None:
        with self._changed:
            self._version += 1
            node = self._nodes.pop(name)
            node = {**node, "metadata": {"name": name, "resourceVersion": str(self._version)}}
            self._events.append({"type": "DELETED", "object": {"kind": "Node", "apiVersion": "v1", **node}})
            self._changed.notify_all()

    def after(self, seconds: float, what: Callable[..., None], *arguments: Any) -> None:
        """Does something so long after the first watch has begun, however long a client takes to come to that."""
        self._timers.append(threading.Timer(seconds, what, arguments))

    def start_timers(self) -> None:
        with self._changed:
            for timer in self._timers:
                if timer.ident is None:
                    timer.start()

    def page(self, query: dict[str, str]) -> dict[str, Any]:
        """The whole list is as it was when its first page was asked for; here nothing may change meanwhile."""
        with self._changed:
            version, first = (query["continue"].split(":") if "continue" in query else (str(self._version), "0"))
            if int(version) < self._version:
                raise Refusal(410, "The provided continue parameter is too old")
            items, start, limit = sorted(self._nodes.items()), int(first), int(query.get("limit", 0)) or len(self._nodes)
            metadata: dict[str, Any] = {"resourceVersion": version}
            if start + limit < len(items):
                metadata |= {"continue": f"{version}:{start + limit}", "remainingItemCount": len(items) - start - limit}
            return {"kind": "NodeList", "apiVersion": "v1", "metadata": metadata, "items": [node for _name, node in items[start:][:limit]]}

    def events_after(self, version: int, end: float) -> list[dict[str, Any]]:
        """Those behind a version; waits for one, for a while."""
        def found() -> list[dict[str, Any]]:
            return [event for event in self._events if int(event["object"]["metadata"]["resourceVersion"]) > version]

        with self._changed:
            self._changed.wait_for(lambda: self.ended or found(), timeout=max(0.0, end - time.monotonic()))
            return found()
