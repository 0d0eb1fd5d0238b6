# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import typing as t

from .._document import Document
from .._host import files
from .._resource import Resource, State
from . import cni_entry, cni_form, file


class TakenOver(file.File):
    """A file of somebody else's network that becomes ours with entries of ours in it. What counts as found is what would be
    given back without these: ``before``, a text, or None for no file."""

    def __init__(self, path: str, before: str | None, rights: t.Mapping[str, t.Any], content: files.Content | None = None) -> None:
        super().__init__(path, content)
        self._before = None if before is None else files.Bytes(before.encode())
        self._rights = {name: rights[name] for name in ("mode", "owner", "group")}

    def arguments(self) -> list[t.Any]:
        return [self.path, None, self._rights]

    def found(self, state: State) -> State:
        return None if self._before is None else {"sha256": self._before.sha256, **self._rights}

    def capture(self) -> t.Any:
        """The file as it is now. The store is for what was found."""
        return cni_form.snapshot(self.path)

    def keep(self, token: t.Any) -> None:
        if self._before is not None:
            files.keep_content(self._before)

    def restore(self, token: t.Any) -> None:
        cni_form.put_back(self.path, token)


class HandedOver(Resource):
    """An entry of ours, or the form that it asked for, in a network that has become ours as a whole: there is nothing to be
    given back any more but the network."""

    def __init__(self, object_id: str) -> None:
        self.id = object_id

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        return True


def before_entries(path: str, name: str, sections: t.Sequence[str], document: Document) -> dict[str, str | None]:
    """File -> its text, as they would be if the entries of the network were given back now: the list at ``path`` without
    them, or the single configuration that it was, with None for the list. Empty when the list is gone, and what we did in it
    with it. Raises NodeError when it cannot be told."""
    text = cni_entry.read_text(path)
    if text is None:
        return {}
    forms = set()
    for section in sections:
        for object_id, record in document.objects(section, name).items():
            if object_id == f"cni_entry:{path}#{section}":
                text = cni_entry.CniEntry(path, section).given_back(text, record["found"], record.get("beside"))
            elif object_id.startswith("cni_form:"):
                forms.add(object_id)
    for form in (t.cast("cni_form.CniForm", cni_form.revive(document, object_id)) for object_id in sorted(forms)):
        if form.list_path == path and not os.path.lexists(form.path) and form.fits(text):
            return {path: None, form.path: form.as_single(text)}
    return {path: text}
