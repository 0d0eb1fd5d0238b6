# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import hashlib
import json
import os
import re
import typing as t

from ._errors import InputError, NodeError, Problem
from ._host import files
from ._resource import Resource, State

PATH = "/etc/kubenode-network/node.json"
#: The newest form of the document that this engine reads and writes.
SCHEMA = 1
#: The key of the checksum of all the others. It is in the file only: who changes a part of it by hand, or loses one, does not know
#: what a later run would give back because of it.
SEAL = "sha256"
#: Entries of a table that are not told one by one in a report: the routes to thousands of nodes.
LONG = 64

Record = dict[str, t.Any]


class Document:
    """The node's document: what this collection made on the node, per section and instance. Immutable.

    ``{"schema": 1, "sections": {SECTION: {INSTANCE: {"asked": {…}, "desired": {…}, "objects": {ID: RECORD}}}}}`` where a
    RECORD is ``{"origin": "created" | "adopted", "found": STATE, "hash": TEXT}``. ``asked`` holds the options as they were
    given, where a section can be applied from the document alone; ``desired`` holds them with ``auto`` resolved.
    """

    def __init__(self, sections: t.Mapping[str, t.Any], path: str = PATH, made: t.AbstractSet[str] = frozenset()) -> None:
        self.sections = sections
        self.path = path
        #: ids of objects that no part holds, but that a run of ours has made: it was undone, except for what pods had begun to use
        self.made = made

    @classmethod
    def load(cls, path: str = PATH, made: t.AbstractSet[str] = frozenset()) -> Document:
        data = DocumentFile(path).content()
        if data is None and not os.path.exists(path):
            return cls({}, path, made)
        schema = data.get("schema") if isinstance(data, dict) else None
        if not isinstance(schema, int) or isinstance(schema, bool) or not isinstance(data.get("sections"), dict):
            raise NodeError(f"{path} is not a document of this collection: it has no schema number and sections")
        if schema < 1:
            raise NodeError(f"{path} is not a document of this collection: it has schema {schema}")
        if schema > SCHEMA:
            raise InputError([Problem(path, f"has schema {schema}, written by a newer kubenode.network (this one knows up to {SCHEMA}); use that release")])
        seal = _seal(_unsealed(data))
        if seal is None or data.get(SEAL) != seal or not _is_whole(data["sections"]):
            text = "is damaged: a part of it is not as this collection wrote it; put it back as it was, or move it away to start afresh"
            raise NodeError(f"{path} {text} (nothing it names will be removed)")
        return cls(data["sections"], path, made)

    def desired(self, section: str, instance: str) -> dict[str, t.Any] | None:
        return self.sections.get(section, {}).get(instance, {}).get("desired")

    def asked(self, section: str, instance: str) -> dict[str, t.Any] | None:
        return self.sections.get(section, {}).get(instance, {}).get("asked")

    def instances(self, section: str) -> list[str]:
        return list(self.sections.get(section, {}))

    def objects(self, section: str, instance: str) -> dict[str, Record]:
        return self.sections.get(section, {}).get(instance, {}).get("objects", {})

    def record(self, object_id: str) -> Record | None:
        """What is known of an object, whichever part holds it (all holders have the same origin and found value)."""
        for section, instance in self.holders(object_id):
            return self.objects(section, instance)[object_id]
        return {"origin": "created", "found": None, "hash": None} if object_id in self.made else None

    def holders(self, object_id: str) -> list[tuple[str, str]]:
        """The parts, as (section, instance), that hold an object."""
        return [(section, name) for section, parts in self.sections.items() for name, part in parts.items() if object_id in part["objects"]]

    def records(self, kind: str) -> list[Record]:
        """The records of all objects whose id begins with ``kind``."""
        parts = [part for instances in self.sections.values() for part in instances.values()]
        return [record for part in parts for oid, record in part["objects"].items() if oid.startswith(kind)]

    def found_contents(self) -> set[str]:
        """SHA-256 of every content that was found on the node and is to be given back one day."""
        found = [record["found"] for record in self.records("file:") if record["found"]]
        return {state["sha256"] for state in found if "sha256" in state}

    def with_part(
        self,
        section: str,
        instance: str,
        desired: dict[str, t.Any] | None,
        objects: dict[str, Record],
        asked: dict[str, t.Any] | None = None,
    ) -> Document:
        """The same document with one part replaced, or taken out when ``desired`` is None. Without ``asked``, what it has
        there stays."""
        sections = {name: dict(parts) for name, parts in self.sections.items()}
        asked = asked if asked is not None else self.asked(section, instance)
        if desired is not None:
            given = {} if asked is None else {"asked": asked}
            sections.setdefault(section, {})[instance] = {**given, "desired": desired, "objects": objects}
        elif section in sections:
            sections[section].pop(instance, None)
            if not sections[section]:
                del sections[section]
        return Document(sections, self.path, self.made)

    def state(self) -> dict[str, t.Any] | None:
        return {"schema": SCHEMA, "sections": self.sections} if self.sections else None

    def seal(self) -> str | None:
        """The checksum that the file has, or will have; None for no file."""
        state = self.state()
        return None if state is None else _seal(state)

    def resource(self) -> DocumentFile:
        return DocumentFile(self.path)


def _seal(data: t.Mapping[str, t.Any]) -> str | None:
    """The checksum, whatever the layout is; None for what is nested more deeply than anything of ours."""
    try:
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    except RecursionError:
        return None


def _unsealed(data: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in data.items() if name != SEAL}


def _is_whole(sections: t.Any) -> bool:
    """Whether every part and record has its shape, and every hash can be the name of a file in the store."""
    if not all(isinstance(parts, dict) for parts in sections.values()):
        return False
    parts = [part for instances in sections.values() for part in instances.values()]
    if not all(isinstance(part, dict) and _has_fields(part) for part in parts):
        return False
    records = [record for part in parts for record in part["objects"].values()]
    return all(isinstance(record, dict) and {"origin", "found", "hash"} <= set(record) and _is_hash(record["hash"]) for record in records)


def _has_fields(part: t.Mapping[str, t.Any]) -> bool:
    return all(isinstance(part.get(name), dict) for name in ("objects", "desired")) and isinstance(part.get("asked", {}), dict)


def _is_hash(value: t.Any) -> bool:
    return value is None or (isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None)


class DocumentFile(Resource):
    """The document as the last thing that a run changes."""

    survives_boot = True

    def __init__(self, path: str) -> None:
        self.path = path
        self.id = f"document:{path}"

    def read(self) -> State:
        content = self.content()
        return _unsealed(content) if isinstance(content, dict) else content

    def content(self) -> t.Any:
        """What the file holds, with the seal."""
        if os.path.exists(self.path) and not os.path.isfile(self.path):
            raise NodeError(f"{self.path} is there but is not a file")
        try:
            with open(self.path, encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            if os.path.islink(self.path):
                raise NodeError(f"{self.path} is a symbolic link that leads nowhere (expected the document, or nothing)") from None
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise NodeError(f"{self.path} cannot be read: {error}; move it away to start afresh (nothing it names will be removed)") from error

    def write(self, state: State) -> None:
        folder = os.path.dirname(self.path)
        if state is None:
            files.remove(self.path)
            files.remove_folder(folder)
            return
        files.make_folder(folder, 0o755)
        text = json.dumps({**state, SEAL: _seal(state)}, indent=1, sort_keys=False) + "\n"
        files.write(self.path, files.Bytes(text.encode()), mode=0o600)

    def paths(self) -> t.Sequence[str]:
        return (self.path,)

    def restore(self, token: t.Any) -> None:
        if token["state"] is None:
            self.write(None)  # a run that was killed may have made the folder alone
        super().restore(token)

    def focus(self, before: State, after: State) -> tuple[State, State]:
        """The two documents without the parts that are equal, and of others without their long tables, which the objects tell by
        themselves."""
        return _without_equals(before, after), _without_equals(after, before)

    def describe(self, state: State) -> str:
        """A line for each part, with its settings, and one for each of its objects; what is long is cut to a hash."""
        lines = []
        for section, instances in (state or {}).get("sections", {}).items():
            for instance, part in instances.items():
                settings = ", ".join(f"{name}={_brief(value)}" for name, value in part["desired"].items())
                lines.append(f"{section}/{instance}: {settings}\n")
                lines += [f"  {oid} {record['origin']} {(record['hash'] or '')[:12]}\n" for oid, record in part["objects"].items()]
        return "".join(lines)


def _brief(value: t.Any) -> str:
    text = json.dumps(value)
    return text if "{" not in text else hashlib.sha256(text.encode()).hexdigest()[:12]


def _without_equals(state: State, other: State) -> State:
    if state is None:
        return None
    other = other or {"sections": {}}
    sections = {
        section: {name: _shortened(part) for name, part in instances.items() if part != other["sections"].get(section, {}).get(name)}
        for section, instances in state["sections"].items()
    }
    return {**state, "sections": {section: instances for section, instances in sections.items() if instances}}


def _shortened(part: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    desired = {name: _entries(value) if isinstance(value, dict) and len(value) > LONG else value for name, value in part["desired"].items()}
    return {**part, "desired": desired}


def _entries(table: t.Mapping[str, t.Any]) -> str:
    return f"{len(table)} entries, SHA-256 {hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:12]}"
