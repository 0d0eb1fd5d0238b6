# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a loader takes or refuses as the text of a file, and what we write."""

from __future__ import annotations

import json

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import model


def headed(rest):
    return '{"name": "n", "cniVersion": "1.0.0"' + rest + "}"


def listed(*plugins):
    return json.dumps({"name": "n", "cniVersion": "1.0.0", "plugins": list(plugins)})


@pytest.mark.parametrize(
    ("filename", "text"),
    [
        ("a.conflist", listed({"type": "bridge"})),
        ("a.conflist", '{"name": "n", "plugins": [{"type": "bridge"}]}'),
        ("a.conf", '{"type": "loopback"}'),
        ("a.json", '{"name": "lo", "type": "loopback", "plugins": 5}'),
        # Legal for a loader; every ADD fails.
        ("a.conflist", '{"name": "", "cniVersion": "9.9", "plugins": [{"type": "x", "mtu": "1500"}]}'),
        ("a.conflist", '{"name": "a b", "plugins": [{"type": "x", "ipam": {}, "dns": null, "capabilities": null}]}'),
        ("a.conflist", headed(', "disableCheck": true, "disableGC": "true", "plugins": [{"type": "x"}]')),
        ("a.conflist", headed(', "cniVersions": ["0.4.0"], "plugins": [{"type": "x"}]')),
        ("a.conf", ' \n\t{"type": "x"}\r\n'),
        # Go does not look at letter case in a plugin.
        ("a.conf", '{"Type": "x"}'),
        ("a.conflist", listed({"TYPE": "x"})),
        ("a.conflist", listed({"type": "calico", "ipam": {"type": "host-local", "subnet": "usePodCidr"}})),
    ],
)
def test_loads(filename, text):
    assert model.parse(text, filename) == json.loads(text)


@pytest.mark.parametrize(
    ("filename", "text", "reason"),
    [
        ("a.conflist", "", "is not valid JSON: it is empty"),
        ("a.conflist", " \n", "is not valid JSON: it is empty"),
        ("a.conf", '\ufeff{"type": "x"}', "is not valid JSON: it starts with a byte order mark (expected UTF-8 without one)"),
        ("a.conflist", '{"name": "n"', "is not valid JSON: Expecting ',' delimiter: line 1 column 13 (char 12)"),
        ("a.conf", '{"type": "x"} // x', "is not valid JSON: Extra data: line 1 column 15 (char 14)"),
        ("a.conf", '{"type": "x", "a": NaN}', "is not valid JSON: NaN is not JSON"),
        ("a.conf", '{"type": "x", "a": 1e999}', "is not valid JSON: 1e999 is too large"),
        ("a.conf", '[{"type": "x"}]', '[{"type": "x"}] is not a network configuration (expected a JSON object)'),
        ("a.conf", "null", "null is not a network configuration (expected a JSON object)"),
        ("a.conflist", '{"plugins": [{"type": "x"}]}', "has no name (expected a name beside plugins)"),
        ("a.conflist", '{"name": 5, "plugins": [{"type": "x"}]}', "name: 5 is not a string"),
        ("a.conflist", '{"name": "n", "cniVersion": 1.0, "plugins": [{"type": "x"}]}', "cniVersion: 1.0 is not a string"),
        ("a.conflist", '{"name": "n", "cniVersion": null, "plugins": [{"type": "x"}]}', "cniVersion: null is not a string"),
        ("a.conflist", headed(', "cniVersions": "1.0.0", "plugins": []'), "cniVersions: '1.0.0' is not a list of strings"),
        ("a.conflist", headed(', "disableCheck": "true", "plugins": []'), "disableCheck: 'true' is not a boolean"),
        ("a.conflist", headed(', "disableGC": 1, "plugins": []'), "disableGC: 1 is not a boolean"),
        ("a.conflist", headed(', "loadOnlyInlinedPlugins": "x"'), "loadOnlyInlinedPlugins: 'x' is not a boolean"),
        ("a.conflist", headed(""), "has no plugins (expected a list)"),
        ("a.conflist", headed(', "type": "x"'), "has no plugins, it holds a single configuration (expected the extension .conf)"),
        ("a.conflist", headed(', "Plugins": [{"type": "x"}]'), "has no plugins (expected a list)"),
        ("a.conflist", headed(', "plugins": {"type": "x"}'), 'plugins: {"type": "x"} is not a list'),
        ("a.conflist", headed(', "plugins": []'), "plugins: [] is empty (expected at least one plugin)"),
        ("a.conflist", listed({"type": "x"}, "y"), "plugins[1]: 'y' is not an object"),
        ("a.conflist", listed({"type": "x"}, {"a": 1}), "plugins[1].type: missing (expected the name of a plugin)"),
        ("a.conflist", listed({"type": ""}), "plugins[0].type: missing (expected the name of a plugin)"),
        ("a.conflist", listed({"type": 5}), "plugins[0].type: 5 is not a string"),
        ("a.conflist", listed({"type": "x", "name": 5}), "plugins[0].name: 5 is not a string"),
        ("a.conflist", listed({"type": "x", "capabilities": []}), "plugins[0].capabilities: [] is not an object"),
        ("a.conflist", listed({"type": "x", "capabilities": {"a": "true"}}), "plugins[0].capabilities.a: 'true' is not a boolean"),
        ("a.conflist", listed({"type": "x", "ipam": "host-local"}), "plugins[0].ipam: 'host-local' is not an object"),
        ("a.conflist", listed({"type": "x", "ipam": {"type": 5}}), "plugins[0].ipam.type: 5 is not a string"),
        ("a.conflist", listed({"type": "x", "dns": []}), "plugins[0].dns: [] is not an object"),
        ("a.conflist", listed({"type": "x", "dns": {"domain": 5}}), "plugins[0].dns.domain: 5 is not a string"),
        ("a.conflist", listed({"type": "x", "dns": {"search": "a"}}), "plugins[0].dns.search: 'a' is not a list of strings"),
        ("a.conf", listed({"type": "x"}), "has no type, it holds a list (expected the extension .conflist)"),
        ("a.json", '{"name": "n"}', "type: missing (expected the name of a plugin)"),
        ("a.conf", '{"type": "x", "name": 5}', "name: 5 is not a string"),
        ("a.yaml", '{"type": "x"}', "is not read by any loader (expected a name that ends in .conf, .conflist or .json)"),
    ],
)
def test_does_not_load(filename, text, reason):
    with pytest.raises(model.ConfigError) as caught:
        model.parse(text, filename)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.filename, caught.value.reason) == (filename, reason)
    assert str(caught.value) == f"{filename}: {reason}"


def test_too_deep_is_no_crash():
    with pytest.raises(model.ConfigError, match="is not valid JSON"):
        model.parse('{"type": "x", "a": ' + "[" * 200000, "a.conf")


def test_of_a_key_given_twice_the_last_counts():
    assert model.parse('{"type": "a", "mtu": 1, "type": "b"}', "a.conf") == {"type": "b", "mtu": 1}
    # Letter case does not separate keys of a plugin in Go, so the later, illegal one decides.
    with pytest.raises(model.ConfigError, match="name: 5 is not a string"):
        model.parse('{"type": "a", "name": "n", "Name": 5}', "a.conf")


PLUGINS = [
    {"type": "bridge", "bridge": "cbr0", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}]]}},
    {"type": "portmap", "capabilities": {"portMappings": True}},
]


def test_a_list_is_built_and_rendered():
    config = model.build("mynet", "1.0.0", PLUGINS, single=False)
    assert list(config) == ["cniVersion", "name", "plugins"]
    text = model.render(config)
    assert (
        text
        == """{
  "cniVersion": "1.0.0",
  "name": "mynet",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cbr0",
      "ipam": {
        "type": "host-local",
        "ranges": [
          [
            {
              "subnet": "10.244.1.0/24"
            }
          ]
        ]
      }
    },
    {
      "type": "portmap",
      "capabilities": {
        "portMappings": true
      }
    }
  ]
}
"""
    )
    assert model.parse(text, "10-mynet.conflist") == config


def test_a_single_configuration_is_built():
    config = model.build("lo", "0.4.0", [{"type": "loopback"}], single=True)
    assert list(config.items()) == [("cniVersion", "0.4.0"), ("name", "lo"), ("type", "loopback")]
    assert model.parse(model.render(config), "99-loopback.conf") == config


def test_the_head_of_a_single_configuration_is_the_networks():
    config = model.build("lo", "0.4.0", [{"name": "x", "type": "loopback", "cniVersion": "9"}], single=True)
    assert config == {"cniVersion": "0.4.0", "name": "lo", "type": "loopback"}


@pytest.mark.parametrize("plugins", [[], PLUGINS])
def test_a_single_configuration_takes_one_plugin(plugins):
    with pytest.raises(ValueError, match="values to unpack"):
        model.build("n", "1.0.0", plugins, single=True)


def test_what_is_not_ours_survives_a_round_trip():
    text = '{\n  "z": {\n    "gr\u00fc\u00df": "\u20ac \U0001f600",\n    "n": 1.5,\n    "e": []\n  },\n  "type": "x",\n  "a": null\n}\n'
    assert model.render(model.parse(text, "a.conf")) == text


def test_half_a_surrogate_pair_can_still_be_written():
    text = model.render(model.parse('{"type": "x", "a": "\\ud800"}', "a.conf"))
    assert text.encode("utf-8") and model.parse(text, "a.conf")["a"] == "\ud800"


def test_nan_is_not_written():
    with pytest.raises(ValueError, match="JSON compliant"):
        model.render({"a": float("nan")})
