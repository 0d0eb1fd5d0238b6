#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cni_plugins
short_description: Install the CNI plugin binaries
version_added: 0.1.0
description:
  - Puts the reference CNI plugins into the folder in which the node's container runtime looks for them.
  - The source is a folder or an archive, on the controller or on the node, an archive that is downloaded by one of the two, or a package
    of the node's distribution.
  - Binaries that are there already with the right content are neither downloaded nor transferred again.
  - Each binary is replaced as a whole and in one step, so that a pod that starts or stops meanwhile finds the old or the new one.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
  - kubenode.network._sections.cni_plugins
  - kubenode.network._sections.document
  - kubenode.network._sections.controller_source
seealso:
  - module: kubenode.network.cni_config
    description: A network that pods get.
  - module: kubenode.network.node_network
    description: All of a node in one call.
  - name: Releases of the CNI plugins
    description: The archives and their checksums.
    link: https://github.com/containernetworking/plugins/releases
  - name: CNI plugins
    description: The reference plugins and their keys.
    link: https://www.cni.dev/plugins/current/
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Install the binaries of Debian's package containernetworking-plugins, which is on the node
  kubenode.network.cni_plugins:
    src: /usr/lib/cni
    remote_src: true
    bin_dir: /opt/cni/bin

- name: Install a release that the controller has, with the checksum that came with it
  kubenode.network.cni_plugins:
    src: cni-plugins-linux-amd64-v1.9.1.tgz
    checksum: "sha256:{{ lookup('ansible.builtin.file', 'cni-plugins-linux-amd64-v1.9.1.tgz.sha256') | split | first }}"
    bin_dir: /opt/cni/bin

- name: Install a release from a mirror, by the node itself, with the checksum file beside the archive
  kubenode.network.cni_plugins:
    src: "https://mirror.example.com/cni-plugins/{version}/cni-plugins-linux-{arch}-{version}.tgz"
    checksum: "https://mirror.example.com/cni-plugins/{version}/cni-plugins-linux-{arch}-{version}.tgz.sha256"
    version: v1.9.1
    remote_src: true
    bin_dir: /opt/cni/bin

- name: Install the package of the distribution, with links for a runtime that looks in /opt/cni/bin
  kubenode.network.cni_plugins:
    package: auto
    bin_dir: /opt/cni/bin

- name: Install only what a bridge network with host ports needs
  kubenode.network.cni_plugins:
    src: /usr/lib/cni
    remote_src: true
    bin_dir: /opt/cni/bin
    plugins: [bridge, host-local, loopback, portmap]

- name: Take away what was installed
  kubenode.network.cni_plugins:
    bin_dir: /opt/cni/bin
    state: absent
"""

RETURN = r"""
changed:
  description: Whether anything was changed, or in check mode would be.
  returned: success
  type: bool
  sample: true
changed_resources:
  description: The names of what was changed, in that order, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ["file:/opt/cni/bin/bridge", "document:/etc/kubenode-network/node.json"]
plan:
  description: The same with what is done to each, V(create), V(change) or V(remove).
  returned: success
  type: list
  elements: str
  sample: ["create file:/opt/cni/bin/bridge", "change document:/etc/kubenode-network/node.json"]
duration:
  description: How long the run took on the node, in seconds, from its options to its result.
  returned: success
  type: float
  sample: 0.012
checkpoint:
  description: What M(kubenode.network.checkpoint) needs to confirm the change, or to revert it.
  returned: success, O(confirm_timeout) is given, and something was changed
  type: dict
  contains:
    run:
      description: The id of the run.
      type: str
      sample: 2026-11-21T17:03:12Z-0a1b2c3d
    seconds:
      description: How long the node waits.
      type: int
      sample: 60
  sample:
    run: 2026-11-21T17:03:12Z-0a1b2c3d
    seconds: 60
changes:
  description:
    - What was changed, in that order, or in check mode would be. Check mode and the run after it return the same.
    - The last one is the node's document, V(document:/etc/kubenode-network/node.json).
  returned: success
  type: list
  elements: dict
  contains:
    resource:
      description: What was changed, as its kind and name.
      type: str
      sample: file:/opt/cni/bin/bridge
    before:
      description: The state that was found. V(null) if it was not there.
      type: raw
      sample: null
    after:
      description: The state that was written. V(null) if it is gone.
      type: raw
      sample: {sha256: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e, mode: "0755", owner: 0, group: 0}
  sample:
    - resource: file:/opt/cni/bin/bridge
      before: null
      after: {sha256: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e, mode: "0755", owner: 0, group: 0}
diff:
  description: The same as RV(changes) as text, one item for each. Shown by C(--diff).
  returned: success
  type: list
  elements: dict
  contains:
    before_header:
      description: What was changed, with V((absent\)) if it was not there.
      type: str
      sample: file:/opt/cni/bin/bridge (absent)
    after_header:
      description: What was changed, with V((absent\)) if it is gone.
      type: str
      sample: file:/opt/cni/bin/bridge
    before:
      description: The state that was found.
      type: str
      sample: ""
    after:
      description: The state that was written.
      type: str
      sample: "sha256: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e\nmode: 0755\nowner: 0\ngroup: 0\n"
  sample:
    - before_header: file:/opt/cni/bin/bridge (absent)
      after_header: file:/opt/cni/bin/bridge
      before: ""
      after: "sha256: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e\nmode: 0755\nowner: 0\ngroup: 0\n"
cni_plugins:
  description: What is installed now.
  returned: success and O(state=present)
  type: dict
  contains:
    bin_dir:
      description: The folder, also when the node's container runtime decided.
      type: str
      sample: /opt/cni/bin
    plugins:
      description: The SHA-256 of each binary, by the plugin's name.
      type: dict
      sample: {bridge: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e}
    release:
      description:
        - The release that all of the binaries say they are of. Where they were built without it, as by distributions, what follows from
          the options that they know, such as V(release 1.1.0 or newer, before 1.2.0).
        - V(null) if that is nothing, or not the same.
      type: str
      sample: v1.9.1
    package:
      description: The package that has the binaries. V(null) if they came from O(src).
      type: str
      sample: null
  sample:
    bin_dir: /opt/cni/bin
    release: v1.9.1
    package: null
    plugins:
      bridge: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e
      host-local: ebcf362b5c51a8376a232338f973e110e38523a37502a8bb7dfcfe538e8ef726
transfer:
  description: What was sent from the controller to the node. The size and the folder are shown before.
  returned: when something was sent
  type: dict
  contains:
    bytes:
      description: The size of all of it.
      type: int
      sample: 3986328
    files:
      description: Names of the binaries.
      type: list
      elements: str
      sample: [bridge]
    target:
      description: The folder on the node to which they were sent. It is removed at the end of the task.
      type: str
      sample: /root/.ansible/tmp/ansible-tmp-1763720000.0-1234-5678
  sample:
    bytes: 3986328
    files: [bridge]
    target: /root/.ansible/tmp/ansible-tmp-1763720000.0-1234-5678
architectures:
  description: What the node runs, its own architecture first.
  returned: when the action plugin asks for it
  type: list
  elements: str
  sample: [amd64]
known:
  description: What the node's document says of the binaries in RV(bin_dir). V(null) if it says nothing, or they are not as it says.
  returned: when the action plugin asks for it
  type: dict
  sample: null
differing:
  description: Names of the binaries that the node does not have with the content that O(manifest) names.
  returned: when the action plugin asks for it
  type: list
  elements: str
  sample: [bridge]
bin_dir:
  description: The folder that was looked into for RV(differing).
  returned: when the action plugin asks for it
  type: str
  sample: /opt/cni/bin
problems:
  description: Everything that is wrong with the options, found together. The message has the same as one line.
  returned: when an option is wrong
  type: list
  elements: dict
  contains:
    path:
      description: The option.
      type: str
      sample: checksum
    message:
      description: The value, what is wrong with it, and what is accepted.
      type: str
      sample: "is required for the archive '/srv/cni.tgz' (expected sha256: or sha512: and the digits that its publisher names)"
  sample:
    - path: checksum
      message: "is required for the archive '/srv/cni.tgz' (expected sha256: or sha512: and the digits that its publisher names)"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils._door import TERMS, open_door
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError
from ansible_collections.kubenode.network.plugins.module_utils._sections import cni_plugins


def main() -> None:
    module = AnsibleModule(argument_spec={**cni_plugins.OPTIONS, **TERMS}, supports_check_mode=True)
    if module.params["manifest"] is None or module.params["src"] is not None:
        open_door(module, cni_plugins)
    try:
        result = cni_plugins.answer(module.params)
    except InputError as error:
        module.fail_json(msg=f"nothing was changed: {error}", problems=[problem._asdict() for problem in error.problems])
    except NodeError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
