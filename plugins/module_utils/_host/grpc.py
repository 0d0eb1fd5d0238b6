# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""One gRPC call over a unix socket with nothing but the standard library.

Of HTTP/2 (RFC 9113) and HPACK (RFC 7541) there is as much as one request and its answer need: a connection a call,
windows so large that nobody has to enlarge them, and no dynamic table, which a peer must not use once it has our
SETTINGS. Deadlines count from the call's begin.
"""

from __future__ import annotations

import re
import socket
import struct
import time
import typing as t
import urllib.parse

from .._errors import NodeError

UNIMPLEMENTED = 12
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_ACK = _END_STREAM = 0x1
_END_HEADERS, _PADDED, _PRIORITY = 0x4, 0x8, 0x20
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_STREAM = 1
_LARGEST_WINDOW = 2**31 - 1
_SETTING = {"HEADER_TABLE_SIZE": 1, "ENABLE_PUSH": 2, "INITIAL_WINDOW_SIZE": 4}
_FRAME_LIMIT = 1 << 14  # what a peer may send, since we ask for no more
_ANSWER_LIMIT = 64 << 20  # bytes; the runtimes' own limit is 16 MiB


class GrpcError(NodeError):
    """The call failed. ``code`` is the status that the server gave, None when it did not get that far."""

    def __init__(self, message: str, code: int | None = None) -> None:
        self.code = code
        super().__init__("; ".join(message.splitlines()))


def unary(path: str, method: str, message: bytes, seconds: float = 10.0) -> bytes:
    """Calls ``/package.Service/Method`` of the server at the unix socket ``path`` and returns its answer's bytes."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(seconds)
            connection.connect(path)
            return _Call(connection, path, seconds).run(method, message)
    except socket.timeout as error:
        raise GrpcError(f"{path} did not answer {method} within {seconds:g} s") from error
    except OSError as error:
        raise GrpcError(f"{path} cannot be asked: {error.strerror or error}") from error


class _Call:
    """One stream on a connection of its own."""

    def __init__(self, connection: socket.socket, path: str, seconds: float) -> None:
        self.connection, self.path = connection, path
        self.seconds, self.deadline = seconds, time.monotonic() + seconds
        self.ended = False
        self.ends_with_block = False
        self.block = bytearray()
        self.body = bytearray()
        self.fields: dict[str, str] = {}

    def run(self, method: str, message: bytes) -> bytes:
        self._request(method, message)
        kind, _flags, _stream, payload = self._frame()
        if kind != _SETTINGS:
            raise self._error("does not speak HTTP/2")
        self._send(_SETTINGS, _ACK)
        while not self.ended:
            kind, flags, stream, payload = self._frame()
            if stream in (0, _STREAM) and kind in self._HANDLERS:
                self._HANDLERS[kind](self, flags, payload)
        return self._message(method)

    def _request(self, method: str, message: bytes) -> None:
        settings = {"HEADER_TABLE_SIZE": 0, "ENABLE_PUSH": 0, "INITIAL_WINDOW_SIZE": _LARGEST_WINDOW}
        fields = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "localhost", "te": "trailers",
                  "content-type": "application/grpc", "grpc-timeout": f"{max(1, round(self.seconds * 1000))}m"}  # fmt: skip
        self._raw(_PREFACE)
        self._send(_SETTINGS, 0, b"".join(struct.pack(">HI", _SETTING[name], value) for name, value in settings.items()))
        self._send(_WINDOW_UPDATE, 0, struct.pack(">I", _LARGEST_WINDOW - 65535))
        self._send(_HEADERS, _END_HEADERS, b"".join(_never_indexed(name, value) for name, value in fields.items()), _STREAM)
        self._send(_DATA, _END_STREAM, struct.pack(">BI", 0, len(message)) + message, _STREAM)

    def _message(self, method: str) -> bytes:
        """The answer, once the stream has ended."""
        status, said = self.fields.get("grpc-status", "0"), urllib.parse.unquote(self.fields.get("grpc-message", ""))
        if status != "0":
            raise GrpcError(f"{self.path} refused {method} with gRPC status {status}: {said}", int(status) if re.fullmatch("[0-9]{1,9}", status) else None)
        if self.fields.get(":status", "200") != "200":
            raise self._error(f"answered {method} with HTTP status {self.fields[':status']}")
        if len(self.body) < 5 or self.body[0] or len(self.body) != 5 + int.from_bytes(self.body[1:5], "big"):
            raise self._error(f"answered {method} without one whole message")
        return bytes(self.body[5:])

    def _on_data(self, flags: int, payload: bytes) -> None:
        self.body += _unpadded(flags, payload)
        if len(self.body) > _ANSWER_LIMIT:
            raise self._error(f"sent more than {_ANSWER_LIMIT >> 20} MiB")
        self.ended = bool(flags & _END_STREAM)

    def _on_headers(self, flags: int, payload: bytes) -> None:
        payload = _unpadded(flags, payload)
        self.ends_with_block = bool(flags & _END_STREAM)
        self._on_continuation(flags, payload[5:] if flags & _PRIORITY else payload)

    def _on_continuation(self, flags: int, payload: bytes) -> None:
        self.block += payload
        if len(self.block) > 8 * _FRAME_LIMIT:
            raise self._error("sent too many headers")
        if flags & _END_HEADERS:
            self.fields.update(read_fields(bytes(self.block)))
            self.block.clear()
            self.ended = self.ends_with_block

    def _on_reset(self, _flags: int, payload: bytes) -> None:
        raise self._error(f"broke off the call (HTTP/2 error {int.from_bytes(payload, 'big')})")

    def _on_settings(self, flags: int, _payload: bytes) -> None:
        if not flags & _ACK:
            self._send(_SETTINGS, _ACK)

    def _on_ping(self, flags: int, payload: bytes) -> None:
        if not flags & _ACK:
            self._send(_PING, _ACK, payload)

    def _on_goaway(self, _flags: int, payload: bytes) -> None:
        if int.from_bytes(payload[:4], "big") < _STREAM:  # else it still answers what it has begun
            said = payload[8:].decode(errors="replace")
            raise self._error(f"closed the connection (HTTP/2 error {int.from_bytes(payload[4:8], 'big')}) {said}".rstrip())

    _HANDLERS: t.ClassVar[dict[int, t.Callable[[_Call, int, bytes], None]]] = {
        _DATA: _on_data,
        _HEADERS: _on_headers,
        _RST_STREAM: _on_reset,
        _SETTINGS: _on_settings,
        _PING: _on_ping,
        _GOAWAY: _on_goaway,
        _CONTINUATION: _on_continuation,
    }

    def _frame(self) -> tuple[int, int, int, bytes]:
        """Type, flags, stream and payload of the next frame."""
        head = self._receive(9)
        length = int.from_bytes(head[:3], "big")
        if length > _FRAME_LIMIT:
            raise self._error("does not speak HTTP/2")
        return head[3], head[4], int.from_bytes(head[5:], "big") & _LARGEST_WINDOW, self._receive(length)

    def _receive(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            self._wait()
            part = self.connection.recv(length - len(data))
            if not part:
                raise self._error("closed the connection before it had answered")
            data += part
        return bytes(data)

    def _send(self, kind: int, flags: int, payload: bytes = b"", stream: int = 0) -> None:
        self._raw(len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload)

    def _raw(self, data: bytes) -> None:
        self._wait()
        self.connection.sendall(data)

    def _wait(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout
        self.connection.settimeout(left)

    def _error(self, what: str) -> GrpcError:
        return GrpcError(f"{self.path} {what}")


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED and payload else payload


# HPACK

#: Lengths in bits of the codes for the characters from the space on (RFC 7541 appendix B). Codes are given in the order
#: of length and character, so that this is all there is to know; others do not occur in what gRPC says.
_CODE_LENGTHS = (
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
)  # fmt: skip
_STATUS_VALUES = ("200", "204", "206", "304", "400", "404", "500")  # of :status, entries 8 to 14 of the static table
_FIRST_STATUS = 8


def _codes() -> dict[tuple[int, int], str]:
    """(length, code) -> character."""
    lengths = {chr(32 + index): length for index, length in enumerate(_CODE_LENGTHS)}
    found, code, before = {}, 0, 0
    for length, character in sorted((length, character) for character, length in [*lengths.items(), ("\0", 13)]):
        code <<= length - before
        found[(length, code)] = character
        code, before = code + 1, length
    return found


_CODES = _codes()


def _never_indexed(name: str, value: str) -> bytes:
    return b"\x10" + b"".join(_integer(len(text), 7) + text.encode() for text in (name, value))


def _integer(value: int, bits: int) -> bytes:
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([value])
    value -= limit
    rest = bytearray()
    while value > 127:
        rest.append(value & 127 | 128)
        value >>= 7
    return bytes([limit, *rest, value])


def read_fields(block: bytes) -> dict[str, str]:
    """The fields of a header block whose names are told or are ``:status``; those before a damaged one."""
    fields: dict[str, str] = {}
    reader = _Block(block)
    try:
        while reader.position < len(block):
            name, value = reader.field()
            fields[name] = value
    except (IndexError, ValueError):
        pass
    return fields


class _Block:
    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    def field(self) -> tuple[str, str]:
        first = self.data[self.position]
        if first & 0x80:
            index = self._number(7)
            status = _FIRST_STATUS <= index < _FIRST_STATUS + len(_STATUS_VALUES)
            return (":status", _STATUS_VALUES[index - _FIRST_STATUS]) if status else ("", "")
        if first & 0xE0 == 0x20:  # the table's new size
            self._number(5)
            return "", ""
        index = self._number(6 if first & 0x40 else 4)
        name = (":status" if _FIRST_STATUS <= index < _FIRST_STATUS + len(_STATUS_VALUES) else "") if index else self._string()
        return name, self._string()

    def _number(self, bits: int) -> int:
        limit = (1 << bits) - 1
        value = self._byte() & limit
        if value < limit:
            return value
        for shift in range(0, 28, 7):
            byte = self._byte()
            value += (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number is too large")

    def _string(self) -> str:
        coded = self.data[self.position] & 0x80
        length = self._number(7)
        text = self.data[self.position : self.position + length]
        if len(text) < length:
            raise ValueError("a text is cut off")
        self.position += length
        return _decoded(text) if coded else text.decode(errors="replace")

    def _byte(self) -> int:
        self.position += 1
        return self.data[self.position - 1]


def _decoded(data: bytes) -> str:
    """Text in the Huffman code; what is no code at its end is padding."""
    text, code, length = [], 0, 0
    for byte in data:
        for shift in range(7, -1, -1):
            code, length = code << 1 | byte >> shift & 1, length + 1
            if (length, code) in _CODES:
                text.append(_CODES[(length, code)])
                code = length = 0
    return "".join(text)
