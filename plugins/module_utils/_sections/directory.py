# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The directory of CNI files as a whole, once every network of the run is planned: what the loader will see, which files of
others are in the way, and whose pods would lose their network."""

from __future__ import annotations

import os
import typing as t

from .._cni import foreign, ipam, loader, model, stranding
from .._cni.keys import PLUGINS
from .._converge import Part, Want
from .._errors import NodeError
from .._host import files, leases, plugins
from .._resources import cni_file
from .base import Chosen, Run

NETWORKS = "networks"
LOOPBACK_FILE = "99-loopback.conf"
_SHOWN = 5

Texts = dict[str, t.Optional[str]]


def kept_aside(name: str, desired: t.Mapping[str, t.Any], run: Run) -> list[Want]:
    """Files of others that this network put aside in earlier runs and that are still there: they stay so. Those that nobody
    holds were put aside by a run that was killed, and are held from now on, to be given back one day; so are those that
    another network put aside and that would come before this one, whatever becomes of the other."""
    if desired.get("foreign") != "disable":
        return []
    held = [cni_file.revive(oid) for oid in run.document.objects(NETWORKS, name) if oid.startswith("cni_file:")]
    aside = {resource.id: resource for resource in [*held, *_left_aside(desired, run)]}
    return [Want(resource, cni_file.DISABLED) for resource in aside.values() if resource.read() is not None]


def _left_aside(desired: t.Mapping[str, t.Any], run: Run) -> list[cni_file.CniFile]:
    folder, own = desired["conf_dir"], desired["filename"]
    names = [name[: -len(cni_file.SUFFIX)] for name in files.entries(folder) if name.endswith(cni_file.SUFFIX)]
    order = loader.load_order({own, *names})
    aside = {name: cni_file.CniFile(os.path.join(folder, name)) for name in order if name != own}
    ahead = order[: order.index(own)]
    left = [resource for name, resource in aside.items() if name in ahead or run.document.record(resource.id) is None]
    return [resource for resource in left if resource.read() == cni_file.DISABLED]


def finish(run: Run) -> None:
    """Tells what the loader will see when the run is done. Refuses a folder in which the loopback file would be the network,
    files of others where that was asked for, and changes that cut off pods."""
    _check_pools(run)
    for path in _folders(run):
        folder = Folder(path, run)
        folder.put_aside()
        folder.report()
        folder.check_loopback()
        folder.check_pods()
        run.planned.in_use[path] = folder.in_use()
        folder.warn_of_pools()


def _check_pools(run: Run) -> None:
    """Refuses networks of one run that would give one address to two pods."""
    seen: list[ipam.Pool] = []
    for part in run.planned.parts.values():
        own = _pools_of(part)
        for pool, other in ((pool, other) for pool in own for other in seen if pool.clashes(other)):
            text = f"'{pool.range.subnet}' ({pool.range}) overlaps {_option(other, run)} ({other.range}) of the network {other.network!r}"
            run.refuse(_option(pool, run), f"{text}, and two pods would get one address (expected apart)")
        seen += own


def _pools_of(part: Part) -> list[ipam.Pool]:
    return ipam.pools({"name": part.instance, "plugins": (part.desired or {})["plugins"]})


def _option(pool: ipam.Pool, run: Run) -> str:
    """Where a pool of the run is written: in a network's plugins, or where that comes from the bridge in its pod_cidrs."""
    chosen = run.planned.chosen[pool.network]
    return ".".join(filter(None, [chosen.prefix, f"{pool.range.path}.subnet" if chosen.option == "plugins" else chosen.option]))


def finish_entries(run: Run) -> None:
    """The same for a run that changes single entries of networks: nothing but the pods can be in danger."""
    for path in _folders(run):
        Folder(path, run).check_pods()


def _folders(run: Run) -> list[str]:
    return sorted({os.path.dirname(path) for path in run.planned.files} | set(run.planned.removed_networks.values()))


class Folder:
    """One directory before and after the run."""

    def __init__(self, path: str, run: Run) -> None:
        self.path = path
        self.run = run
        self.before = _texts(path)
        self.folders = {name: _texts(os.path.join(path, name)) for name in files.entries(path) if os.path.isdir(os.path.join(path, name))}
        self.after = self._texts_after()
        #: our networks of this run, by their files
        self.main = [os.path.basename(file) for file in run.planned.parts if os.path.dirname(file) == path]
        self.ours = self._written()
        self.findings = self._findings()

    @property
    def view(self) -> loader.Verdict:
        return self._view(self.after)

    def in_use(self) -> list[dict[str, t.Any]]:
        """The networks that pods get when the run is done, the default one first."""
        return list(_configs(self.view.winners, self.after).values())

    def _view(self, texts: Texts) -> loader.Verdict:
        return loader.view(self.run.loader, texts, broken=self._broken(texts), folders=self.folders)

    def _broken(self, texts: Texts) -> dict[str, str]:
        """Files whose plugins are missing or do not speak their version, where the runtime asks for that."""
        if not loader.asks_plugins(self.run.loader):
            return {}
        view = loader.view(self.run.loader, texts)
        valid = {name: texts[name] or "" for name in view.order if name not in view.invalid}
        types = {plugin["type"] for name, text in valid.items() for plugin in _plugins(name, text)}
        answers = {plugin: answer for plugin in sorted(types) if (answer := self._answer(plugin)) is not None}
        reasons = {name: loader.refusal(text, name, answers) for name, text in valid.items()}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def _answer(self, plugin: str) -> t.Sequence[str] | None:
        planned, path = self.run.planned.plugins.get(plugin), plugins.locate(plugin, self.run.runtime.bin_dirs)
        binary = planned() if planned else path
        try:
            return self.run.probes.of(binary, plugins.probe_reference if plugin in PLUGINS else plugins.probe).versions if binary else None
        except NodeError:
            return None

    def _leaving(self) -> dict[str, t.Any]:
        """Path -> record, of the files in this folder that no network of ours will hold any more."""
        run, document = self.run, self.run.document
        changing = {(NETWORKS, name) for name in (*run.planned.removed_networks, *run.results.get(NETWORKS, {}))}  # planned ones may change their file
        records = {oid: record for section, name in changing for oid, record in document.objects(section, name).items()}
        paths = {oid.partition(":")[2]: oid for oid in records if changing.issuperset(document.holders(oid))}
        return {path: (oid, records[oid]) for path, oid in paths.items() if os.path.dirname(path) == self.path}

    def _written(self) -> set[str]:
        """The files of this folder that are ours when the run is done."""
        names = self.run.document.instances(NETWORKS)
        ids = [oid for name in names for oid in self.run.document.objects(NETWORKS, name) if oid.startswith("file:")]
        recorded = {oid.partition(":")[2] for oid in ids} - set(self._leaving())
        return {os.path.basename(path) for path in recorded | set(self.run.planned.files) if os.path.dirname(path) == self.path}

    def _texts_after(self) -> Texts:
        """The loadable files as they will be: those there now, less what goes, plus what is given back and what is written."""
        texts = dict(self.before)
        for path, (oid, record) in self._leaving().items():
            name = os.path.basename(path)
            if oid.startswith("cni_file:") and cni_file.revive(oid).read() == cni_file.DISABLED:
                texts[name] = _text(path + cni_file.SUFFIX)
            elif oid.startswith("file:") and record["found"] is None:
                texts.pop(name, None)
            elif oid.startswith("file:") and loader.is_loadable(name):
                texts[name] = _found_text(path, record["found"])
        for want in (want for part in self._parts() for want in part.wants if want.state == cni_file.DISABLED):
            texts.pop(os.path.basename(want.resource.id), None)
        for path in self.run.planned.replaced_files:
            if os.path.dirname(path) == self.path:
                texts.pop(os.path.basename(path), None)
        planned = self.run.planned.files
        texts.update({os.path.basename(path): text for path, text in planned.items() if os.path.dirname(path) == self.path})
        return texts

    def _parts(self) -> list[Part]:
        return [part for path, part in self.run.planned.parts.items() if os.path.dirname(path) == self.path]

    def _findings(self) -> list[foreign.Finding]:
        return foreign.findings(self.run.loader, self.view, self.after, self.ours, self.main)

    def put_aside(self) -> None:
        """Plans what the networks say of the files of others: ``refuse`` or ``disable`` them."""
        for part in self._parts():
            word = (part.desired or {}).get("foreign", "report")
            if word == "refuse":
                self._refuse(self.run.planned.chosen[part.instance], self.findings)
            elif word == "disable":
                part.wants += [Want(cni_file.CniFile(os.path.join(self.path, found.filename)), cni_file.DISABLED) for found in self.findings]
                for found in self.findings:
                    self.after.pop(found.filename, None)
                self.findings = []

    def _refuse(self, chosen: Chosen, found: t.Sequence[foreign.Finding]) -> None:
        for finding in found:
            text = f"refuse, but in {self.path} {finding.message} (expected that file taken away, or foreign=disable)"
            self._problem(chosen, "foreign", text)

    def _problem(self, chosen: Chosen, option: str, message: str) -> None:
        self.run.refuse(f"{chosen.prefix}.{option}" if chosen.prefix else option, message)

    def report(self) -> None:
        run, view = self.run, self.view
        run.results["winner"] = view.winner
        run.results["shadowed_by"] = view.shadowed_by
        run.results["invalid_files"] = view.invalid
        run.results["foreign"] = [found._asdict() for found in self.findings]
        if run.problems or not self.main:
            self._report_successor()
            return
        run.warnings += [f"{NETWORKS}: in {self.path} {found.message}" for found in self.findings if found.harmful]
        if view.error and not any(found.harmful for found in self.findings):
            run.warnings.append(f"{NETWORKS}: {self.path} does not load: {view.error}")
        elif view.winner not in self.ours and run.loader.default_network:
            text = f"the container runtime is told to use {run.loader.default_network}, so pods get the network of {view.winner}"
            run.warnings.append(f"{NETWORKS}: {text}")

    def _report_successor(self) -> None:
        winner = self.view.winner
        if self.path not in self.run.planned.removed_networks.values() or winner in self.main:
            return
        what = f"get the network of {winner}" if winner else f"cannot start, {self.view.error}"
        self.run.warnings.append(f"{NETWORKS}: new pods now {what} in {self.path}")

    def check_loopback(self) -> None:
        if self.view.winner == LOOPBACK_FILE:
            text = f"absent would leave {os.path.join(self.path, LOOPBACK_FILE)} alone, where it becomes the pod network (expected: remove it first)"
            self.run.refuse("state", text)

    def warn_of_pools(self) -> None:
        """Tells what cannot be refused, as it was there before: a network that pods get, or another one of ours."""
        own = [(os.path.basename(path), _pools_of(part)) for path, part in self.run.planned.parts.items() if os.path.dirname(path) == self.path]
        files_of_run = {name for name, _pools in own}
        others = {name: self.after[name] for name in self.view.order if name in self.ours or name in self.view.winners}
        for name in [name for name in others if name not in files_of_run and name not in self.view.invalid]:
            for pool, other in ((pool, other) for _name, pools in own for pool in pools for other in ipam.pools(model.parse(others[name] or "", name))):
                if pool.clashes(other):
                    text = f"{pool.range.subnet} of the network {pool.network!r} overlaps {other.range.subnet} of {other.network!r} in {name}"
                    self.run.warnings.append(f"{NETWORKS}: {text}, so two pods may get one address")

    def check_pods(self) -> None:
        """Refuses what would cut off pods: they are stopped with the configuration that is there by then (cni.md 6)."""
        chosen = self.run.planned.chosen
        for name, (config, after) in self._changing().items():
            reasons = stranding.stranding(config, after)
            holders = leases.sandboxes(name, leases.data_dir(ipam.data_dir(config))) if reasons else {}
            if not holders:
                continue
            what = f"{'; '.join(reasons)}, but the network {name!r} has {_pods(list(holders.values()))}"
            if chosen[name].force if name in chosen else any(one.force for one in chosen.values()):
                self.run.warnings.append(f"networks: {what} (forced)")
            else:
                self._refuse_to_strand(name, what)

    def _changing(self) -> dict[str, tuple[dict[str, t.Any], dict[str, t.Any] | None]]:
        """Network -> its configuration before and after, of those that pods get. One of the run that another file has come
        before meanwhile may still have pods, who are safe as long as it stays what it is."""
        before, after = ((self._view(texts), texts) for texts in (self.before, self.after))
        hidden = {name: config for name, config in _valid(*before).items() if name in self.run.planned.chosen}
        pairs = {name: (config, _valid(*after).get(name)) for name, config in hidden.items()}
        return {**pairs, **{name: (config, _in_use(*after).get(name)) for name, config in _in_use(*before).items()}}

    def _refuse_to_strand(self, name: str, what: str) -> None:
        chosen = self.run.planned.chosen.get(name)
        if chosen is None:  # another network of the run takes its place
            first = next(iter(self.run.planned.chosen.values()))
            chosen = Chosen(first.prefix, "name", first.force)
        self._problem(chosen, chosen.option, f"{what} (expected these pods to be moved away first, or force=true)")


def _texts(folder: str) -> Texts:
    names = [name for name in files.entries(folder) if loader.is_loadable(name) and not os.path.isdir(os.path.join(folder, name))]
    return {name: _text(os.path.join(folder, name)) for name in names}


def _text(path: str) -> str | None:
    """The text of a file, None where a loader cannot read it either: a pipe, which would never end, a socket, a loop of links."""
    found = files.look(path)
    try:
        return files.read_text(path) if found is not None and found.kind == "file" else None
    except NodeError:
        return None


def _found_text(path: str, found: t.Mapping[str, t.Any]) -> str | None:
    """The text of a file that is given back."""
    if "symlink" in found:
        return _text(os.path.join(os.path.dirname(path), found["symlink"]))
    return b"".join(files.kept(found["sha256"]).chunks()).decode("utf-8", "replace")


def _plugins(name: str, text: str) -> list[t.Any]:
    config = model.parse(text, name)
    return list(config.get("plugins", [config]))


def _in_use(view: loader.Verdict, texts: Texts) -> dict[str, dict[str, t.Any]]:
    """Network -> configuration, of those that pods get. In a folder that does not load any valid one may have pods."""
    return _valid(view, texts) if view.error and not view.winners else _configs(view.winners, texts)


def _valid(view: loader.Verdict, texts: Texts) -> dict[str, dict[str, t.Any]]:
    return _configs([name for name in view.order if name not in view.invalid], texts)


def _configs(names: t.Sequence[str], texts: Texts) -> dict[str, dict[str, t.Any]]:
    found: dict[str, dict[str, t.Any]] = {}
    for name in names:
        config = model.parse(texts[name] or "", name)
        found.setdefault(config.get("name", ""), config)
    return found


def _pods(holders: t.Sequence[leases.Holder]) -> str:
    """``2 pods: 10.244.1.2 (5f2a1b…), 10.244.1.3 (…)``; those whose namespace is gone are said to be."""
    shown = [f"{', '.join(holder.addresses) or 'no address'} of {holder.container_id[:12]}{_gone(holder)}" for holder in holders[:_SHOWN]]
    more = f" and {len(holders) - _SHOWN} more" if len(holders) > _SHOWN else ""
    return f"{len(holders)} pod{'s' if len(holders) != 1 else ''}: {', '.join(shown)}{more}"


def _gone(holder: leases.Holder) -> str:
    return "" if holder.netns_alive is not False else ", whose network namespace is gone"
