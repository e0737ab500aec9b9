"""The screens that are pictured, each with plain values that show much of it: few rows, and many."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from netaddr import IPNetwork
from textual.events import Paste
from textual.widgets import TextArea

from tests.tui.camera import Camera
from tests.tui.driver import Driver, Start
from tests.tui.fakes import FACTS, FakeServices, asks, event, row, steps_done
from tests.tui.fakes_boot import AT, boot
from tests.tui.gateways import BOARD, HAPPENED, HEALTHY, TRIPPED, count_traffic, thousand
from tests.tui.troubles import TROUBLED, troubled
from wizard.host.dhcp.discovery import DiscoveredMachine
from wizard.monitor.boot_board import ArmableImage
from wizard.plan.checks import FAILED, Check
from wizard.plan.findings import NeedsRoot
from wizard.plan.machine import Address, Facts, Listener, Nic
from wizard.screens.nodes.discovery import DiscoveryPanel
from wizard.services.protocols import CablingReport
from wizard.widgets.page import StepPage

AS_IT_SHOULD_BE = CablingReport(
    True,
    "Both networks look right",
    "A DHCP server answers on the company network, eth0:\n  10.77.0.1 offered 10.77.0.98 after 0.1 s\n"
    "None answers on the cluster network, eth1, and the two are separate.",
    "",
)
MANY_NODES = 3000


@dataclass
class Studio:
    """`open` starts the wizard, as the fixture does; `camera` takes what it shows."""

    open: Start
    camera: Camera
    sample: str

    def start(self, services: FakeServices | None = None, plan: str | None = "") -> AbstractAsyncContextManager[Driver]:
        """The wizard with the sample's plan, with another, or (None) with none."""
        theme = None if self.camera.colourless else "textual-dark"
        return self.open(services, plan=self.sample if plan == "" else plan, theme=theme)

    async def shoot(self, driver: Driver, name: str, *meant_cut: str) -> None:
        await driver.app.workers.wait_for_complete()
        await self.camera.shoot(driver, name, *meant_cut)


# The set-up


async def scene_first_pages(studio: Studio) -> None:
    async with studio.start(FakeServices(wires=AS_IT_SHOULD_BE)) as driver:
        await driver.says("nothing is applied here")
        await studio.shoot(driver, "welcome")
        await driver.jump("Interfaces")
        await driver.says("Both networks look right")
        await studio.shoot(driver, "interfaces")
        await driver.jump("Network")
        await studio.shoot(driver, "network")


async def scene_set_up(studio: Studio) -> None:
    async with studio.start() as driver:
        await driver.jump("Nodes")
        await driver.says("Elitegroup")
        await studio.shoot(driver, "nodes")
        await driver.jump("Forwards")
        await studio.shoot(driver, "forwards", "8889/tcp")
        await driver.jump("Review")
        # Each finding is told in full once the cursor is on it.
        await studio.shoot(driver, "review", "· Subnet")


async def scene_mistakes(studio: Studio) -> None:
    async with studio.start(troubled()) as driver:
        await driver.says("sudo apt install")
        await studio.shoot(driver, "welcome-troubled")
        await driver.jump("Network")
        await driver.press("end", "ctrl+u", *"10.77.0.0/24", "tab")
        await driver.says("✗ Subnet")
        await studio.shoot(driver, "network-overlap")


def many_nics() -> Facts:
    cards = [
        Nic(
            f"enp{number}s0f1",
            10 + number,
            "ethernet",
            mac=f"00:1b:21:00:00:{number:02x}",
            permanent_mac=f"00:1b:21:00:00:{number:02x}",
            driver="ixgbe",
            vendor="Intel Corporate",
            up=number % 3 > 0,
            carrier=number % 3 > 1,
            speed_mbps=10000 if number % 3 > 1 else None,
            addresses=(Address(IPNetwork(f"172.30.{number}.7/24")),) if number % 4 == 0 else (),
        )
        for number in range(24)
    ]
    return replace(TROUBLED, nics=(*FACTS.nics, *cards), missing_tools=())


def many_nodes(sample: str, count: int = MANY_NODES) -> str:
    """The sample with a /16 and many compute nodes more."""
    text = sample.replace("192.168.0.0/24", "10.32.0.0/16").replace("192.168.0.64/26", "10.32.128.0/18")
    text = text.replace('"192.168.0.', '"10.32.0.')
    nodes = [
        f'[[nodes]]\nname = "rack{number // 40:02}-{number % 40:02}"\nrole = "compute"\n'
        f'mac = "b8:ae:ed:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"\n'
        for number in range(count)
    ]
    forwards = [f'[[forwards]]\nport = {20000 + number}\nto = "rack00-{number % 40:02}"\n' for number in range(60)]
    return text + "\n" + "\n".join([*nodes, *forwards])


async def scene_first_pages_of_many(studio: Studio) -> None:
    plan = many_nodes(studio.sample)
    async with studio.start(FakeServices(machine=many_nics(), wires=AS_IT_SHOULD_BE), plan) as driver:
        await driver.says("nothing is applied here")
        await studio.shoot(driver, "welcome-many")
        for title in ("Interfaces", "Network"):
            await driver.jump(title)
            page = driver.shown
            assert isinstance(page, StepPage)
            await driver.until(partial(lambda page: page.is_checked, page), "the judgement")
            await studio.shoot(driver, f"{title.lower()}-many")


async def scene_wrong_nics(studio: Studio) -> None:
    async with studio.start() as driver:
        await driver.page("Interfaces")
        await driver.press("f4")
        await driver.says("exchange them")
        await studio.shoot(driver, "interfaces-wrong")


async def scene_set_up_of_many(studio: Studio) -> None:
    plan = many_nodes(studio.sample)
    async with studio.start(FakeServices(machine=many_nics(), wires=AS_IT_SHOULD_BE), plan) as driver:
        for title in ("Nodes", "Forwards", "Review"):
            await driver.jump(title)
            page = driver.shown
            assert isinstance(page, StepPage) or title == "Review"
            if isinstance(page, StepPage):
                await driver.until(partial(lambda page: page.is_checked, page), "the judgement")
            await studio.shoot(driver, f"{title.lower()}-many", "! ", "✗ ", "8889/tcp")


async def scene_dialogs(studio: Studio) -> None:
    async with studio.start() as driver:
        await driver.jump("Nodes")
        await driver.press("f1")
        await driver.says("Help: Nodes")
        await studio.shoot(driver, "help")
        await driver.press("escape")
        await driver.press("f2", *"b8:ae:ed", "ctrl+n")
        await driver.says("is not a MAC address")
        await studio.shoot(driver, "node-dialog")
        await driver.press("escape")
        await driver.press("f4")
        await driver.says("Many nodes at once")
        driver.app.post_message(Paste("compute7 b8:ae:ed:00:00:07\nnot a node\n"))
        await driver.says("1 understood")
        await studio.shoot(driver, "paste-dialog")
        await driver.press("escape")
        await driver.jump("Network")
        await driver.press("f6")
        sections = (
            '[[devices]]\nname = "switch"\nmac = "00:0c:42:00:00:01"\n\n[[records]]\nname = "registry"\na = "10.0.0"\n'
        )
        driver.app.screen.query_one("#sections", TextArea).text = sections
        await driver.press("ctrl+n")
        await driver.says("✗ record 1, a")
        await studio.shoot(driver, "more-dialog")


async def scene_heard_and_offered(studio: Studio) -> None:
    busy = replace(FACTS, listeners=(Listener("tcp", "*", 8776, "docker-registry", 812),))
    heard = (
        DiscoveredMachine("c0:3f:d5:67:a2:01", "nuc-05"),
        DiscoveredMachine("b8:ae:ed:7b:51:50", ip="192.168.0.101"),
        *(DiscoveredMachine(f"52:54:00:00:00:{number:02x}", ip=f"192.168.0.{number}") for number in range(20, 40)),
    )
    async with studio.start(FakeServices(machine=busy)) as driver:
        await driver.jump("Nodes")
        await driver.press("f5")
        await driver.says("no machine found yet")
        driver.app.screen.query_one(DiscoveryPanel).clock = lambda: 0.0
        driver.services.ask(heard)
        await driver.says("22 machines found", "nuc-05")
        await studio.shoot(driver, "nodes-listening")
        await driver.press("f5")
        await driver.jump("Forwards")
        await driver.press("f4", "down")
        await driver.says("Enter adds 3 of 7; 3 already in the plan (=); 1 cannot be added (✗).")
        await studio.shoot(driver, "forwards-presets")


# An apply


async def scene_apply(studio: Studio) -> None:
    async with studio.start() as driver:
        await driver.jump("Review")
        await driver.press("ctrl+a")
        await driver.page("Apply")
        driver.services.change.fed += steps_done()[:8]
        await driver.says("guard is in place")
        await studio.shoot(driver, "apply-running")
        driver.services.change.fed += [*steps_done()[8:], asks()]
        await driver.says("Keep it?")
        await studio.shoot(driver, "apply-asks")


async def scene_apply_failed(studio: Studio) -> None:
    async with studio.start() as driver:
        await driver.jump("Review")
        await driver.press("ctrl+a")
        await driver.page("Apply")
        why = "dnsmasq could not bind to 192.168.0.200: address in use. Another dnsmasq runs here (pid 812)."
        driver.services.change.fed += [
            *steps_done()[:9],
            event(5, step="dnsmasq", state="failed", detail=why),
            event(6, step="rules", state="undone", detail="the table is gone"),
            event(6, step="address", state="undone", detail="192.168.0.200 is off eth1"),
            event(7, result="failed", reason=why),
        ]
        await driver.says("Failed; details below.")
        await studio.shoot(driver, "apply-failed")


# What is in force


async def scene_in_force(studio: Studio) -> None:
    services = FakeServices(state=HEALTHY, in_force=studio.sample, board=BOARD)
    async with studio.start(services, None) as driver:
        await dashboard_at_rest(driver)
        await studio.shoot(driver, "dashboard")
        for key, title in (("l", "Leases"), ("x", "Export"), ("r", "Reset")):
            await driver.press(key)
            await driver.page(title)
            await driver.until(lambda: "…" not in driver.text(), "what is read")
            await studio.shoot(driver, title.lower())
            await driver.press("escape")
            await driver.page("Dashboard")


async def scene_troubled_gateway(studio: Studio) -> None:
    drifted = replace(
        TRIPPED,
        drift=("/etc/ciao-wizard/nat.sh was changed", "rule gone: tcp dport 8889"),
        checks=(
            *TRIPPED.checks[:2],
            Check("rules", FAILED, "changed by somebody", "Apply again."),
            *TRIPPED.checks[3:],
        ),
    )
    services = FakeServices(state=drifted, in_force=studio.sample, board=BOARD)
    async with studio.start(services, None) as driver:
        await dashboard_at_rest(driver)
        driver.app.state = replace(driver.app.state, happened=HAPPENED)
        await studio.shoot(driver, "dashboard-tripped")
        await driver.press("r")
        await driver.page("Reset")
        await driver.press("end")
        await studio.shoot(driver, "reset-everything")


async def scene_in_force_with_many(studio: Studio) -> None:
    strangers = tuple(
        row(0, "", "", kind="stranger", mac=f"52:54:00:00:00:{n:02x}", ip="", state="ignored", expires=None)
        for n in range(30)
    )
    services = FakeServices(state=HEALTHY, in_force=studio.sample, board=(*thousand(), *strangers))
    async with studio.start(services, None) as driver:
        await dashboard_at_rest(driver)
        await studio.shoot(driver, "dashboard-many")
        await driver.press("l")
        await driver.page("Leases")
        await driver.says("compute1")
        await studio.shoot(driver, "leases-many")


async def dashboard_at_rest(driver: Driver) -> None:
    """Looked at once, with enough traffic for bars."""
    await driver.page("Dashboard")
    await driver.says("company network")
    for number in range(40):
        driver.services.bytes_a_second = 150_000 + 90_000 * (number * number % 17)
        await count_traffic(driver)


# What is done to nodes


async def scene_power(studio: Studio) -> None:
    nobody = "compute2 does not answer: nobody has that address"
    services = FakeServices(state=HEALTHY, in_force=studio.sample, board=BOARD, stubborn={"compute2": nobody})
    async with studio.start(services, None) as driver:
        await leases_at_rest(driver)
        await driver.press("down", "down", "w")
        await driver.says("▸ compute1")
        await studio.shoot(driver, "leases-power")
        await driver.press("a", "o")
        await driver.says("Power off the 2 compute nodes shown?")
        await studio.shoot(driver, "leases-power-asks")
        await driver.press("y")
        await driver.says("✗ compute2", "✓ compute1")
        await studio.shoot(driver, "leases-power-outcomes")


async def scene_power_of_many(studio: Studio) -> None:
    refusal = (
        "the BMC of compute7 at 192.168.0.157 shows a certificate that is not trusted: nothing was sent; it is told "
        "here as it comes, whatever its length"
    )
    services = FakeServices(state=HEALTHY, in_force=studio.sample, board=thousand(), stubborn={"compute7": refusal})
    async with studio.start(services, None) as driver:
        await leases_at_rest(driver)
        await driver.press("w", "a", "r")
        await driver.says("Restart the")
        await studio.shoot(driver, "leases-power-asks-many")
        await driver.press("y")
        await driver.says("✗ compute7")
        await driver.until(lambda: "waiting for" not in driver.text(), "the last outcome")
        await studio.shoot(driver, "leases-power-outcomes-many")


async def leases_at_rest(driver: Driver) -> None:
    await driver.page("Dashboard")
    await driver.press("l")
    await driver.page("Leases")
    await driver.says("compute1")


# Booting over the network


async def scene_boot(studio: Studio) -> None:
    services = FakeServices(state=HEALTHY, in_force=studio.sample, at=datetime.fromtimestamp(AT, UTC))
    async with studio.start(services, None) as driver:
        await boots_at_rest(driver)
        await studio.shoot(driver, "boot")
        await driver.press("down")
        await driver.says("memory too small")
        await studio.shoot(driver, "boot-stuck")
        await driver.press("space", "space")
        await driver.says("2 marked")
        await driver.press("enter")
        await driver.says("(x) as planned", "SSH keys")
        await studio.shoot(driver, "boot-arm")
        await driver.press("tab", "space", "enter")
        await driver.says("without asking")
        await studio.shoot(driver, "boot-arm-asks")


async def scene_boot_refused(studio: Studio) -> None:
    refusal = NeedsRoot(
        "Only root may see who is armed, or arm nodes.",
        "Leave with ctrl+q, and start the wizard again: sudo ciao-wizard",
    )
    services = FakeServices(state=HEALTHY, in_force=studio.sample, boots_refused=refusal)
    async with studio.start(services, None) as driver:
        await boots_at_rest(driver, "Only root")
        await studio.shoot(driver, "boot-refused")
        services.boots_refused, services.booting, services.bootable = None, (), ()
        await driver.says("ciao-wizard image add")
        await studio.shoot(driver, "boot-no-images")


async def scene_boot_of_many(studio: Studio) -> None:
    stages = {"offered": 92.0, "loader": 91.0, "script": 89.0, "kernel": 87.0, "initrd": 51.5}
    crowd = tuple(
        boot(f"rack{n // 40:02}-{n % 40:02}", "debian12", "always", "", "", **dict(list(stages.items())[: n % 6]))
        for n in range(1000)
    )
    loaders = "No boot loader snponly.efi, undionly.kpxe is here: see 'ciao-wizard boot loaders ipxe_*.deb'."
    services = FakeServices(
        state=HEALTHY,
        in_force=studio.sample,
        at=datetime.fromtimestamp(AT, UTC),
        booting=crowd,
        bootable=tuple(ArmableImage(f"image-{n}") for n in range(40)),
        not_bootable=loaders,
    )
    async with studio.start(services, None) as driver:
        await boots_at_rest(driver, "1000 armed")
        await driver.press(*["space"] * 9)
        await studio.shoot(driver, "boot-many")
        await driver.press("enter")
        await driver.says("1 of 40")
        await studio.shoot(driver, "boot-arm-many")


async def boots_at_rest(driver: Driver, said: str = "compute2") -> None:
    await driver.page("Dashboard")
    await driver.press("b")
    await driver.page("Boot")
    await driver.says(said)
