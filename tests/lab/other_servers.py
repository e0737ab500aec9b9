"""Real DHCP servers of others that answer the example's nodes alone, in a namespace of a Bench."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.lab.probe_bench import Actor, Bench, until
from tests.needs import need
from wizard.plan.addresses import assign
from wizard.plan.file.read import load_plan

EXAMPLE = Path(__file__).parents[2] / "examples" / "ciao.toml"
PLAN = assign(load_plan(EXAMPLE.read_text(), "ciao.toml"))
NODES = {str(node.mac).replace("-", ":").lower(): str(node.ip) for node in PLAN.nodes}


def home_of(bench: Bench, space: int) -> Path:
    home = bench.tmp / f"server-{space}"
    home.mkdir()
    return home


def dnsmasq(bench: Bench, space: int, nodes: Mapping[str, str] = NODES) -> Callable[[], str]:
    hosts = [f"--dhcp-host={mac},{ip}" for mac, ip in nodes.items()]
    pool = "--dhcp-range=192.168.0.65,192.168.0.126,255.255.255.0,2m"
    home = bench.dnsmasq(space, "--interface=eth0", "--bind-interfaces", "--dhcp-ignore=tag:!known", pool, *hosts)
    return lambda: (home / "leases").read_text()


def isc(bench: Bench, space: int, nodes: Mapping[str, str] = NODES) -> Callable[[], str]:
    need("dhcpd")
    home = home_of(bench, space)
    hosts = "".join(
        f"host n{number} {{ hardware ethernet {mac}; fixed-address {ip}; }}\n"
        for number, (mac, ip) in enumerate(nodes.items())
    )
    pool = "pool { range 192.168.0.65 192.168.0.126; deny unknown-clients; }"
    (home / "conf").write_text(f"authoritative; subnet 192.168.0.0 netmask 255.255.255.0 {{ {pool} }}\n{hosts}")
    (home / "leases").touch()
    files = ["-cf", f"{home}/conf", "-lf", f"{home}/leases", "-pf", f"{home}/pid"]
    server = bench.command(space, "dhcpd", "-f", "-4", "-q", *files, "eth0")
    listening(space, server)
    return lambda: "".join(line for line in (home / "leases").read_text().splitlines() if line.startswith("lease "))


def kea(bench: Bench, space: int, nodes: Mapping[str, str] = NODES) -> Callable[[], str]:
    need("kea-dhcp4")
    home = home_of(bench, space)
    subnet = {
        "subnet": "192.168.0.0/24",
        "pools": [{"pool": "192.168.0.65 - 192.168.0.126", "client-class": "KNOWN"}],
        "reservations": [{"hw-address": mac, "ip-address": ip} for mac, ip in nodes.items()],
    }
    database = {"type": "memfile", "name": f"{home}/leases"}
    dhcp4 = {"interfaces-config": {"interfaces": ["eth0"]}, "lease-database": database, "subnet4": [subnet]}
    (home / "conf").write_text(json.dumps({"Dhcp4": dhcp4}))
    places = [f"KEA_{what}_DIR={home}" for what in ("PIDFILE", "LOCKFILE")]
    server = bench.command(space, "env", *places, "kea-dhcp4", "-c", f"{home}/conf")
    listening(space, server)
    # The first line only names the columns.
    return lambda: "".join((home / "leases").read_text().splitlines()[1:])


def listening(space: int, server: Actor) -> None:
    def open_now() -> bool:
        assert server.process.poll() is None, server.process.stdout and server.process.stdout.read()
        return ":0043 " in Path(f"/proc/{space}/net/udp").read_text()

    until(open_now, "the server", 30)


SERVERS: dict[str, Callable[..., Callable[[], str]]] = {"dnsmasq": dnsmasq, "ISC dhcpd": isc, "Kea": kea}
