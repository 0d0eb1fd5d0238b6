# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import subprocess
import typing as t

from .._errors import NodeError
from .files import read_text
from .process import find, look, output, run

#: Where daemons are that nobody calls by name, so that they need not be in a PATH.
_SYSTEMD = ("/usr/lib/systemd", "/lib/systemd")


def systemd_installed() -> bool:
    return _has_systemd("systemd")


def systemd_runs() -> bool:
    """Whether systemd is the init of this node (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")


def networkd_installed() -> bool:
    return _has_systemd("systemd-networkd")


def udev_installed() -> bool:
    return find("udevadm") is not None or _has_systemd("systemd-udevd")


def network_manager_installed() -> bool:
    return find("NetworkManager") is not None


def _has_systemd(program: str) -> bool:
    return any(os.path.exists(os.path.join(folder, program)) for folder in _SYSTEMD)


def start_detached(argv: t.Sequence[str], unit: str) -> None:
    """Starts a program that outlives this process and the connection it came by: as a transient unit where systemd runs, which would
    end all that a session leaves, else in a session of its own."""
    if systemd_runs():
        output(["systemd-run", "--quiet", "--collect", f"--unit={unit}", *argv])
    else:
        nowhere = subprocess.DEVNULL
        try:
            subprocess.Popen(list(argv), start_new_session=True, cwd="/", stdin=nowhere, stdout=nowhere, stderr=nowhere)
        except OSError as error:
            raise NodeError(f"{argv[0]} could not be run: {error}") from error


def reload_systemd() -> None:
    """Has systemd read its units anew, where it runs."""
    if systemd_runs():
        output(["systemctl", "daemon-reload"])


def start_enabled(unit: str) -> None:
    """Has systemd start a unit that a boot starts, as soon as its turn comes."""
    if systemd_runs() and run(["systemctl", "is-enabled", "--quiet", unit]).returncode == 0:
        output(["systemctl", "start", "--no-block", unit])


def start(unit: str) -> None:
    output(["systemctl", "start", unit])


def stop(unit: str) -> None:
    output(["systemctl", "stop", unit])


def forget_unit(name: str) -> None:
    """Ends a unit before its file goes, or systemd would go on listing it. Not the one that this process runs in, which would end
    with it."""
    if systemd_runs() and f"/{name}" not in (read_text("/proc/self/cgroup") or ""):
        run(["systemctl", "stop", name])


def reload_networkd() -> None:
    if is_active("systemd-networkd.service"):
        output(["networkctl", "reload"])


def reload_network_manager() -> None:
    """Has NetworkManager read its configuration anew; connections stay as they are."""
    if is_active("NetworkManager.service"):
        output(["nmcli", "general", "reload", "conf"])


def reload_udev() -> None:
    if os.path.exists("/run/udev/control"):
        output(["udevadm", "control", "--reload"])


def is_active(unit: str) -> bool:
    return systemd_runs() and look(["systemctl", "is-active", "--quiet", unit]).returncode == 0
