# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations


class ModuleDocFragment:
    """``extends_documentation_fragment: [kubenode.network._attributes, kubenode.network._attributes.<name>]``.

    The first has the texts, of all attributes; a module (or one of the fragments below, in lower case) adds ``support``.
    """

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and says what a real run would change, without changing it.
  diff_mode:
    description: Says in diff mode what has changed, or in check mode would change, as before and after.
  idempotent:
    description:
      - A second run with the same options changes nothing, provided that nobody else changed the same things in between.
  platform:
    description: The systems on which the module can run.
"""

    # A module that changes things on a Linux node, with all that the engine gives.
    NODE = r"""
options: {}
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: linux
"""

    # A module that only computes or reads.
    READ_ONLY = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - The module changes nothing.
  diff_mode:
    support: N/A
    details:
      - The module changes nothing.
  idempotent:
    support: full
    details:
      - The module changes nothing.
"""

    # A member of the action group; the group itself is in meta/runtime.yml.
    ACTIONGROUP_NODE = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/kubenode.network.node) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - kubenode.network.node
"""
