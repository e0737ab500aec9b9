"""Nodes with a BMC: a simulated one on the cluster wire, asked over IPMI by the plan's address and credentials."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests import ipmi_simulator
from tests.ipmi_simulator import SECRET
from tests.lab.support import EXAMPLE, apply, await_nodes, ciao, reset
from tests.needs import need, unavailable
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("bmcs")]

PLACE = "/run/bmc"
CREDENTIALS = f"{PLACE}/bmc.toml"
BMC, NOBODY = "192.168.0.151", "192.168.0.152"


def with_bmcs(bmc: str) -> str:
    """The example: compute1 has this one, compute2 one that is switched off."""
    text = EXAMPLE.read_text()
    for node, address in (("compute1", bmc), ("compute2", NOBODY)):
        text = text.replace(f'name = "{node}"\n', f'name = "{node}"\nbmc  = "{address}"\n')
    return f'{text}\n[bmc]\ncredentials = "{CREDENTIALS}"\n'


@pytest.fixture(scope="module")
def gateway(lab_possible: None) -> Iterator[Laboratory]:
    need("ipmi_sim")
    with Laboratory() as lab:
        apply(lab, with_bmcs(BMC))
        await_nodes(lab)
        lab.run(["mkdir", "-p", f"{PLACE}/state"])
        for name, text in ipmi_simulator.files(PLACE, BMC, 623).items():
            lab.run(["sh", "-euc", f"cat >{PLACE}/{name}; chmod 755 {PLACE}/{name}"], input=text)
        lab.run(["ip", "address", "add", f"{BMC}/24", "dev", "eth0"], netns="network")
        quiet = subprocess.DEVNULL
        simulator = lab.popen(ipmi_simulator.argv(PLACE), netns="network", stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            listening = ["ss", "-H", "-l", "-n", "-u", f"src {BMC}:623"]
            lab.wait_for(lambda: lab.run(listening, netns="network").stdout, 20, "the simulated BMC")
            write_credentials(lab)
            yield lab
        finally:
            simulator.kill()
            simulator.wait()


def write_credentials(lab: Laboratory, password: str = SECRET, mode: str = "600", owner: str = "root") -> None:
    text = f'user = "admin"\npassword = "{password}"\n'
    script = (
        f"rm -f {CREDENTIALS}; umask 077; cat >{CREDENTIALS}; chmod {mode} {CREDENTIALS}; chown {owner} {CREDENTIALS}"
    )
    lab.run(["sh", "-euc", script], input=text)


def asked(lab: Laboratory) -> list[str]:
    lines = lab.run(["cat", f"{PLACE}/asked"], check=False).stdout.splitlines()
    return [line for line in lines if line.startswith("set")]


def ordered(lab: Laboratory, *argv: str) -> tuple[int, dict[str, tuple[bool, str, str]]]:
    """The exit status, and by node: whether it is well, the detail and the remedy. Nothing tells the password."""
    done = ciao(lab, "-v", *argv, "--json")
    assert done.stdout, done.stderr
    assert "Traceback" not in done.stderr
    assert "horse" not in f"{done.stdout}{done.stderr}"
    return done.returncode, {one["node"]: (one["ok"], one["detail"], one["remedy"]) for one in json.loads(done.stdout)}


def test_a_bmc_without_redfish_is_asked_over_ipmi(gateway: Laboratory) -> None:
    status, told = ordered(gateway, "off", "compute1", "compute2", "--yes")
    assert status == 1
    assert told["compute1"] == (True, "powers off, by its BMC over IPMI", "")
    assert told["compute2"][1] == f"the BMC of compute2 at {NOBODY} answers neither Redfish nor IPMI"
    status, told = ordered(gateway, "reboot", "compute1", "--hard", "--yes")
    assert (status, told["compute1"][0]) == (0, True)
    status, told = ordered(gateway, "wake", "compute1")
    assert (status, told["compute1"][1]) == (0, "is switched on, by its BMC over IPMI")
    assert asked(gateway) == ["set shutdown 1", "set reset 1", "set power 1"]


def test_what_is_not_done_is_told_by_node(gateway: Laboratory) -> None:
    before = asked(gateway)
    status, told = ordered(gateway, "reboot", "compute1", "--yes")
    assert (status, "no restart that asks" in told["compute1"][1]) == (1, True)
    write_credentials(gateway, "wrong-horse")
    try:
        status, told = ordered(gateway, "off", "compute1", "--yes")
    finally:
        write_credentials(gateway)
    assert (status, "refuses the user and password" in told["compute1"][1]) == (1, True)
    assert asked(gateway) == before


@pytest.mark.parametrize(
    ("mode", "owner", "says"), [("640", "root", "others may read"), ("600", "daemon", "belongs to somebody else")]
)
def test_credentials_of_others_are_not_used(gateway: Laboratory, mode: str, owner: str, says: str) -> None:
    if gateway.run(["chown", owner, PLACE], check=False).returncode:
        unavailable("this laboratory has one user only")
    before = asked(gateway)
    write_credentials(gateway, mode=mode, owner=owner)
    try:
        status, told = ordered(gateway, "off", "compute1", "--yes")
    finally:
        write_credentials(gateway)
    assert status == 1
    assert says in told["compute1"][1]
    assert CREDENTIALS in told["compute1"][1]
    assert "chmod 600" in told["compute1"][2]
    assert asked(gateway) == before


def test_a_protocol_named_in_the_plan_is_the_only_one(gateway: Laboratory) -> None:
    """Last: it applies other plans."""
    apply(gateway, with_bmcs(f"redfish://{BMC}"))
    status, told = ordered(gateway, "off", "compute1", "--yes")
    assert (status, told["compute1"][1]) == (1, f"the BMC of compute1 at {BMC} does not answer")
    apply(gateway, with_bmcs(f"ipmi://{BMC}"))
    status, told = ordered(gateway, "off", "compute1", "--yes")
    assert (status, told["compute1"][1]) == (0, "powers off, by its BMC over IPMI")
    reset(gateway)
