"""How far nodes have come in booting, from two logs, and what is said of those that are stuck."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from wizard.deploy.netboot_server import Fetched
from wizard.monitor.boot_stages import PATIENCE_S, Boot, boots, latest_run
from wizard.plan import paths
from wizard.plan.file.read import load_plan
from wizard.plan.netboot import ArmedNode, Stage, Times

PLAN = load_plan((Path(__file__).parents[3] / "examples" / "ciao.toml").read_text(), "example")
NODE, OTHER = PLAN.nodes[2], PLAN.nodes[3]
START = datetime(2026, 12, 1, 10, 0, 0).astimezone()
AT = START.timestamp()
ARMED = ArmedNode(
    NODE.name, str(NODE.ip), ("b8:ae:ed:7b:72:58",), "debian12", Times.ONCE, START.isoformat(), {}, True, 1024
)


def dnsmasq(*lines: tuple[int, str]) -> str:
    return "".join(f"Dec  1 {datetime.fromtimestamp(AT + at):%H:%M:%S} dnsmasq-{text}\n" for at, text in lines)


def fetched(stage: Stage | None, at: float, node: str = NODE.name, whole: bool = True, status: int = 200) -> Fetched:
    source = str(next(each.ip for each in PLAN.nodes if each.name == node))
    return Fetched(AT + at, source, node, stage, "/x", status, whole=whole)


LOG = dnsmasq(
    (-60, "tftp[7]: sent /var/lib/x/undionly.kpxe to 192.168.0.103"),
    (1, "dhcp[7]: DHCPDISCOVER(eth1) b8:ae:ed:7b:72:58"),
    (2, "dhcp[7]: 4711 DHCPOFFER(eth1) 192.168.0.103 b8:ae:ed:7b:72:58"),
    (3, "dhcp[7]: DHCPOFFER(eth1) 192.168.0.104 c0:3f:d5:67:a1:fb"),
    (4, "tftp[7]: sent /var/lib/x/undionly.kpxe to 192.168.0.103"),
    (5, "tftp[7]: error 8 User aborted the transfer received from 192.168.0.104"),
)


def of(found: tuple[Boot, ...], name: str = NODE.name) -> Boot:
    return next(boot for boot in found if boot.node == name)


def begun(found: tuple[Boot, ...]) -> list[Boot]:
    return [boot for boot in found if boot.begun]


def test_each_stage_with_its_time() -> None:
    server = [
        fetched(stage, 10.0 + n) for n, stage in enumerate((Stage.SCRIPT, Stage.KERNEL, Stage.INITRD, Stage.SEED))
    ]
    boot = of(boots(PLAN, [ARMED], LOG, server, AT + 60))
    assert {stage: at - AT for stage, at in boot.stages.items()} == {
        Stage.OFFERED: 2,
        Stage.LOADER: 4,
        Stage.SCRIPT: 10,
        Stage.KERNEL: 11,
        Stage.INITRD: 12,
        Stage.SEED: 13,
    }
    assert boot.reached == (Stage.SEED, AT + 13)
    assert [each["stage"] for each in boot.as_json()["stages"]][-1] == "seed"
    assert boot.hint == ""


def test_what_was_before_it_was_armed_or_did_not_come_whole_does_not_count() -> None:
    server = [fetched(Stage.KERNEL, -1), fetched(Stage.INITRD, 9, whole=False), fetched(None, 9, status=404)]
    assert set(of(boots(PLAN, [ARMED], LOG, server, AT + 9)).stages) == {Stage.OFFERED, Stage.LOADER}


def test_an_offer_in_the_second_of_arming_counts() -> None:
    """dnsmasq's log has whole seconds."""
    armed = replace(ARMED, since=datetime.fromtimestamp(AT + 2.9).astimezone().isoformat())
    server = [fetched(Stage.SCRIPT, 2.8), fetched(Stage.KERNEL, 3)]
    assert set(of(boots(PLAN, [armed], LOG, server, AT + 9)).stages) == {Stage.OFFERED, Stage.LOADER, Stage.KERNEL}


def test_a_disarmed_node_is_listed_where_it_has_fetched_something() -> None:
    found = boots(PLAN, [], LOG, [fetched(Stage.REPORTED, 20)], AT + 30)
    assert [each.node for each in found] == [node.name for node in PLAN.nodes]
    assert [(each.node, each.times, each.reached) for each in begun(found)] == [
        (NODE.name, "", (Stage.REPORTED, AT + 20))
    ]
    assert (
        begun(boots(PLAN, [], dnsmasq((3, "dhcp[7]: DHCPOFFER(eth1) 192.168.0.104 c0:3f:d5:67:a1:fb")), [], AT)) == []
    )


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (Stage.SCRIPT, "no kernel"),
        (Stage.KERNEL, "debian12 needs 1024 MiB"),
        (Stage.INITRD, "debian12 needs 1024 MiB"),
        (Stage.SEED, "console"),
        (Stage.LOADER, "Secure Boot"),
    ],
)
def test_who_is_stuck_is_told_what_is_usually_wrong(stage: Stage, words: str) -> None:
    server = [] if stage is Stage.LOADER else [fetched(stage, 5)]
    at = AT + (4 if stage is Stage.LOADER else 5) + PATIENCE_S[stage]
    assert of(boots(PLAN, [ARMED], LOG, server, at - 2)).hint == ""
    assert words in of(boots(PLAN, [ARMED], LOG, server, at + 1)).hint


def test_who_has_reported_is_asked_whether_it_lets_people_in() -> None:
    server = [fetched(Stage.REPORTED, 6), fetched(Stage.KERNEL, 7, OTHER.name)]
    asked: list[str] = []

    def who_answers(addresses: Iterable[str]) -> list[str]:
        asked.extend(addresses)
        return asked

    first, second = begun(boots(PLAN, [], "", server, AT + 99, who_answers))
    assert asked == [str(NODE.ip)]
    assert first.reached == (Stage.ANSWERS, AT + 99)
    assert second.reached == (Stage.KERNEL, AT + 7)


def test_who_has_reported_is_not_stuck() -> None:
    server = [fetched(Stage.SEED, 5), fetched(Stage.REPORTED, 6)]
    assert of(boots(PLAN, [ARMED], LOG, server, AT + 1e6)).hint == ""


def test_lines_that_are_none() -> None:
    boot = of(boots(PLAN, [ARMED], "\0\nDec 99 99:99:99 dnsmasq-tftp[1]: sent x to 192.168.0.103\nDec", [], AT))
    assert boot.reached is None
    assert boot.as_json()["stages"] == []


O, L, S, K, I, R = Stage.OFFERED, Stage.LOADER, Stage.SCRIPT, Stage.KERNEL, Stage.INITRD, Stage.REPORTED  # noqa: E741


@pytest.mark.parametrize(
    ("events", "run"),
    [
        ([], {}),
        ([(O, 1), (O, 5)], {O: 5}),
        # iPXE asks for an address of its own, and so does the installer.
        ([(O, 1), (L, 2), (O, 3), (S, 4), (K, 5), (I, 6), (O, 9)], {O: 1, L: 2, S: 4, K: 5, I: 6}),
        ([(O, 1), (S, 4), (K, 5), (I, 6), (O, 9), (Stage.SEED, 10)], {O: 1, S: 4, K: 5, I: 6, Stage.SEED: 10}),
        # An ISO counts as an initrd, and is fetched by the installer.
        ([(O, 1), (S, 4), (K, 5), (I, 6), (O, 9), (I, 12)], {O: 1, S: 4, K: 5, I: 12}),
        # Booted from its disk afterwards: what it came to still counts.
        ([(O, 1), (S, 2), (R, 3), (O, 9)], {O: 1, S: 2, R: 3}),
        # It boots again.
        ([(O, 1), (L, 2), (O, 3), (S, 4), (K, 5), (O, 9), (L, 10)], {O: 9, L: 10}),
        ([(O, 1), (S, 4), (K, 5), (R, 7), (O, 9), (S, 10), (K, 11)], {O: 9, S: 10, K: 11}),
        ([(O, 1), (L, 2), (O, 62), (L, 63)], {O: 62, L: 63}),
        # Several files of one loader, also after its configuration came as the script.
        ([(O, 1), (L, 2), (O, 3), (S, 4), (L, 5)], {O: 1, L: 5, S: 4}),
        ([(O, 1), (L, 2), (L, 3)], {O: 1, L: 3}),
    ],
)
def test_the_latest_boot(events: list[tuple[Stage, float]], run: dict[Stage, float]) -> None:
    assert latest_run(events) == run


def test_an_installer_that_asks_for_an_address_is_not_back_at_the_start() -> None:
    log = LOG + dnsmasq((30, "dhcp[7]: DHCPOFFER(eth1) 192.168.0.103 b8:ae:ed:7b:72:58"))
    server = [fetched(stage, 10.0 + n) for n, stage in enumerate((Stage.SCRIPT, Stage.KERNEL, Stage.INITRD))]
    boot = of(boots(PLAN, [ARMED], log, server, AT + 100))
    assert boot.reached == (Stage.INITRD, AT + 12)
    assert boot.hint == ""


def test_how_long_each_stage_took() -> None:
    boot = of(boots(PLAN, [ARMED], LOG, [fetched(Stage.SCRIPT, 6.5), fetched(Stage.KERNEL, 7)], AT + 60))
    assert [(each.stage, each.after) for each in boot.timeline] == [
        (Stage.OFFERED, None),
        (Stage.LOADER, 2.0),
        (Stage.SCRIPT, 2.5),
        (Stage.KERNEL, 0.5),
    ]
    assert [each["seconds"] for each in boot.as_json()["stages"]] == [None, 2.0, 2.5, 0.5]


def test_what_the_plan_has_for_a_node() -> None:
    plan = replace(PLAN, nodes=(replace(PLAN.nodes[0], image="debian12"), *PLAN.nodes[1:]))
    found = boots(plan, [ARMED], "", [], AT)
    assert [(each.planned, each.image, each.memory) for each in found] == [
        ("debian12", "", 0),
        ("", "", 0),
        ("", "debian12", 1024),
        ("", "", 0),
    ]


def test_what_goes_by_tftp_has_its_stages() -> None:
    root = f"{paths.TFTP_ROOT}/192.168.0.103"
    names = ("shimx64.efi", "grub/grub.cfg", "kernel/linux", "initrd/0")
    log = dnsmasq(*((n, f"tftp[7]: sent {root}/{name} to 192.168.0.103") for n, name in enumerate(names, 1)))
    signed = replace(ARMED, secure_boot=True)
    boot = of(boots(PLAN, [signed], log, [], AT + 9))
    assert list(boot.stages) == [Stage.LOADER, Stage.SCRIPT, Stage.KERNEL, Stage.INITRD]
    log = log[: log.index("initrd")].rpartition("\n")[0] + "\n"
    assert "nobody signed" in of(boots(PLAN, [signed], log, [], AT + 4 + PATIENCE_S[Stage.KERNEL])).hint


def test_what_the_guard_asks_for_a_node_is_no_stage_of_it() -> None:
    probe = (
        (PATIENCE_S[Stage.LOADER], "dhcp[7]: DHCPDISCOVER(eth1) 127.0.67.68 b8:ae:ed:7b:72:58"),
        (PATIENCE_S[Stage.LOADER], "dhcp[7]: DHCPOFFER(eth1) 192.168.0.103 b8:ae:ed:7b:72:58"),
    )
    log = LOG + dnsmasq(*((int(at), text) for at, text in probe))
    boot = of(boots(PLAN, [ARMED], log, [], AT + 5 + PATIENCE_S[Stage.LOADER]))
    assert boot.reached == (Stage.LOADER, AT + 4)
    assert "Secure Boot" in boot.hint
    assert boots(PLAN, [ARMED], dnsmasq(*((int(at), text) for at, text in probe)), [], AT + 99)[0].stages == {}


def test_what_came_in_the_second_of_the_arming_counts() -> None:
    late = replace(ARMED, since=datetime.fromtimestamp(AT + 2.9).astimezone().isoformat())
    assert set(of(boots(PLAN, [late], LOG, [], AT + 9)).stages) == {Stage.OFFERED, Stage.LOADER}
