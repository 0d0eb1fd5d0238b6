# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which functions of `_host` may change something, read from the source: whoever reaches a call that does, by whatever way."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from testbed.paths import CHECKOUT

HOST = CHECKOUT / "plugins" / "module_utils" / "_host"
#: Of the standard library, and what opens the ways to the kernel. To run a program may change anything; ``open`` is looked at more closely.
CHANGING = {
    *(f"os.{name}" for name in ("chmod", "chown", "fchmod", "fchown", "ftruncate", "lchown", "link", "makedirs", "mkdir", "pwrite", "remove", "rename",
                                "replace", "rmdir", "setxattr", "symlink", "truncate", "unlink", "utime", "write", "posix_spawn", "execve", "mknod")),
    *(f"shutil.{name}" for name in ("copy", "copy2", "copyfile", "copytree", "move", "rmtree")),
    *(f"tempfile.{name}" for name in ("mkdtemp", "mkstemp", "NamedTemporaryFile", "TemporaryDirectory")),
    "subprocess.run", "subprocess.Popen", "links._netlink", "rtnetlink.change", "selinux.lsetfilecon",
}


def changing_functions() -> set[str]:
    """Public functions and methods, as ``files.write`` and ``plugins.Probes.save``."""
    calls = {f"{path.stem}.{name}": _calls(path.stem, function, _imports(tree)) for path in sorted(HOST.glob("*.py"))
             for tree in [ast.parse(path.read_text())] for name, function in _functions(tree)}
    reaching = {name for name, called in calls.items() if called & CHANGING}
    while True:
        more = {name for name, called in calls.items() if called & reaching} - reaching
        if not more:
            return {name for name in reaching if not any(part.startswith("_") for part in name.split("."))}
        reaching |= more


def _functions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{method.name}", method) for method in node.body if isinstance(method, ast.FunctionDef))


def _imports(tree: ast.Module) -> dict[str, str]:
    """Name in the module -> what it is: ``output`` -> ``process.output``."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            prefix = "" if node.module is None else f"{node.module}."
            found.update({alias.asname or alias.name: f"{prefix}{alias.name}" for alias in node.names})
    return found


def _calls(module: str, function: ast.AST, imports: dict[str, str]) -> set[str]:
    found = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            first, _dot, rest = name.partition(".")
            found.add("os.write" if _opens_to_write(name, node) else f"{imports[first]}.{rest}".rstrip(".") if first in imports else name)
            found.add(f"{module}.{name}")
        elif isinstance(node, (ast.Name, ast.Attribute)):  # handed on, to be called
            found.add(f"{module}.{ast.unparse(node)}")
    return found


def _opens_to_write(name: str, call: ast.Call) -> bool:
    if name == "os.open":
        return any(flag in ast.unparse(call) for flag in ("O_CREAT", "O_WRONLY", "O_RDWR"))
    words = [word.value for word in [*call.args[1:2], *(keyword.value for keyword in call.keywords)] if isinstance(word, ast.Constant)]
    return name == "open" and any(isinstance(word, str) and set(word) & set("wax+") and set(word) <= set("wax+bt") for word in words)
