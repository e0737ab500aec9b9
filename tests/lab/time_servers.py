"""Real time servers for the laboratory: Debian's chrony and ntpsec, unpacked from their packages and not installed.

Installed, either would end this machine's own (they exclude each other and systemd-timesyncd). None of them gets to set
the clock, which is not the laboratory's alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.unpacked import unpacked
from wizard.lab.control import Laboratory

PACKAGES = ("chrony", "ntpsec")
CHRONY_DROP_IN = "/etc/chrony/conf.d/ciao-cluster.conf"
NTPSEC_DROP_IN = "/etc/ntpsec/ntp.d/ciao-cluster.conf"
SHIFTLESS = ["setpriv", "--bounding-set=-sys_time", "--inh-caps=-sys_time", "--"]
# Not under /run, where it would count as a change of the laptop's.
PID_FILE = "/run/ciao-lab/{}.pid"

RESTART = """#!/bin/sh
# What an init script of the distribution does, for a server that lies elsewhere.
[ ! -e /run/ciao-lab/broken ] || exit 1
if [ "$1" = restart ] && old=$(cat {pid_file}) && kill "$old"; then
    while kill -0 "$old" 2>/dev/null; do sleep 0.05; done
fi
exec setsid -f {command} </dev/null >>/run/ciao-lab/time-server.log 2>&1
"""


def prepare(lab: Laboratory) -> dict[str, Path]:
    """Have the programs of both found on the laptop. Returns where they lie."""
    # One after the other: apt takes both at once for a contradiction.
    files = {name: unpacked(name) for name in PACKAGES}
    found = ":".join(f"{each.place}/usr/sbin:{each.place}/usr/bin" for each in files.values())
    lab.env["PATH"] = f"{found}:{lab.env['PATH']}"
    # A bare machine lacks libraries of theirs.
    lab.env["LD_LIBRARY_PATH"] = ":".join(each.env["LD_LIBRARY_PATH"] for each in files.values())
    return {name: each.place for name, each in files.items()}


def sh(lab: Laboratory, script: str, text: str = "") -> str:
    return lab.run(["sh", "-c", script], input=text).stdout


def _start(lab: Laboratory, name: str, script: str, command: list[str]) -> None:
    pid_file = PID_FILE.format(name)
    text = RESTART.format(pid_file=pid_file, command=" ".join(command))
    sh(lab, f"mkdir -p /etc/init.d && cat >/etc/init.d/{script} && chmod 755 /etc/init.d/{script}", text)
    lab.run([f"/etc/init.d/{script}", "start"])
    lab.wait_for(lambda: alive(lab, name), what=name)


def alive(lab: Laboratory, name: str) -> bool:
    script = f'pid=$(cat {PID_FILE.format(name)}) && [ "$(cat /proc/$pid/comm)" = {name} ]'
    return lab.run(["sh", "-c", script], check=False).returncode == 0


def end(lab: Laboratory, name: str) -> None:
    sh(lab, f"kill $(cat {PID_FILE.format(name)})")
    lab.wait_for(lambda: not alive(lab, name), what=f"the end of {name}")


@contextmanager
def chrony(lab: Laboratory) -> Iterator[None]:
    """Debian's chrony with Debian's configuration, but for servers that nobody here can reach."""
    place = prepare(lab)["chrony"]
    shipped = (place / "usr/share/chrony/chrony.conf").read_text()
    # The drift file is its own, written at every end of it.
    left_out = ("pool ", "leapsectz ", "driftfile ")
    kept = "\n".join(line for line in shipped.splitlines() if not line.startswith(left_out))
    text = f"{kept}\npidfile {PID_FILE.format('chronyd')}\n"
    directories = "/etc/chrony/conf.d /etc/chrony/sources.d /run/chrony-dhcp /var/lib/chrony /var/log/chrony"
    sh(lab, f"mkdir -p {directories} && mkdir -m 750 -p /run/chrony && cat >/etc/chrony/chrony.conf", text)
    command = [*SHIFTLESS, f"{place}/usr/sbin/chronyd", "-x", "-d", "-u", "root"]
    _start(lab, "chronyd", "chrony", command)
    lab.wait_for(lambda: lab.run(["chronyc", "tracking"], check=False).returncode == 0, what="chronyd's ear")
    yield
    end(lab, "chronyd")


@contextmanager
def ntpsec(lab: Laboratory) -> Iterator[None]:
    """Debian's ntpsec with Debian's configuration, but for servers that nobody here can reach."""
    place = prepare(lab)["ntpsec"]
    shipped = (place / "etc/ntpsec/ntp.conf").read_text()
    kept = "\n".join(line for line in shipped.splitlines() if not line.startswith("pool "))
    sh(lab, "mkdir -p /etc/ntpsec /var/lib/ntpsec && cat >/etc/ntpsec/ntp.conf", f"{kept}\ndisable ntp\n")
    command = [f"{place}/usr/sbin/ntpd", "-n", "-c", "/etc/ntpsec/ntp.conf", "-p", PID_FILE.format("ntpd")]
    _start(lab, "ntpd", "ntpsec", command)
    yield
    end(lab, "ntpd")


def asked(lab: Laboratory, server: str, netns: str | None = None) -> str:
    """What a machine that asks a server by our own client hears: the stratum, or why it has no time."""
    script = (
        "import sys\nfrom wizard.host.ntp.query import NoTime, ask\n"
        "try: print('stratum', ask(sys.argv[1]).stratum)\nexcept NoTime as why: print(why)\n"
    )
    return lab.run([sys.executable, "-c", script, server], netns=netns).stdout.strip()


def clock_error(lab: Laboratory, server: str, netns: str) -> float:
    """By how many s chrony, asked once on a node, finds its clock to be wrong. It does not set it."""
    argv = ["chronyd", "-Q", "-t", "15", "-u", "root", "-f", "/dev/null", f"server {server} iburst maxsamples 1"]
    done = lab.run(["sh", "-c", '"$@" 2>&1', "sh", *argv], netns=netns, check=False)
    wrong = [line for line in done.stdout.splitlines() if "System clock wrong by" in line]
    assert wrong, done.stdout
    return float(wrong[0].partition("wrong by ")[2].split()[0])


def option_42(lab: Laboratory, node: str) -> str:
    """What a DHCP client on a node hears if it asks for time servers."""
    told = f"/run/ciao-lab/{node}.ntp"
    script = f'#!/bin/sh\n[ "$1" != bound ] || echo "${{ntpsrv-}}" >{told}\n'
    sh(lab, "cat >/run/ciao-lab/only-tell; chmod 755 /run/ciao-lab/only-tell", script)
    argv = ["udhcpc", "-f", "-n", "-q", "-i", "eth0", "-O", "ntpsrv", "-s", "/run/ciao-lab/only-tell"]
    lab.run(argv, netns=node)
    return sh(lab, f"cat {told}").strip()
