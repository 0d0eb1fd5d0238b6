# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CRI client against real gRPC servers, and against peers that break the rules."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc as grpcio
import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import cri, grpc
from testbed.fake_runtime import FakeRuntime

METHOD = "/x.Service/Method"
SETTINGS = struct.pack(">HBBBI", 0, 0, 4, 0, 0)
HEADERS, DATA, RST, PING, GOAWAY, CONTINUATION = 1, 0, 3, 6, 7, 9
STATUS_OK = b"\x88" + b"\x00\x0bgrpc-status\x010"
HELLO = b"\0\0\0\0\x05hello"


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s")


@contextlib.contextmanager
def real_server(path, answer):
    """A gRPC server that gives every method of every service the same answer, by grpcio."""

    class Any(grpcio.GenericRpcHandler):
        def service(self, details):
            return grpcio.unary_unary_rpc_method_handler(lambda request, context: answer(details.method, request, context))

    server = grpcio.server(ThreadPoolExecutor(2), handlers=(Any(),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


def frame(kind, flags=0, payload=b"", stream=1):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


@contextlib.contextmanager
def peer(path, data, close=True):
    """Somebody who sends these bytes, whatever comes; then closes, or says no more. Yields what it received."""
    received = bytearray()
    end = threading.Event()

    def serve():
        connection, _address = listener.accept()
        with connection:
            with contextlib.suppress(ConnectionError):  # it may have had enough
                connection.sendall(data)
                if close:
                    connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.05)
            part = b"-"
            while part:
                try:
                    part = connection.recv(65536)
                except socket.timeout:
                    part = b"" if end.is_set() else b"-"  # what has come is read first, however late this thread is
                    continue
                except ConnectionError:
                    return
                received.extend(part)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield received
        finally:
            end.set()
            thread.join()


def call(path, data, close=True, seconds=5):
    with peer(path, data, close):
        return grpc.unary(path, METHOD, b"", seconds)


# Real servers


def test_a_message_goes_there_and_comes_back(path):
    with real_server(path, lambda method, request, _context: method.encode() + request):
        assert grpc.unary(path, METHOD, b"\0\xff") == b"/x.Service/Method\0\xff"
        assert grpc.unary(path, METHOD, b"") == b"/x.Service/Method"


def test_an_answer_larger_than_every_default_window_comes_whole(path):
    data = os.urandom(1 << 20) * 3
    with real_server(path, lambda *_: data):
        assert grpc.unary(path, METHOD, b"") == data


def test_a_refusal_says_status_and_message(path):
    def refuse(_method, _request, context):
        context.abort(grpcio.StatusCode.FAILED_PRECONDITION, "no: \u201c100 %\u201d {of} \\ it | is ~ wrong")

    with real_server(path, refuse), pytest.raises(grpc.GrpcError) as error:
        grpc.unary(path, METHOD, b"")
    assert str(error.value) == f"{path} refused {METHOD} with gRPC status 9: no: \u201c100 %\u201d {{of}} \\ it | is ~ wrong"
    assert error.value.code == 9


def test_a_server_that_hangs_is_given_up(path):
    with real_server(path, lambda _method, _request, context: context.is_active() and time.sleep(0.5)):
        with pytest.raises(grpc.GrpcError, match=f"^{path} did not answer {METHOD} within 0.1 s$|gRPC status 4"):
            grpc.unary(path, METHOD, b"", 0.1)


def test_a_runtime_with_many_sandboxes_is_understood(path):
    ids = [f"{number:064x}" for number in range(5000)]  # some 700 KiB
    with FakeRuntime(path, lambda: ids):
        found = cri.Cri(path).sandboxes()
    assert [one.id for one in found] == ids
    assert found[7] == cri.PodSandbox(ids[7], f"pod-{ids[7]}", "default", f"uid-{ids[7]}", True, 1)


@pytest.mark.parametrize("entry", [b"", b"\x0a\x00", b"\x12\x03\x0a\x01x", b"\x08\x01", b"\x0a\x02\xc3\x28", b"\x0a\x03a/b"])
def test_a_sandbox_without_a_usable_id_is_not_nobody(path, entry):
    """Its lease would be released."""
    listed = b"\x0a\x03\x0a\x01a" + b"\x0a" + bytes([len(entry)]) + entry
    said = "sent an answer that is not understood: it lists a sandbox with the id '"
    with real_server(path, lambda *_: listed), pytest.raises(NodeError, match=f"^{path} {said}"):
        cri.Cri(path).sandboxes()


def test_a_list_of_something_else_is_not_empty(path):
    with real_server(path, lambda *_: b"\x08\x01"), pytest.raises(NodeError, match="^.* its field 1 is a number instead of a message$"):
        cri.Cri(path).sandboxes()


@pytest.mark.parametrize("data", [b"\x0a\x00", b"\x12\x00", b"\x0a\x40" + b"\x10\x01" * 32])
def test_an_answer_of_very_many_pieces_is_given_up(path, data):
    answer = data * ((8 << 20) // len(data))
    with real_server(path, lambda *_: answer), pytest.raises(NodeError, match="sent an answer that (cannot be read: it has more|is not understood)"):
        cri.Cri(path).sandboxes()


def test_an_older_runtime_is_asked_by_the_older_name(path):
    with FakeRuntime(path, lambda: ["a"], package="runtime.v1alpha2"):
        assert [one.id for one in cri.Cri(path).sandboxes()] == ["a"]
        assert cri.Cri(path).version() == cri.Version("fake", "1", "v1")


def test_a_server_without_cri_says_so(path):
    with FakeRuntime(path, list, package="other"), pytest.raises(grpc.GrpcError, match="gRPC status 12") as error:
        cri.Cri(path).sandboxes()
    assert error.value.code == grpc.UNIMPLEMENTED


# What else may be at the other end


def test_nobody_listens(path):
    with pytest.raises(grpc.GrpcError, match=f"^{path} cannot be asked: No such file or directory$"):
        grpc.unary(path, METHOD, b"")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
    with pytest.raises(grpc.GrpcError, match=f"^{path} cannot be asked: Connection refused$"):
        grpc.unary(path, METHOD, b"")
    with pytest.raises(grpc.GrpcError, match="AF_UNIX path too long"):
        grpc.unary("/" + "x" * 200, METHOD, b"")


def test_a_peer_that_says_nothing_is_given_up(path):
    with pytest.raises(grpc.GrpcError, match="did not answer /x.Service/Method within 0.1 s"):
        call(path, SETTINGS, close=False, seconds=0.1)


def test_a_peer_that_never_comes_to_an_end_is_given_up(path):
    with pytest.raises(grpc.GrpcError, match="within 0.2 s|sent more than"):
        call(path, SETTINGS + frame(PING, 0, b"12345678", 0) * 200_000, close=False, seconds=0.2)


@pytest.mark.parametrize("data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 100, b"SSH-2.0-OpenSSH\r\n", frame(HEADERS, 5, STATUS_OK)])
def test_a_peer_that_speaks_something_else_is_found_out(path, data):
    with pytest.raises(grpc.GrpcError, match="does not speak HTTP/2"):
        call(path, data)


WHOLE = SETTINGS + frame(HEADERS, 4, b"\x88") + frame(DATA, 0, HELLO) + frame(HEADERS, 5, STATUS_OK)


def test_the_answer_that_the_next_tests_cut_is_whole(path):
    assert call(path, WHOLE) == b"hello"


@pytest.mark.parametrize("length", range(0, len(WHOLE), 7))
def test_an_answer_that_is_cut_off_is_none(path, length):
    with pytest.raises(grpc.GrpcError, match="closed the connection before it had answered"):
        call(path, WHOLE[:length])


@pytest.mark.parametrize(
    "data",
    [
        frame(HEADERS, 4 | 8 | 32, b"\x03" + b"\0\0\0\0\x10" + b"\x88" + b"\0\0\0") + frame(DATA, 8, b"\x02" + HELLO + b"\0\0") + frame(HEADERS, 5, STATUS_OK),
        frame(HEADERS, 0, b"\x88") + frame(CONTINUATION, 4) + frame(DATA, 0, HELLO) + frame(HEADERS, 1, STATUS_OK[:5]) + frame(CONTINUATION, 4, STATUS_OK[5:]),
        frame(HEADERS, 4, b"\x88") + b"".join(frame(DATA, 0, HELLO[index : index + 1]) for index in range(10)) + frame(DATA, 1),
        frame(HEADERS, 4, b"\xff\xff\xff") + frame(DATA, 1, HELLO),  # a field that is none
        frame(PING, 1, b"x" * 8, 0) + frame(77, 0, b"?") + frame(HEADERS, 4, b"\x20\xbe\x88") + frame(DATA, 1, HELLO, 3) + frame(DATA, 1, HELLO),
        frame(GOAWAY, 0, struct.pack(">II", 2**31 - 1, 0), 0) + frame(HEADERS, 4, b"\x88") + frame(DATA, 1, HELLO),
    ],
    ids=["padding", "continuation", "pieces", "damaged-fields", "others", "graceful-end"],
)  # fmt: skip
def test_http_2_may_be_spoken_in_many_ways(path, data):
    assert call(path, SETTINGS + data) == b"hello"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (frame(RST, 0, struct.pack(">I", 8)), "broke off the call (HTTP/2 error 8)"),
        (frame(GOAWAY, 0, struct.pack(">II", 0, 11) + b"too_many_pings", 0), "closed the connection (HTTP/2 error 11) too_many_pings"),
        (frame(HEADERS, 5, b"\x8d"), "answered /x.Service/Method with HTTP status 404"),
        (frame(HEADERS, 5, b"\x88" + b"\x00\x0bgrpc-status\x0212"), "refused /x.Service/Method with gRPC status 12: "),
        (frame(HEADERS, 5, b"\x88" + b"\x40\x0bgrpc-status\x01?"), "refused /x.Service/Method with gRPC status ?: "),
        (frame(HEADERS, 5, STATUS_OK), "without one whole message"),
        (frame(HEADERS, 4, b"\x88") + frame(DATA, 1, HELLO[:-1]), "without one whole message"),
        (frame(HEADERS, 4, b"\x88") + frame(DATA, 1, HELLO + HELLO), "without one whole message"),
        (frame(HEADERS, 4, b"\x88") + frame(DATA, 1, b"\1" + HELLO[1:]), "without one whole message"),
        (frame(HEADERS, 0, b"\x88") + frame(CONTINUATION, 0, b"x" * 16000) * 10, "sent too many headers"),
    ],
)
def test_what_goes_wrong_is_said(path, data, text):
    with pytest.raises(grpc.GrpcError) as error:
        call(path, SETTINGS + data, close=False)
    assert text in str(error.value)


@pytest.mark.parametrize("status", ["\u00b2", "9" * 5000, "-1", ""])
def test_a_status_that_is_no_number(path, status):
    fields = b"".join(grpc._never_indexed(name, value)[:1] + grpc._integer(len(name), 7) + name.encode()
                      + grpc._integer(len(value.encode()), 7) + value.encode() for name, value in [("grpc-status", status), ("grpc-message", "a%0Ab")])
    with peer(path, SETTINGS + frame(HEADERS, 5, fields)), pytest.raises(grpc.GrpcError, match=r"with gRPC status .*: a; b$") as error:
        grpc.unary(path, METHOD, b"", 2)
    assert error.value.code is None


def test_no_more_is_taken_than_fits(path, monkeypatch):
    monkeypatch.setattr(grpc, "_ANSWER_LIMIT", 1 << 20)
    with pytest.raises(grpc.GrpcError, match="sent more than 1 MiB"):
        call(path, SETTINGS + frame(DATA, 0, b"x" * 16384) * 65)


def test_pings_and_settings_are_acknowledged(path):
    with peer(path, SETTINGS + frame(PING, 0, b"12345678", 0) + SETTINGS + WHOLE[len(SETTINGS):]) as received:
        assert grpc.unary(path, METHOD, b"") == b"hello"
    assert received.count(struct.pack(">HBBBI", 0, 0, 4, 1, 0)) == 2
    assert frame(PING, 1, b"12345678", 0) in received


# HPACK and Protocol Buffers


@pytest.mark.parametrize(
    ("code", "text"),  # RFC 7541 C.4 and C.6
    [
        ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"), ("a8eb10649cbf", "no-cache"), ("25a849e95bb8e8b4bf", "custom-value"),
        ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
        ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
        ("94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
         "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"),
    ],
)  # fmt: skip
def test_coded_text_is_that_of_the_standard(code, text):
    data = bytes.fromhex(code)
    assert grpc.read_fields(b"\x00\x01x" + bytes([0x80 | len(data)]) + data) == {"x": text}


def test_all_that_is_printed_can_be_decoded(path):
    text = "".join(map(chr, range(32, 127))).replace("%", "")

    def refuse(_method, _request, context):
        context.abort(grpcio.StatusCode.INTERNAL, text)

    with real_server(path, refuse), pytest.raises(grpc.GrpcError) as error:
        grpc.unary(path, METHOD, b"")
    assert str(error.value).endswith(text)


def test_damaged_fields_are_not_an_error():
    blocks = [bytes(pair) for pair in itertools.product(range(256), repeat=2)] + [b"\x7f" + b"\xff" * 6, b"\x00\x7f\x80\x80"]
    assert all(isinstance(grpc.read_fields(block), dict) for block in blocks)


@pytest.mark.parametrize("data", [b"\x0a", b"\x0a\x05abc", b"\x0b", b"\x80" * 11, b"\x09abc", b"\x0d", b"\x08"])
def test_damaged_messages_are_an_error(data):
    with pytest.raises(NodeError, match="^/run/x sent an answer that cannot be read: "):
        cri.Message(data, "/run/x")


def test_fields_of_every_kind_are_read():
    message = cri.Message(b"\x08\x96\x01" + b"\x11" + b"8" * 8 + b"\x1a\x02\xc3\xa9" + b"\x25" + b"4444" + b"\x28" + b"\xff" * 9 + b"\x01" + b"\x08\x07", "x")
    assert (message.number(1), message.text(3), message.number(5), message.number(9), message.text(9)) == (7, "é", -1, 0, "")
    assert message.messages(9) == [] and message.number(3) == 0 and message.text(1) == ""


# Where the runtime listens


@pytest.fixture
def places(tmp_path, monkeypatch):
    def there(name):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / name))
        return str(tmp_path / name)

    monkeypatch.setattr(cri, "SOCKETS", (str(tmp_path / "containerd"), str(tmp_path / "crio"), str(tmp_path / "link")))
    monkeypatch.setattr(cri, "CRICTL", str(tmp_path / "crictl.yaml"))
    return there


def test_the_usual_places_are_looked_at(places, tmp_path):
    assert cri.find_socket() is None
    (tmp_path / "containerd").write_text("not a socket")
    crio = places("crio")
    (tmp_path / "link").symlink_to(crio)
    assert (cri.find_socket(), cri.find_sockets()) == (crio, [crio])


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("runtime-endpoint: unix:///run/x.sock", "/run/x.sock"), ('runtime-endpoint: "unix:///run/x.sock"', "/run/x.sock"),
        ("runtime-endpoint: /run/x.sock # ours", "/run/x.sock"), ("runtime-endpoint: unix:/run/x.sock", "/run/x.sock"),
        ("runtime-endpoint: tcp://10.0.0.1:1", None), ("runtime-endpoint: ''", None),
        ("# runtime-endpoint: /run/x.sock", None), ("image-endpoint: /run/x", None),
    ],
)  # fmt: skip
def test_what_crictl_is_told_comes_first(places, tmp_path, line, path):
    (tmp_path / "crictl.yaml").write_text(f"timeout: 10\n{line}\ndebug: false\n")
    crio = places("crio")
    assert cri.crictl_socket() == path
    assert cri.find_sockets() == ([path] if path else []) + [crio]
