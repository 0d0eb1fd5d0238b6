# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a node may fetch its document from, and what may stand in command lines."""

from __future__ import annotations

import json
import socket

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError
from ansible_collections.kubenode.network.plugins.plugin_utils._pull import config, main

GIT = {"source": "git", "url": "https://git.example/site.git", "host": "n1", "bin_dir": "/b", "python": "/p", "state_dir": "/s", "timeout": 9}
HTTP = {**GIT, "source": "http", "url": "https://config.example/{host}.yml"}


def load(tmp_path, settings):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings))
    return config.load(str(path))


@pytest.mark.parametrize("url", ["git@git.example:site.git", "ssh://git@git.example:22/a/b.git", "file:///srv/site", "/srv/site.git"])
def test_repositories(tmp_path, url):
    assert load(tmp_path, {**GIT, "url": url, "version": "release/1.2"}).url == url


def test_names_are_put_into_urls(tmp_path):
    found = load(tmp_path, {**HTTP, "checksum_url": "https://config.example/{host}.sha256"})
    assert (found.url, found.checksum_url) == ("https://config.example/n1.yml", "https://config.example/n1.sha256")
    name = socket.gethostname()
    found = load(tmp_path, {**HTTP, "host": "{hostname}", "url": "https://config.example/{hostname}/{host}"})
    assert (found.host, found.url) == (name, f"https://config.example/{name}/{name}")


@pytest.mark.parametrize("more", [{"allow_plain_http": True}, {"verify_commit": True}])
def test_plain_http_for_git_where_it_is_said_or_commits_are_signed(tmp_path, more):
    assert load(tmp_path, {**GIT, "url": "http://git.example/site.git", **more})


@pytest.mark.parametrize(
    "settings, message",
    [
        ({**GIT, "host": "a b"}, "host: 'a b' is not a host's name (expected letters, digits, ., _ and -)"),
        ({**GIT, "host": "../x"}, "host: '../x' is not a host's name"),
        ({**GIT, "url": "https://x/y dest=/etc"}, "url: 'https://x/y dest=/etc' is not usable (expected letters"),
        ({**GIT, "url": "--upload-pack=x"}, "url: '--upload-pack=x' is not usable"),
        ({**GIT, "url": "https://x/{{ lookup }}"}, "url: 'https://x/{{ lookup }}' is not usable"),
        ({**GIT, "url": "https://hidden@x/y"}, "url: has a password or token, which everybody on the node could see (expected a key file"),
        ({**GIT, "url": "https://me:hidden@x/y"}, "url: has a password or token, which everybody on the node could see (expected a key file"),
        ({**GIT, "url": "http://git.example/x"}, "url: 'http://git.example/x' is not encrypted (expected https, ssh, verify_commit or allow_plain_http)"),
        ({**GIT, "version": "-x"}, "version: '-x' is not usable"),
        ({**GIT, "inventory": "../x"}, "inventory: '../x' is not usable"),
        ({**GIT, "inventory": "/etc"}, "inventory: '/etc' is not usable"),
        ({**GIT, "key_file": "/a/$(id)"}, "key_file: '/a/$(id)' is not usable"),
        ({**HTTP, "url": "ftp://me:hidden@x/y?token=hidden"}, "url: 'ftp://x/y' is not a URL (expected https://HOST/PATH)"),
        ({**HTTP, "url": "https://x/{name}"}, "url: 'https://x/{name}' is not a URL"),
        ({**HTTP, "url": "http://x/y"}, "url: 'http://x/y' is not encrypted (expected https, or allow_plain_http)"),
        ({**HTTP, "checksum_url": "http://x/y"}, "checksum_url: 'http://x/y' is not encrypted"),
        ({**GIT, "version": 1.1}, "version: 1.1 is not usable (expected text, in quotes)"),
        ({**GIT, "url": None}, "url: None is not usable (expected text, in quotes)"),
        ({**GIT, "accept_host_key": "false"}, "accept_host_key: 'false' is not usable (expected true or false)"),
    ],
)
def test_what_is_refused(tmp_path, settings, message):
    with pytest.raises(InputError) as error:
        load(tmp_path, settings)
    assert str(error.value).startswith(message)
    assert "hidden" not in str(error.value)


def test_a_template_gave_text(tmp_path):
    assert load(tmp_path, {**GIT, "timeout": "900"}).timeout == 900


def test_what_the_role_did_not_write(tmp_path, capsys):
    for text in ("{", "[]", '{"source": "git"}', '{"more": 1}', json.dumps({**GIT, "timeout": "x"})):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(NodeError, match=r"is not as the role kubenode\.network\.pull wrote it"):
            config.load(str(tmp_path / "config.json"))
    assert main.main(["--config", str(tmp_path / "none"), "--check"]) == main.MISCONFIGURED
    assert "is not there (expected the role kubenode.network.pull to write it)" in capsys.readouterr().err
