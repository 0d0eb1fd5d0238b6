#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_local_lease
short_description: Release pod addresses whose sandbox no longer exists
version_added: 0.1.0
description:
  - The IPAM plugin C(host-local) never takes an address back by itself. After a crash, or when the state of the container runtime was
    wiped, nobody asks it to, and in the end pods fail with V(no IP addresses available in range set).
  - This module releases such addresses, and only these, as kubenet did regularly.
  - A sandbox that is being started has an address before the runtime lists it. Therefore an address is released only if its sandbox
    is in neither of two lists of the runtime that were taken O(grace) apart, it was given away, unchanged, before the first of them,
    no network namespace is alive that the plugins remember for it, and none that a process is in, or that is mounted (as below
    C(/run/netns)), has it as an address of its own. The last look is taken with the lock of C(host-local) held, so that no pod gets or
    gives back an address in between.
  - What the first list showed is remembered on the node until it reboots, in C(/run/kubenode-network/leases.json). Run the module
    regularly, and each run releases what an earlier one found at least O(grace) ago. To have it done in one run, use O(wait).
  - Nothing but the lease's file is removed. The order in which addresses are given away stays as it is.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
attributes:
  check_mode:
    support: full
    details:
      - Nothing is remembered. With O(wait), check mode does not wait and says what is released if nothing changes meanwhile.
options:
  network:
    description:
      - The name of the network, as in its file.
    type: str
    required: true
  only:
    description:
      - Which leases are released. V(orphaned) are those that no sandbox of the node has.
    type: str
    choices: [orphaned]
    default: orphaned
  grace:
    description:
      - For how long, in seconds, a lease has to be orphaned. Longer than any start of a sandbox takes.
      - With less than the time that the runtime gives a start (kubelet waits 4 minutes), an address may be released that a pod is just
        being given, and two pods then share it. V(0) is for a node where nothing starts pods, as when kubelet is stopped.
    type: int
    default: 300
  wait:
    description:
      - Wait until O(grace) is over, and release then. The task takes that long, and the connection is held.
      - Without it, what is not due yet is returned as RV(waiting), for a later run.
    type: bool
    default: false
  addresses:
    description:
      - Only these addresses are released. All by default.
    type: list
    elements: str
  sandboxes:
    description:
      - The ids of all sandboxes or containers that live, for a node whose runtime does not speak CRI, such as Docker alone. It takes the
        place of both lists. An empty list says that none does.
      - Take it right before the task. An address is released if its id is not in the list, it was given away at least O(grace) ago
        by the node's clock, and no network namespace of it, or with that address, is alive.
      - Ids may be cut off, as C(docker ps) prints them.
    type: list
    elements: str
  runtime_endpoint:
    description:
      - The unix socket of the one container runtime that has the node's pods, with or without C(unix://).
      - By default all runtimes are asked that are found, at C(runtime-endpoint) of C(/etc/crictl.yaml) and at the usual places of containerd,
        CRI-O, cri-dockerd, k3s, k0s and MicroK8s, and each of them has to answer.
    type: str
  data_dir:
    description:
      - Where C(host-local) keeps its leases. By default what C(dataDir) in the network's file says, else C(/var/lib/cni/networks).
    type: path
  conf_dir:
    description:
      - Where the network's file is. By default where the container runtime reads CNI configuration.
    type: path
  state:
    description:
      - V(absent) releases leases. They are given away by the plugin alone.
    type: str
    choices: [absent]
    default: absent
requirements:
  - C(nsenter) of util-linux (on the node), where a network namespace is mounted that no process is in
notes:
  - A pod without a sandbox in the runtime keeps its address as long as its network namespace is there, also when no process
    is left in it. After a reboot there is none.
  - Leases of containers that are not the runtime's, such as podman's or nerdctl's on the same network, are kept while their network
    namespace is alive.
  - A lease whose file does not say whose it is, as after a power cut, is kept. The file can be removed by hand when no pod has the address.
seealso:
  - module: kubenode.network.cni_config
    description: A network that pods get.
  - name: host-local plugin
    description: What gives the addresses away.
    link: https://www.cni.dev/plugins/current/ipam/host-local/
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Release what an earlier run found orphaned
  kubenode.network.host_local_lease:
    network: mynet

- name: Release what is orphaned, within five minutes
  kubenode.network.host_local_lease:
    network: mynet
    wait: true

- name: Release what is orphaned at once, on a node whose kubelet is stopped
  kubenode.network.host_local_lease:
    network: mynet
    grace: 0

- name: See which containers live, on a node with Docker alone
  ansible.builtin.command:
    argv: [docker, ps, --all, --quiet, --no-trunc]
  register: containers
  changed_when: false
  check_mode: false

- name: Release the addresses of those that do not
  kubenode.network.host_local_lease:
    network: mynet
    sandboxes: "{{ containers.stdout_lines }}"
"""

RETURN = r"""
changed:
  description: Whether anything was released, or in check mode would be.
  returned: success
  type: bool
  sample: true
changes:
  description: What was released, in the order of the addresses, or in check mode would be.
  returned: success
  type: list
  elements: dict
  contains:
    resource:
      description: The lease, by its file.
      type: str
      sample: lease:/var/lib/cni/networks/mynet/10.244.1.5
    before:
      description: Whose it was.
      type: dict
      sample: {container_id: 61f57833083424c2, interface: eth0}
    after:
      description: Always V(null).
      type: raw
      sample: null
  sample:
    - resource: lease:/var/lib/cni/networks/mynet/10.244.1.5
      before: {container_id: 61f57833083424c2, interface: eth0}
      after: null
diff:
  description: The same as RV(changes) as text, one item for each. Shown by C(--diff).
  returned: success
  type: list
  elements: dict
  contains:
    before_header:
      description: The lease.
      type: str
      sample: lease:/var/lib/cni/networks/mynet/10.244.1.5
    after_header:
      description: The lease, with V((absent\)).
      type: str
      sample: lease:/var/lib/cni/networks/mynet/10.244.1.5 (absent)
    before:
      description: Whose it was.
      type: str
      sample: "container_id: 61f57833083424c2\ninterface: eth0\n"
    after:
      description: Always empty.
      type: str
      sample: ""
  sample:
    - before_header: lease:/var/lib/cni/networks/mynet/10.244.1.5
      after_header: lease:/var/lib/cni/networks/mynet/10.244.1.5 (absent)
      before: "container_id: 61f57833083424c2\ninterface: eth0\n"
      after: ""
released:
  description: The addresses that were released, or in check mode would be.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The address.
      type: str
      sample: 10.244.1.5
    container_id:
      description: The id of the sandbox that had it. Empty if its file does not say.
      type: str
      sample: 61f57833083424c2
    interface:
      description: The interface in the sandbox. Empty if its file does not say.
      type: str
      sample: eth0
  sample:
    - {address: 10.244.1.5, container_id: 61f57833083424c2, interface: eth0}
kept:
  description: The addresses that stay given away, and why.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The address.
      type: str
      sample: 10.244.1.5
    container_id:
      description: The id of the sandbox that had it. Empty if its file does not say.
      type: str
      sample: 61f57833083424c2
    interface:
      description: The interface in the sandbox. Empty if its file does not say.
      type: str
      sample: eth0
    reason:
      description: Why it is kept.
      type: str
      sample: its sandbox exists
  sample:
    - {address: 10.244.1.6, container_id: 5831a5a852f302db, interface: eth0, reason: its sandbox exists}
waiting:
  description: The addresses that are orphaned, but not for O(grace) yet. A later run releases them.
  returned: success
  type: list
  elements: dict
  contains:
    address:
      description: The address.
      type: str
      sample: 10.244.1.5
    container_id:
      description: The id of the sandbox that had it. Empty if its file does not say.
      type: str
      sample: 61f57833083424c2
    interface:
      description: The interface in the sandbox. Empty if its file does not say.
      type: str
      sample: eth0
    since:
      description: When it was first seen so.
      type: str
      sample: "2026-03-01T03:00:00Z"
    seconds:
      description: After how many seconds it is due.
      type: int
      sample: 240
  sample:
    - {address: 10.244.1.7, container_id: 77ac0e3b5d1f2a66, interface: eth0, since: "2026-03-01T03:00:00Z", seconds: 240}
problems:
  description: Everything that is wrong with the options, found together. The message has the same as one line.
  returned: when an option is wrong
  type: list
  elements: dict
  contains:
    path:
      description: The option.
      type: str
      sample: grace
    message:
      description: The value, what is wrong with it, and what is accepted.
      type: str
      sample: "-1 is below zero (expected seconds, e.g. 300)"
  sample:
    - path: grace
      message: "-1 is below zero (expected seconds, e.g. 300)"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils import _leases
from ansible_collections.kubenode.network.plugins.module_utils._door import answer


def main() -> None:
    module = AnsibleModule(argument_spec=_leases.OPTIONS, supports_check_mode=True)
    answer(module, lambda: _leases.release(module.params, check_mode=module.check_mode, diff=module._diff))


if __name__ == "__main__":
    main()
