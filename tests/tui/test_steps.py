"""The pages of the set-up: what was typed stays, what is wrong is refused where it stands."""

from __future__ import annotations

import threading
from dataclasses import replace

from textual.events import Paste
from textual.widgets import Input, TextArea

from tests.tui.driver import Driver, Start
from tests.tui.fakes import FACTS, FakeServices
from wizard.plan.file.read import load_plan
from wizard.plan.machine import Nic
from wizard.services.protocols import CablingReport


async def retype(driver: Driver, text: str) -> None:
    """Put `text` in the place of what the focused field holds."""
    await driver.press("end", "ctrl+u")
    driver.app.post_message(Paste(text))
    await driver.pilot.pause()


async def test_back_keeps_what_was_typed_and_what_was_chosen(start: Start) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        await driver.press("f4")
        assert driver.app.draft.cluster == "eth0"
        await driver.press("f4", "ctrl+n")
        await driver.page("Network")
        await driver.press("tab", "tab", "tab", "tab")
        await retype(driver, "lab.example")
        await driver.press("escape")
        await driver.page("Interfaces")
        await driver.press("ctrl+n")
        await driver.page("Network")
        await driver.says("lab.example")
        assert driver.app.draft.domain == "lab.example"


async def test_what_is_no_value_is_refused_at_its_field(start: Start) -> None:
    wrong = [
        ("10.0.0.0/99", "has an invalid prefix"),
        ("192.168.0.300", "is not an IPv4 address"),
        ("somewhere", "is not a DHCP range"),
        ("soon", "is not a lease time"),
        ("two words", "is not a DNS domain"),
    ]
    async with start() as driver:
        await driver.jump("Network")
        for text, said in wrong:
            field = driver.app.focused
            assert isinstance(field, Input)
            good = field.value
            await retype(driver, text)
            await driver.press("ctrl+n", "ctrl+n")
            await driver.says("✗", said)
            assert "─ Network ─" in driver.text()
            assert driver.app.focused is field
            # What is typed stays, the letters that are keys elsewhere too.
            assert field.value == text
            await retype(driver, good)
            await driver.press("tab")


async def test_what_lies_in_the_subnet_moves_along_with_it(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await retype(driver, "10.50.0.0/24")
        await driver.press("ctrl+n")
        await driver.page("Nodes")
        draft = driver.app.draft
        assert (draft.gateway, draft.pool) == ("10.50.0.200", "10.50.0.64/26")
        await driver.says("10.50.0.101", "10.50.0.104")


async def test_an_overlap_is_said_and_another_subnet_is_at_hand(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await retype(driver, "10.77.0.0/24")
        await driver.press("tab")
        await driver.says("✗ Subnet", "10.77.0.0/24")
        await driver.press("f4")
        await driver.until(lambda: "✗" not in driver.text(), "no error")
        assert driver.app.draft.gateway.endswith(".200")


async def test_a_rule_broken_is_said_once_and_stops_the_apply(start: Start) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        await driver.press("f4", "ctrl+n")
        await driver.says("✗ Cluster NIC")
        assert "─ Interfaces ─" in driver.text()
        await driver.press("ctrl+n")
        for title in ("Network", "Nodes", "Forwards", "Review"):
            await driver.page(title)
            await driver.press("ctrl+n")
        await driver.says("This plan cannot be applied yet")
        await driver.says("1/3")
        await driver.press("ctrl+a")
        await driver.until(lambda: "to fix first. Enter goes to the field." in driver.toasts())
        assert driver.services.did == []
        assert "─ Review ─" in driver.text()
        await driver.press("enter")
        await driver.page("Interfaces")


async def test_space_gives_each_role_to_one_nic(start: Start) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        await driver.press("space")
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("eth1", "eth0")
        await driver.press("space")
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("eth1", "")
        await driver.press("ctrl+n")
        await driver.says("No NIC is chosen for the cluster switch")
        assert "─ Interfaces ─" in driver.text()


async def test_looking_again_shows_a_nic_that_was_plugged_in(start: Start) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        usb = Nic("enx00e04c680f12", 9, "ethernet", mac="00:e0:4c:68:0f:12", up=True, carrier=False)
        driver.services.machine = replace(FACTS, nics=(*FACTS.nics, usb))
        await driver.press("ctrl+r")
        await driver.says("enx00e04c680f12", "○ no cable")


async def test_a_nic_whose_name_is_code_is_shown_and_never_chosen(start: Start) -> None:
    bad = Nic("a;reboot", 2, "ethernet", up=True, carrier=True, usable_name=False)
    async with start(FakeServices(machine=replace(FACTS, nics=(bad, *FACTS.nics[1:])))) as driver:
        await driver.page("Interfaces")
        await driver.says("a;reboot")
        await driver.press("home", "space", "space")
        assert "a;reboot" not in (driver.app.draft.corporate, driver.app.draft.cluster)


async def test_a_node_is_added_only_once_it_is_one(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        await driver.press("f2")
        await driver.says("A new node")
        await driver.type("b8:ae:ed")
        await driver.press("ctrl+n")
        await driver.says("✗ MAC", "is not a MAC address")
        await driver.type("-7b-72-99")
        await driver.press("end", "ctrl+u")
        await driver.type("B8-AE-ED-7B-72-99")
        await driver.press("enter")
        await driver.says("b8:ae:ed:7b:72:99", "compute3", "(192.168.0.1)")
        node = driver.app.draft.nodes[-1]
        assert (node.role, node.name, node.ip) == ("compute", "compute3", "")


async def test_a_node_is_changed_deleted_and_brought_back(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        before = driver.app.draft.nodes
        await driver.press("down", "enter")
        await driver.says("This node")
        await driver.press("tab")
        await retype(driver, "edge")
        await driver.press("ctrl+n")
        await driver.says("edge")
        assert driver.app.draft.nodes[1].name == "edge"
        await driver.press("delete")
        assert [node.name for node in driver.app.draft.nodes] == ["controller", "compute1", "compute2"]
        await driver.press("ctrl+z", "ctrl+z")
        assert driver.app.draft.nodes == before


async def test_a_cancelled_dialog_changes_nothing(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        before = driver.app.draft
        await driver.press("enter")
        await driver.says("This node")
        await retype(driver, "00:00:00:00:00:01")
        await driver.press("escape")
        await driver.until(lambda: "This node" not in driver.text())
        assert driver.app.draft == before


async def test_pasted_lines_are_taken_and_the_others_stay(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        await driver.press("f4")
        await driver.says("Many nodes at once")
        driver.app.screen.query_one(
            TextArea
        ).text = (
            "name,role,mac,ip\nrack7,compute,B8AE.ED7B.0007,192.168.0.107\nwhat is this\ndhcp-host=b8:ae:ed:7b:00:08\n"
        )
        await driver.says("2 understood", "✗ 3 more than one name")
        await driver.press("ctrl+n")
        await driver.says("1 line was skipped", "what is this")
        assert [node.name for node in driver.app.draft.nodes][4:] == ["rack7", "compute3"]
        assert driver.app.draft.nodes[4].mac == "b8:ae:ed:7b:00:07"
        await driver.press("escape")
        await driver.page("Nodes")
        assert len(driver.app.draft.nodes) == 6


async def test_forwards_are_added_changed_removed(start: Start, sample: str) -> None:
    bare = sample[: sample.index("# From the company's side")]
    async with start(plan=bare) as driver:
        await driver.jump("Forwards")
        assert not driver.app.draft.forwards
        await driver.press("f4", "enter")
        assert [(f.port, f.to) for f in driver.app.draft.forwards] == [
            ("8889", "controller"),
            ("35357", "controller"),
            ("5000", "controller"),
        ]
        await driver.press("f2")
        await driver.type("99999")
        await driver.press("ctrl+n")
        await driver.says("✗ Port", "is not a port")
        await driver.press("end", "ctrl+u")
        await driver.type("8080")
        await driver.press("tab")
        await retype(driver, "compute1")
        await driver.press("ctrl+n")
        await driver.says("8080", "compute1")
        await driver.press("home", "delete", "ctrl+n")
        await driver.page("Review")
        await driver.says("1/3")
        await driver.press("ctrl+a")
        await driver.page("Apply")
        ports = [forward.port for forward in load_plan(driver.services.applied_text, "applied").forwards]
        assert ports == [35357, 5000, 8080]


async def test_the_plan_is_saved_where_it_is_told(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Review")
        await driver.press("f6")
        await driver.says("Save the plan")
        await driver.press("enter")
        await driver.until(lambda: driver.services.did == ["save ciao.toml"])


class SlowWires(FakeServices):
    """Wires that answer when the test says so."""

    def __init__(self, wires: CablingReport | None = None) -> None:
        super().__init__(wires=wires)
        self.answering = threading.Event()

    def probe_cabling(self, corporate: str, cluster: str, stop: threading.Event) -> CablingReport | None:
        self.answering.wait(20)
        return self.wires


AS_IT_SHOULD_BE = CablingReport(True, "Both networks look right", "", "")
STOP = CablingReport(False, "STOP: the two NICs look swapped", "A server answers on eth1.", "Exchange the two cables.")


async def test_next_waits_for_the_wires_and_says_when_they_have_answered(start: Start) -> None:
    services = SlowWires(wires=AS_IT_SHOULD_BE)
    async with start(services) as driver:
        await driver.page("Interfaces")
        await driver.press("ctrl+n")
        await driver.says("Still probing both networks; press ctrl+n again to continue without the result.")
        services.answering.set()
        await driver.says("Both networks look right", "Both networks are probed: ctrl+n continues.")
        # A second press that comes too late must find this page, not the next one.
        assert "─ Interfaces ─" in driver.text()
        await driver.press("ctrl+n")
        await driver.page("Network")


async def test_who_may_not_ask_the_wires_waits_for_nothing(start: Start) -> None:
    services = SlowWires()
    async with start(services) as driver:
        await driver.page("Interfaces")
        await driver.press("ctrl+n")
        services.answering.set()
        await driver.page("Network")


async def test_next_twice_does_not_wait_for_the_wires(start: Start) -> None:
    services = SlowWires()
    async with start(services) as driver:
        await driver.page("Interfaces")
        await driver.press("ctrl+n", "ctrl+n")
        await driver.page("Network")
        services.answering.set()


async def test_a_press_from_before_the_wires_objected_is_no_second_one(start: Start) -> None:
    services = SlowWires(wires=STOP)
    async with start(services) as driver:
        await driver.page("Interfaces")
        await driver.press("ctrl+n")
        services.answering.set()
        await driver.says("STOP: the two NICs look swapped")
        await driver.press("ctrl+n")
        await driver.says("Press ctrl+n again to ignore this")
        assert "─ Interfaces ─" in driver.text()
        await driver.press("ctrl+n")
        await driver.page("Network")


async def test_words_of_the_wizard_cover_nothing_and_do_not_pile_up(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        await driver.press("delete", "delete")
        await driver.says("network was removed from the plan. ctrl+z restores it.")
        assert "controller was removed from the plan" not in driver.text()
        assert not driver.app._notifications
        await driver.press("ctrl+z")
        await driver.until(lambda: "was removed from the plan" not in driver.text())


async def test_a_nic_that_no_cable_can_be_in_gets_no_role(start: Start) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        await driver.press("end", "space")
        await driver.says("lo is the loopback: it has no cable")
        assert (driver.app.draft.corporate, driver.app.draft.cluster) == ("eth0", "eth1")


async def test_a_duplicate_is_refused_in_the_dialog(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        taken = driver.app.draft.nodes[0].mac
        await driver.press("f2", "ctrl+n")
        await driver.says("The MAC is missing.")
        await driver.type(taken)
        await driver.press("ctrl+n")
        await driver.says("A new node", '"controller"\'s too')
        assert len(driver.app.draft.nodes) == 4


async def test_tabbing_into_a_field_selects_what_it_holds(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await driver.press("tab", "tab", "tab", "4", "5", "m")
        assert driver.app.draft.lease_time == "45m"


async def test_hints_never_stay_stale(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Network")
        await driver.says("254 hosts")
        await driver.press("tab", "tab", "tab")
        await retype(driver, "soon")
        await driver.says("is not a lease time", "254 hosts")
        await driver.press("shift+tab", "shift+tab", "shift+tab")
        await retype(driver, "10.0.0.0/25")
        await driver.says("126 hosts")
        await retype(driver, "10.0.0.0/x")
        await driver.until(lambda: "hosts" not in driver.text())
        await driver.says("is not a lease time", "✗ Subnet")


async def test_dialogs_have_help_of_their_own(start: Start) -> None:
    async with start() as driver:
        await driver.jump("Nodes")
        for key, said in (("f2", "Help: A new node"), ("f4", "Help: Many nodes at once")):
            await driver.press(key)
            await driver.press("f1")
            await driver.says(said)
            await driver.press("escape", "escape")
            await driver.page("Nodes")
        await driver.jump("Forwards")
        await driver.press("f2", "f1")
        await driver.says("Help: A new forward")


async def test_an_empty_list_of_nodes_is_no_mistake_yet(start: Start) -> None:
    async with start(plan=None) as driver:
        await driver.jump("Nodes")
        await driver.says("f2 adds one, f4 pastes or imports many")
        assert "✗" not in driver.text()
        await driver.press("ctrl+n")
        await driver.says("No node has the role controller", "Add a controller node")
        assert "─ Nodes ─" in driver.text()


async def test_the_page_of_the_nics_speaks_of_itself(start: Start) -> None:
    async with start() as driver:
        await driver.page("Interfaces")
        await driver.press("space")
        await driver.says("exchange them (f4)")
        await driver.press("space")
        await driver.says("Choose one above.")
