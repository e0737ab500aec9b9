"""Images of the plan: what is read from [[images]], what is refused, and the kernel arguments that come of it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import pytest
from netaddr import EUI, IPAddress

from wizard.plan.file.toml_table import TomlTable
from wizard.plan.findings import Finding
from wizard.plan.image_fields import image_rows, read_image
from wizard.plan.image_manifest import (
    Manifest,
    ManifestDamaged,
    StoredFile,
    check_stored,
    dump_manifest,
    load_manifest,
)
from wizard.plan.images import (
    DISK_IMAGE,
    Architecture,
    BootUrls,
    Image,
    ImageKind,
    SeedForm,
    boot_arguments,
)
from wizard.plan.rules.images import check_command_lines, check_images

URLS = BootUrls(IPAddress("192.168.0.200"))
MAC = EUI("b8:ae:ed:7b:51:50")
FULL = """
name = "coreos"
kind = "custom"
kernel = "vmlinuz"
initrd = ["initramfs.img", "extra/rootfs.img"]
arguments = "console=ttyS0,115200n8  quiet"
seed = "ignition"
template = "/etc/ciao-wizard/seeds/core.ign"
architecture = "aarch64"
memory = "3 GiB"
"""


def read(text: str) -> tuple[Image | None, TomlTable]:
    table = TomlTable(tomllib.loads(text), "images[0]", [])
    return read_image(table), table


def image(text: str) -> Image:
    found, table = read(text)
    assert table.problems == []
    assert found is not None
    return found


def codes(found: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.code, finding.field) for finding in found]


def test_every_key_is_read() -> None:
    assert image(FULL) == Image(
        "coreos",
        ImageKind.CUSTOM,
        "vmlinuz",
        ("initramfs.img", "extra/rootfs.img"),
        "console=ttyS0,115200n8 quiet",
        SeedForm.IGNITION,
        "/etc/ciao-wizard/seeds/core.ign",
        Architecture.ARM64,
        3072,
    )


@pytest.mark.parametrize(
    "text", [FULL, 'name = "d"\nkind = "debian"', 'name = "m"\nkind = "custom"\nscript = "a.ipxe"']
)
def test_what_is_written_is_read_again(text: str) -> None:
    rows = [(key, value) for key, value, default in image_rows(image(text)) if value is not None and not default]
    written = "\n".join(f"{key} = {json.dumps(value)}" for key, value in rows)
    assert image(written) == image(text)


def test_two_keys_make_an_image() -> None:
    debian = image('name = "Debian12"\nkind = "Debian"')
    assert (debian.name, debian.seed_form, debian.memory_mib) == ("debian12", SeedForm.PRESEED, 1024)
    assert image('name = "d"\nkind = "debian"\nmemory = 2048').memory_mib == 2048


BAD = [
    ("name", '"a\\nb"'),
    ("name", '"../debian"'),
    ("name", '"."'),
    ("name", '"manifest.json"'),
    ("name", '"${net0/mac}"'),
    ("name", '"' + "a" * 33 + '"'),
    ("name", '""'),
    ("name", "12"),
    ("kind", '"windows"'),
    ("kind", "[]"),
    ("kernel", '"/boot/vmlinuz"'),
    ("kernel", '"../../etc/shadow"'),
    ("kernel", '"a/../b"'),
    ("kernel", '".hidden"'),
    ("kernel", '"a//b"'),
    ("kernel", '"a b"'),
    ("kernel", '"a;reboot"'),
    ("kernel", '"a\\\\b"'),
    ("kernel", '"$(reboot)"'),
    ("kernel", '"' + "a/" * 150 + 'b"'),
    ("initrd", '["a", "a"]'),
    ("initrd", "[1]"),
    ("initrd", '["a","b","c","d","e","f","g","h","i"]'),
    ("initrd", '["ok", "../x"]'),
    ("arguments", '"quiet\\nreboot"'),
    ("arguments", '"quiet; reboot"'),
    ("arguments", '"a=${mac}"'),
    ("arguments", '"a=$b"'),
    ("arguments", "'a=\"b\"'"),
    ("arguments", "\"a='b'\""),
    ("arguments", '"a=`id`"'),
    ("arguments", '"a || b"'),
    ("arguments", '"a # b"'),
    ("arguments", '"a\\tb"'),
    ("arguments", '"a=\\u202eb"'),
    ("arguments", '"a=ü"'),
    ("arguments", '"' + "a" * 1025 + '"'),
    ("seed", '"kickstart"'),
    ("template", '"seeds/my.cfg"'),
    ("template", '"/etc/../root/my.cfg"'),
    ("template", '"/etc/my cfg"'),
    ("template", '"/etc/my\\ncfg"'),
    ("template", '"/' + "a" * 200 + '"'),
    ("architecture", '"mips"'),
    ("memory", '"4 bananas"'),
    ("memory", "true"),
    ("memory", "-1"),
    ("memory", '"1M"'),
    ("memory", "9999999999"),
    ("memory", "1.5"),
    ("script", '"http://example.org/boot.ipxe"'),
    ("script", '"boot\\n.ipxe"'),
]


@pytest.mark.parametrize(("key", "value"), BAD, ids=[f"{key}={value[:20]}" for key, value in BAD])
def test_what_is_refused_names_field_value_and_remedy(key: str, value: str) -> None:
    given = {"name": '"debian"', "kind": '"custom"', key: value}
    _, table = read("\n".join(f"{name} = {text}" for name, text in given.items()))

    (problem,) = table.problems
    assert problem.key == f"images[0].{key}"
    assert problem.remedy.endswith((".", "?"))
    assert all(part.isprintable() for part in (problem.value, problem.message, problem.remedy))


def test_a_key_that_is_none_is_refused_with_the_nearest() -> None:
    _, table = read('name = "d"\nkind = "debian"\nkernal = "linux"')
    (problem,) = table.problems
    assert (problem.key, problem.remedy) == ("images[0].kernal", "Did you mean kernel?")


@pytest.mark.parametrize("key", ["name", "kind"])
def test_what_lacks_is_told_with_an_example(key: str) -> None:
    given = {"name": '"debian"', "kind": '"debian"'}
    del given[key]
    found, table = read("\n".join(f"{name} = {text}" for name, text in given.items()))
    assert found is None
    (problem,) = table.problems
    assert f"lacks {key}" in problem.message
    assert f'{key} = "' in problem.remedy


DEBIAN = Image("debian", ImageKind.DEBIAN)
CUSTOM = Image("own", ImageKind.CUSTOM, kernel="vmlinuz")


def test_sound_images_have_no_finding() -> None:
    images = [DEBIAN, CUSTOM, DISK_IMAGE, Image("script", ImageKind.CUSTOM, script="a.ipxe")]
    assert list(check_images(images, [("a", "debian"), ("b", ""), ("c", "disk")])) == []
    assert list(check_images([], [("a", "disk")])) == []


def test_a_command_line_that_a_kernel_would_cut_is_told_once() -> None:
    long = replace(DEBIAN, arguments=" ".join(["a" * 100] * 10))
    nodes = [("n" * 63, "debian", MAC), ("short", "debian", MAC)]
    domain = ".".join(["d" * 60] * 3)
    assert list(check_command_lines([long], URLS, nodes, domain)) == []
    found = list(check_command_lines([replace(long, arguments="a" * 1900)], URLS, nodes, domain))
    assert codes(found) == [("image-arguments-too-long", "images[0].arguments")]


SEEDS = "http://192.168.0.200:8069/seed/b8-ae-ed-7b-51-50/"
ARGUMENTS = {
    ImageKind.DEBIAN: "BOOTIF=01-b8-ae-ed-7b-51-50 interface=auto hostname=node1 domain=ciao.lan auto=true "
    f"priority=critical url={SEEDS}preseed.cfg",
    ImageKind.UBUNTU: "BOOTIF=01-b8-ae-ed-7b-51-50 ip=dhcp url=http://192.168.0.200:8069/images/x/ubuntu.iso "
    f"autoinstall ds=nocloud;s={SEEDS} cloud-config-url=/dev/null",
    ImageKind.TALOS: "talos.platform=metal slab_nomerge pti=on consoleblank=0 printk.devkmsg=on "
    f"talos.config={SEEDS}config.yaml",
    ImageKind.RESCUE: "BOOTIF=01-b8-ae-ed-7b-51-50 interface=auto hostname=node1 domain=ciao.lan rescue/enable=true",
    ImageKind.CUSTOM: "",
    ImageKind.MEMTEST: "",
    ImageKind.DISK: "",
}


@pytest.mark.parametrize("kind", ImageKind)
def test_arguments_of_each_kind(kind: ImageKind) -> None:
    own = Image("x", kind, template="/t" if kind is ImageKind.TALOS else "")
    assert boot_arguments(own, URLS, MAC, "node1", "ciao.lan", "ubuntu.iso") == ARGUMENTS[kind]
    more = boot_arguments(replace(own, arguments="console=ttyS0"), URLS, MAC, "node1", "ciao.lan", "ubuntu.iso")
    assert more == f"{ARGUMENTS[kind]} console=ttyS0".strip()


def test_talos_without_a_configuration_waits_for_one() -> None:
    assert "talos.config" not in boot_arguments(Image("t", ImageKind.TALOS), URLS, MAC, "node1", "ciao.lan")


@pytest.mark.parametrize("kind", [ImageKind.DEBIAN, ImageKind.UBUNTU])
def test_without_a_seed_the_installer_asks(kind: ImageKind) -> None:
    arguments = boot_arguments(Image("x", kind, seed=SeedForm.NONE), URLS, MAC, "node1", "ciao.lan")
    assert "seed" not in arguments
    assert "auto" not in arguments.replace("interface=auto", "")


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (SeedForm.NONE, ""),
        (SeedForm.PRESEED, f"auto=true priority=critical url={SEEDS}preseed.cfg"),
        (SeedForm.NOCLOUD, f"ds=nocloud;s={SEEDS}"),
        (SeedForm.AUTOINSTALL, f"autoinstall ds=nocloud;s={SEEDS} cloud-config-url=/dev/null"),
        (SeedForm.TALOS, "talos.platform=metal"),
        (
            SeedForm.IGNITION,
            f"ignition.firstboot ignition.platform.id=metal ignition.config.url={SEEDS}config.ign",
        ),
    ],
)
def test_a_kernel_of_ones_own_is_told_where_its_seed_is(form: SeedForm, words: str) -> None:
    assert boot_arguments(replace(CUSTOM, seed=form), URLS, MAC, "node1", "ciao.lan") == words


# --- What is stored.

STORED = Manifest(
    "debian",
    ImageKind.DEBIAN,
    Architecture.AMD64,
    (StoredFile("linux", 5, "0" * 64), StoredFile("initrd.gz", 7, "f" * 64)),
    "linux",
    ("initrd.gz",),
    source="d-i.deb",
    added="2026-11-30T22:00:00+00:00",
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert load_manifest(dump_manifest(STORED)) == STORED
    assert STORED.size == 12


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"name": "../x"},
        {"kind": "windows"},
        {"kernel": "other"},
        {"kernel": "../../etc/shadow"},
        {"initrd": ["gone"]},
        {"iso": "gone.iso"},
        {"files": []},
        {"files": {}},
        {"files": [*STORED.as_json()["files"], {"path": "manifest.json", "size": 5, "sha256": "0" * 64}]},
        {"files": [{"path": "linux", "size": 5, "sha256": "0" * 64}] * 2},
        {"files": [{"path": "linux", "size": -5, "sha256": "0" * 64}]},
        {"files": [{"path": "linux", "size": True, "sha256": "0" * 64}]},
        {"files": [{"path": "linux", "size": 5, "sha256": "x"}]},
        {"files": [{"path": "../linux", "size": 5, "sha256": "0" * 64}]},
        {"source": None},
    ],
    ids=str,
)
def test_a_manifest_that_was_tampered_with_is_refused(change: dict[str, object]) -> None:
    data = STORED.as_json() | change
    with pytest.raises(ManifestDamaged):
        load_manifest(json.dumps(data))


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "\0", "[" * 100_000])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestDamaged):
        load_manifest(text)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (DEBIAN, []),
        (DISK_IMAGE, []),
        (replace(DEBIAN, kind=ImageKind.RESCUE), []),
        (replace(DEBIAN, name="other"), [("image-not-here", "images[0].name")]),
        (replace(DEBIAN, kind=ImageKind.TALOS), [("image-kind-differs", "images[0].kind")]),
        (
            replace(DEBIAN, architecture=Architecture.ARM64),
            [("image-architecture-differs", "images[0].architecture")],
        ),
        (replace(DEBIAN, kernel="vmlinuz"), [("image-file-not-here", "images[0].kernel")]),
        (replace(DEBIAN, initrd=("initrd.gz", "more")), [("image-file-not-here", "images[0].initrd")]),
    ],
)
def test_a_plan_against_what_is_stored(wanted: Image, expected: list[tuple[str, str]]) -> None:
    found = list(check_stored([wanted], {"debian": STORED}))
    assert codes(found) == expected
    assert all(finding.remedy for finding in found)
