"""A NetworkManager of the laboratory: as much of nmcli as the wizard asks, over a file that names the active profile.

`installed` has it there and running; `wired` has it take the cluster NIC for a profile of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from wizard.lab.control import Laboratory
from wizard.plan import paths
from wizard.plan.render import PROFILE_UUID

PLACE = "/run/ciao-lab/nm"
WIRED = "5a3d6f0e-1111-4222-8333-444455556666"

_NMCLI = f"""#!/bin/sh
cd {PLACE}
profile() {{ cat {paths.LIVE_NETWORKMANAGER_FILE} {paths.NETWORKMANAGER_FILE} 2>/dev/null; }}
name() {{ if [ "$(cat active)" = {PROFILE_UUID} ]; then echo ciao-cluster; else echo 'Wired connection 2'; fi; }}
echo "$*" >>log
case "$*" in
'-t -f DEVICE,STATE,CONNECTION device') echo "eth0:unmanaged:"; echo "eth1:connected:$(name)";;
'-g GENERAL.STATE,GENERAL.CON-UUID,GENERAL.AUTOCONNECT device show eth1') echo "100 (connected)"; cat active; echo yes;;
'-g RUNNING general'|'connection reload'|'connection load '*) ;;
"connection modify uuid {WIRED} connection.autoconnect no") ;;
"connection up uuid {PROFILE_UUID}"*)
    address=$(profile | sed -n 's/^address1=//p' | head -1)
    [ -n "$address" ] || {{ echo "Error: unknown connection" >&2; exit 10; }}
    echo {PROFILE_UUID} >active
    ip -4 address flush dev eth1; ip link set eth1 up; ip address add "$address" broadcast + dev eth1;;
"--wait 0 connection up uuid {WIRED}"*) echo {WIRED} >active; ip -4 address flush dev eth1;;
*) echo "Error: this laboratory knows no '$*'" >&2; exit 2;;
esac
"""


@contextmanager
def installed(lab: Laboratory) -> Iterator[None]:
    """It runs, and has the cluster NIC for its own profile."""
    lab.run(
        ["sh", "-ec", f"mkdir -p {PLACE} /run/NetworkManager/system-connections /etc/NetworkManager/system-connections"]
    )
    lab.run(["sh", "-ec", "cat >/run/ciao-lab/bin/nmcli; chmod 755 /run/ciao-lab/bin/nmcli"], input=_NMCLI)
    wired(lab)
    # Known by the name of its process.
    lab.run(["cp", "/bin/sleep", f"{PLACE}/NetworkManager"])
    running = lab.popen([f"{PLACE}/NetworkManager", "1000"])
    try:
        yield
    finally:
        running.kill()
        running.wait()


def wired(lab: Laboratory) -> None:
    """Its own profile is active from now on: what was on the NIC is flushed."""
    lab.run(["sh", "-ec", f"echo {WIRED} >{PLACE}/active; ip -4 address flush dev eth1"])
