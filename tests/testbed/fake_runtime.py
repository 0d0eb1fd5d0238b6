# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A runtime that only says which sandboxes there are: real gRPC, made-up pods."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc

from .cri import MESSAGE


class FakeRuntime:
    """Answers ListPodSandbox and Version at a unix socket. A context manager.

    listed: called for every list; gives the ids. package: runtime.v1, or the older runtime.v1alpha2. asked: how often a
    list was asked for.
    """

    def __init__(self, path: str, listed: Callable[[], Iterable[str]], *, package: str = "runtime.v1") -> None:
        self.asked = 0
        self._listed = listed
        self._server = grpc.server(ThreadPoolExecutor(2))
        methods = {"ListPodSandbox": self._list, "Version": self._version}
        handlers = {name: _handler(name, method) for name, method in methods.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"{package}.RuntimeService", handlers),))
        self._server.add_insecure_port(f"unix:{path}")
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait()

    def __enter__(self) -> FakeRuntime:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _list(self, _request: object, _context: grpc.ServicerContext) -> object:
        self.asked += 1
        items = [{"id": one, "metadata": {"name": f"pod-{one}", "namespace": "default", "uid": f"uid-{one}"}, "created_at": 1} for one in self._listed()]
        return MESSAGE["ListPodSandboxResponse"](items=items)

    def _version(self, _request: object, _context: grpc.ServicerContext) -> object:
        return MESSAGE["VersionResponse"](runtime_name="fake", runtime_version="1", runtime_api_version="v1")


def _handler(name: str, method: Callable[..., object]) -> grpc.RpcMethodHandler:
    request, response = MESSAGE[f"{name}Request"], MESSAGE[f"{name}Response"]
    return grpc.unary_unary_rpc_method_handler(method, request.FromString, response.SerializeToString)
