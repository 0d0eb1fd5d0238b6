# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""A document that came over HTTP: variables of the role node_network for one node, as YAML or JSON, and nothing but data."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

import yaml
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, Problem

#: Bytes of a document. One for a node with five networks has some four thousand.
LARGEST = 1 << 20
SPEC = Path(__file__).parents[3] / "roles" / "node_network" / "meta" / "argument_specs.yml"


class _Loader(yaml.SafeLoader):
    """Without aliases, by which a short text can stand for gigabytes, and without keys that are there twice."""

    def compose_node(self, parent: t.Any, index: t.Any) -> t.Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's own
            raise yaml.MarkedYAMLError(problem="an alias is not accepted", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: t.Any, deep: bool = False) -> t.Any:
        seen = set()
        for key_node, _value in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"{key!r} is there twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read(data: bytes) -> dict[str, t.Any]:
    """The variables. Raises InputError with all that is wrong; what they say is for the modules to judge."""
    try:
        found = yaml.load(data.decode(), Loader=_Loader)
    except RecursionError:
        raise InputError([Problem("", "is nested too deeply")]) from None
    except (ValueError, TypeError, yaml.YAMLError) as error:
        raise InputError([Problem("", f"is not YAML: {_one_line(error)}")]) from None
    if not isinstance(found, dict):
        raise InputError([Problem("", f"is {'empty' if found is None else 'no mapping'} (expected variables node_network_*)")])
    try:
        found = json.loads(json.dumps(found, allow_nan=False))  # as Ansible gets it: a pair is a list
    except ValueError:
        raise InputError([Problem("", "holds a number that is infinite, or none")]) from None
    except TypeError as error:
        raise InputError([Problem("", f"holds what is neither text, number, list nor mapping: {error}")]) from None
    known = _known()
    problems = [Problem(name, "is not a variable of the role node_network") for name in found if name not in known]
    problems += [problem for name, value in found.items() for problem in _templates(value, name)]
    if not problems and all(value is None for value in found.values()):
        problems.append(Problem("", "sets nothing (expected variables node_network_*)"))
    if problems:
        raise InputError(problems)
    return t.cast("dict[str, t.Any]", found)


def _known() -> set[str]:
    return set(yaml.safe_load(SPEC.read_text(encoding="utf-8"))["argument_specs"]["main"]["options"])


def _templates(value: t.Any, path: str) -> list[Problem]:
    """Ansible would evaluate these, as root: a document is data, whoever wrote it. Since ansible-core 2.19 a text that begins with a
    header of the module template is one, too, and names marks of its own there."""
    if isinstance(value, dict):
        return [problem for key, inner in value.items() for problem in (*_templates(key, path), *_templates(inner, f"{path}.{key}"))]
    if isinstance(value, list):
        return [problem for place, inner in enumerate(value) for problem in _templates(inner, f"{path}[{place}]")]
    if isinstance(value, str) and re.search(r"\{[{%#]|^#jinja2:", value):
        return [Problem(path, f"{value[:60]!r} is a template (expected the value itself)")]
    return []


def _one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"line {mark.line + 1}: {said}" if mark else said
