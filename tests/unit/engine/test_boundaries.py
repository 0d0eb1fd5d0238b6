# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may import what (docs/architecture.md), read from the source itself."""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from pathlib import Path

import pytest
from testbed.paths import CHECKOUT, COLLECTIONS

ROOT = CHECKOUT / "plugins" / "module_utils"
SOURCES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
WITH_CODE = [name for name in SOURCES if not name.endswith("__init__.py")]
HEADER = """\
# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""

#: Libraries that are no part of Python 3.9, and the only files that may import them, inside of a function or a ``try``.
OPTIONAL = {
    "netaddr": {"_addressing/pools.py"},  # runs on the controller
    "selinux": {"_host/files.py"},
    "tomllib": {"_host/runtime.py"},
}
#: Folder or file -> what it may import of the rest, as prefixes. What is not named here may import nothing but itself.
ARROWS = {
    "_errors": (),
    "_boot_files": (),
    "_cni": ("_errors", "_cni"),
    "_addressing": ("_errors", "_addressing"),
    "_host": ("_errors", "_host"),
    "_resource": (),
    "_document": ("_errors", "_host", "_resource"),
    "_journal": ("_errors", "_document", "_host", "_resource"),
    "_guard": ("_errors", "_host", "_journal"),
    "_undo": ("_errors", "_document", "_guard", "_host", "_journal", "_resources.bridge"),
    "_converge": ("_errors", "_document", "_host", "_journal", "_resource", "_undo"),
    "_transaction": ("_converge", "_document", "_errors", "_guard", "_host", "_journal", "_undo"),
    "_resources": ("_errors", "_resource", "_converge", "_document", "_host", "_cni", "_resources"),
    "_sections": ("_boot_files", "_errors", "_resource", "_converge", "_document", "_host", "_cni", "_addressing", "_resources", "_sections"),
    "_checkpoint": ("_errors", "_transaction"),
    "_door": ("_execution", "_host"),
    "_engine": ("_host.bytecode",),
    "_execution": ("_errors", "_converge", "_document", "_host", "_sections.base", "_transaction"),
    "_info": ("_boot_files", "_errors", "_cni", "_host", "_document", "_leases", "_info"),
    "_leases": ("_errors", "_resource", "_converge", "_host", "_cni"),
    "_program": ("_errors", "_resource", "_converge", "_document", "_execution", "_host", "_sections", "_transaction", "_undo", "_program"),
    "_node": ("_errors", "_addressing", "_execution", "_sections"),
}


def tree_of(name):
    return ast.parse((ROOT / name).read_text(), name)


def imports_of(name):
    """Every import: (node, module as "os.path" or, of our own, as "_host.files", whether it is ours)."""
    package = name.split("/")[:-1]
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node, node.module, False
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= len(package) + 1, f"{name}:{node.lineno} leaves module_utils"
            base = package[: len(package) + 1 - node.level] + (node.module or "").split(".")
            base = [part for part in base if part]
            for alias in node.names:
                inner = [*base, alias.name]
                yield node, ".".join(inner if _is_module(inner) else base), True


def _is_module(parts):
    path = ROOT.joinpath(*parts)
    return path.with_suffix(".py").is_file() or path.is_dir()


def test_there_is_something_to_look_at():
    assert {"_converge.py", "_host/files.py", "_sections/networks.py", "_cni/model.py"} <= set(WITH_CODE)
    found = {module for _node, module, ours in imports_of("_resources/cni_entry.py") if ours}
    assert {"_cni.entries", "_cni.model", "_errors", "_resource", "_host.files"} <= found


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_imports_ansible(name):
    assert not [module for _node, module, ours in imports_of(name) if not ours and module.split(".")[0].startswith("ansible")]


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_but_the_standard_library_is_imported_at_module_level(name):
    unguarded = {node.lineno: module for node in tree_of(name).body for module in _foreign(node)}
    assert not unguarded
    for _node, module, ours in imports_of(name):
        top = module.split(".")[0]
        if not ours and top != "__future__" and (top not in sys.stdlib_module_names or top in OPTIONAL):
            assert name in OPTIONAL.get(top, ()), f"{name} imports {module}"


def _foreign(node):
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
    return [name for name in names if name.split(".")[0] not in sys.stdlib_module_names or name.split(".")[0] in OPTIONAL]


@pytest.mark.parametrize("name", SOURCES)
def test_arrows_point_one_way(name):
    room = name.split("/")[0].replace(".py", "")
    allowed = ARROWS[room]  # a new room needs a line there
    for node, module, ours in imports_of(name):
        if ours:
            assert any(module == prefix or module.startswith(f"{prefix}.") for prefix in allowed), f"{name}:{node.lineno} imports {module}"


#: What of ``_info`` works on facts alone.
ON_FACTS = tuple(f"_info/{name}.py" for name in ("node", "problem", "problems", "of_files", "of_plugins", "of_pods", "report"))


@pytest.mark.parametrize("name", [name for name in WITH_CODE if name.startswith(("_cni/", "_addressing/", *ON_FACTS))])
def test_what_is_pure_touches_nothing(name):
    """Neither a module that reaches the node nor ``open``; of ``os`` only what works on text."""
    for _node, module, ours in imports_of(name):
        assert ours or module.split(".")[0] not in {"subprocess", "socket", "pathlib", "shutil", "tempfile", "io", "fcntl", "ctypes"}
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "exec", "eval", "__import__"}, f"{name}:{node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr in {"fsencode", "fsdecode"}, f"{name}:{node.lineno} uses os.{node.attr}"


@pytest.mark.parametrize("name", [name for name in WITH_CODE if name.startswith(("_sections/", "_resources/", "_info/")) or "/" not in name])
def test_only_host_runs_programs_and_opens_files(name):
    for _node, module, ours in imports_of(name):
        assert ours or module.split(".")[0] not in {"subprocess", "socket", "fcntl", "ctypes"}
    if name == "_document.py":  # its own file is the one thing that it reads
        return
    for node in ast.walk(tree_of(name)):
        assert not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open"), f"{name}:{node.lineno}"


@pytest.mark.parametrize("name", WITH_CODE)
def test_no_shell(name):
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.keyword):
            assert node.arg != "shell", f"{name}:{node.value.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in {"system", "popen"}, f"{name}:{node.lineno}"


IMPORT_ALL = """
import importlib, sys
for blocked in ("ansible", "pyroute2", "netaddr", "selinux", "tomllib", "yaml", "jinja2"):
    sys.modules[blocked] = None
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module("ansible_collections.kubenode.network.plugins.module_utils." + name)
print(len(sys.argv[2:]))
"""


def test_every_file_can_be_imported_with_nothing_installed():
    modules = [name[: -len(".py")].replace("/", ".") for name in WITH_CODE]
    result = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-B", "-c", IMPORT_ALL, str(COLLECTIONS), *modules],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (result.stdout, result.stderr) == (f"{len(modules)}\n", "")


def test_the_block_of_that_test_blocks():
    script = IMPORT_ALL + "\nimport pyroute2"
    result = subprocess.run([sys.executable, "-I", "-c", script, str(COLLECTIONS)], capture_output=True, text=True, timeout=60, check=False)
    assert "ModuleNotFoundError" in result.stderr and result.returncode == 1


# Python 3.9


@pytest.mark.parametrize("name", SOURCES)
def test_the_syntax_is_that_of_python_3_9(name):
    ast.parse((ROOT / name).read_text(), name, feature_version=(3, 9))


@pytest.mark.parametrize("name", WITH_CODE)
def test_nothing_newer_than_python_3_9_is_called(name):
    tree = tree_of(name)
    annotations = {id(inner) for node in ast.walk(tree) for outer in _annotations(node) for inner in ast.walk(outer)}
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr) and id(node) not in annotations:
            assert not any(_is_type(side) for side in (node.left, node.right)), f"{name}:{node.lineno} makes a union when it runs"
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            newer = {"zip": {"strict"}, "dataclass": {"slots", "kw_only"}}.get(called, set())
            assert not newer & {keyword.arg for keyword in node.keywords}, f"{name}:{node.lineno}"
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"pairwise", "bit_count", "batched", "StrEnum"}, f"{name}:{node.lineno}"


def _annotations(node):
    for field in ("annotation", "returns"):
        if getattr(node, field, None) is not None:
            yield getattr(node, field)


def _is_type(node):
    if isinstance(node, ast.Constant):
        return node.value is None
    return isinstance(node, ast.Name) and isinstance(getattr(builtins, node.id, None), type)


@pytest.mark.parametrize("name", WITH_CODE)
def test_every_file_begins_with_the_licence_and_then_the_future(name):
    text = (ROOT / name).read_text()
    assert text.startswith(HEADER)
    body = tree_of(name).body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]  # the docstring
    first = body[0]
    assert isinstance(first, ast.ImportFrom) and (first.module, [alias.name for alias in first.names]) == ("__future__", ["annotations"])


@pytest.mark.parametrize("name", [name for name in SOURCES if name.endswith("__init__.py")])
def test_packages_hold_no_code(name):
    assert tree_of(name).body == []


@pytest.mark.parametrize("name", SOURCES)
def test_the_files_are_private(name):
    assert name.startswith("_") and Path(name).name != "_"


#: Of plugin_utils, what an action may import.
FOR_ACTIONS = ("_archive", "_engine", "_once", "_program", "_source_action")


@pytest.mark.parametrize("name", ["action/boot_service", "action/cni_plugins", "action/node_network", *(f"plugin_utils/{own}" for own in FOR_ACTIONS)])
def test_an_action_imports_little_at_once(name):
    """Ansible compiles it in each task anew: the engine is for a source on the controller alone."""
    body = ast.parse((CHECKOUT / "plugins" / f"{name}.py").read_text()).body
    modules = [node.module for node in body if isinstance(node, ast.ImportFrom)]
    ours = {module.partition(".plugins.")[2] for module in modules if module.startswith("ansible_collections.")}
    assert ours <= {"module_utils._errors", *(f"plugin_utils.{own}" for own in FOR_ACTIONS)}
