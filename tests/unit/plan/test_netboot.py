"""Who is armed with what, and which request is answered with what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from netaddr import EUI

from wizard.plan import paths
from wizard.plan.boot_options import boot_options
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.image_manifest import Manifest, StoredFile
from wizard.plan.images import DISK_IMAGE, Architecture, Image, ImageKind, SeedForm
from wizard.plan.model import Plan
from wizard.plan.netboot import (
    LONGEST_TARGET,
    ArmedDamaged,
    ArmedNode,
    Stage,
    Times,
    ToDisk,
    after_stages,
    arm_node,
    decide,
    dump_armed,
    load_armed,
    rearmed,
    still_planned,
    tftp_stage,
    without,
)
from wizard.plan.render import render
from wizard.plan.seed_fields import Answers

EXAMPLE = (Path(__file__).parents[3] / "examples" / "ciao.toml").read_text()
ANSWERS = Answers(("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me",))
DEBIAN = Image("debian12", ImageKind.DEBIAN)
STORED = Manifest(
    "debian12",
    ImageKind.DEBIAN,
    Architecture.AMD64,
    tuple(StoredFile(path, 1, "0" * 64) for path in ("linux", "initrd.gz", "grubx64.efi")),
    "linux",
    ("initrd.gz",),
)
SINCE = "2026-12-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(EXAMPLE, "example")


def armed(plan: Plan, number: int = 0, image: Image = DEBIAN, stored: Manifest | None = STORED) -> ArmedNode:
    return arm_node(plan, plan.nodes[number], image, stored, ANSWERS, SINCE)


def dashed(node: ArmedNode) -> str:
    return node.macs[0].replace(":", "-")


def test_an_armed_node_gets_its_own_and_no_more(plan: Plan) -> None:
    node = armed(plan)
    table = {node.address: node}
    mac = dashed(node)
    wanted = {
        f"/boot/{mac}": Stage.SCRIPT,
        "/images/debian12/linux": Stage.KERNEL,
        "/images/debian12/initrd.gz": Stage.INITRD,
        f"/seed/{mac}/preseed.cfg": Stage.SEED,
        f"/report/{mac}": Stage.REPORTED,
        "/first/snponly.efi": Stage.LOADER,
    }
    for path, stage in wanted.items():
        reply = decide(table, "GET", path, node.address)
        assert (reply.status, reply.stage, reply.node) == (200, stage, node.name), path
    linux = decide(table, "GET", "/images/debian12/linux", node.address).served
    assert linux is not None
    assert linux.file == f"{paths.IMAGES}/debian12/linux"


def test_a_stranger_gets_nothing_of_an_armed_node(plan: Plan) -> None:
    node, other = armed(plan, 0), armed(plan, 1)
    for path in [*node.paths, "/", "/nothing"]:
        assert decide({node.address: node}, "GET", path, "192.168.0.77").status == 403
        assert decide({}, "GET", path, node.address).status == 403
    both = {each.address: each for each in (node, other)}
    own = set(node.paths) - set(other.paths)
    assert len(own) == 3
    for path in own:
        assert decide(both, "GET", path, other.address).status == 404


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/",
        "*",
        "//images/debian12/linux",
        "/images/debian12/../debian12/linux",
        "/images/debian12/%6cinux",
        "/images/debian12/linux?",
        "/images/debian12/linux/",
        "/images/debian12/grubx64.efi",
        "/images/debian12/manifest.json",
        "/images/../../../etc/shadow",
        "http://192.168.0.200:8069/images/debian12/linux",
        "/images/debian12/linux\0",
        "/" * (LONGEST_TARGET + 1),
    ],
)
def test_whatever_else_is_asked_is_not_there(plan: Plan, target: str) -> None:
    node = armed(plan)
    reply = decide({node.address: node}, "GET", target, node.address)
    assert (reply.status, reply.served, reply.stage) == (404, None, None)


def test_methods(plan: Plan) -> None:
    node = armed(plan)
    table = {node.address: node}
    report = f"/report/{dashed(node)}"
    assert decide(table, "POST", report, node.address).stage is Stage.REPORTED
    assert decide(table, "HEAD", "/images/debian12/linux", node.address).stage is None
    assert decide(table, "HEAD", report, node.address).stage is None
    for method in ("PUT", "DELETE", "CONNECT", "POST"):
        assert decide(table, method, "/images/debian12/linux", node.address).status == 405


def test_the_script_boots_with_the_seed_of_the_nic_that_asked(plan: Plan) -> None:
    first, second = plan.nodes[0].mac, plan.nodes[1].mac
    two = replace(plan, nodes=(replace(plan.nodes[0], other_macs=(second,)), *plan.nodes[2:]))
    node = arm_node(two, two.nodes[0], DEBIAN, STORED, ANSWERS, SINCE)
    for mac in (first, second):
        name = int(mac).to_bytes(6, "big").hex("-")
        script = node.paths[f"/boot/{name}"].text
        assert script.startswith("#!ipxe\n")
        assert f"url=http://192.168.0.200:8069/seed/{name}/preseed.cfg" in script
        assert "\ninitrd http://192.168.0.200:8069/images/debian12/initrd.gz\nboot\n" in script
        assert " initrd=initrd.gz " in script
        assert f"/report/{name}" in node.paths[f"/seed/{name}/preseed.cfg"].text


def test_the_disk_and_scripts_of_ones_own(plan: Plan) -> None:
    node = armed(plan, image=DISK_IMAGE, stored=None)
    script = f"/boot/{dashed(node)}"
    assert node.paths[script].text.endswith("\niseq ${platform} efi && exit 1 ||\nexit\n")
    san = arm_node(plan, plan.nodes[0], DISK_IMAGE, None, ANSWERS, SINCE, to_disk=ToDisk.SANBOOT)
    assert "sanboot" in san.paths[script].text
    own = Image("mine", ImageKind.CUSTOM, script="go.ipxe")
    files = tuple(StoredFile(path, 1, "0" * 64) for path in ("go.ipxe", "a/b"))
    stored = Manifest("mine", ImageKind.CUSTOM, Architecture.AMD64, files, script="go.ipxe")
    mine = armed(plan, image=own, stored=stored)
    assert mine.paths[script].file == f"{paths.IMAGES}/mine/go.ipxe"
    assert mine.paths["/images/mine/a/b"].stage is Stage.KERNEL
    with pytest.raises(WizardError, match="no kernel"):
        armed(plan, stored=None)


def test_the_record_comes_back_whole_or_is_refused(plan: Plan) -> None:
    nodes = (armed(plan, 0), armed(plan, 1))
    text = dump_armed(nodes)
    assert load_armed(text) == nodes
    for bad in ("", "{}", "[]", "null", text[:-9], text.replace('"version": 1', '"version": 2'), '{"version": 1}'):
        with pytest.raises(ArmedDamaged):
            load_armed(bad)


def test_only_the_armed_are_told_what_they_boot(plan: Plan) -> None:
    node = armed(plan, 1)
    assert "\ntag" not in boot_options([], plan.network.gateway)
    lines = boot_options([node], plan.network.gateway).splitlines()[1:]
    assert {line.partition(",")[0] for line in lines} == {f"tag:node-{node.name}"}
    assert f"tag:node-{node.name},tag:ipxe,option:bootfile-name,http://192.168.0.200:8069/boot/${{mac:hexhyp}}" in lines
    with_image = replace(plan, images=(DEBIAN,))
    others: tuple[dict[str, Any], ...] = (
        {"address": "192.168.0.9"},
        {"macs": ("02:00:00:00:00:01",)},
        {"image": "other"},
        {"gateway": "192.168.0.1"},
    )
    for other in others:
        assert still_planned(with_image, [replace(node, **other)]) == ()
    assert still_planned(with_image, [node]) == (node,)
    assert still_planned(plan, [node]) == ()


def test_no_reservation_has_a_tag(plan: Plan) -> None:
    """dnsmasq 2.90 ends in a crash when it reads such a one again after it was used."""
    images = '[[images]]\nname = "d"\nkind = "debian"\n'
    option = '[[options]]\noption = "tftp-server"\nvalue = "192.168.0.5"\nto = ["compute"]\n'
    text = EXAMPLE + images + option
    files = {file.path: file.text for file in render(load_plan(text, "example"), text)}
    assert "set:" not in files[paths.DNSMASQ_HOSTS]
    conf = files[paths.DNSMASQ_CONF].splitlines()
    for number, node in enumerate(plan.nodes):
        mac = armed(plan, number).macs[0]
        wanted = ["planned", f"node-{node.name}", *(["role-compute"] if "compute" in node.roles else [])]
        assert {f"dhcp-mac=set:{tag},{mac}" for tag in wanted} == {line for line in conf if line.endswith(f",{mac}")}


def test_it_is_disarmed_once_the_seed_was_fetched_and_reported(plan: Plan) -> None:
    node = armed(plan)
    assert node.seeded
    assert after_stages(node, [Stage.KERNEL, Stage.SEED]) == node
    # Somebody who only asks for the report has installed nothing.
    assert after_stages(node, [Stage.REPORTED]) == node
    assert after_stages(node, [Stage.REPORTED, Stage.SEED]) is None
    always = replace(node, times=Times.ALWAYS)
    assert after_stages(always, [Stage.REPORTED, Stage.SEED]) == always
    bare = armed(plan, image=replace(DEBIAN, seed=SeedForm.NONE))
    assert not bare.seeded
    assert after_stages(bare, [Stage.REPORTED]) is None


def test_arming_again_replaces(plan: Plan) -> None:
    one, two = armed(plan, 0), armed(plan, 1)
    again = replace(one, times=Times.ALWAYS)
    assert rearmed([one, two], [again]) == tuple(sorted((again, two), key=lambda each: each.name))
    assert without([one, two], [one.name, "nobody"]) == (two,)


def test_secure_boot_goes_by_tftp_up_to_the_kernel(plan: Plan) -> None:
    ubuntu = Image("u", ImageKind.UBUNTU)
    files = tuple(StoredFile(path, 1, "0" * 64) for path in ("casper/vmlinuz", "casper/initrd", "u.iso"))
    stored = Manifest(
        "u", ImageKind.UBUNTU, Architecture.AMD64, files, "casper/vmlinuz", ("casper/initrd",), iso="u.iso"
    )
    node = arm_node(plan, plan.nodes[1], ubuntu, stored, ANSWERS, SINCE, secure_boot=True)
    stages = {path: each.stage for path, each in node.tftp.items()}
    assert stages["shimx64.efi"] is stages["grubx64.efi"] is Stage.LOADER
    assert node.tftp["kernel/linux"].file == f"{paths.IMAGES}/u/casper/vmlinuz"
    assert {path: tftp_stage(path) for path in stages} == stages
    for path in ("grub/grub.cfg", "debian-installer/amd64/grub/grub.cfg"):
        echo, mac, linux, _, initrd, boot = node.tftp[path].text.splitlines()
        assert echo == f"echo '{node.name}: u'"
        assert f'"{node.macs[0]}"' in mac
        assert linux.startswith("    linux /kernel/linux 'BOOTIF=01-")
        # Without the quotes GRUB would end the command there.
        assert f" 'ds=nocloud;s=http://192.168.0.200:8069/seed/{dashed(node)}/'" in linux
        assert (initrd, boot) == ("initrd /initrd/0", "boot")
    told = boot_options([node], plan.network.gateway)
    assert "tag:!ipxe,tag:efi64,option:bootfile-name,shimx64.efi" in told
    assert "snponly.efi" not in told
    assert load_armed(dump_armed([node])) == (node,)


def test_secure_boot_and_what_is_not_signed(plan: Plan) -> None:
    arm = replace(DEBIAN, architecture=Architecture.ARM64)
    own = Image("mine", ImageKind.CUSTOM, script="go.ipxe")
    stored = Manifest(
        "mine", ImageKind.CUSTOM, Architecture.AMD64, (StoredFile("go.ipxe", 1, "0" * 64),), script="go.ipxe"
    )
    for image, manifest, why in ((arm, STORED, "arm64"), (own, stored, "iPXE script"), (DISK_IMAGE, None, "own disk")):
        with pytest.raises(WizardError, match=why):
            arm_node(plan, plan.nodes[0], image, manifest, ANSWERS, SINCE, secure_boot=True)


def test_without_secure_boot_tftp_has_the_first_stage_alone(plan: Plan) -> None:
    assert set(armed(plan).tftp) == {"undionly.kpxe", "snponly.efi", "snponly-arm64.efi"}


def test_a_raspberry_pi_has_its_files(plan: Plan) -> None:
    pi = replace(plan.nodes[0], mac=EUI("dc:a6:32:00:00:01"))
    plan = replace(plan, nodes=(pi, *plan.nodes[1:]))
    image = replace(DEBIAN, architecture=Architecture.ARM64)
    table = arm_node(plan, pi, image, STORED, ANSWERS, SINCE).tftp
    assert table["start4.elf"].file == f"{paths.BOOT_LOADERS}/start4.elf"
    assert "bcm2711-rpi-4-b.dtb" in table
    assert "\nkernel=kernel/linux\ninitramfs initrd/0 followkernel\n" in table["config.txt"].text
    assert table["cmdline.txt"].text.startswith("BOOTIF=01-dc-a6-32-00-00-01 ")
    assert table["cmdline.txt"].text.count("\n") == 1
    assert {path: tftp_stage(path) for path in table} == {path: each.stage for path, each in table.items()}
    assert "start4.elf" not in arm_node(plan, pi, DEBIAN, STORED, ANSWERS, SINCE).tftp


def test_talos_without_a_template_fetches_no_seed() -> None:
    plan = load_plan(EXAMPLE + '\n[[images]]\nname = "talos"\nkind = "talos"\n', "ciao.toml")
    image = plan.images[0]
    manifest = replace(STORED, name="talos", kind=image.kind)
    made = arm_node(plan, plan.nodes[0], image, manifest, ANSWERS, SINCE)
    assert not made.seeded
