# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""_host/libraries.py: each case in a Python of its own, since what is imported stays."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from testbed.paths import COLLECTIONS

START = """
import json, sys
sys.path[:0] = sys.argv[1:]
from ansible_collections.kubenode.network.plugins.module_utils._host import libraries
"""
HALF = {"half/__init__.py": "raise SyntaxError('the start must not run')\n", "half/part.py": "from .other import NAME\n", "half/other.py": "NAME = 'part'\n"}


@pytest.fixture
def python(tmp_path):
    """Runs a text that prints JSON, with the engine's ``libraries`` and a folder of libraries (file -> text)."""

    def run(text, files=None):
        for name, body in (files or {}).items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body)
        argv = [sys.executable, "-W", "error", "-B", "-c", START + text, str(COLLECTIONS), str(tmp_path)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


WHOLE = "import pyroute2, json, sys; print(json.dumps([name for name in sys.modules if name.startswith('pyroute2')]))"


def test_of_pyroute2_no_more_is_loaded_than_is_used(python):
    loaded, version, whole = python("""
loaded = libraries.load("pyroute2")
assert libraries.load("pyroute2") is loaded
names = [name for name in sys.modules if name.startswith("pyroute2")]
with loaded.IPRoute() as kernel:
    assert kernel.link_lookup(ifname="lo") == [1]
import importlib.metadata
print(json.dumps([names, libraries.version("pyroute2"), importlib.metadata.version("pyroute2")]))
""")
    assert version == whole
    names = json.loads(subprocess.run([sys.executable, "-c", WHOLE], capture_output=True, text=True, timeout=60, check=True).stdout)
    assert "pyroute2.ndb.main" in names
    assert set(loaded) < set(names) and "pyroute2.ndb.main" not in loaded
    assert len(loaded) < 0.7 * len(names)


def test_a_library_that_is_there_is_taken_as_it_is(python):
    assert python("import pyroute2; print(json.dumps(libraries.load('pyroute2') is pyroute2))") is True


def test_the_start_of_a_package_does_not_run(python):
    assert python("libraries.PARTS['half'] = 'half.part'; print(json.dumps([libraries.load('half').NAME, libraries.version('half')]))", HALF) == [
        "part", "0 (of unknown version)"]  # fmt: skip


def test_a_library_whose_part_needs_its_start_is_loaded_whole(python):
    whole = {"half/__init__.py": "NAME = 'whole'\nfrom . import part\n", "half/part.py": "from half import NAME\n"}
    assert python("""
libraries.PARTS['half'] = 'half.part'
half = libraries.load('half')
import half as again
print(json.dumps([half.__name__, half.NAME, again is half]))
""", whole) == ["half", "whole", True]  # fmt: skip


@pytest.mark.parametrize(
    "files, kind, message",
    [
        ({}, "ModuleNotFoundError", "No module named 'half'"),
        ({"half.py": "raise ImportError('not for this Python')\n"}, "ImportError", "not for this Python"),
        ({"half/__init__.py": "raise RuntimeError('at its start')\n"}, "RuntimeError", "at its start"),
        ({"half/__init__.py": "\n", "half/part.py": "1 = 2\n"}, "", ""),
    ],
    ids=["missing", "no package", "broken start", "broken part"],
)
def test_a_library_that_fails_says_why(python, files, kind, message):
    """A part that is broken where the start is not is loaded as ever: who uses it says what is wrong."""
    assert python("""
libraries.PARTS['half'] = 'half.part'
try:
    libraries.load('half')
    print(json.dumps(['', '']))
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
""", files) == [kind, message]  # fmt: skip


def test_an_interrupted_import_leaves_nothing_half_done(python):
    """SIGTERM is a SystemExit; what puts the node back then needs the library."""
    part = "import json, sys\nif not hasattr(sys, 'again'):\n    sys.again = True\n    sys.exit(3)\nNAME = 'part'\n"
    assert python("""
libraries.PARTS['half'] = 'half.part'
try:
    libraries.load('half')
except SystemExit as end:
    code = end.code
print(json.dumps([code, 'half' in sys.modules, libraries.load('half').NAME]))
""", {"half/__init__.py": "", "half/part.py": part}) == [3, False, "part"]  # fmt: skip


def test_the_engine_imported_anew_finds_what_is_loaded(python):
    assert python("""
before = libraries.load('pyroute2')
name = libraries.__name__
del sys.modules[name], libraries
import importlib
print(json.dumps(importlib.import_module(name).load('pyroute2') is before))
""") is True


def test_who_needs_a_library_waits_for_the_thread_that_loads_it(python):
    slow = {"half/__init__.py": "", "half/part.py": "import time\ntime.sleep(0.2)\nNAME = 'slow'\n"}
    assert python("""
libraries.PARTS['half'] = 'half.part'
libraries.load_ahead(['half', 'json', 'no_such_library'])
while 'half' not in sys.modules:
    pass
print(json.dumps(libraries.load('half').NAME))
""", slow) == "slow"  # fmt: skip
