"""What is done to nodes: who is meant, what is sent, how a BMC is asked, and what is never told."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from netaddr import IPAddress

from tests.needs import need
from wizard.actions import bmc, power, targets, wake
from wizard.actions.outcome import NodeOutcome, on_each
from wizard.deploy import runtime_state
from wizard.host import commands, person, ssh
from wizard.host.net import rtnetlink
from wizard.host.net.prober import ProbeAnswer
from wizard.host.ssh import parse_target
from wizard.host.wake_on_lan import magic_frames
from wizard.plan.addresses import assign
from wizard.plan.file.read import load_plan
from wizard.plan.findings import NeedsRoot, WizardError
from wizard.plan.model import Node
from wizard.services.host_nodes import act_on_nodes

EXAMPLE = Path(__file__).parents[2] / "examples" / "ciao.toml"
PLAN = assign(load_plan(EXAMPLE.read_text(), "ciao.toml"))
CONTROLLER = replace(PLAN.nodes[0], bmc=IPAddress("192.168.0.151"))
SECRET = "correct-horse"  # noqa: S105


# Who is meant


@pytest.mark.parametrize(
    ("names", "role", "everyone", "found"),
    [
        (["compute2", "controller"], "", False, ["controller", "compute2"]),
        (
            ["192.168.0.103", "C0:3F:D5:67:A1:FB", "network.ciao.lan", "network"],
            "",
            False,
            ["network", "compute1", "compute2"],
        ),
        ([], "compute", False, ["compute1", "compute2"]),
        ([], "", True, ["controller", "network", "compute1", "compute2"]),
    ],
)
def test_nodes_by_name_role_or_all(names: list[str], role: str, everyone: bool, found: list[str]) -> None:
    assert [node.name for node in targets.choose(PLAN, names, role, everyone)] == found


@pytest.mark.parametrize(
    ("names", "role", "everyone", "says"),
    [
        ([], "", False, "which nodes"),
        (["compute1"], "compute", False, "which nodes"),
        (["compute1"], "", True, "which nodes"),
        (["compute3"], "", False, "Did you mean compute"),
        (["x\x1b[2J" * 999], "", False, "no node of the plan"),
        ([], "worker", False, "compute, controller, network"),
    ],
)
def test_who_is_not_clear_is_nobody(names: list[str], role: str, everyone: bool, says: str) -> None:
    with pytest.raises(WizardError) as refused:
        targets.choose(PLAN, names, role, everyone)
    assert refused.value.status == 2
    text = f"{refused.value.message} {refused.value.remedy}"
    assert says in text
    assert text.isprintable()
    assert len(text) < 400


def test_one_nodes_failure_is_its_own() -> None:
    def act(node: Any) -> NodeOutcome:
        if node.name == "network":
            raise WizardError("bad \x1b[31m news", "do this")
        if node.name == "compute1":
            raise ConnectionRefusedError(111, "refused")
        return NodeOutcome(node.name, True, "fine")

    found = {outcome.node: outcome for outcome in on_each(PLAN.nodes, act)}
    assert [found[node.name].ok for node in PLAN.nodes] == [True, False, False, True]
    assert (found["network"].detail, found["network"].remedy) == ("bad ?[31m news", "do this")
    assert list(on_each((), act)) == []


# Wake-on-LAN


def test_a_magic_packet_is_the_same_in_each_frame() -> None:
    mac, own = bytes.fromhex("b8aeed7b5150"), bytes.fromhex("020000000001")
    frames = magic_frames(mac, own, socket.inet_aton("192.168.0.200"))
    assert [(frame[:6].hex(), frame[6:12], frame[12:14].hex()) for frame in frames] == [
        ("f" * 12, own, "0842"),
        (mac.hex(), own, "0842"),
        ("f" * 12, own, "0800"),
    ]
    assert all(frame.endswith(b"\xff" * 6 + mac * 16) for frame in frames)
    assert frames[2][26:34] == socket.inet_aton("192.168.0.200") + b"\xff" * 4
    assert struct.unpack("!HH", frames[2][34:38]) == (9, 9)


@dataclass
class _Here:
    """What `cluster_nic` sees of this machine."""

    guard: dict[str, Any] | None = field(default_factory=lambda: {"mode": "armed"})
    uid: int = 0


@pytest.mark.parametrize(
    ("guard", "says"),
    [
        (None, "does not run"),
        ({"mode": "tripped", "reason": "10.77.0.1 answers DHCP on eth1"}, "10.77.0.1 answers DHCP on eth1"),
        ({"mode": "muted", "reason": ""}, "has not proven the wire"),
    ],
)
def test_nothing_is_sent_where_the_guard_does_not_vouch_for_the_wire(
    guard: dict[str, Any] | None, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(runtime_state, "running_guard", lambda: guard)
    monkeypatch.setattr(wake, "read_plan_in_force", lambda _places: _InForce())
    monkeypatch.setattr(wake, "send_magic", lambda *_: pytest.fail("something was sent"))
    with pytest.raises(WizardError, match="nothing was sent") as refused:
        power.carry_out(PLAN, PLAN.nodes, power.Order(power.WAKE))
    assert says in refused.value.message


def test_nothing_is_sent_by_a_nic_that_only_has_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(runtime_state, "running_guard", lambda: {"mode": "armed"})
    monkeypatch.setattr(wake, "read_plan_in_force", lambda _places: _InForce())
    recorded = '[cluster]\nname = "eth1"\nmac = "00:e0:4c:68:0f:12"\nbus = "usb-1"\n'
    monkeypatch.setattr(wake, "read_text", lambda _path: recorded)
    monkeypatch.setattr(wake, "send_magic", lambda *_: pytest.fail("something was sent"))
    with pytest.raises(WizardError, match="nothing was sent"):
        wake.send_to(PLAN, PLAN.nodes)


@pytest.mark.parametrize("route", ["eth0", ""])
def test_nobody_is_asked_for_a_node_on_another_wire(route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster NIC is away, and the default route leads to the company."""

    def route_to(_to: bytes) -> int:
        if not route:
            raise OSError("no route")
        return 7

    monkeypatch.setattr(rtnetlink, "route_to", route_to)
    monkeypatch.setattr(socket, "if_indextoname", lambda _index: route)
    monkeypatch.setattr(bmc, "order", lambda *_: pytest.fail("a BMC was asked"))
    monkeypatch.setattr(ssh, "run_script", lambda *_: pytest.fail("a node was asked"))
    for node in (CONTROLLER, PLAN.nodes[1]):
        (outcome,) = power.carry_out(PLAN, [node], power.Order(power.OFF))
        assert not outcome.ok
        assert "not by eth1: nothing was sent" in outcome.detail


@pytest.mark.parametrize("guard", [None, {"mode": "tripped", "reason": "10.77.0.1 answers DHCP on eth1"}])
@pytest.mark.usefixtures("behind_the_cluster_nic")
def test_no_bmc_is_sent_a_password_on_a_wire_that_is_not_proven(guard: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster's cable may be in the company's switch."""
    monkeypatch.setattr(runtime_state, "running_guard", lambda: guard)
    monkeypatch.setattr(bmc, "credentials_for", lambda *_: pytest.fail("credentials were read"))
    (outcome,) = power.carry_out(PLAN, [CONTROLLER], power.Order(power.OFF))
    assert not outcome.ok
    assert "does not vouch for the cluster's wire" in outcome.detail


def test_a_node_behind_the_cluster_nic_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtnetlink, "route_to", lambda _to: 7)
    monkeypatch.setattr(socket, "if_indextoname", lambda _index: "eth1")
    monkeypatch.setattr(ssh, "run_script", lambda *_: "")
    (outcome,) = power.carry_out(PLAN, [PLAN.nodes[1]], power.Order(power.OFF))
    assert outcome.ok, outcome


def test_one_odd_answer_hides_no_other_outcome() -> None:
    def act(node: Node) -> NodeOutcome:
        if node.name == "network":
            raise TypeError(f"{SECRET} is no list")
        return NodeOutcome(node.name, True, "done")

    found = {outcome.node: outcome for outcome in on_each(PLAN.nodes, act)}
    assert [found[node.name].ok for node in PLAN.nodes] == [True, False, True, True]
    assert "TypeError" in found["network"].detail
    assert SECRET not in repr(found)


def test_a_guard_that_is_muted_for_a_moment_ends_no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake, "REPEAT_EVERY_S", 0.0)

    def again(_missed: object) -> None:
        raise WizardError("the guard does not vouch for the cluster's wire", "")

    (outcome,) = wake.wait_for(RACK, RACK.nodes[:1], 30, again, LateNic())
    assert outcome.ok, outcome


RACK = assign(load_plan((Path(__file__).parent / "plan" / "rack.toml").read_text(), "rack.toml"))


@pytest.mark.parametrize("name", ["server1", "00:e0:4c:00:00:01", "00-E0-4C-00-00-01", "b8ae.ed7b.5150", "10.44.0.10"])
def test_a_node_is_named_by_any_of_its_macs_in_any_notation(name: str) -> None:
    assert [node.name for node in targets.choose(RACK, [name])] == ["server1"]


@pytest.mark.parametrize("name", ["switch", "bmc", "10.44.0.250", "00:25:90:00:00:02"])
def test_a_device_is_told_from_a_name_that_nobody_has(name: str) -> None:
    with pytest.raises(WizardError, match="is a device of the plan"):
        targets.choose(RACK, [name])


def test_every_nic_of_a_node_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[list[bytes]] = []
    monkeypatch.setattr(wake, "cluster_nic", lambda _plan: ("eth1", 2))
    monkeypatch.setattr(wake, "send_magic", lambda _nic, _index, _ip, macs: sent.append(macs))
    wake.send_to(RACK, RACK.nodes[:1])
    assert sent == [[bytes.fromhex("b8aeed7b5150"), bytes.fromhex("00e04c000001")]]


class OtherNic:
    """A prober on whose wire a node answers by its second NIC."""

    sure = True

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, ip: str) -> None:
        self.asked.append(ip)

    def collect(self) -> list[ProbeAnswer]:
        asked, self.asked = self.asked, []
        return [ProbeAnswer(ip, True, "00:e0:4c:00:00:01") for ip in asked]

    def close(self) -> None:
        pass


class LateNic(OtherNic):
    """Answers the third question."""

    def __init__(self) -> None:
        super().__init__()
        self.questions = 0

    def collect(self) -> list[ProbeAnswer]:
        self.questions += len(self.asked)
        return super().collect() if self.questions > 2 else []


def test_a_node_that_answers_by_its_second_nic_is_awake() -> None:
    (outcome,) = wake.wait_for(RACK, RACK.nodes[:1], 30, prober=OtherNic())
    assert outcome.ok, outcome


class _InForce:
    plan = PLAN


def test_waking_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NeedsRoot):
        wake.send_to(PLAN, PLAN.nodes)


class Sudo:
    """`commands.run` for a screen that is not root's: `says` is what the command prints."""

    def __init__(self, says: str) -> None:
        self.says = says
        self.argv: tuple[str, ...] = ()

    def __call__(self, *argv: str, **_: object) -> str:
        self.argv = argv
        return self.says


def from_the_screen(sudo: Sudo, monkeypatch: pytest.MonkeyPatch) -> list[NodeOutcome]:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(targets, "plan_in_force", lambda: PLAN)
    monkeypatch.setattr(commands, "run", sudo)
    return list(act_on_nodes("wake", ["compute1", "compute2"]))


def test_a_screen_that_is_not_roots_wakes_by_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [NodeOutcome("compute1", True, "sent"), NodeOutcome("compute2", False, "not sent", "do this")]
    sudo = Sudo(json.dumps([one.as_json("wake") for one in told]))
    assert from_the_screen(sudo, monkeypatch) == told
    assert sudo.argv[:2] == ("sudo", "-n")
    assert sudo.argv[-5:] == ("wake", "--json", "--", "compute1", "compute2")


@pytest.mark.parametrize("says", ["", "rubbish", "[]", "[{}]", '{"a": 1}', "[1]"])
def test_a_command_that_says_nothing_of_use_is_told(says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WizardError) as refused:
        from_the_screen(Sudo(says), monkeypatch)
    assert refused.value.remedy


# Whose ssh


def test_under_sudo_it_is_the_persons_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    one = next(entry for entry in pwd.getpwall() if entry.pw_uid)
    found = person.behind_sudo({"SUDO_UID": str(one.pw_uid), "SUDO_USER": one.pw_name, "SSH_AUTH_SOCK": "/dev/null"})
    assert found == person.Person(one.pw_name, one.pw_uid, one.pw_gid, one.pw_dir, "")
    argv = person.as_person(["ssh", "x"], found)
    assert argv[0] == "setpriv"
    assert {f"--reuid={one.pw_uid}", "--init-groups", "--reset-env"} <= set(argv)
    assert argv[-2:] == ["ssh", "x"]
    assert not any(word.startswith("SSH_AUTH_SOCK") for word in argv)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"SUDO_UID": "0", "SUDO_USER": "root"},
        {"SUDO_UID": "1;x", "SUDO_USER": "x"},
        {"SUDO_UID": "1", "SUDO_USER": "-x"},
    ],
)
def test_whoever_is_not_known_is_nobody(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert person.behind_sudo(environ) is None
    assert person.as_person(["ssh"], None) == ["ssh"]


@pytest.mark.parametrize("user", ["-oProxyCommand=x", "a b", "a;b", "\x1b", ""])
def test_a_user_that_ssh_would_take_for_something_else_is_refused(user: str) -> None:
    with pytest.raises(WizardError):
        parse_target(f"{user}@node")


# BMCs


def credentials_file(tmp_path: Path, text: str, mode: int = 0o600) -> str:
    file = tmp_path / "bmc.toml"
    file.write_text(text)
    file.chmod(mode)
    return str(file)


def test_a_nodes_own_credentials_go_before_those_for_all(tmp_path: Path) -> None:
    text = f'user = "all"\npassword = "x"\nverify = false\n[nodes.controller]\nuser = "one"\npassword = "{SECRET}"\n'
    path = credentials_file(tmp_path, text)
    assert bmc.credentials_for(CONTROLLER, path) == bmc.Credentials("one", SECRET, False)
    assert bmc.credentials_for(PLAN.nodes[1], path).user == "all"
    assert SECRET not in repr(bmc.credentials_for(CONTROLLER, path))


@pytest.mark.parametrize(
    ("text", "mode", "says"),
    [
        (f'user = "u"\npassword = "{SECRET}"\n', 0o640, "others may read"),
        (f'user = "u"\npassword = "{SECRET}"\n', 0o602, "others may read"),
        (f"password = {SECRET}\n", 0o600, "no TOML"),
        (f'password = "{SECRET}"\n', 0o600, "no user and password for controller"),
        (f'user = "u"\npassword = "{SECRET}"\nverify = 1\n', 0o600, "verify"),
        (f'nodes = "{SECRET}"\n', 0o600, "no user and password"),
    ],
)
def test_credentials_that_are_not_used_are_not_told(tmp_path: Path, text: str, mode: int, says: str) -> None:
    with pytest.raises(WizardError) as refused:
        bmc.credentials_for(CONTROLLER, credentials_file(tmp_path, text, mode))
    assert says in refused.value.message
    assert SECRET not in f"{refused.value.message}{refused.value.remedy}"


def test_credentials_behind_a_link_or_nowhere(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(credentials_file(tmp_path, 'user = "u"\npassword = "p"\n'))
    for path in (link, tmp_path / "absent", tmp_path):
        with pytest.raises(WizardError, match=path.name):
            bmc.credentials_for(CONTROLLER, str(path))


SYSTEM: dict[str, Any] = {
    "@odata.id": "/redfish/v1/Systems/1",
    "Id": "1",
    "Name": "x",
    "PowerState": "On",
    "Actions": {
        "#ComputerSystem.Reset": {
            "target": "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset",
            "ResetType@Redfish.AllowableValues": ["On", "ForceOff", "GracefulShutdown", "ForceRestart"],
        }
    },
}
ROOT: dict[str, Any] = {
    "@odata.id": "/redfish/v1/",
    "Id": "R",
    "Name": "R",
    "RedfishVersion": "1.6.0",
    "Systems": {"@odata.id": "/redfish/v1/Systems"},
}
SYSTEMS: dict[str, Any] = {
    "@odata.id": "/redfish/v1/Systems",
    "Name": "S",
    "Members": [{"@odata.id": "/redfish/v1/Systems/1"}],
}


class FakeBmc(ThreadingHTTPServer):
    """A BMC that takes one user and password. `resets`: what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Redfish)
        self.resets: list[str] = []
        self.hangs_up = False
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Redfish(BaseHTTPRequestHandler):
    server: FakeBmc

    def do_GET(self) -> None:
        path = self.path.rstrip("/")
        self._answer({"/redfish/v1": ROOT, "/redfish/v1/Systems": SYSTEMS, "/redfish/v1/Systems/1": SYSTEM}.get(path))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._may():
            self.server.resets.append(body["ResetType"])
        if self.server.hangs_up:
            self.close_connection = True
            return
        self._answer({})

    def _may(self) -> bool:
        # admin:correct-horse
        return self.headers["Authorization"] == "Basic YWRtaW46Y29ycmVjdC1ob3JzZQ=="

    def _answer(self, data: dict[str, Any] | None) -> None:
        body = json.dumps(data or {}).encode()
        self.send_response(
            401 if not self._may() and self.path.rstrip("/") != "/redfish/v1" else 200 if data is not None else 404
        )
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def fake_bmc() -> Iterator[FakeBmc]:
    pytest.importorskip("sushy")
    with served(FakeBmc()) as server:
        yield server


@contextlib.contextmanager
def served(server: FakeBmc) -> Iterator[FakeBmc]:
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


ADMIN = bmc.Credentials("admin", SECRET)


def test_a_bmc_is_asked_to_do_what_was_ordered(fake_bmc: FakeBmc) -> None:
    for action, hard, asked in (
        ("wake", False, "On"),
        ("off", False, "GracefulShutdown"),
        ("reboot", True, "ForceRestart"),
    ):
        assert bmc.order(CONTROLLER, action, ADMIN, hard, fake_bmc.url).ok
        assert fake_bmc.resets[-1] == asked


def test_a_bmc_is_never_asked_by_way_of_the_companys_proxy(fake_bmc: FakeBmc, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert bmc.order(CONTROLLER, "off", ADMIN, False, fake_bmc.url).ok
    assert fake_bmc.resets == ["GracefulShutdown"]


def test_a_bmc_that_takes_an_order_and_hangs_up_is_asked_once(fake_bmc: FakeBmc) -> None:
    """Asked again it would restart a machine that is booting."""
    fake_bmc.hangs_up = True
    with pytest.raises(WizardError, match="was asked, and did not confirm"):
        bmc.order(CONTROLLER, "reboot", ADMIN, True, fake_bmc.url)
    assert fake_bmc.resets == ["ForceRestart"]


def test_what_a_bmc_does_not_offer_is_not_replaced_by_something_harder(fake_bmc: FakeBmc) -> None:
    with pytest.raises(WizardError, match="does not offer GracefulRestart") as refused:
        bmc.order(CONTROLLER, "reboot", ADMIN, False, fake_bmc.url)
    assert "ForceOff, ForceRestart" in refused.value.remedy
    assert fake_bmc.resets == []


def test_a_bmc_that_refuses_and_one_that_is_not_there(fake_bmc: FakeBmc) -> None:
    wrong = replace(ADMIN, password="wrong-horse")  # noqa: S106
    with pytest.raises(WizardError, match="refuses the user and password") as refused:
        bmc.order(CONTROLLER, "off", wrong, False, fake_bmc.url)
    assert "horse" not in f"{refused.value.message}{refused.value.remedy}"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(WizardError, match="does not answer"):
            bmc.order(CONTROLLER, "off", ADMIN, False, f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert fake_bmc.resets == []


def test_a_bmc_whose_certificate_is_not_trusted_is_sent_nothing(tmp_path: Path) -> None:
    pytest.importorskip("sushy")
    need("openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=bmc", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*make, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = FakeBmc()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = server.url.replace("http:", "https:")
    with served(server):
        with pytest.raises(WizardError, match="certificate that is not trusted: nothing was sent"):
            bmc.order(CONTROLLER, "off", ADMIN, False, url)
        assert server.resets == []
        assert bmc.order(CONTROLLER, "off", replace(ADMIN, verify=str(certificate)), False, url).ok
        assert server.resets == ["GracefulShutdown"]
