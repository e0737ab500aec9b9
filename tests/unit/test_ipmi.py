"""Power over IPMI, against OpenIPMI's simulator on the loopback: what arrives at a BMC, and what is never told."""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyipmi
import pyipmi.errors
import pytest
from netaddr import IPAddress

from tests import ipmi_simulator
from tests.ipmi_simulator import PING, PONG, SECRET, SPEAKS_1_5, SPEAKS_2_0, no_session
from tests.needs import need
from tests.waiting import wait_for
from wizard.actions import bmc, ipmi, power
from wizard.actions.bmc import Credentials
from wizard.actions.outcome import NodeOutcome
from wizard.plan.addresses import assign
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError

EXAMPLE = Path(__file__).parents[2] / "examples" / "ciao.toml"
PLAN = assign(load_plan(EXAMPLE.read_text(), "ciao.toml"))
NODE = replace(PLAN.nodes[0], bmc=IPAddress("127.0.0.1"))
ADMIN = Credentials("admin", SECRET)


@dataclass
class SimulatedBmc:
    port: int
    place: Path

    def asked(self) -> list[str]:
        """What it was told to do with its machine, such as "set power 0"; nothing is done."""
        file = self.place / "asked"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[SimulatedBmc]:
    need("ipmi_sim")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "state").mkdir()
    for name, text in ipmi_simulator.files(str(tmp_path), "127.0.0.1", port).items():
        (tmp_path / name).write_text(text)
    (tmp_path / "chassis").chmod(0o755)
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(ipmi_simulator.argv(str(tmp_path)), stdin=quiet, stdout=quiet, stderr=quiet)
    try:
        wait_for(lambda: _answers(port), "the simulated BMC")
        yield SimulatedBmc(port, tmp_path)
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.2)
        asking.connect(("127.0.0.1", port))
        try:
            asking.send(PING)
            return bool(asking.recv(100))
        except OSError:
            return False


@pytest.mark.parametrize(
    ("action", "hard", "asked"),
    [
        ("wake", False, "set power 1"),
        ("off", False, "set shutdown 1"),
        ("off", True, "set power 0"),
        ("reboot", True, "set reset 1"),
    ],
)
def test_a_bmc_is_asked_to_do_what_was_ordered(simulator: SimulatedBmc, action: str, hard: bool, asked: str) -> None:
    outcome = ipmi.order(NODE, action, ADMIN, hard, simulator.port)
    assert outcome.ok
    assert "over IPMI" in outcome.detail
    assert [line for line in simulator.asked() if line.startswith("set")] == [asked]


@pytest.mark.parametrize(
    ("user", "password"),
    [("admin", "wrong-horse"), ("nobody", SECRET), ("", SECRET), ("admin", "")],
)
def test_who_may_not_is_told_so_and_nothing_of_the_password(
    simulator: SimulatedBmc, user: str, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(WizardError, match="refuses the user and password over IPMI") as refused:
        ipmi.order(NODE, "off", Credentials(user, password), port=simulator.port)
    assert not isinstance(refused.value, bmc.NotThere)
    assert "horse" not in f"{refused.value.message}{refused.value.remedy}{caplog.text}"
    assert simulator.asked() == []


def test_a_password_is_in_no_log(simulator: SimulatedBmc, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert ipmi.order(NODE, "off", ADMIN, port=simulator.port).ok
    assert SECRET not in caplog.text
    assert logged(caplog) == []


def test_an_order_whose_answer_is_lost_is_given_once_and_not_called_undone(
    simulator: SimulatedBmc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A BMC that does not compare sequence numbers resets a machine that is booting."""
    tries: list[int] = []

    def lost(self: pyipmi.Ipmi, _option: int) -> None:
        tries.append(self.interface.max_retries)
        raise pyipmi.errors.RetryError

    monkeypatch.setattr(pyipmi.Ipmi, "chassis_control", lost)
    with pytest.raises(WizardError, match="was asked, and did not confirm") as told:
        ipmi.order(NODE, "reboot", ADMIN, True, simulator.port)
    assert not isinstance(told.value, bmc.NotThere)
    assert tries == [0]


def test_ipmi_restarts_nothing_gracefully(simulator: SimulatedBmc) -> None:
    with pytest.raises(WizardError, match="no restart that asks") as refused:
        ipmi.order(NODE, "reboot", ADMIN, port=simulator.port)
    assert "--hard" in refused.value.remedy
    assert simulator.asked() == []


@pytest.mark.parametrize("long", [{"user": "u" * 17}, {"password": "ü" * 11}])
def test_what_ipmi_has_no_room_for_is_refused_before_it_is_cut(long: dict[str, str]) -> None:
    with pytest.raises(WizardError, match="16 bytes of a user and 20 of a password: nothing was sent"):
        ipmi.order(NODE, "off", replace(ADMIN, **long), port=9)


@contextmanager
def answering(replies: list[bytes], heard: list[bytes] | None = None) -> Iterator[int]:
    """A port that answers each packet by the next of these, and after the last one no more. `heard`: what came."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            for reply in replies:
                packet, sender = server.recvfrom(4096)
                if heard is not None:
                    heard.append(packet)
                server.sendto(reply, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        port = server.getsockname()[1]
        try:
            yield port
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                for _ in replies:
                    last.sendto(b"", ("127.0.0.1", port))
            thread.join()


def test_nobody_there_is_not_the_same_as_refused(simulator: SimulatedBmc) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(bmc.NotThere, match="does not answer IPMI"):
            ipmi.order(NODE, "off", ADMIN, port=silent.getsockname()[1])
        closed = silent.getsockname()[1]
    with pytest.raises(bmc.NotThere, match="does not answer IPMI"):
        ipmi.order(NODE, "off", ADMIN, port=closed)


@pytest.mark.parametrize(
    ("replies", "says"),
    [
        ([no_session(1, 0x11), no_session(2, 0x11)], "no session that is signed and encrypted"),
        ([no_session(1, 0x01)], "has no session free"),
        ([no_session(1, 0x0A)], "refuses the user and password"),
        ([no_session(1, 0x7F)], "cannot do that"),
    ],
)
def test_why_there_is_no_session_is_told(replies: list[bytes], says: str) -> None:
    with answering([PONG, SPEAKS_2_0, *replies]) as port, pytest.raises(WizardError, match=says) as refused:
        ipmi.order(NODE, "off", ADMIN, port=port)
    assert not isinstance(refused.value, bmc.NotThere)
    assert refused.value.remedy


def test_an_operator_is_enough() -> None:
    """The simulator lets anybody do anything, so here it is what the session is asked for."""
    heard: list[bytes] = []
    with answering([PONG, SPEAKS_2_0, no_session(1, 0x01)], heard) as port, pytest.raises(WizardError):
        ipmi.order(NODE, "off", ADMIN, port=port)
    request_of_session, privilege = heard[2], 17
    assert request_of_session[privilege] == 3


def test_an_old_bmc_is_not_sent_a_readable_password() -> None:
    with answering([PONG, SPEAKS_1_5]) as port, pytest.raises(WizardError, match="signed and encrypted"):
        ipmi.order(NODE, "off", ADMIN, port=port)


@pytest.mark.parametrize("reply", [b"\x00", b"\xff" * 600, b"\x06\x00\xff\x06" + b"\x1b[2J" * 9])
def test_rubbish_from_a_bmc_is_one_nodes_failure(reply: bytes) -> None:
    with answering([reply] * 9) as port, pytest.raises(WizardError, match="cannot do that") as refused:
        ipmi.order(NODE, "off", ADMIN, port=port)
    assert refused.value.message.isprintable()


# Which of the two


class _NoRedfish(BaseHTTPRequestHandler):
    """A BMC's web server from before Redfish: "status" is what it answers, with a page."""

    status = 404

    def do_GET(self) -> None:
        body = b"<html>Log in</html>"
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _AnyPage(_NoRedfish):
    status = 200


class _JsonOfItsOwn(_AnyPage):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")


class _LoginFirst(_NoRedfish):
    status = 401


@contextmanager
def web_server(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What libraries that speak to a BMC have logged."""
    speakers = ("sushy", "urllib3", "requests", "pyipmi")
    return [record.getMessage() for record in caplog.records if record.name.split(".")[0] in speakers]


@pytest.mark.parametrize("handler", [_NoRedfish, _AnyPage, _JsonOfItsOwn])
def test_a_web_server_without_redfish_is_told_from_one_with_it(
    handler: type[BaseHTTPRequestHandler], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with web_server(handler) as url, pytest.raises(bmc.NotThere, match="has no Redfish"):
        bmc.order(NODE, "off", ADMIN, False, url)
    assert logged(caplog) == []


def test_a_server_that_refuses_the_user_is_one_with_redfish(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with web_server(_LoginFirst) as url, pytest.raises(WizardError, match="refuses the user") as refused:
        bmc.order(NODE, "off", ADMIN, False, url)
    assert not isinstance(refused.value, bmc.NotThere)
    assert logged(caplog) == []


def test_the_library_tries_nobody_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sushy.Sushy", lambda *_, **__: pytest.fail("it was asked"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(bmc.NotThere, match="does not answer"):
            bmc.order(NODE, "off", ADMIN, False, f"http://127.0.0.1:{closed.getsockname()[1]}")


@dataclass
class Spoken:
    """Stands in for both protocols, and remembers which was spoken."""

    redfish: Exception | None = None
    ipmi: Exception | None = None

    def install(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        said: list[str] = []

        def speaks(name: str, fails: Exception | None) -> None:
            def order(*_: object) -> object:
                said.append(name)
                if fails is not None:
                    raise fails
                return NodeOutcome("controller", True, name)

            monkeypatch.setattr({"redfish": bmc, "ipmi": ipmi}[name], "order", order)

        speaks("redfish", self.redfish)
        speaks("ipmi", self.ipmi)
        return said


@pytest.fixture
def credentials(tmp_path: Path) -> str:
    file = tmp_path / "bmc.toml"
    file.write_text(f'user = "admin"\npassword = "{SECRET}"\n')
    file.chmod(0o600)
    return str(file)


@pytest.mark.parametrize(
    ("spoken", "said", "told"),
    [
        (Spoken(), ["redfish"], "redfish"),
        (Spoken(redfish=bmc.NotThere("silent", "")), ["redfish", "ipmi"], "ipmi"),
        # Whoever refuses there is there: the same is not asked again in another way.
        (Spoken(redfish=WizardError("a certificate that is not trusted", "")), ["redfish"], "certificate"),
        (Spoken(redfish=bmc.NotThere("silent", ""), ipmi=WizardError("refuses", "")), ["redfish", "ipmi"], "refuses"),
        (
            Spoken(redfish=bmc.NotThere("silent", ""), ipmi=bmc.NotThere("silent", "plug it in")),
            ["redfish", "ipmi"],
            "neither Redfish nor IPMI",
        ),
    ],
)
def test_ipmi_is_asked_where_nothing_answers_redfish(
    spoken: Spoken, said: list[str], told: str, credentials: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = spoken.install(monkeypatch)
    plan = replace(PLAN, bmc_credentials=credentials)
    (outcome,) = power.carry_out(plan, [NODE], power.Order(power.OFF))
    assert seen == said
    assert told in outcome.detail
    assert outcome.ok is (told in ("redfish", "ipmi"))


@pytest.mark.parametrize("protocol", ["redfish", "ipmi"])
def test_a_protocol_that_the_plan_names_is_the_only_one(
    protocol: str, credentials: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = bmc.NotThere("it is silent", "plug it in")
    seen = Spoken(redfish=silent, ipmi=silent).install(monkeypatch)
    plan = replace(PLAN, bmc_credentials=credentials)
    (outcome,) = power.carry_out(plan, [replace(NODE, bmc_protocol=protocol)], power.Order(power.OFF))
    assert seen == [protocol]
    assert (outcome.detail, outcome.remedy) == ("it is silent", "plug it in")
