"""Machines that no plan has and that boot over the network: a page and no more, while somebody looks for them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.guarding import await_mode, told
from tests.lab.support import EXAMPLE, HERE, NODES, apply, await_nodes, ciao, ciao_json, dhcp_server, reset
from tests.needs import need, unavailable
from wizard.lab.control import Laboratory
from wizard.lab.world import NODES as MACHINES
from wizard.plan import paths
from wizard.plan.file.read import load_plan

pytestmark = pytest.mark.lab

GATEWAY = "192.168.0.200"
URL = f"http://{GATEWAY}:8069"
IMAGES = '\n[[images]]\nname = "d"\nkind = "custom"\n'
MAC = "00:1b:21:0a:0b:0c"
PXE = {"mac": MAC, "arch": 0, "vendor": "PXEClient"}
MACS = {machine.name: machine.mac for machine in MACHINES}
FORWARDED = [str(port) for forward in load_plan(EXAMPLE.read_text(), "example").forwards for port in forward.ports]
PAGE = f"{URL}/raw/{MAC.replace(':', '-')}?serial=S123&product=NUC%207&manufacturer=Intel&uuid=u-1"


@pytest.fixture(scope="module")
def world(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        make = f"mkdir -p {paths.BOOT_LOADERS}; cd {paths.BOOT_LOADERS}; echo loader >undionly.kpxe"
        lab.run(["sh", "-ec", make])
        apply(lab, EXAMPLE.read_text() + IMAGES)
        await_nodes(lab)
        await_mode(lab, "armed")
        lab.machine("add", "raw", "--mac", MAC, "--no-dhcp")
        yield lab


@pytest.fixture
def looking(world: Laboratory) -> Iterator[Laboratory]:
    await_mode(world, "armed")
    found = ciao(world, "boot", "discover", "--for", "10m")
    assert found.returncode == 0, found.stderr
    await_line(world, True)
    yield world
    ciao(world, "boot", "discover", "--off")
    await_line(world, False)
    world.run(["ip", "address", "flush", "dev", "eth0"], netns="raw")
    world.run(["nft", "flush", "set", "inet", "ciao_gateway", "raw"])


def await_line(lab: Laboratory, there: bool) -> None:
    lab.wait_for(lambda: ("*:*" in lab.run(["cat", paths.NETBOOT_HOSTS]).stdout) is there, 15, "the reservations")
    lab.wait_for(lambda: (f"{GATEWAY}:8069" in lab.run(["ss", "-Hltn"]).stdout) is there, 15, "the server")


def act(lab: Laboratory, where: str, *argv: str, told: object = None) -> Any:
    script = [sys.executable, str(HERE / "netboot_actors.py"), *argv]
    return json.loads(lab.run(script, netns=where, input=json.dumps(told) if told is not None else "").stdout)


def take(lab: Laboratory, **more: Any) -> list[Any]:
    """A lease by the raw machine, and its address on its NIC."""
    got: list[Any] = act(lab, "raw", "lease", "eth0", told={**PXE, **more})
    assert got is not None
    lab.run(["ip", "address", "replace", f"{got[0]}/24", "dev", "eth0"], netns="raw")
    lab.run(["ip", "route", "replace", "default", "via", GATEWAY], netns="raw")
    return got


def machines(lab: Laboratory) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ciao_json(lab, "boot", "discover", "--list")["machines"]
    return found


def test_off_by_default_it_gets_nothing(world: Laboratory) -> None:
    assert act(world, "raw", "discover", "eth0", told=[PXE, {**PXE, "ipxe": True}]) == [None, None]
    assert ciao_json(world, "status")["discovering"] is None
    assert ciao_json(world, "boot", "discover", "--list") == {"until": None, "machines": []}


def test_it_is_shown_its_page_and_is_listed(looking: Laboratory) -> None:
    before, guard = dhcp_server(looking), told(looking)["process"]
    listening = looking.popen(
        [sys.executable, "-P", "-m", "wizard.host.dhcp.discovery", "eth1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    address, seconds, file = take(looking)
    assert (seconds, file) == (120, "undionly.kpxe")
    assert act(looking, "raw", "tftp", GATEWAY, "undionly.kpxe") == len("loader\n")
    assert take(looking, ipxe=True)[::2] == [address, f"{URL}/raw"]
    script = looking.run(["curl", "-sf", f"{URL}/raw"], netns="raw").stdout
    assert script.startswith("#!ipxe\nchain http://192.168.0.200:8069/raw/${mac:hexhyp}?serial=${serial:uristring}&")
    page = looking.run(["curl", "-sf", PAGE], netns="raw").stdout
    assert page.startswith("#!ipxe\n")
    assert "echo serial S123\n" in page
    assert page.endswith("sleep 15\nexit\n")
    looking.wait_for(lambda: bool(machines(looking)), 15, "the list")
    (machine,) = machines(looking)
    wanted = {"mac": MAC, "serial": "S123", "product": "NUC 7", "manufacturer": "Intel", "node": None}
    assert {key: machine[key] for key in wanted} == wanted
    assert machine["address"] == address
    status = ciao_json(looking, "status")
    assert (status["healthy"], status["drift"], bool(status["discovering"])) == (True, [], True)
    with listening as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # The wizard's list has it with what it said.
        while '"S123"' not in (line := process.stdout.readline()):
            assert line, "it ended"
        process.stdin.close()
    assert (dhcp_server(looking), told(looking)["process"]) == (before, guard)


def test_it_gets_nothing_else(looking: Laboratory) -> None:
    assert act(looking, "raw", "lease", "eth0", told={"mac": MAC}) is None, "it boots nothing"
    address = take(looking)[0]
    for path in ("/boot/x", "/images/d/linux", "/raw/", "/raw/../armed.json", "/first/nothing", f"/seed/{MAC}/x"):
        assert act(looking, "raw", "http", URL + path) == [403, 0], path
    assert looking.run(["ping", "-c1", "-W1", GATEWAY], netns="raw", check=False).returncode
    assert act(looking, "raw", "reach", "10.77.0.1", "80", "53") == []
    nets = looking.run(["nft", "list", "counter", "inet", "ciao_gateway", "refused_in"]).stdout
    assert "packets 0 " not in nets
    ports = ["22", "53", "8069", *FORWARDED]
    assert act(looking, "compute1", "reach", GATEWAY, *ports[1:2]) == ["53", "dns"]
    assert act(looking, "raw", "reach", GATEWAY, *ports) == ["8069"]
    # It has no name.
    assert looking.run(["cat", paths.LEASES]).stdout.count(f" {address} * ") == 1
    # The others are served as ever.
    assert act(looking, "compute1", "http", f"{URL}/raw") == [0, 0]
    assert looking.run(["ping", "-c1", "-W2", GATEWAY], netns="compute1", check=False).returncode == 0
    (offer,) = act(looking, "compute1", "discover", "eth0", told=[{**PXE, "mac": MACS["compute1"]}])
    assert offer[0] == NODES["compute1"]
    assert offer[2] == ""
    vm = act(looking, "compute1", "lease", "eth0", told={"mac": "02:00:00:00:00:77", "arch": 0})
    assert (vm[1], vm[2]) == (12 * 3600, "")


def test_what_it_says_is_hostile(looking: Laboratory) -> None:
    take(looking)
    evil = "%1B%5B2J%24%7Bx%7D%20%26%26%20reboot%20%3B%3Cb%3E%00%E2%80%AE" + "A" * 900
    for target in (f"serial={evil}", f"serial=1&serial=2&x=y&{'&' * 200}", "serial=" + "%" * 300):
        body = looking.run(["curl", "-s", f"{URL}/raw/{MAC.replace(':', '-')}?{target}"], netns="raw").stdout
        assert all(0x20 <= ord(letter) < 0x7F or letter == "\n" for letter in body)
        assert not set("${}&;|<>") & set(body.removeprefix("#!ipxe"))
        assert max(map(len, body.splitlines())) < 100
    # Another's MAC is not believed.
    other = "00-1b-21-ff-ff-ff"
    looking.run(["curl", "-s", f"{URL}/raw/{other}?serial=forged"], netns="raw")
    looking.wait_for(lambda: bool(machines(looking)), 15, "the list")
    log = looking.run(["cat", paths.NETBOOT_LOG, paths.RAW_MACHINES]).stdout
    assert "\x1b" not in log
    assert "A" * 100 not in log
    assert other.replace("-", ":") not in [machine["mac"] for machine in machines(looking)]


def test_strangers_are_limited_in_number(looking: Laboratory) -> None:
    asked = [{**PXE, "mac": f"00:1b:21:00:{n >> 8:02x}:{n & 255:02x}"} for n in range(80)]
    # Whoever asks for another's address is nobody's business; each of these has a MAC of its own on the wire.
    found = act(looking, "raw", "discover", "eth0", told=asked)
    assert 40 <= sum(offer is not None for offer in found) <= 64
    (offer,) = act(looking, "compute1", "discover", "eth0", told=[{**PXE, "mac": MACS["compute1"]}])
    assert offer[0] == NODES["compute1"]


UUID = "3c1d0f3e-6a5b-4c2d-9e8f-001b210a0b99"


def test_a_real_ipxe_says_what_smbios_says(looking: Laboratory) -> None:
    need("qemu-system-x86_64")
    if not Path("/usr/lib/ipxe/qemu/pxe-virtio.rom").exists():
        unavailable("ipxe-qemu is not installed")
    mac = "00:1b:21:0a:0b:99"
    tap = "ip tuntap add vm0 mode tap && ip link set vm0 master cluster && ip link set vm0 up"
    looking.run(["sh", "-ec", tap], netns="switch")
    argv = ["qemu-system-x86_64", "-nodefaults", "-no-reboot", "-display", "none", "-accel", "tcg", "-m", "64"]
    argv += ["-smbios", "type=1,manufacturer=ACME & Co,product=Box $(reboot) 7,serial=SN/0042"]
    argv += ["-uuid", UUID, "-boot", "n", "-device", f"virtio-net-pci,netdev=n,mac={mac}"]
    argv += ["-netdev", "tap,id=n,ifname=vm0,script=no,downscript=no"]
    with looking.popen(argv, netns="switch", stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as qemu:
        try:
            looking.wait_for(lambda: mac in {each["mac"] for each in machines(looking)}, 120, "its page")
        finally:
            qemu.kill()
    (found,) = (each for each in machines(looking) if each["mac"] == mac)
    assert (found["serial"], found["product"]) == ("SN/0042", "Box ?(reboot) 7")
    # iPXE does not encode an ampersand: the rest is a word that nobody knows.
    assert found["manufacturer"] in ("ACME", "ACME ? Co")
    assert found["uuid"] == UUID


def test_it_ends_in_time_and_its_lease_leads_nowhere(looking: Laboratory) -> None:
    take(looking)
    assert ciao(looking, "boot", "discover", "--for", "2s").returncode == 0
    await_line(looking, False)
    assert act(looking, "raw", "discover", "eth0", told=[PXE]) == [None]
    assert act(looking, "raw", "http", f"{URL}/raw") == [0, 0]
    assert act(looking, "raw", "tftp", GATEWAY, "undionly.kpxe") == -2
    assert looking.run(["ping", "-c1", "-W1", GATEWAY], netns="raw", check=False).returncode


def test_a_muted_guard_serves_no_page(looking: Laboratory) -> None:
    take(looking)
    assert act(looking, "raw", "http", f"{URL}/raw")[0] == 200
    looking.run(["ip", "route", "add", "default", "dev", "eth1", "metric", "9"])
    await_mode(looking, "tripped")
    assert act(looking, "raw", "http", f"{URL}/raw") == [0, 0]
    assert act(looking, "raw", "discover", "eth0", told=[PXE]) == [None]
    looking.run(["ip", "route", "del", "default", "dev", "eth1"])
    apply(looking, EXAMPLE.read_text() + IMAGES)
    await_mode(looking, "armed")
    await_line(looking, True)


def test_adopted_it_is_a_node(looking: Laboratory) -> None:
    take(looking)
    looking.run(["curl", "-sf", PAGE], netns="raw")
    looking.wait_for(lambda: bool(machines(looking)), 15, "the list")
    node = f'\n[[nodes]]\nname = "fresh"\nrole = "compute"\nmac = "{MAC}"\n'
    apply(looking, EXAMPLE.read_text() + node + IMAGES)
    await_mode(looking, "armed")
    assert {machine["mac"]: machine["node"] for machine in machines(looking)}[MAC] == "fresh"
    got = act(looking, "raw", "lease", "eth0", told={"mac": MAC})
    looking.run(["ip", "address", "flush", "dev", "eth0"], netns="raw")
    looking.run(["ip", "address", "add", f"{got[0]}/24", "dev", "eth0"], netns="raw")
    assert got[1] == 12 * 3600
    assert looking.run(["ping", "-c1", "-W2", GATEWAY], netns="raw", check=False).returncode == 0
    apply(looking, EXAMPLE.read_text() + IMAGES)
    await_mode(looking, "armed")


def test_a_reset_ends_it(looking: Laboratory) -> None:
    assert reset(looking).returncode == 0
    for path in (paths.DISCOVERY, paths.RAW_MACHINES):
        assert looking.run(["test", "-e", path], check=False).returncode == 1, path
    assert ciao(looking, "boot", "discover").returncode == 3
    apply(looking, EXAMPLE.read_text() + IMAGES)
    await_mode(looking, "armed")
    await_line(looking, False)
