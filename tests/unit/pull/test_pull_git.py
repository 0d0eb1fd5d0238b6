# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which commit a repository has by a name. What is done with it is shown by tests/integration/test_pull.py."""

from __future__ import annotations

import dataclasses
import socket
import subprocess

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import download
from ansible_collections.kubenode.network.plugins.plugin_utils._pull import sources
from ansible_collections.kubenode.network.plugins.plugin_utils._pull.config import Config


@pytest.fixture
def repository(tmp_path):
    """A repository with two commits on main, a branch and tags; and how to run git in it."""

    def git(*argv):
        argv = ["git", "-C", tmp_path, "-c", "user.name=x", "-c", "user.email=x@example.com", *argv]
        return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git("commit", "--quiet", "--allow-empty", "--message=first")
    git("tag", "plain")
    git("tag", "--annotate", "--message=x", "annotated")
    git("branch", "side")
    git("commit", "--quiet", "--allow-empty", "--message=second")
    git("tag", "side")
    return tmp_path, git


def source(path, version):
    return sources.Git(Config(source="git", url=f"file://{path}", host="n1", bin_dir="/none", python="/none", state_dir=str(path / "state"), timeout=9,
                              version=version, key_file="/none", accept_host_key=True))  # fmt: skip


@pytest.mark.parametrize(
    "version, commit",
    [(None, "main"), ("main", "main"), ("side", "refs/heads/side"), ("plain", "main~1"), ("annotated", "main~1")],
)
def test_a_name_is_a_commit(repository, version, commit):
    path, git = repository
    assert source(path, version)._remote_head() == git("rev-parse", commit)


def test_a_commit_is_itself_and_need_not_be_asked_for(repository):
    assert source(repository[0] / "none", "0" * 40)._remote_head() == "0" * 40


def test_what_is_not_there(repository):
    path, _git = repository
    with pytest.raises(NodeError, match=r"/test_what_is_not_there\d has no gone \(expected a branch, a tag or a commit\)$"):
        source(path, "gone")._remote_head()
    outcome = source(path / "none", None).attempt()
    assert outcome.stage == "fetch" and "does not appear to be a git repository" in outcome.message


def test_a_server_that_never_answers_leaves_no_process(tmp_path, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "SILENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/silent.git"
        outcome = sources.Git(dataclasses.replace(source(tmp_path, "main").config, url=url)).attempt()
        assert outcome.stage == "fetch" and "Operation too slow" in outcome.message
        assert subprocess.run(["pgrep", "--full", url], check=False).returncode == 1


def test_what_a_killed_run_left_is_swept_away(repository):
    """A checkout that git can still use keeps what it has, without files and locks; one that it cannot is fetched anew."""
    path, git = repository
    found = source(path, "main")
    git("clone", "--quiet", f"file://{path}", found.checkout)
    for name in ("inventory/hosts", ".git/index.lock", ".git/refs/heads/main.lock"):
        file = path / "state" / "work" / "checkout" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("x")
    found._clear()
    assert [entry.name for entry in (path / "state" / "work" / "checkout").iterdir()] == [".git"]
    assert not list((path / "state" / "work" / "checkout").rglob("*.lock"))
    found.promote()
    assert found.good() == git("rev-parse", "main")
    (path / "state" / "work" / "checkout" / ".git" / "HEAD").write_text("")
    assert found.good() is None
    found._clear()
    assert not (path / "state" / "work" / "checkout").exists()
