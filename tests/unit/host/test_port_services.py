"""The services of programs on ports 53 and 67, as systemd describes them; whom this machine asks for names."""

from __future__ import annotations

from pathlib import Path

import pytest

from wizard.host import systemd
from wizard.host.commands import CommandFailed
from wizard.host.facts.port_services import read_port_services
from wizard.host.facts.resolver import read_resolvers
from wizard.plan.machine import Listener, PortService

UNITS = {
    "named.service": {
        "MainPID": "7",
        "UnitFileState": "enabled",
        "Before": "nss-lookup.target shutdown.target",
        "RequiredBy": "mail.service idle.service",
        "ControlGroup": "/system.slice/named.service",
        "ConsistsOf": "named-resolvconf.service",
    },
    "proxy.service": {
        "MainPID": "8",
        "UnitFileState": "enabled",
        "TriggeredBy": "proxy.socket",
        "BoundBy": "proxy.socket",
    },
    "isc-dhcp-server.service": {
        "MainPID": "0",
        "UnitFileState": "generated",
        "SourcePath": "/etc/init.d/isc-dhcp-server",
        "ControlGroup": "/system.slice/isc-dhcp-server.service",
    },
    "made.service": {"MainPID": "9", "UnitFileState": "generated", "SourcePath": "/etc/containers/systemd/made"},
    "systemd-resolved.service": {"MainPID": "4", "UnitFileState": "enabled", "Before": "network.target"},
    "mail.service": {"ActiveState": "active"},
    "idle.service": {"ActiveState": "inactive"},
    "named-resolvconf.service": {"ActiveState": "inactive"},
    "proxy.socket": {
        "ActiveState": "active",
        "UnitFileState": "static",
        "RequiredBy": "proxy.service web.service",
        "PropagatesStopTo": "idle.service",
    },
    "web.service": {"ActiveState": "active"},
}


@pytest.fixture(autouse=True)
def systemctl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prints the properties in an order of its own, and none that it does not know."""

    def show(*argv: str, timeout: float) -> str:
        assert argv[:2] == ("systemctl", "show")
        assert argv[3] == "--"
        wanted = argv[2].removeprefix("--property=").split(",")
        blocks = []
        for unit in argv[4:]:
            values = {"Id": unit, **{key: UNITS[unit].get(key, "") for key in sorted(wanted) if key != "Id"}}
            blocks.append("".join(f"{key}={value}\n" for key, value in values.items()))
        return "\n".join(blocks)

    monkeypatch.setattr(systemd, "run", show)
    monkeypatch.setattr(systemd, "running", lambda: True)


def service(name: str, port: int = 53, root: Path = Path("/nowhere")) -> PortService:
    (found,) = read_port_services([Listener("udp", "0.0.0.0", port, "x", 7, unit=name)], root)  # noqa: S104
    return found


def test_what_stops_with_a_service_is_what_is_active_and_needs_it() -> None:
    assert service("named.service") == PortService("named.service", 7, dependents=("mail.service",))


def test_what_would_start_it_again_is_named_whether_that_can_be_disabled_and_who_needs_it() -> None:
    assert service("proxy.service") == PortService(
        "proxy.service", 8, triggers=("proxy.socket",), cannot_disable=("proxy.socket",), dependents=("web.service",)
    )


@pytest.mark.parametrize(("processes", "main"), [("12\n", 12), ("12\n13\n", 0), ("", 0)])
@pytest.mark.parametrize("tree", ["sys/fs/cgroup", "sys/fs/cgroup/systemd"])
def test_an_init_script_has_a_main_process_where_it_has_only_one(
    tmp_path: Path, tree: str, processes: str, main: int
) -> None:
    group = tmp_path / tree / "system.slice/isc-dhcp-server.service"
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text(processes)
    assert service("isc-dhcp-server.service", 67, tmp_path) == PortService("isc-dhcp-server.service", main, main != 0)


@pytest.mark.parametrize(("processes", "alone"), [("7\n", True), ("7\n8\n", False), ("", False)])
def test_a_service_of_a_single_process_is_told_from_others(tmp_path: Path, processes: str, alone: bool) -> None:
    group = tmp_path / "sys/fs/cgroup/system.slice/named.service"
    group.mkdir(parents=True)
    (group / "cgroup.procs").write_text(processes)
    found = service("named.service", root=tmp_path)
    assert (found.main_pid, found.alone) == (7, alone)


def test_what_a_generator_makes_at_each_boot_cannot_be_disabled() -> None:
    assert service("made.service").cannot_disable == ("made.service",)


def test_the_network_of_this_machine_is_told_from_other_services() -> None:
    assert service("systemd-resolved.service").for_network


@pytest.mark.parametrize(
    "listener",
    [
        Listener("tcp", "0.0.0.0", 80, "nginx", 7, unit="named.service"),  # noqa: S104
        Listener("udp", "0.0.0.0", 53, "named", 7),  # noqa: S104
        Listener("udp", "192.168.0.200", 53, "dnsmasq", 7, unit="ciao-gateway.service"),
    ],
    ids=["another port", "no service", "ours"],
)
def test_nobody_elses_service_is_asked_about(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    monkeypatch.setattr(systemd, "run", lambda *argv, **_: pytest.fail(f"{argv}"))
    assert read_port_services([listener]) == ()


def test_a_systemd_that_does_not_answer_leaves_them_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(*argv: str, timeout: float) -> str:
        raise CommandFailed(argv, 1, "Failed to connect to bus")

    monkeypatch.setattr(systemd, "run", dead)
    assert read_port_services([Listener("udp", "0.0.0.0", 53, "named", 7, unit="named.service")]) == ()  # noqa: S104


def test_the_links_that_enable_a_unit_are_those_of_its_name_its_aliases_and_its_init_script(tmp_path: Path) -> None:
    units = tmp_path / "etc/systemd/system"
    links = {
        units / "multi-user.target.wants/named.service": "/lib/systemd/system/named.service",
        units / "a.target.requires/named.service": "/lib/systemd/system/named.service",
        units / "bind9.service": "/lib/systemd/system/named.service",
        tmp_path / "etc/rc3.d/S01named": "../init.d/named",
    }
    others = {
        units / "multi-user.target.wants/named2.service": "/lib/systemd/system/named2.service",
        # The unit itself, linked from elsewhere.
        units / "named.service": "/opt/named.service",
        tmp_path / "etc/rc0.d/K01named": "../init.d/named",
        tmp_path / "etc/rc3.d/S01named2": "../init.d/named2",
    }
    for link, target in {**links, **others}.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    (units / "plain.service").write_text("[Service]\n")
    assert systemd.enabling_links("named.service", tmp_path) == tuple(sorted(map(str, links)))


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        ({}, ("127.0.0.1",)),
        ({"etc/resolv.conf": "search x\n"}, ("127.0.0.1",)),
        ({"etc/resolv.conf": "nameserver 10.77.0.1\nnameserver 127.0.0.1\n"}, ("10.77.0.1", "127.0.0.1")),
        (
            {"etc/resolv.conf": "nameserver 127.0.0.53\n", "run/systemd/resolve/resolv.conf": "nameserver ::1\n"},
            ("127.0.0.53", "::1"),
        ),
    ],
    ids=["no file", "no server", "two", "behind a stub"],
)
def test_whom_this_machine_asks(tmp_path: Path, files: dict[str, str], asked: tuple[str, ...]) -> None:
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert read_resolvers(tmp_path) == asked
