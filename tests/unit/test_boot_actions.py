"""Arming and disarming nodes, by the one door of the command line and the screen, and what `boot status` says."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from tests.unit.deploy.image_sources import X86_KERNEL, initrd
from wizard.actions import targets
from wizard.actions.boot import ArmOrder, arm, disarm
from wizard.cli import main
from wizard.deploy import seed_answers
from wizard.deploy.armed import change_armed, read_armed
from wizard.monitor import boot_board
from wizard.monitor.boot_board import BootWatch
from wizard.plan import paths
from wizard.plan.addresses import assign
from wizard.plan.file.read import load_plan
from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.netboot import ArmedDamaged, ArmedNode, Stage, Times, ToDisk

EXAMPLE = (Path(__file__).parents[2] / "examples" / "ciao.toml").read_text()
IMAGES = (
    '\n[[images]]\nname = "tiny"\nkind = "custom"\nseed = "preseed"\n\n[[images]]\nname = "gone"\nkind = "debian"\n'
)
PLAN = assign(load_plan(EXAMPLE + IMAGES, "ciao.toml"))
NODES = PLAN.nodes[2:]
SINCE = "2026-12-01T00:00:00+00:00"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxRkm0q8u2uLGyIpVSWhVYpVtV4b0pZ1vS8o0Q8mJwG me@laptop\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A machine with the plan in force and the image tiny; `place/key.pub` is a public key."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("STATE", "RUN"):
        monkeypatch.setattr(paths, name, str(tmp_path))
    for name in ("ARMED", "IMAGES", "DNSMASQ_LOG", "NETBOOT_LOG", "BOOT_LOADERS"):
        monkeypatch.setattr(paths, name, str(tmp_path / name))
    for module in (targets, boot_board):
        found = "plan_in_force" if module is targets else "running_plan"
        monkeypatch.setattr(module, found, lambda *_: PLAN)
    monkeypatch.setattr(seed_answers, "behind_sudo", lambda: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(boot_board, "answering", lambda places, _patience: set(places))
    (tmp_path / "key.pub").write_text(KEY)
    for name, content in (("linux", X86_KERNEL), ("initrd", initrd())):
        (tmp_path / name).write_bytes(content)
    files = ["--kernel", str(tmp_path / "linux"), "--initrd", str(tmp_path / "initrd")]
    assert main(["image", "add", "tiny", *files, "--kind", "custom"]) == 0
    capsys.readouterr()
    return tmp_path


def order(place: Path, **more: object) -> ArmOrder:
    return replace(ArmOrder("tiny", ssh_key_files=(str(place / "key.pub"),)), **more)  # type: ignore[arg-type]


def armed() -> list[tuple[str, str, str]]:
    return [(node.name, node.image, node.times) for node in read_armed()]


def test_nodes_are_armed_together_and_disarmed(place: Path) -> None:
    made = arm(PLAN, NODES, order(place, times=Times.ALWAYS, user="me"))
    assert [node.name for node in made] == ["compute1", "compute2"]
    assert armed() == [("compute1", "tiny", "always"), ("compute2", "tiny", "always")]
    seed = next(served.text for path, served in read_armed()[0].paths.items() if path.endswith("preseed.cfg"))
    assert KEY.strip() in seed
    assert disarm(["compute2"]) == ("compute2",)
    assert armed() == [("compute1", "tiny", "always")]
    assert disarm(everyone=True) == ("compute1",)
    assert disarm(everyone=True) == ()


def test_without_an_image_each_gets_its_own_of_the_plan(place: Path) -> None:
    with pytest.raises(WizardError, match=f"gives {NODES[1].name} no image") as refused:
        arm(PLAN, (replace(NODES[0], image="tiny"), NODES[1]), order(place, image=""))
    assert "Choose one of tiny, gone, disk" in refused.value.remedy
    assert armed() == []
    planned = (replace(NODES[0], image="tiny"), replace(NODES[1], image="disk"))
    arm(PLAN, planned, order(place, image="", to_disk=ToDisk.SANBOOT))
    assert armed() == [("compute1", "tiny", "once"), ("compute2", "disk", "once")]
    assert any("sanboot" in served.text for served in read_armed()[1].paths.values())


@pytest.mark.parametrize(
    ("more", "message", "remedy"),
    [
        ({"image": "tinny"}, "'tinny' is no image of the plan in force", "It has: tiny, gone, disk."),
        ({"image": "gone"}, "The image gone is not on this machine.", "image add gone"),
        ({"ssh_key_files": ()}, "nobody could log in", "--ssh-key FILE"),
        ({"ssh_key_files": ("/no/such.pub",)}, "/no/such.pub: no such file", "id_ed25519"),
        ({"ssh_key_files": ("/dev/zero",)}, "/dev/zero: no such file", "id_ed25519.pub"),
        ({"ssh_key_files": ("/",)}, "no such file", "id_ed25519.pub"),
        ({"ssh_key_files": ("a\0b",)}, "no such file", "id_ed25519.pub"),
        ({"user": "root"}, "every system has", "such as ciao"),
    ],
)
def test_what_is_refused_arms_nobody(place: Path, more: dict[str, object], message: str, remedy: str) -> None:
    with pytest.raises(WizardError) as refused:
        arm(PLAN, NODES, order(place, **more))
    assert message.replace("'", "") in refused.value.message.replace("'", "").replace('"', "")
    assert remedy in refused.value.remedy
    assert armed() == []


def test_a_damaged_image_is_called_that(place: Path) -> None:
    (Path(paths.IMAGES) / "gone").mkdir()
    with pytest.raises(WizardError, match="is damaged") as refused:
        arm(PLAN, NODES, order(place, image="gone"))
    assert "image remove gone" in refused.value.remedy


def test_a_pipe_for_a_key_keeps_nobody_waiting(place: Path) -> None:
    os.mkfifo(place / "pipe")
    with pytest.raises(WizardError, match="no such file"):
        arm(PLAN, NODES, order(place, ssh_key_files=(str(place / "pipe"),)))


def test_a_plan_without_images_has_nothing_to_arm_with(place: Path) -> None:
    with pytest.raises(WizardError, match="the plan in force has no images"):
        arm(replace(PLAN, images=()), NODES, order(place))


def test_the_extra_and_root_are_asked_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot_board, "find_spec", lambda _name: None)
    with pytest.raises(WizardError, match="aiohttp is not installed") as refused:
        arm(PLAN, NODES, order(place))
    assert "pip install 'ciao-wizard[boot]'" in refused.value.remedy
    assert "aiohttp" in BootWatch().look().problem
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for attempt in (lambda: arm(PLAN, NODES, order(place)), lambda: disarm(["compute1"]), BootWatch().look):
        with pytest.raises(NeedsRoot):
            attempt()


def test_a_damaged_record_arms_nobody_and_is_mended_by_arming(place: Path) -> None:
    Path(paths.ARMED).write_text('{"version": 1, "nodes": [{"since": "x"}]}')
    with pytest.raises(ArmedDamaged):
        read_armed()
    arm(PLAN, NODES[:1], order(place))
    assert armed() == [("compute1", "tiny", "once")]


def test_only_who_is_armed_is_disarmed(place: Path) -> None:
    arm(PLAN, NODES[:1], order(place))
    with pytest.raises(WizardError, match="compute2 is not armed") as refused:
        disarm(["compute1", "compute2"])
    assert refused.value.remedy == "Armed are: compute1."
    assert armed() == [("compute1", "tiny", "once")]


def test_a_key_of_home_is_found_and_its_certificate_is_not(place: Path) -> None:
    (place / ".ssh").mkdir()
    for name in ("id_rsa.pub", "id_ed25519.pub", "id_ed25519-cert.pub", "id_ed25519", "other.pub"):
        (place / ".ssh" / name).write_text(KEY)
    assert seed_answers.found_keys() == ("~/.ssh/id_ed25519.pub", "~/.ssh/id_rsa.pub")
    assert arm(PLAN, NODES, order(place, ssh_key_files=("~/.ssh/id_rsa.pub",)))


# How far they have come


def log(place: Path, name: str, *stages: Stage, at: float) -> None:
    address = next(str(node.ip) for node in PLAN.nodes if node.name == name)
    with (place / "NETBOOT_LOG").open("a") as file:
        for stage in stages:
            line = {"at": at, "source": address, "node": name, "stage": stage.value, "path": "/x", "status": 200}
            file.write(json.dumps({**line, "size": 1, "seconds": 0, "whole": True, "count": 1}) + "\n")


def test_every_node_has_a_row_and_the_images_are_told(place: Path) -> None:
    board = BootWatch().look()
    assert [(boot.node, boot.begun) for boot in board.nodes] == [(node.name, False) for node in PLAN.nodes]
    assert [(image.name, image.installs) for image in board.images] == [("tiny", True), ("gone", True), ("disk", False)]
    assert "boot loaders ipxe" in board.problem


def test_who_answers_has_done_so_since_it_was_first_found_to(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def answering(places: list[tuple[str, int]], _patience: float) -> set[tuple[str, int]]:
        asked.extend(places)
        return set(places)

    monkeypatch.setattr(boot_board, "answering", answering)
    now = datetime.now().timestamp()
    log(place, "compute1", Stage.SCRIPT, Stage.REPORTED, at=now)
    watch = BootWatch()
    first, second = (watch.look().nodes[2].stages[Stage.ANSWERS] for _ in range(2))
    assert first == second
    assert asked == [("192.168.0.103", 22)]
    # Armed again, it has still to come to all of this; and then it is asked again.
    arm(PLAN, NODES[:1], order(place))
    assert Stage.ANSWERS not in watch.look().nodes[2].stages
    log(place, "compute1", Stage.REPORTED, at=now + 3600)
    assert watch.look().nodes[2].stages[Stage.ANSWERS] > first
    assert len(asked) == 2


def test_status_tells_each_stage_with_its_time(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "status"]) == 0
    assert "No node is armed" in capsys.readouterr().err
    arm(PLAN, NODES[:1], order(place))
    now = datetime.now().timestamp()
    log(place, "compute1", Stage.SCRIPT, at=now + 1)
    log(place, "compute1", Stage.KERNEL, at=now + 4.5)
    assert main(["boot", "status"]) == 0
    head, row, stages = capsys.readouterr().out.splitlines()
    assert head.split() == ["NODE", "IMAGE", "ARMED", "STAGE", "AT"]
    assert row.split()[:4] == ["compute1", "tiny", "once", "kernel"]
    assert stages.startswith("    script ")
    assert stages.endswith("(+3 s)")
    assert main(["boot", "status", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert [(each["stage"], each["seconds"]) for each in told["stages"]] == [("script", None), ("kernel", 3.5)]


def test_status_needs_root(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(["boot", "status"]) == 4
    assert "sudo" in capsys.readouterr().err


class Enough(Exception):
    """The watch was looked at long enough."""


@pytest.mark.parametrize("as_json", [False, True])
def test_watch_tells_what_changes(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    looks = iter(range(5))

    def meanwhile(_seconds: float) -> None:
        look = next(looks)
        if look == 1:
            arm(PLAN, NODES[:1], order(place))
        elif look == 3:
            disarm(["compute1"])
        elif look == 4:
            raise Enough

    monkeypatch.setattr("wizard.cli.boot.time.sleep", meanwhile)
    with pytest.raises(Enough):
        main(["boot", "status", "--watch", *(["--json"] if as_json else [])])
    lines = capsys.readouterr().out.splitlines()
    if as_json:
        assert [[each["node"] for each in json.loads(line)] for line in lines] == [[], ["compute1"], []]
    else:
        assert [line.split("  ")[1] for line in lines] == ["compute1: armed with tiny, once", "compute1: disarmed"]


def test_an_armed_node_that_the_plan_no_longer_has_can_be_disarmed(place: Path) -> None:
    change_armed(lambda _: (ArmedNode("old", "192.168.0.99", ("b8:ae:ed:7b:72:99",), "tiny", Times.ONCE, SINCE),))
    assert disarm(["old"]) == ("old",)
