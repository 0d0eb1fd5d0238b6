# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server that behaves, or does not, as the first part of the path says. In a thread, or as a script in a node.

/files/NAME and /cni-plugins/…/NAME give a file of the folder; /cut/NAME half of it; /moved/NAME redirects to /files/NAME, /circle to itself, /local to
a file; /secret/NAME wants a password; /silent answers nothing; /endless never ends. Every request is noted.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

USER, PASSWORD = "reader", "s3cret/word"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.note(f"{self.path} {self.headers.get('Authorization', '-')}")
        first, _slash, name = self.path.lstrip("/").partition("?")[0].partition("/")
        if first == "silent":
            time.sleep(self.server.silence)
        elif first == "drop":
            with contextlib.suppress(ConnectionError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                for _number in range(50):
                    time.sleep(0.1)
                    self.wfile.write(b"x")
        elif first == "moved":
            self._redirect(f"{self.server.moved_to}/files/{name}")
        elif first in ("circle", "local"):
            self._redirect(self.path if first == "circle" else "file:///etc/passwd?token=hidden")
        elif first == "endless":
            self._send([b"x" * 100_000] * 100)
        elif first == "secret" and self.headers.get("Authorization") != _basic():
            self.send_error(401)
        elif first in ("files", "cni-plugins", "cut", "secret") and (self.server.folder / Path(name).name).is_file():
            content = (self.server.folder / Path(name).name).read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()}"'
            if self.headers.get("If-None-Match") == tag:
                self.send_response(304)
                self.end_headers()
            else:
                self._send([content[: len(content) // 2] if first == "cut" else content], len(content), tag)
        else:
            self.send_error(404)

    def _redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.end_headers()

    def _send(self, pieces: list[bytes], length: int | None = None, tag: str = "") -> None:
        self.send_response(200)
        if tag:
            self.send_header("ETag", tag)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                self.wfile.write(piece)

    def log_message(self, *_: object) -> None:
        pass


def _basic() -> str:
    return "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class Server(http.server.ThreadingHTTPServer):
    """Serves until the ``with`` block ends. ``url`` is its address, ``requests`` what was asked for."""

    daemon_threads = False  # closing waits for them

    def __init__(self, folder: Path, port: int = 0, notes: Path | None = None, *, silence: float = 60,
                 certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.folder, self.notes, self.silence = folder, notes, silence
        self.moved_to = ""
        self.requests: list[str] = []
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.server_address[1]}"

    def note(self, line: str) -> None:
        self.requests.append(line)
        if self.notes is not None:
            with self.notes.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


def make_certificate(path: Path, host: str) -> Path:
    """A key and a certificate that nobody but its owner vouches for, in one file."""
    kind = "IP" if host[0].isdigit() else "DNS"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={host}",
                    "-addext", f"subjectAltName={kind}:{host}", "-keyout", str(path), "-out", f"{path}.crt"], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


if __name__ == "__main__":  # FOLDER PORT NOTES [CERTIFICATE]
    server = Server(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), certificate=Path(sys.argv[4]) if sys.argv[4:] else None)
    print("ready", flush=True)
    server.serve_forever()
