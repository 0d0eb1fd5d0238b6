# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark runs, and its tasks change nothing. How fast they are is not judged here: see `make bench`."""

from __future__ import annotations

from bench.measure import report


def test_the_benchmark_says_its_figures():
    figures = report(1, pairs=1, seconds=0.1)
    assert [figure.what for figure in figures] == [
        "validation of a list of 5 plugins, in-process", "ansible.builtin.ping", "cni_config without a change",
        "node_network without a change", "cni_info without a change", "cni_info, cold without a change", "cni_config, cold without a change",
        "throughput pod to outside, ip4, ipMasq", "throughput pod to outside, ip4, our masquerade",
        "throughput pod to outside, ip6, ipMasq", "throughput pod to outside, ip6, our masquerade"]
    assert all(figure.value > 0 for figure in figures)
