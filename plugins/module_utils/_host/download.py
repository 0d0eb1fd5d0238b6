# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import http.client
import socket
import ssl
import threading
import time
import typing as t
import urllib.error
import urllib.parse
import urllib.request

from .._errors import NodeError
from .files import CHUNK
from .threads import behind, take

#: Seconds without a byte, and for all of a download, until it is given up.
SILENCE, WHOLE = 30.0, 900.0


def fetch(url: str, target: str, algorithm: str, *, limit: int) -> str:
    """Writes what the URL gives, at most ``limit`` bytes, into a new file and returns its checksum. Raises NodeError, which
    names the reason but not the URL."""
    digest = hashlib.new(algorithm)
    try:
        with open(target, "xb") as file, behind() as later:
            for chunk in _chunks(url, limit):
                later(functools.partial(take, chunk, file, digest))
    except OSError as error:
        raise NodeError(f"{target} cannot be written: {error.strerror}") from error
    return digest.hexdigest()


def fetch_text(url: str, *, limit: int) -> str:
    return b"".join(_chunks(url, limit)).decode("utf-8", "replace")


class Answer(t.NamedTuple):
    """What a URL gave. ``validators`` are the headers to send next time, for a server that then says whether it has changed."""

    data: bytes
    validators: dict[str, str]


def fetch_changed(url: str, validators: t.Mapping[str, str], *, limit: int, tls: ssl.SSLContext | None = None) -> Answer | None:
    """What the URL gives, None when it is still what these validators came with (RFC 9110 section 13.1). Raises NodeError."""
    headers: dict[str, str] = {}
    try:
        data = b"".join(_chunks(url, limit, validators, tls, headers))
    except NodeError as error:
        if isinstance(error.__cause__, urllib.error.HTTPError) and error.__cause__.code == 304:
            return None
        raise
    names = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
    return Answer(data, {name: headers[header] for header, name in names.items() if header in headers})


def _chunks(
    url: str,
    limit: int,
    send: t.Mapping[str, str] | None = None,
    tls: ssl.SSLContext | None = None,
    received: dict[str, str] | None = None,
) -> t.Iterator[bytes]:
    """``send``: more headers for the request. ``received`` gets those of the answer, by their names in lower case."""
    end, total = time.monotonic() + WHOLE, 0
    try:
        with _cut_off(WHOLE) as sockets, _open(url, sockets, send or {}, tls) as response:
            if received is not None:
                received.update({name.lower(): value for name, value in response.headers.items()})
            announced = response.headers.get("Content-Length")
            for chunk in iter(lambda: response.read1(CHUNK), b""):
                total += len(chunk)
                if total > limit:
                    raise NodeError(f"it is larger than {limit / 1e6:.0f} MB")
                _check_time(end)
                yield chunk
            _check_time(end)  # what was cut off looks like an end
        if announced is not None and announced.isdigit() and total < int(announced):
            raise NodeError(f"the connection ended after {total} of {announced} bytes")
    except (OSError, http.client.HTTPException, ValueError) as error:
        _check_time(end)
        raise NodeError(_reason(error)) from error


def _check_time(end: float) -> None:
    if time.monotonic() > end:
        raise NodeError(f"it took longer than {WHOLE:.0f} s")


@contextlib.contextmanager
def _cut_off(seconds: float) -> t.Iterator[list[socket.socket]]:
    """Ends the connections in the list when the time is over: a header that comes byte by byte is never silent for long."""
    sockets: list[socket.socket] = []

    def end() -> None:
        for connection in sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield sockets
    finally:
        timer.cancel()


def _open(url: str, sockets: list[socket.socket], send: t.Mapping[str, str], tls: ssl.SSLContext | None) -> t.Any:
    parts = urllib.parse.urlsplit(url)
    user, _at, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urllib.parse.urlunsplit((*parts[:1], host, *parts[2:])), headers={"User-Agent": "kubenode.network", **send})
    if user:
        # Not for the host that a redirect leads to.
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(urllib.parse.unquote(user).encode()).decode()}")
    return urllib.request.build_opener(_Redirects, _Http(sockets), _Https(sockets, context=tls)).open(request, timeout=SILENCE)


class _Noted:
    """Notes the sockets of its connections in a list."""

    def __init__(self, sockets: list[socket.socket], **options: t.Any) -> None:
        super().__init__(**options)
        self.sockets = sockets

    def do_open(self, http_class: t.Any, req: t.Any, **options: t.Any) -> t.Any:
        sockets = self.sockets

        class Connection(http_class):  # type: ignore[misc]  # HTTP or HTTPS, known at run time
            def connect(self) -> None:
                super().connect()
                sockets.append(self.sock)

        return super().do_open(Connection, req, **options)  # type: ignore[misc]  # the standard library's, without a type


class _Http(_Noted, urllib.request.HTTPHandler):
    pass


class _Https(_Noted, urllib.request.HTTPSHandler):
    pass


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects by http and https, and never from https to http."""

    def redirect_request(self, req: t.Any, fp: t.Any, code: int, msg: str, headers: t.Any, newurl: str) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("http", "https") or (req.type, scheme) == ("https", "http"):
            raise urllib.error.URLError(f"it redirects from {req.type} to {scheme}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _reason(error: Exception) -> str:
    """One line without any URL: where a redirect leads to may hold secrets, too."""
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        if 300 <= error.code < 400:
            return f"HTTP {error.code}, a redirect that leads in a circle or to no web address"
        return f"HTTP {error.code} {http.client.responses.get(error.code, '')}".rstrip()
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        return _reason(error.reason)
    if isinstance(error, http.client.InvalidURL) or not isinstance(error, (OSError, http.client.HTTPException)):  # which quote it
        return "it redirects to what is no URL, or sends what is no HTTP"
    if isinstance(error, TimeoutError) or str(error) == "timed out":
        return f"nothing came for {SILENCE:.0f} s"
    said = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
    return (str(said).splitlines() or [type(error).__name__])[0][:200]
