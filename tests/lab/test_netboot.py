"""Nodes that boot over the network: who gets which file at which stage, and that nobody else gets any."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.guarding import armed as is_armed
from tests.lab.guarding import await_mode, told
from tests.lab.striking import beside_marker, kill, paused, processes
from tests.lab.support import EXAMPLE, HERE, NODES, apply, await_nodes, ciao, ciao_json, dhcp_server, reset
from wizard.lab.control import Laboratory
from wizard.lab.world import NODES as MACHINES
from wizard.plan import paths

pytestmark = pytest.mark.lab

GATEWAY = "192.168.0.200"
URL = f"http://{GATEWAY}:8069"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxRkm0q8u2uLGyIpVSWhVYpVtV4b0pZ1vS8o0Q8mJwG me@laptop\n"
MACS = {machine.name: machine.mac for machine in MACHINES}
IMAGES = """
[[images]]
name = "tiny"
kind = "custom"
seed = "preseed"
"""
SIZE = 8 << 20


@pytest.fixture(scope="module")
def world(lab_possible: None) -> Iterator[Laboratory]:
    """The example with an image, applied; the nodes have their addresses. Loaders are there."""
    with Laboratory() as lab:
        make = f"cd /run/ciao-lab; head -c {SIZE} /dev/zero >linux; echo initrd >initrd; cat >key"
        lab.run(["sh", "-ec", make], input=KEY)
        files = ["--kernel", "/run/ciao-lab/linux", "--initrd", "/run/ciao-lab/initrd"]
        added = ciao(lab, "image", "add", "tiny", *files, "--kind", "custom")
        assert added.returncode == 0, added.stderr
        loaders = ("undionly.kpxe", "snponly.efi", "snponly-arm64.efi")
        make = f"mkdir {paths.BOOT_LOADERS}; cd {paths.BOOT_LOADERS}; "
        lab.run(["sh", "-ec", make + "".join(f"echo {name} >{name}; " for name in loaders)])
        apply(lab, EXAMPLE.read_text() + IMAGES)
        await_nodes(lab)
        await_mode(lab, "armed")
        yield lab


@pytest.fixture
def served(world: Laboratory) -> Iterator[Laboratory]:
    await_mode(world, "armed")
    yield world
    ciao(world, "boot", "disarm", "--all")
    world.wait_for(lambda: not tagged(world))


def act(lab: Laboratory, where: str, *argv: str, told: object = None) -> Any:
    script = [sys.executable, str(HERE / "netboot_actors.py"), *argv]
    return json.loads(lab.run(script, netns=where, input=json.dumps(told) if told is not None else "").stdout)


def arm(lab: Laboratory, node: str, *more: str) -> None:
    done = ciao(lab, "boot", "arm", node, "--image", "tiny", "--ssh-key", "/run/ciao-lab/key", *more)
    assert done.returncode == 0, done.stderr
    lab.wait_for(lambda: act(lab, node, "http", f"{URL}/nothing")[0] == 404, 20, "the server")


def tagged(lab: Laboratory) -> list[str]:
    """The names of the armed, as dnsmasq reads them."""
    text = lab.run(["cat", paths.NETBOOT_OPTIONS]).stdout
    tags = [line.split(",")[0] for line in text.splitlines() if line.startswith("tag:")]
    return list(dict.fromkeys(tag.removeprefix("tag:node-") for tag in tags))


def dashed(node: str) -> str:
    return MACS[node].replace(":", "-")


# Firmware, and the file that it must be given while it is armed.
FIRMWARE: dict[str, tuple[dict[str, Any], str]] = {
    "bios": ({"arch": 0, "vendor": "PXEClient:Arch:00000"}, "undionly.kpxe"),
    "efi64": ({"arch": 7, "vendor": "PXEClient:Arch:00007"}, "snponly.efi"),
    "efi64, as 9": ({"arch": 9, "vendor": "PXEClient:Arch:00009"}, "snponly.efi"),
    "arm64": ({"arch": 11, "vendor": "PXEClient:Arch:00011"}, "snponly-arm64.efi"),
    "http": ({"arch": 16, "vendor": "HTTPClient:Arch:00016"}, f"{URL}/first/snponly.efi"),
    "http that does not say so": ({"arch": 16, "vendor": "PXEClient:Arch:00016"}, ""),
    "ipxe on bios": ({"arch": 0, "vendor": "PXEClient", "ipxe": True}, f"{URL}/boot/${{mac:hexhyp}}"),
    "ipxe on efi": ({"arch": 7, "vendor": "PXEClient", "ipxe": True}, f"{URL}/boot/${{mac:hexhyp}}"),
    "ipxe by http": ({"arch": 16, "vendor": "HTTPClient", "ipxe": True}, f"{URL}/boot/${{mac:hexhyp}}"),
    "none": ({}, ""),
    **{f"other {n}": ({"arch": n, "vendor": "PXEClient"}, "") for n in (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 17, 65535)},
}


def offers(lab: Laboratory, node: str, mac: str) -> list[Any]:
    asked = [{"mac": mac, **firmware} for firmware, _ in FIRMWARE.values()]
    found: list[Any] = act(lab, node, "discover", "eth0", told=asked)
    return found


def test_firmware_gets_its_loader_while_it_is_armed_and_none_else(served: Laboratory) -> None:
    before, guard = dhcp_server(served), told(served)["process"]
    unarmed = offers(served, "compute1", MACS["compute1"])
    assert [offer[0] for offer in unarmed] == [NODES["compute1"]] * len(FIRMWARE)
    assert [offer[2:] for offer in unarmed] == [["", "", ""]] * len(FIRMWARE)

    arm(served, "compute1")
    armed = offers(served, "compute1", MACS["compute1"])
    wanted = {name: file for name, (_, file) in FIRMWARE.items()}
    assert {name: offer[2] for name, offer in zip(FIRMWARE, armed, strict=True)} == wanted
    assert {offer[1] for offer in armed if offer[2]} == {GATEWAY}
    http = dict(zip(FIRMWARE, armed, strict=True))["http"]
    assert http[3] == "HTTPClient"
    for other in ("compute2", "controller"):
        assert {offer[2] for offer in offers(served, other, MACS[other])} == {""}
    # A stranger, and a virtual machine, on the armed node's own cable.
    assert set(offers(served, "compute1", "00:aa:00:00:00:07")) == {None}
    assert {offer[2] for offer in offers(served, "compute1", "02:00:00:00:00:07")} == {""}
    assert ciao(served, "boot", "disarm", "compute1").returncode == 0
    served.wait_for(lambda: not tagged(served))
    assert {offer[2] for offer in offers(served, "compute1", MACS["compute1"])} == {""}
    # Nothing was restarted, and dnsmasq has not died of what it read again.
    assert (dhcp_server(served), told(served)["process"]) == (before, guard)


def test_with_secure_boot_uefi_gets_the_shim(served: Laboratory) -> None:
    served.run(["sh", "-ec", f"cd {paths.BOOT_LOADERS}; echo shim >shimx64.efi; echo grub >grubx64.efi"])
    arm(served, "compute1", "--secure-boot")
    arm(served, "compute2")
    found = {name: offer[2] for name, offer in zip(FIRMWARE, offers(served, "compute1", MACS["compute1"]), strict=True)}
    wanted = {name: file for name, (_, file) in FIRMWARE.items()}
    # GRUB goes on by TFTP alone.
    wanted |= {"efi64": "shimx64.efi", "efi64, as 9": "shimx64.efi", "http": ""}
    assert found == wanted
    assert act(served, "compute1", "tftp", GATEWAY, "grub/grub.cfg") > 0
    assert act(served, "compute1", "tftp", GATEWAY, "kernel/linux") == SIZE
    for name in ("shimx64.efi", "grub/grub.cfg", "kernel/linux", f"{NODES['compute1']}/kernel/linux"):
        assert act(served, "compute2", "tftp", GATEWAY, name) == -1, name
        assert act(served, "controller", "tftp", GATEWAY, name) == -2, name


def test_each_stage_is_the_armed_nodes_alone(served: Laboratory) -> None:
    stages = {
        f"/boot/{dashed('compute1')}": 0,
        "/images/tiny/linux": SIZE,
        "/images/tiny/initrd": 7,
        f"/seed/{dashed('compute1')}/preseed.cfg": 0,
    }
    arm(served, "compute1")
    arm(served, "compute2")
    for path, size in stages.items():
        status, got = act(served, "compute1", "http", URL + path)
        assert status == 200, path
        assert not size or got == size, path
    for path in (
        f"/seed/{dashed('compute1')}/preseed.cfg",
        f"/boot/{dashed('compute1')}",
        f"/report/{dashed('compute1')}",
    ):
        assert act(served, "compute2", "http", URL + path) == [404, 0], path
    for path in (*stages, "/", "/../etc/shadow"):
        assert act(served, "controller", "http", URL + path) == [0, 0], path
        assert act(served, "colleague", "http", URL + path) == [0, 0], path
    assert act(served, "compute1", "tftp", GATEWAY, "undionly.kpxe") == len("undionly.kpxe\n")
    for name in ("/etc/passwd", "../../../etc/passwd", "nothing", "", "x" * 400, "/var/lib/ciao-wizard/armed.json"):
        assert act(served, "compute1", "tftp", GATEWAY, name) == -1, name
    assert act(served, "controller", "tftp", GATEWAY, "undionly.kpxe") == -2
    server = served.run(["pgrep", "-f", "[n]etboot-server"]).stdout.split()
    status = served.run(["cat", f"/proc/{server[0]}/status"]).stdout
    # A laboratory in a user's namespace maps one user alone.
    mapped = (
        len(served.run(["cat", "/proc/self/uid_map"]).stdout.split()) != 3
        or "4294967295" in served.run(["cat", "/proc/self/uid_map"]).stdout
    )
    assert "CapEff:\t0000000000000000" in status or not mapped
    assert "Uid:\t0\t" not in status or not mapped


def test_it_is_disarmed_once_it_reported(served: Laboratory) -> None:
    arm(served, "compute1")
    report, seed = f"{URL}/report/{dashed('compute1')}", f"{URL}/seed/{dashed('compute1')}/preseed.cfg"
    # The first is of an installer that ran before.
    for url, method in ((report, "POST"), (seed, "GET"), (report, "POST")):
        assert tagged(served) == ["compute1"]
        assert act(served, "compute1", "http", url, method)[0] == 200
    served.wait_for(lambda: not tagged(served), 15, "its being disarmed")
    served.wait_for(lambda: act(served, "compute1", "http", report) == [0, 0], 15, "the end of the server")
    (boot,) = (each for each in ciao_json(served, "boot", "status") if each["node"] == "compute1")
    assert boot["armed"] is None
    assert {each["stage"] for each in boot["stages"]} >= {"seed", "reported"}
    assert {offer[2] for offer in offers(served, "compute1", MACS["compute1"])} == {""}


@pytest.mark.parametrize("how", ["disarmed", "tripped"])
def test_a_transfer_under_way_ends(served: Laboratory, how: str) -> None:
    arm(served, "compute1")
    script = [sys.executable, str(HERE / "netboot_actors.py"), "drip", f"{URL}/images/tiny/linux"]
    with served.popen(script, netns="compute1", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdin is not None
        assert client.stdout.readline() == '"first"\n'
        if how == "tripped":
            served.run(["ip", "route", "add", "default", "dev", "eth1", "metric", "9"])
            await_mode(served, "tripped")
        else:
            ciao(served, "boot", "disarm", "compute1")
            served.wait_for(lambda: not tagged(served))
        served.wait_for(lambda: not served.run(["pgrep", "-f", "[n]etboot-server"], check=False).stdout, 15, "its end")
        client.stdin.write("\n")
        client.stdin.flush()
        assert client.stdout.readline() == "0\n"
    if how == "tripped":
        assert act(served, "compute1", "tftp", GATEWAY, "undionly.kpxe") == -2
        served.run(["ip", "route", "del", "default", "dev", "eth1"])
        apply(served, EXAMPLE.read_text() + IMAGES)


def test_while_the_guard_hangs_nothing_of_a_transfer_leaves(served: Laboratory) -> None:
    """The server lives on then: the packet filter alone holds it."""
    arm(served, "compute1")
    guard = str(told(served)["process"]["pid"])
    script = [sys.executable, str(HERE / "netboot_actors.py"), "drip", f"{URL}/images/tiny/linux"]
    with served.popen(script, netns="compute1", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdin is not None
        assert client.stdout.readline() == '"first"\n'
        served.run(["sh", "-c", f"kill -STOP {guard}"])
        try:
            served.wait_for(lambda: not is_armed(served))
            client.stdin.write("\n")
            client.stdin.flush()
            assert client.stdout.readline() == "0\n"
            assert served.run(["pgrep", "-f", "[n]etboot-server"]).stdout
            assert act(served, "compute1", "http", f"{URL}/images/tiny/initrd") == [0, 0]
        finally:
            served.run(["sh", "-c", f"kill -CONT {guard}"])
    await_mode(served, "armed")


def test_a_raspberry_pi_fetches_its_own_files(served: Laboratory) -> None:
    """Forged: what one asks for, from the address that it gets."""
    pi = "dc:a6:32:00:00:01"
    plan = EXAMPLE.read_text().replace("C0:3F:D5:67:A1:FB", pi.upper())
    image = '[[images]]\nname = "pi"\nkind = "custom"\narchitecture = "arm64"\n'
    files = ["--kernel", "/run/ciao-lab/linux", "--initrd", "/run/ciao-lab/initrd"]
    added = ciao(served, "image", "add", "pi", *files, "--kind", "custom", "--arch", "arm64")
    assert added.returncode == 0, added.stderr
    apply(served, plan + IMAGES + image)
    await_mode(served, "armed")
    try:
        script = f"cd {paths.BOOT_LOADERS}; echo four >start4.elf; echo tree >bcm2711-rpi-4-b.dtb"
        served.run(["sh", "-ec", script])
        asked = [{"mac": pi, "arch": 0, "vendor": "PXEClient:Arch:00000:UNDI:002001"}]
        assert act(served, "compute2", "discover", "eth0", told=asked) == [[NODES["compute2"], GATEWAY, "", "", ""]]
        served.run(["ip", "link", "set", "eth0", "address", pi], netns="compute2")
        served.run(["ip", "address", "replace", f"{NODES['compute2']}/24", "dev", "eth0"], netns="compute2")
        assert act(served, "compute2", "tftp", GATEWAY, "start4.elf") == -2
        done = ciao(served, "boot", "arm", "compute2", "--image", "pi")
        assert done.returncode == 0, done.stderr
        served.wait_for(lambda: tagged(served) == ["compute2"])
        (offer,) = act(served, "compute2", "discover", "eth0", told=asked)
        assert (offer[2], offer[4]) == ("bootcode.bin", "Raspberry Pi Boot")
        # It asks by its serial number first, and goes on without where that is refused.
        found = {"a1b2c3d4/start4.elf": -1, "start4.elf": 5, "bcm2711-rpi-4-b.dtb": 5, "start.elf": -1}
        found |= {"kernel/linux": SIZE, "initrd/0": 7, "../192.168.0.103/start4.elf": -1}
        assert {name: act(served, "compute2", "tftp", GATEWAY, name) for name in found} == found
        assert act(served, "compute2", "tftp", GATEWAY, "config.txt") > 0
        assert act(served, "compute2", "tftp", GATEWAY, "cmdline.txt") > 0
        (boot,) = (each for each in ciao_json(served, "boot", "status") if each["node"] == "compute2")
        assert [each["stage"] for each in boot["stages"]] == ["offered", "loader", "script", "kernel", "initrd"]
    finally:
        served.run(["ip", "link", "set", "eth0", "address", MACS["compute2"]], netns="compute2")
        ciao(served, "boot", "disarm", "--all")
        apply(served, EXAMPLE.read_text() + IMAGES)


def test_killed_while_arming_it_is_whole_or_none(served: Laboratory) -> None:
    order = ["boot", "arm", "compute1", "--image", "tiny", "--ssh-key", "/run/ciao-lab/key"]
    for moment, wanted in (("armed:writing", []), ("armed:written", ["compute1"])):
        with paused(served, moment, *order):
            (line,) = beside_marker(served, "paused").read_text().splitlines()
            kill(served, int(line.split()[1]))
            served.wait_for(lambda: not processes(served, "wizard boot arm"), 30, "its end")
        status = ciao_json(served, "boot", "status")
        assert [each["node"] for each in status if each["armed"]] == wanted, moment
        served.wait_for(lambda: tagged(served) == wanted, 15, moment)  # noqa: B023
    removed = ciao(served, "image", "remove", "tiny")
    assert removed.returncode == 1
    assert "boot disarm compute1" in removed.stderr


def test_the_gateway_is_well_while_it_serves_and_is_pestered(served: Laboratory) -> None:
    arm(served, "compute1")
    before, guard = dhcp_server(served), told(served)
    assert act(served, "compute1", "pester", GATEWAY, "10000") == 10_000
    status = ciao_json(served, "status")
    assert [each for each in status["checks"] if each["ok"] is False] == []
    assert (status["healthy"], status["drift"]) == (True, [])
    assert (dhcp_server(served), told(served)["process"]) == (before, guard["process"])
    assert told(served)["mode"] == "armed"
    sizes = served.run(["sh", "-c", "cat /run/ciao-wizard/*.log* | wc -c"]).stdout
    assert int(sizes) < 4_000_000
    # An apply in between leaves it armed.
    apply(served, EXAMPLE.read_text() + IMAGES)
    await_mode(served, "armed")
    assert tagged(served) == ["compute1"]
    assert act(served, "compute1", "tftp", GATEWAY, "undionly.kpxe") == len("undionly.kpxe\n")


def netboot_check(lab: Laboratory) -> Any:
    return next((each for each in ciao_json(lab, "status")["checks"] if each["name"] == "netboot"), {})


def test_status_tells_of_a_server_that_cannot_start(served: Laboratory) -> None:
    assert (netboot_check(served)["ok"], netboot_check(served)["detail"]) == (True, "no node is armed")
    holder = f"import socket, time; s = socket.create_server(('{GATEWAY}', 8069)); time.sleep(600)"
    with served.popen([sys.executable, "-c", holder]) as other:
        try:
            served.wait_for(lambda: "8069" in served.run(["ss", "-Hltn"]).stdout)
            (found,) = (
                each
                for each in ciao_json(served, "check", "-c", paths.PLAN_IN_FORCE)
                if each["code"] == "port-8069-taken"
            )
            assert found["severity"] == "warning"
            order = ("arm", "compute1", "--image", "tiny", "--ssh-key", "/run/ciao-lab/key")
            assert ciao(served, "boot", *order).returncode == 0
            served.wait_for(lambda: netboot_check(served)["ok"] is False, 20, "the failure")
            assert "tcp port 8069" in netboot_check(served)["detail"]
            assert "Stop the program that has the port" in netboot_check(served)["remedy"]
            assert ciao_json(served, "status")["healthy"] is False
            assert "armed nodes are not served" in ciao(served, "boot", "status").stderr
        finally:
            other.kill()
    served.wait_for(lambda: netboot_check(served)["ok"], 60, "the server")
    assert netboot_check(served)["detail"] == "1 node is armed, and would be served"


@pytest.mark.parametrize("name", ["netboot", "netboot_macs"])
def test_status_tells_of_a_set_that_somebody_emptied(served: Laboratory, name: str) -> None:
    arm(served, "compute1")
    served.wait_for(lambda: netboot_check(served)["ok"])
    found: dict[str, Any] = {}

    def is_told() -> bool:
        # The guard may fill it right after.
        served.run(["nft", "flush", "set", "inet", "ciao_gateway", name])
        found.update(netboot_check(served))
        return found["ok"] is False

    served.wait_for(is_told, 40)
    assert "compute1" in found["detail"]
    assert "by itself" in found["remedy"]
    served.wait_for(lambda: netboot_check(served)["ok"], 40, "the guard's mending it")
    assert ciao(served, "boot", "status").stderr == ""


def test_the_plans_answers_are_taken_and_a_key_that_is_none_is_told(served: Laboratory) -> None:
    served.run(["cp", "/run/ciao-lab/key", "/run/ciao-lab/key.pub"])
    seeds = '[seeds]\nuser = "ops"\nssh_key = "/run/ciao-lab/key.pub"\nproxy = "http://10.77.0.1:3128"\n'
    apply(served, EXAMPLE.read_text() + IMAGES + seeds)
    done = ciao(served, "boot", "arm", "compute1", "--image", "tiny")
    assert done.returncode == 0, done.stderr
    seed = json.loads(served.run(["cat", paths.ARMED]).stdout)["nodes"][0]["paths"]
    text = seed[f"/seed/{dashed('compute1')}/preseed.cfg"][2]
    for words in (KEY.strip(), "ops", "http://10.77.0.1:3128/"):
        assert words in text
    served.run(["sh", "-c", "echo nothing >/run/ciao-lab/key.pub"])
    codes = {each["code"]: each for each in ciao_json(served, "check", "-c", paths.PLAN_IN_FORCE)}
    assert "/run/ciao-lab/key.pub" in codes["seed-key-unreadable"]["message"]
    assert "it holds no public key" in ciao(served, "boot", "arm", "compute2", "--image", "tiny").stderr
    apply(served, EXAMPLE.read_text() + IMAGES)
    await_mode(served, "armed")


def test_a_reset_leaves_nobody_armed(served: Laboratory) -> None:
    arm(served, "compute1")
    assert reset(served).returncode == 0
    for path in (paths.ARMED, paths.NETBOOT_SERVED, paths.NETBOOT_HOSTS, paths.NETBOOT_OPTIONS, paths.NETBOOT_LOG):
        assert served.run(["test", "-e", path], check=False).returncode == 1, path
    assert ciao(served, "boot", "arm", "compute1").returncode == 3
    apply(served, EXAMPLE.read_text() + IMAGES)
    await_mode(served, "armed")
    assert tagged(served) == []
