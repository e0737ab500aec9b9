"""The DHCP clients that machines have, each as its distribution runs it, on a machine of the laboratory.

Those that write /etc/resolv.conf write the one that `ip netns exec` shows in its place: see wizard.lab.private.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from tests.lab.unpacked import unpacked
from wizard.lab.control import Laboratory

OPTIONS = (225, 226, 227)
"""What each asks for beside what it always does: options without a name of their own."""
NETWORKD = "/usr/lib/systemd/systemd-networkd"
BOUND_S = 30.0


@dataclass(frozen=True)
class Told:
    """What a client was told. `options` are of OPTIONS, in hexadecimal digits."""

    address: str
    name: str
    domain: str
    search: list[str]
    mtu: str
    options: Mapping[int, str]


@dataclass(frozen=True)
class Client:
    """`run` has it on a machine while the body of the with statement runs, and gives what it was told.

    It sends `hostname`, if any. `writes` tells whether it writes a resolv.conf by itself.
    """

    name: str
    run: Callable[[Laboratory, str, str], AbstractContextManager[Told]]
    writes: bool = True


def _directory(lab: Laboratory, machine: str, **files: str) -> str:
    """A directory of the laboratory's for a client's files; those whose names begin with script are programs."""
    place = f"/run/ciao-lab/clients/{machine}"
    lab.run(["sh", "-c", f"rm -rf {place}; mkdir -p {place}"])
    for name, text in files.items():
        lab.run(
            ["sh", "-c", f"cat >{place}/{name}; case {name} in script*) chmod +x {place}/{name};; esac"], input=text
        )
    return place


@contextmanager
def _running(lab: Laboratory, machine: str, argv: list[str], told: str, sign: str) -> Iterator[dict[str, str]]:
    """A client in front, and KEY=VALUE lines of the file that is there, with `sign` in it, once it is bound."""

    def bound() -> dict[str, str]:
        text = lab.run(["sh", "-c", f"cat {told}"], check=False).stdout
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line) if sign in text else {}

    log = f"/run/ciao-lab/clients/{machine}/log"
    process = lab.popen(["sh", "-c", f'exec "$@" >{log} 2>&1', "sh", *argv], netns=machine, stdin=subprocess.DEVNULL)
    try:
        yield lab.wait_for(bound, BOUND_S, f"an address; {argv[0]} says in {log}")
    except AssertionError as error:
        error.add_note(lab.run(["tail", "-n", "30", log], check=False).stdout)
        raise
    finally:
        process.kill()
        process.wait()


def _tell(place: str, then: str = "exit 0") -> str:
    """A script that a client calls with its lease in the environment: noted once it is there, under its final name."""
    return f"#!/bin/sh\nenv >{place}/told.new && mv {place}/told.new {place}/told.${{reason:-$1}}\n{then}\n"


def _names(text: str) -> list[str]:
    return [name.removesuffix(".") for name in text.split()]


@contextmanager
def dhclient(lab: Laboratory, machine: str, hostname: str = "") -> Iterator[Told]:
    files = unpacked("isc-dhcp-client")
    asked = "subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search, host-name"
    own = "".join(f"option opt{number} code {number} = array of unsigned integer 8;\n" for number in OPTIONS)
    request = ", ".join([asked, "interface-mtu", *(f"opt{number}" for number in OPTIONS)])
    send = f'send host-name "{hostname}";\n' if hostname else ""
    place = _directory(lab, machine, conf=f"{own}{send}request {request};\n")
    script = _tell(place, f"exec {files.place}/sbin/dhclient-script")
    lab.run(["sh", "-c", f"cat >{place}/script; chmod +x {place}/script"], input=script)
    argv = [files.program("dhclient"), "-4", "-d", "-v", "-sf", f"{place}/script", "-cf", f"{place}/conf"]
    argv += ["-lf", f"{place}/leases", "-pf", f"{place}/pid", "eth0"]
    with _running(lab, machine, argv, f"{place}/told.BOUND", "new_ip_address=") as env:
        octets = {n: env.get(f"new_opt{n}", "").split() for n in OPTIONS}
        yield Told(
            env["new_ip_address"],
            env.get("new_host_name", ""),
            env.get("new_domain_name", ""),
            _names(env.get("new_domain_search", "")),
            env.get("new_interface_mtu", ""),
            {number: "".join(f"{int(octet):02x}" for octet in told) for number, told in octets.items()},
        )


@contextmanager
def dhcpcd(lab: Laboratory, machine: str, hostname: str = "") -> Iterator[Told]:
    files = unpacked("dhcpcd-base")
    own = "".join(f"define {number} binhex opt{number}\noption opt{number}\n" for number in OPTIONS)
    asked = "option domain_name_servers, domain_name, domain_search, host_name, interface_mtu\n"
    send = f"hostname {hostname}\n" if hostname else ""
    place = _directory(lab, machine, conf=f"{own}{asked}{send}ipv4only\n")
    hooks = files.place / "usr/lib/dhcpcd"
    # The other hooks are for time servers and the like.
    run_hooks = (hooks / "dhcpcd-run-hooks").read_text()
    changed = run_hooks.replace("/usr/lib/dhcpcd/dhcpcd-hooks/*", f"{hooks}/dhcpcd-hooks/20-resolv.conf")
    assert changed != run_hooks
    for name, text in (("hooks", changed), ("script", _tell(place, f"exec {place}/hooks"))):
        lab.run(["sh", "-c", f"cat >{place}/{name}; chmod +x {place}/{name}"], input=text)
    lab.run(["sh", "-c", "mkdir -p /var/lib/dhcpcd; rm -f /var/lib/dhcpcd/*.lease"])
    argv = [files.program("dhcpcd"), "-B", "-d", "-f", f"{place}/conf", "-c", f"{place}/script", "eth0"]
    with _running(lab, machine, argv, f"{place}/told.BOUND", "new_ip_address=") as env:
        yield Told(
            env["new_ip_address"],
            env.get("new_host_name", ""),
            env.get("new_domain_name", ""),
            _names(env.get("new_domain_search", "")),
            env.get("new_interface_mtu", ""),
            {number: env.get(f"new_opt{number}", "") for number in OPTIONS},
        )


@contextmanager
def udhcpc(lab: Laboratory, machine: str, hostname: str = "") -> Iterator[Told]:
    place = _directory(lab, machine)
    script = _tell(place, "exec /etc/udhcpc/default.script $1")
    lab.run(["sh", "-c", f"cat >{place}/script; chmod +x {place}/script"], input=script)
    asked = [word for what in ("search", "mtu", "hostname", *OPTIONS) for word in ("-O", str(what))]
    send = ["-x", f"hostname:{hostname}"] if hostname else []
    argv = ["udhcpc", "-f", "-i", "eth0", "-t", "0", "-T", "1", "-s", f"{place}/script"]
    with _running(lab, machine, [*argv, *asked, *send], f"{place}/told.bound", "\nip=") as env:
        yield Told(
            env["ip"],
            env.get("hostname", ""),
            env.get("domain", ""),
            _names(env.get("search", "")),
            env.get("mtu", ""),
            {number: env.get(f"opt{number}", "") for number in OPTIONS},
        )


@contextmanager
def networkd(lab: Laboratory, machine: str, hostname: str = "") -> Iterator[Told]:
    """systemd-networkd as in a container: a read-only /sys tells it that there is no udev to wait for."""
    send = f"Hostname={hostname}\n" if hostname else "SendHostname=no\n"
    network = f"""[Match]
Name=eth0

[Network]
DHCP=ipv4
LinkLocalAddressing=no
IPv6AcceptRA=no

[DHCPv4]
{send}UseDomains=yes
UseMTU=yes
RequestOptions={" ".join(map(str, OPTIONS))}
"""
    place = _directory(lab, machine, network=network)
    alone = f"""mount -t tmpfs tmpfs /etc/systemd/network
cp {place}/network /etc/systemd/network/20-wired.network
mkdir -p {place}/systemd /run/systemd
mount --bind {place}/systemd /run/systemd
mount -o remount,ro,bind /sys
exec {NETWORKD}"""
    argv = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-ec", alone]
    with _running(lab, machine, argv, f"{place}/systemd/netif/leases/*", "ADDRESS=") as env:
        yield Told(
            env["ADDRESS"],
            env.get("HOSTNAME", ""),
            env.get("DOMAINNAME", ""),
            _names(env.get("DOMAIN_SEARCH_LIST", "")),
            env.get("MTU", ""),
            {number: re.sub(r"\W", "", env.get(f"OPTION_{number}", "")) for number in OPTIONS},
        )


CLIENTS = {
    client.name: client
    for client in (
        Client("dhclient", dhclient),
        Client("dhcpcd", dhcpcd),
        Client("networkd", networkd, writes=False),
        Client("udhcpc", udhcpc),
    )
}
