# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The options of pod_cidr, whose documentation is a module that never runs."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import env_fallback

#: What says how the API is reached; names and variables as in the collection kubernetes.core.
OF_KUBERNETES: dict[str, t.Any] = {
    "kubeconfig": {"type": "path", "fallback": (env_fallback, ["K8S_AUTH_KUBECONFIG"])},
    "context": {"type": "str", "fallback": (env_fallback, ["K8S_AUTH_CONTEXT"])},
    "host": {"type": "str", "fallback": (env_fallback, ["K8S_AUTH_HOST"])},
    "api_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["K8S_AUTH_API_KEY"])},
    "ca_cert": {"type": "path", "fallback": (env_fallback, ["K8S_AUTH_SSL_CA_CERT"])},
    "client_cert": {"type": "path", "fallback": (env_fallback, ["K8S_AUTH_CERT_FILE"])},
    "client_key": {"type": "path", "no_log": False, "fallback": (env_fallback, ["K8S_AUTH_KEY_FILE"])},
    "validate_certs": {"type": "bool", "fallback": (env_fallback, ["K8S_AUTH_VERIFY_SSL"])},
    "timeout": {"type": "int", "default": 60},
}
ARGUMENT_SPEC: dict[str, t.Any] = {
    "source": {"type": "str", "choices": ["allocate", "kubernetes", "static"], "default": "allocate"},
    "cluster": {"type": "str", "default": "default"},
    "cluster_cidrs": {
        "type": "list",
        "elements": "dict",
        "options": {
            "cidr": {"type": "str", "required": True},
            "node_mask_size": {"type": "int"},
        },
    },
    "nodes": {"type": "list", "elements": "str", "required": True},
    "optional": {"type": "list", "elements": "str", "default": []},
    "remove": {"type": "list", "elements": "str", "default": []},
    "store": {"type": "path"},
    "service_cidrs": {"type": "list", "elements": "str", "default": []},
    "reserved_cidrs": {"type": "list", "elements": "str", "default": []},
    "addresses": {"type": "dict", "default": {}},
    "pod_cidrs": {"type": "dict", "default": {}},
    "reported": {"type": "dict"},
    "rebuild": {"type": "str", "choices": ["never", "complete", "partial"], "default": "never"},
    **OF_KUBERNETES,
}
#: Options that name files of the controller. A relative one is beside the playbook.
PATHS = {"store", "kubeconfig", "ca_cert", "client_cert", "client_key"}
