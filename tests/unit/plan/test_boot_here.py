"""What of booting over the network is missing on a machine, and who has its ports: what an apply says of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

import pytest

from tests.unit.plan.plan_changes import ANY, Change, both, images, listens, machine
from wizard.cli.parser import build_parser
from wizard.plan.findings import Finding, Severity
from wizard.plan.image_manifest import BootHere, Manifest, StoredFile
from wizard.plan.images import DISK_IMAGE, Architecture, Image, ImageKind
from wizard.plan.machine import Facts
from wizard.plan.model import Plan
from wizard.plan.rules.check import check
from wizard.plan.rules.in_force import harmful_findings

DEBIAN = Image("debian12", ImageKind.DEBIAN)
STORED = Manifest("debian12", ImageKind.DEBIAN, Architecture.AMD64, (StoredFile("linux", 1, "0" * 64),), "linux")
ALL_HERE = BootHere((STORED,), keys=("~/.ssh/id_ed25519.pub",))
LOADERS = ("undionly.kpxe", "snponly.efi", "snponly-arm64.efi")
TFTP = listens("udp", ANY, 69, "in.tftpd", 7, unit="tftpd-hpa.service")
WITHOUT_COMMAND = {
    *("image-kind-differs", "image-architecture-differs", "image-file-not-here"),
    *("netboot-server-missing", "seed-without-key", "seed-key-unreadable"),
}
_OF_BOOT = ("image-", "seed-", "netboot-server", "boot-loader", "port-69", "port-8069")


def found(plan: Plan, facts: Facts, *changes: Change) -> list[Finding]:
    return [each for each in check(*both(*changes)(plan, facts)) if each.code.startswith(_OF_BOOT)]


def of(*made: Image, here: BootHere | None = ALL_HERE) -> Change:
    return both(images(*made), machine(boot=here))


MISSING = {
    "not added": (of(DEBIAN, here=replace(ALL_HERE, stored=())), "image-not-here"),
    "interrupted": (of(DEBIAN, here=replace(ALL_HERE, stored=(), incomplete=("debian12",))), "image-incomplete"),
    "damaged": (of(DEBIAN, here=replace(ALL_HERE, stored=(), damaged=("debian12",))), "image-damaged"),
    "another kind": (of(replace(DEBIAN, kind=ImageKind.TALOS)), "image-kind-differs"),
    "another architecture": (of(replace(DEBIAN, architecture=Architecture.ARM64)), "image-architecture-differs"),
    "another file": (of(replace(DEBIAN, kernel="vmlinuz")), "image-file-not-here"),
    "no server": (of(DEBIAN, here=replace(ALL_HERE, server=False)), "netboot-server-missing"),
    "no key": (of(DEBIAN, here=replace(ALL_HERE, keys=())), "seed-without-key"),
    "no such key": (of(DEBIAN, here=replace(ALL_HERE, bad_keys=(("~/x.pub", "no such file"),))), "seed-key-unreadable"),
    "no loader": (of(DEBIAN, here=replace(ALL_HERE, missing_loaders=LOADERS)), "boot-loader-missing"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_told_and_an_apply_is_not_refused_for_it(plan: Plan, facts: Facts, name: str) -> None:
    change, code = MISSING[name]
    (finding,) = found(plan, facts, change)
    assert (finding.code, finding.severity) == (code, Severity.WARNING)
    assert not harmful_findings(*change(plan, facts))


@pytest.mark.parametrize("name", MISSING)
def test_a_remedy_is_a_command_that_there_is(plan: Plan, facts: Facts, name: str) -> None:
    (finding,) = found(plan, facts, MISSING[name][0])
    commands = [
        words.removeprefix("sudo ciao-wizard ").removeprefix("ciao-wizard ")
        for words in re.findall(r"`([^`]*)`", finding.remedy)
        if "ciao-wizard " in words and not words.startswith("pip ")
    ]
    assert commands or finding.code in WITHOUT_COMMAND
    for command in commands:
        build_parser().parse_args(shlex.split(command))


@pytest.mark.parametrize(
    "change",
    [
        of(DEBIAN),
        of(DEBIAN, here=None),
        of(DISK_IMAGE, here=BootHere(missing_loaders=LOADERS, server=False)),
        of(here=BootHere(missing_loaders=LOADERS, server=False)),
        of(DEBIAN, here=replace(ALL_HERE, missing_loaders=("snponly-arm64.efi",))),
        TFTP,
        both(of(DEBIAN), listens("udp", "127.0.0.1", 69, "in.tftpd", 7)),
        both(of(DEBIAN), listens("tcp", ANY, 69, "x", 7), listens("udp", ANY, 8069, "x", 7)),
        both(of(DEBIAN), TFTP, machine(our_pids=frozenset({7}))),
        both(of(DEBIAN), TFTP, machine(to_stop=frozenset({"tftpd-hpa.service"}))),
    ],
)
def test_nothing_is_said_where_nothing_is_missing(plan: Plan, facts: Facts, change: Change) -> None:
    assert found(plan, facts, change) == []


@pytest.mark.parametrize(
    ("taken", "code", "severity"),
    [
        (TFTP, "port-69-taken", Severity.ERROR),
        (listens("udp", "192.168.0.200", 69, "atftpd", 7), "port-69-taken", Severity.ERROR),
        (listens("udp", "::", 69, "atftpd", 7), "port-69-taken", Severity.ERROR),
        (listens("tcp", ANY, 8069, "nginx", 7, unit="nginx.service"), "port-8069-taken", Severity.WARNING),
        (listens("tcp", "*", 8069, unit="nginx.service"), "port-8069-taken", Severity.WARNING),
    ],
)
def test_a_port_that_another_program_has_is_told(
    plan: Plan, facts: Facts, taken: Change, code: str, severity: Severity
) -> None:
    (finding,) = found(plan, facts, of(DEBIAN), taken)
    assert (finding.code, finding.severity) == (code, severity)
    assert finding.remedy.endswith("or bind it to its own addresses. Or remove [[images]] from the plan.")


def test_on_an_applied_gateways_nic_it_is_ours_unless_that_is_known(plan: Plan, facts: Facts) -> None:
    applied = both(of(DEBIAN), machine(applied_cluster="eth1"))
    assert found(plan, facts, applied, listens("tcp", "192.168.0.200", 8069)) == []
    (finding,) = found(plan, facts, applied, listens("tcp", "192.168.0.200", 8069, "nginx", 7))
    assert finding.code == "port-8069-taken"


def test_the_remedy_stops_a_service_for_good(plan: Plan, facts: Facts) -> None:
    (finding,) = found(plan, facts, of(DEBIAN), TFTP)
    assert '"in.tftpd" (process 7) already serves TFTP on every NIC, UDP port 69' in finding.message
    assert finding.remedy.startswith("Run `sudo systemctl disable --now tftpd-hpa.service`, or ")
