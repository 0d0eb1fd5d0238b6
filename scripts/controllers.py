# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run with each ansible-core that is promised, but for the one of build/venv, which has all the other tests.

The older ones run on this Python: a part of the integration tests, in an environment of their own. The newer ones want a
newer Python than Debian 12 has. They run inside a trixie node and make that node itself: molecule's playbooks, without ssh.
With arguments (`2.21`), only those.
"""
from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from reports import LOGS, REPORTS, ROOT, Case, logged, read_counts, table, write_report

OLDER = ("2.17", "2.18")
NEWER = ("2.20", "2.21")
# Of trixie.
NEWER_PYTHON = "3.13"

# Whatever the controller has a hand in: options, action plugins, what is sent to a node, results, roles.
TESTS = [f"tests/integration/test_{name}.py" for name in ("convergence", "roles", "payload", "engine", "cni_plugins_action", "fleet")]
# kubespray itself asks for 2.18.
MORE = {"2.18": ["tests/integration/test_kubespray.py"]}
# What is the engine's or the archives' alone, whoever the controller is: a third of the time.
OTHERS = [
    *(f"tests/integration/test_convergence.py::test_{name}" for name in ("drift_is_found_and_mended", "what_was_found_is_given_back")),
    *(f"tests/integration/test_engine.py::test_{name}" for name in (
        "a_node_that_has_lost_it_asks_for_it", "what_it_has_made_is_taken_back_by_the_engine_alone", "what_the_node_has_is_not_written_again",
        "a_run_that_fails_keeps_it", "a_node_that_cannot_keep_it_is_sent_it_at_once", "what_no_run_imports_does_no_harm")),
    "tests/integration/test_fleet.py::test_bad_nodes_leave_the_others_right_and_are_named",
    *(f"tests/integration/test_kubespray.py::test_{name}" for name in (
        "which_archive_is_taken", "without_an_archive_it_is_downloaded_where_that_is_known", "what_is_wrong_with_the_api_is_said_once")),
    *(f"tests/integration/test_cni_plugins_action.py::test_{name}" for name in (
        "bad_sources_leave_the_node_alone", "other_archives", "sha512_and_a_selection", "a_damaged_binary_alone_is_sent_again",
        "a_changed_mode_needs_no_transfer", "the_folder_of_the_runtime")),
]

NODE = "kubenode-controller"
COLLECTIONS = "/collections"
CHECKOUT = f"{COLLECTIONS}/ansible_collections/kubenode/network"
PACKAGES = "/opt/packages"
PYTHON = "/opt/controller/bin/python"
RESULTS = "/run/results"
#: step -> its playbook and arguments, and whether it has to change something
STEPS: dict[str, tuple[list[str], bool]] = {
    "prepare": (["prepare.yml"], True),
    "check": (["converge.yml", "--check", "--diff"], True),
    "converge": (["converge.yml", "--diff"], True),
    "idempotence": (["converge.yml"], False),
    "check again": (["converge.yml", "--check"], False),
    # This node has no systemd that could boot it.
    "verify": (["verify.yml", "--skip-tags=reboot"], False),
}


class Failed(Exception):
    """Something that had to work did not; the text says what."""


def pip(python: str, log: Path, *arguments: str) -> None:
    argv = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off", "--no-deps", *arguments]
    if logged(argv, log) != 0:
        raise Failed(f"pip failed, see {log}")


def up_to_date(folder: Path, requirements: Path) -> bool:
    """Whether a folder was made from this list, by this Python. If not, it is removed."""
    if (folder / ".stamp").is_file() and (folder / ".stamp").read_text() == stamp(folder, requirements):
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return False


def stamp(folder: Path, requirements: Path) -> str:
    return hashlib.sha256(f"{folder} {sys.version} {requirements.read_text()}".encode()).hexdigest()


def environment(version: str, log: Path) -> Path:
    """Make the virtual environment of an older ansible-core; return its folder."""
    folder, requirements = ROOT / "build" / f"venv-{version}", ROOT / "requirements" / f"core-{version}.txt"
    if not up_to_date(folder, requirements):
        # The real path: an environment made out of another one finds no ensurepip on Debian.
        if logged([os.path.realpath(sys.executable), "-m", "venv", str(folder)], log) != 0:
            raise Failed(f"no virtual environment, see {log}")
        pip(str(folder / "bin" / "python"), log, "-r", str(requirements))
        (folder / ".stamp").write_text(stamp(folder, requirements))
    return folder


def packages(version: str, log: Path) -> Path:
    """Fetch what a newer ansible-core needs, for the Python of the node; return its folder."""
    folder, requirements = ROOT / "build" / f"core-{version}", ROOT / "requirements" / f"core-{version}.txt"
    if not up_to_date(folder, requirements):
        # --python-version chooses the wheels; whether a package wants a newer Python is still asked of this one.
        pip(sys.executable, log, "--target", str(folder), "--python-version", NEWER_PYTHON, "--only-binary=:all:", "--no-compile",
            "--ignore-requires-python", "-r", str(requirements))
        (folder / ".stamp").write_text(stamp(folder, requirements))
    return folder


def run_older(version: str, log: Path) -> None:
    """Run a part of the integration tests; pytest writes the report."""
    folder = environment(version, log)
    env = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    argv = [str(folder / "bin" / "python"), "-m", "pytest", *TESTS, *MORE.get(version, []), "-m", "not slow",
            *(f"--deselect={other}" for other in OTHERS),
            "-o", f"cache_dir={ROOT / 'build' / f'pytest-{version}'}", f"--junitxml={REPORTS / f'controllers-{version}.xml'}"]
    if logged(argv, log, env) != 0:
        raise Failed(f"tests failed, see {log}")


def podman(*arguments: str) -> str:
    run = subprocess.run([str(ROOT / "scripts" / "podman"), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise Failed(f"podman {arguments[0]}: {run.stderr.strip()}")
    return run.stdout


def start_node(folder: Path) -> None:
    """Start a trixie node that sees the checkout and, by an environment of its own, the packages in a folder."""
    (ROOT / "build" / "molecule").mkdir(mode=0o700, exist_ok=True)
    image = subprocess.run([str(ROOT / "scripts" / "node-image"), "trixie"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    podman("run", "--detach", "--replace", "--init", f"--name={NODE}", "--cap-add=NET_ADMIN,SYS_ADMIN,NET_RAW", "--security-opt=unmask=ALL",
           f"--volume={ROOT}:{CHECKOUT}:ro", f"--volume={folder}:{PACKAGES}:ro", f"--tmpfs={CHECKOUT}/build/molecule",
           image, "sleep", "infinity")
    # An environment, not PYTHONPATH: modules that run on the node's own Python must not find the controller's libraries.
    podman("exec", NODE, "python3", "-m", "venv", "--without-pip", str(Path(PYTHON).parents[1]))
    podman("exec", NODE, "sh", "-c", f"echo {PACKAGES} >/opt/controller/lib/python{NEWER_PYTHON}/site-packages/packages.pth")


def play(arguments: list[str], changes: bool, log: Path) -> str:
    """Run a playbook of the scenario in the node; return what is wrong with how it went."""
    env = {"ANSIBLE_COLLECTIONS_PATH": COLLECTIONS, "ANSIBLE_CALLBACK_PLUGINS": f"{CHECKOUT}/tests/testbed/callbacks",
           "ANSIBLE_CALLBACKS_ENABLED": "results", "TESTBED_RESULTS": RESULTS, "MOLECULE_PROJECT_DIRECTORY": CHECKOUT, "LC_ALL": "C.UTF-8"}
    podman("exec", NODE, "sh", "-c", f": >{RESULTS}")
    status = logged([str(ROOT / "scripts" / "podman"), "exec", *(f"--env={name}={value}" for name, value in env.items()),
                     f"--workdir={CHECKOUT}/molecule/default", NODE, PYTHON, "-m", "ansible", "playbook", "--connection=local",
                     "--inventory=inventory", *arguments], log)
    if status != 0:
        return f"status {status}, see {log}"
    records = [json.loads(line) for line in podman("exec", NODE, "cat", RESULTS).splitlines()]
    stats = next((record["stats"] for record in records if "stats" in record), {})
    if not stats:
        return f"no host was in the play, see {log}"
    changed = sum(host["changed"] for host in stats.values())
    return "" if bool(changed) == changes else f"{changed} changed (expected {'some' if changes else 'none'}), see {log}"


def run_newer(version: str, log: Path) -> None:
    """Make a node from inside, step by step; the first failure ends it."""
    cases: list[Case] = []
    folder = packages(version, log)
    try:
        start_node(folder)
        for step, (arguments, changes) in STEPS.items():
            started = time.monotonic()
            failure = play(arguments, changes, log)
            cases.append(Case(step, time.monotonic() - started, failure))
            if failure:
                raise Failed(f"{step}: {failure}")
    finally:
        write_report(f"controllers-{version}", cases)
        podman("rm", "--force", "--ignore", "--volumes", "--time=0", NODE)


def run(version: str) -> tuple[bool, tuple[str, ...]]:
    """Return whether all went well, and the row of the table. What a failed run said is printed."""
    log, report = LOGS / f"controllers-{version}.log", REPORTS / f"controllers-{version}.xml"
    for old in (log, report):
        old.unlink(missing_ok=True)
    print(f"controllers: ansible-core {version}", flush=True)
    started = time.monotonic()
    failure = ""
    try:
        (run_older if version in OLDER else run_newer)(version, log)
    except Failed as error:
        failure = str(error)
        if log.exists():
            subprocess.run(["tail", "-n", "100", str(log)], check=True)
        print(f"controllers: {version}: {failure}", flush=True)
    cases = str(read_counts(report).passed) if report.exists() else "-"
    where = "this host" if version in OLDER else f"trixie, Python {NEWER_PYTHON}"
    return not failure, (version, where, cases, "FAILED" if failure else "passed", f"{time.monotonic() - started:.0f}")


def main(versions: list[str]) -> int:
    """Return 0 when all passed."""
    known = (*OLDER, *NEWER)
    unknown = sorted(set(versions) - set(known))
    if unknown:
        print(f"controllers: '{unknown[0]}' is not a version (expected {', '.join(known)})", file=sys.stderr)
        return 2
    REPORTS.mkdir(parents=True, exist_ok=True)
    done = [run(version) for version in versions or known]
    print(table([("ansible-core", "on", "cases", "result", "seconds"), *(row for _ok, row in done)]))
    return int(not all(ok for ok, _row in done))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
