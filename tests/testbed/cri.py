# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small client of the Container Runtime Interface: what kubelet asks a runtime about the network, and pod sandboxes.

The messages below are the part of kubernetes/cri-api's api.proto (runtime.v1) that is used here; a peer ignores what it
does not know. Enumerations are declared as the int32 that they are on the wire.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# The tests start processes all the time; grpc would stop its threads around each of them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "runtime.v1"
_MESSAGES = """
    VersionRequest { string version = 1; }
    VersionResponse { string version = 1; string runtime_name = 2; string runtime_version = 3; string runtime_api_version = 4; }

    StatusRequest { bool verbose = 1; }
    StatusResponse { RuntimeStatus status = 1; map info = 2; }
    RuntimeStatus { repeated RuntimeCondition conditions = 1; }
    RuntimeCondition { string type = 1; bool status = 2; string reason = 3; string message = 4; }

    RunPodSandboxRequest { PodSandboxConfig config = 1; }
    RunPodSandboxResponse { string pod_sandbox_id = 1; }
    PodSandboxConfig { PodSandboxMetadata metadata = 1; string hostname = 2; repeated PortMapping port_mappings = 5; map annotations = 7;
                       LinuxPodSandboxConfig linux = 8; }
    PodSandboxMetadata { string name = 1; string uid = 2; string namespace = 3; }
    PortMapping { int32 protocol = 1; int32 container_port = 2; int32 host_port = 3; string host_ip = 4; }
    LinuxPodSandboxConfig { string cgroup_parent = 1; }

    PodSandboxStatusRequest { string pod_sandbox_id = 1; bool verbose = 2; }
    PodSandboxStatusResponse { PodSandboxStatus status = 1; map info = 2; }
    PodSandboxStatus { string id = 1; int32 state = 3; PodSandboxNetworkStatus network = 5; }
    PodSandboxNetworkStatus { string ip = 1; repeated PodIP additional_ips = 2; }
    PodIP { string ip = 1; }

    ListPodSandboxRequest { }
    ListPodSandboxResponse { repeated PodSandbox items = 1; }
    PodSandbox { string id = 1; PodSandboxMetadata metadata = 2; int32 state = 3; int64 created_at = 4; }

    StopPodSandboxRequest { string pod_sandbox_id = 1; }
    StopPodSandboxResponse { }
    RemovePodSandboxRequest { string pod_sandbox_id = 1; }
    RemovePodSandboxResponse { }
"""
# grpc would take the path for the host's name, and wait a second before it tries a runtime again that was still starting.
_OPTIONS = [("grpc.default_authority", "localhost"), ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100)]
_PROTOCOLS = {"TCP": 0, "UDP": 1, "SCTP": 2}


def _messages() -> dict[str, Any]:
    """_MESSAGES as classes. `map` is map<string, string>."""
    file = descriptor_pb2.FileDescriptorProto(name="testbed/cri.proto", package=_PACKAGE, syntax="proto3")
    for name, body in re.findall(r"(\w+) \{(.*?)\}", _MESSAGES, re.DOTALL):
        message = file.message_type.add(name=name)
        for repeated, kind, field, number in re.findall(r"(repeated )?(\w+) (\w+) = (\d+);", body):
            _add_field(message, bool(repeated), kind, field, int(number))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = [message.name for message in file.message_type]
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in names}


def _add_field(message: Any, repeated: bool, kind: str, name: str, number: int) -> None:
    field = message.field.add(name=name, number=number)
    field.label = field.LABEL_REPEATED if repeated or kind == "map" else field.LABEL_OPTIONAL
    if kind == "map":
        # On the wire a map is a list of messages of this form.
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _add_field(entry, False, "string", "key", 1)
        _add_field(entry, False, "string", "value", 2)
        kind = f"{message.name}.{entry.name}"
    scalar = getattr(field, f"TYPE_{kind.upper()}", None)
    if scalar is None:
        field.type, field.type_name = field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = scalar


MESSAGE = _messages()


class CriError(RuntimeError):
    """The runtime refused, or did not answer; .code is the name of the gRPC status, e.g. UNAVAILABLE."""

    def __init__(self, method: str, error: grpc.RpcError) -> None:
        self.code = error.code().name
        super().__init__(f"{method}: {self.code}: {error.details()}")


@dataclass(frozen=True)
class Status:
    """conditions: name -> (status, reason and message). info: name -> decoded JSON (cniconfig) or plain text (lastCNILoadStatus)."""

    conditions: dict[str, tuple[bool, str]]
    info: dict[str, Any]

    @property
    def network_ready(self) -> bool:
        return self.conditions["NetworkReady"][0]


@dataclass(frozen=True)
class SandboxStatus:
    """ips: the main address first. netns: path of the network namespace, "" when it is gone. pid: 0 when there is none."""

    ready: bool
    ips: tuple[str, ...]
    netns: str
    pid: int


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class Cri:
    """Talks to the runtime at a unix socket. cgroup_parent: where it puts the sandboxes it is asked for ("" for its own place)."""

    def __init__(self, socket: str, cgroup_parent: str = "") -> None:
        self.cgroup_parent = cgroup_parent
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=_OPTIONS)

    def close(self) -> None:
        self._channel.close()

    def version(self) -> dict[str, str]:
        """{"runtime_name", "runtime_version", "runtime_api_version"}."""
        answer = self._call("Version")
        return {key: getattr(answer, key) for key in ("runtime_name", "runtime_version", "runtime_api_version")}

    def status(self) -> Status:
        answer = self._call("Status", verbose=True)
        conditions = {one.type: (one.status, f"{one.reason} {one.message}".strip()) for one in answer.status.conditions}
        return Status(conditions, {key: _decoded(text) for key, text in answer.info.items()})

    def run_sandbox(self, name: str, port_mappings: Iterable[Mapping[str, Any]] = (), annotations: Mapping[str, str] | None = None) -> str:
        """Start a pod without containers; return its id. A port mapping: {"container_port", "host_port"}, and if need be
        "protocol" (TCP) and "host_ip". Raises CriError."""
        ports = [{**mapping, "protocol": _PROTOCOLS[mapping.get("protocol", "TCP")]} for mapping in port_mappings]
        metadata = {"name": name, "uid": str(uuid.uuid4()), "namespace": "default"}
        config = {"metadata": metadata, "hostname": name, "port_mappings": ports, "annotations": dict(annotations or {}),
                  "linux": {"cgroup_parent": self.cgroup_parent}}
        return self._call("RunPodSandbox", config=config, timeout=60).pod_sandbox_id

    def sandbox_status(self, sandbox: str) -> SandboxStatus:
        answer = self._call("PodSandboxStatus", pod_sandbox_id=sandbox, verbose=True)
        network, details = answer.status.network, json.loads(answer.info["info"])
        ips = (network.ip, *(one.ip for one in network.additional_ips)) if network.ip else ()
        spaces = (details.get("runtimeSpec") or {}).get("linux", {}).get("namespaces", [])
        netns = next((space.get("path", "") for space in spaces if space["type"] == "network"), "")
        return SandboxStatus(answer.status.state == 0, ips, netns, details["pid"])

    def sandboxes(self) -> list[dict[str, Any]]:
        """{"id", "name", "namespace", "uid", "ready", "created_ns"} of each, also of those that were stopped."""
        return [{"id": item.id, "name": item.metadata.name, "namespace": item.metadata.namespace, "uid": item.metadata.uid,
                 "ready": item.state == 0, "created_ns": item.created_at} for item in self._call("ListPodSandbox").items]

    def stop(self, sandbox: str) -> None:
        self._call("StopPodSandbox", pod_sandbox_id=sandbox, timeout=60)

    def remove(self, sandbox: str) -> None:
        self._call("RemovePodSandbox", pod_sandbox_id=sandbox, timeout=60)

    def _call(self, method: str, timeout: float = 10, **fields: Any) -> Any:
        request, response = MESSAGE[f"{method}Request"], MESSAGE[f"{method}Response"]
        call = self._channel.unary_unary(f"/{_PACKAGE}.RuntimeService/{method}", request.SerializeToString, response.FromString)
        try:
            return call(request(**fields), timeout=timeout)
        except grpc.RpcError as error:
            raise CriError(method, error) from None
