"""Wake, reboot, off and ssh, with a real sshd on the nodes and ears on both wires; and traffic and metrics of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text_format

from tests.lab.support import EXAMPLE, HERE, NODES, apply, await_nodes, ciao, ciao_json, reset, start_ciao
from tests.needs import unavailable
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("node-actions")]

PLACE = "/run/nodes"
TEXTFILE = "/var/lib/misc/ciao.prom"
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin")
MACS = {"compute1": "b8:ae:ed:7b:72:58", "compute2": "c0:3f:d5:67:a1:fb"}
SSHD_CONFIG = """
Port 22
HostKey {place}/{name}/key
PidFile none
AuthorizedKeysFile {place}/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
SetEnv PATH={place}/{name}:/usr/sbin:/usr/bin:/sbin:/bin
"""
# That of compute2 takes the connection down before it is done, as a machine that stops at once does.
SYSTEMCTL = {
    "controller": 'echo "Access denied by \\033[31mpolicy" >&2\nexit 1\n',
    "compute1": 'echo "$@" >>{place}/{name}/asked\n',
    "compute2": 'echo "$@" >>{place}/{name}/asked\nkill -9 "$(cut -d" " -f4 "/proc/$PPID/stat")"\nsleep 5\n',
}


@pytest.fixture(scope="module")
def gateway(lab_possible: None) -> Iterator[Laboratory]:
    """The example with a file of metrics. Three of its nodes have sshd and a systemctl that tells; network has none."""
    if SSHD is None:
        unavailable("no sshd here")
    with Laboratory() as lab:
        apply(lab, f'{EXAMPLE.read_text()}\n[metrics]\ntextfile = "{TEXTFILE}"\n')
        await_nodes(lab)
        # ssh takes a user's home from the list of users, whatever HOME says.
        lab.run(["sed", "-i", f"s#^root:.*#root:x:0:0:root:{PLACE}/home:/bin/sh#", "/etc/passwd"])
        keygen = "ssh-keygen -q -t ed25519 -N ''"
        lab.run(["sh", "-euc", f"mkdir -p /run/sshd {PLACE}/home/.ssh; cd {PLACE}; chmod 700 home/.ssh; "
                 f"{keygen} -f home/.ssh/id_ed25519; cp home/.ssh/id_ed25519.pub authorized_keys"])  # fmt: skip
        running, known = [], []
        for name, body in SYSTEMCTL.items():
            make = f"mkdir {PLACE}/{name}; cd {PLACE}/{name}; cat >sshd_config; {keygen} -f key"
            lab.run(["sh", "-euc", make], input=SSHD_CONFIG.format(place=PLACE, name=name))
            script = "#!/bin/sh\n" + body.replace("{place}", PLACE).replace("{name}", name)
            lab.run(["sh", "-euc", f"cd {PLACE}/{name}; cat >systemctl; chmod 755 systemctl"], input=script)
            serve = [str(SSHD), "-D", "-e", "-f", f"{PLACE}/{name}/sshd_config"]
            running.append(lab.popen(serve, netns=name, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            scan = partial(lab.run, ["ssh-keyscan", NODES[name]], check=False)
            lab.wait_for(partial(lambda scan: scan().stdout, scan), 20, f"sshd of {name}")
            key = lab.run(["cut", "-d ", "-f1,2", f"{PLACE}/{name}/key.pub"]).stdout.strip()
            # As `export ssh-config` has it: one host key for all names of a machine.
            known.append(f"{name}.ciao.lan {key}\n")
        lab.run(["sh", "-c", f"cat >{PLACE}/home/.ssh/known_hosts"], input="".join(known))
        yield lab
        for process in running:
            process.kill()
            process.wait()


def acted(lab: Laboratory, *argv: str) -> tuple[int, dict[str, Any]]:
    done = ciao(lab, *argv, "--json")
    assert "Traceback" not in done.stderr
    assert done.stdout, done.stderr
    return done.returncode, {one["node"]: one for one in json.loads(done.stdout)}


@contextmanager
def ears(lab: Laboratory, *machines: str) -> Iterator[dict[str, subprocess.Popen[str]]]:
    argv, pipe = [sys.executable, str(HERE / "magic_ears.py")], subprocess.PIPE
    found = {name: lab.popen(argv, netns=name, stdin=pipe, stdout=pipe) for name in machines}
    try:
        for process in found.values():
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield found
    finally:
        for process in found.values():
            process.kill()
            process.communicate()


def test_a_magic_packet_leaves_by_the_cluster_nic_alone(gateway: Laboratory) -> None:
    with ears(gateway, "compute1", "network", "corporate", "colleague") as heard:
        status, told = acted(gateway, "wake", "compute1", NODES["compute2"])
        assert (status, set(told)) == (0, {"compute1", "compute2"})
        assert told["compute1"]["detail"] == "magic packets sent out of eth1"
        # A frame to everybody comes last of all: what was to be heard has been heard before it.
        lines = {name: process.communicate("end\n", timeout=30)[0].split("\n")[:-1] for name, process in heard.items()}
    everybody = "ff:ff:ff:ff:ff:ff"
    for mac in MACS.values():
        assert {f"{everybody} 0842 {mac}", f"{everybody} 0800 {mac}"} <= set(lines["compute1"])
        assert {f"{everybody} 0842 {mac}", f"{everybody} 0800 {mac}"} <= set(lines["network"])
    assert f"{MACS['compute1']} 0842 {MACS['compute1']}" in lines["compute1"]
    assert lines["corporate"] == lines["colleague"] == []


def test_waiting_until_a_node_is_there(gateway: Laboratory) -> None:
    gateway.machine("unplug", "compute2")
    try:
        status, told = acted(gateway, "wake", "compute1", "compute2", "--wait", "12")
        assert status == 1
        assert told["compute1"]["ok"]
        assert told["compute1"]["detail"].startswith(f"answers at {NODES['compute1']}")
        assert told["compute2"]["detail"] == f"no answer at {NODES['compute2']} within 12 s"
        waiting = start_ciao(gateway, "wake", "compute2", "--wait", "60")
    finally:
        gateway.machine("plug", "compute2")
    out, err = waiting.communicate(timeout=90)
    assert waiting.returncode == 0, err
    assert f"answers at {NODES['compute2']}" in out


def asked(lab: Laboratory, name: str) -> str:
    return lab.run(["cat", f"{PLACE}/{name}/asked"], check=False).stdout


def test_each_nodes_outcome_by_itself(gateway: Laboratory) -> None:
    status, told = acted(gateway, "reboot", "--all", "--yes")
    assert status == 1
    assert {name: one["ok"] for name, one in told.items()} == {
        "controller": False,
        "network": False,
        "compute1": True,
        "compute2": True,
    }
    # One whose connection went down with it was asked all the same; one that refuses says why, and steers nothing.
    assert told["compute2"]["detail"] == "restarts"
    assert "Access denied by" in told["controller"]["detail"]
    assert "\x1b" not in told["controller"]["detail"]
    assert "no ssh server answers" in told["network"]["detail"]
    assert asked(gateway, "compute1") == "reboot\n"
    status, told = acted(gateway, "off", "--role", "compute", "--yes")
    assert (status, [one["detail"] for one in told.values()]) == (0, ["powers off"] * 2)
    assert asked(gateway, "compute2").splitlines()[-1] == "poweroff"


def test_what_cannot_be_taken_back_is_asked_for(gateway: Laboratory) -> None:
    before = asked(gateway, "compute1")
    done = ciao(gateway, "off", "compute1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing was done" in done.stderr
    assert asked(gateway, "compute1") == before
    status, told = acted(gateway, "reboot", "compute1", "--hard", "--yes")
    assert (status, "--hard needs a BMC" in told["compute1"]["detail"]) == (1, True)


def test_a_command_on_many_nodes(gateway: Laboratory) -> None:
    status, told = acted(
        gateway, "ssh", "compute1", "compute2", "--run", "echo \"on $(ip -4 -o a show eth0 | cut -d' ' -f7)\""
    )
    assert status == 0
    assert {name: one["output"] for name, one in told.items()} == {
        name: f"on {NODES[name]}/24\n" for name in ("compute1", "compute2")
    }
    status, told = acted(gateway, "ssh", "compute1", "--user", "ghost")
    assert (status, "accepts none of your keys for ghost" in told["compute1"]["detail"]) == (1, True)
    # On no terminal it is a login like any other; its end is ours.
    done = ciao(gateway, "ssh", "compute1", stdin="echo here; exit 7\n")
    assert (done.returncode, done.stdout) == (7, "here\n")


def test_a_reinstalled_node_is_not_taken_for_the_old_one(gateway: Laboratory) -> None:
    known = f"{PLACE}/home/.ssh/known_hosts"
    before = gateway.run(["cat", known]).stdout
    other = next(line for line in before.splitlines() if line.startswith("controller.")).partition(" ")[2]
    try:
        gateway.run(["sh", "-c", f"cat >{known}"], input=f"compute1.ciao.lan {other}\n")
        status, told = acted(gateway, "reboot", "compute1", "compute2", "--yes")
    finally:
        gateway.run(["sh", "-c", f"cat >{known}"], input=before)
    assert status == 1
    assert "another host key" in told["compute1"]["detail"]
    assert "ssh-keygen -R compute1.ciao.lan" in told["compute1"]["remedy"]
    assert "not known to you yet" in told["compute2"]["detail"]
    assert "ciao-wizard ssh compute2" in told["compute2"]["remedy"]


ALICE = 4242


@pytest.fixture
def alice(gateway: Laboratory) -> Iterator[dict[str, str]]:
    """Somebody with sudo, and what that puts into the environment. Her key is in her agent alone, which only the shell
    that sudo was typed in knows of."""
    as_alice = ["setpriv", f"--reuid={ALICE}", f"--regid={ALICE}", "--clear-groups", "--"]
    if gateway.run([*as_alice, "true"], check=False).returncode:
        unavailable("this laboratory has one user only")
    home = f"{PLACE}/alice"
    gateway.run(["sh", "-euc", f"echo alice:x:{ALICE}:{ALICE}::{home}:/bin/sh >>/etc/passwd; mkdir -p {home}/.ssh; "
                 f"cp {PLACE}/home/.ssh/known_hosts {home}/.ssh; ssh-keygen -q -t ed25519 -N '' -f {home}/key; "
                 f"cat {home}/key.pub >>{PLACE}/authorized_keys; chown -R {ALICE}:{ALICE} {home}"])  # fmt: skip
    agent = gateway.popen([*as_alice, "ssh-agent", "-D", "-a", f"{home}/agent"], stdout=subprocess.DEVNULL)
    try:
        gateway.wait_for(lambda: gateway.run(["test", "-S", f"{home}/agent"], check=False).returncode == 0)
        add = ["env", f"SSH_AUTH_SOCK={home}/agent", "ssh-add", "-q", f"{home}/key"]
        gateway.run([*as_alice, *add])
        gateway.run(["rm", f"{home}/key", f"{home}/key.pub"])
        yield {"SUDO_USER": "alice", "SUDO_UID": str(ALICE), "SUDO_GID": str(ALICE)}
    finally:
        agent.kill()
        agent.wait()
        gateway.run(["sed", "-i", "/^alice:/d", "/etc/passwd"])


def test_under_sudo_it_is_her_ssh(gateway: Laboratory, alice: dict[str, str]) -> None:
    ask = ["ciao-wizard", "ssh", "compute1", "--user", "root", "--run", "echo in", "--json"]
    # sudo's child has no SSH_AUTH_SOCK; the shell above it has.
    shell = ["env", f"SSH_AUTH_SOCK={PLACE}/alice/agent", "sh", "-c", 'env -u SSH_AUTH_SOCK "$@"; exit $?', "sh"]
    done = gateway.run([*shell, *ask], check=False, env=alice)
    assert json.loads(done.stdout)[0]["output"] == "in\n", done.stdout
    # Without her agent there is no key: root's own is not taken instead.
    done = gateway.run(ask, check=False, env=alice)
    assert (done.returncode, "accepts none of your keys" in done.stdout) == (1, True)
    gateway.run(["rm", f"{PLACE}/alice/.ssh/known_hosts"])
    done = gateway.run([*shell, *ask], check=False, env=alice)
    assert (done.returncode, "not known to you yet" in done.stdout) == (1, True)


@pytest.mark.parametrize("name", ["compute9", "-oProxyCommand=x", "compute1;reboot", "\x1b[2J", "8.8.8.8"])
def test_who_is_no_node_is_refused(gateway: Laboratory, name: str) -> None:
    done = ciao(gateway, "wake", "--", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no node of the plan" in done.stderr
    assert "\x1b" not in done.stderr


# Traffic and metrics


def test_real_traffic_is_told_by_node(gateway: Laboratory) -> None:
    before = {row["name"]: row for row in ciao_json(gateway, "leases")}
    assert gateway.fetch("http://www.corp.example/", netns="compute1")
    gateway.run(["ping", "-c", "3", "-s", "1000", "-i", "0.2", "10.77.0.1"], netns="compute1")
    after = {row["name"]: row for row in ciao_json(gateway, "leases")}
    for key in ("rx_bytes", "tx_bytes"):
        assert after["compute1"][key] - before["compute1"][key] > 3 * 1028
    lines = ciao(gateway, "leases").stdout.splitlines()
    assert lines[0].split()[-2:] == ["RECEIVED", "SENT"]


def test_metrics_of_a_gateway_at_work(gateway: Laboratory) -> None:
    done = ciao(gateway, "metrics", "--per-node")
    assert done.returncode == 0, done.stderr
    found = [sample for family in read_openmetrics(done.stdout) for sample in family.samples]
    value = {
        (s.name, s.labels.get("mode") or s.labels.get("name") or s.labels.get("check", "")): s.value for s in found
    }
    assert value["ciao_guard_mode", "armed"] == 1
    assert value["ciao_gateway_applied", ""] == 1
    assert value["ciao_node_received_bytes_total", "compute1"] > 0
    assert value["ciao_dhcp_answers_astray_total", ""] == 0

    def probed() -> bool:
        return 'ciao_path_check{check="path-out"} 1' in ciao(gateway, "metrics").stdout

    gateway.wait_for(probed, 60)


def written(lab: Laboratory) -> str:
    return lab.run(["cat", TEXTFILE], check=False).stdout


def test_the_guard_keeps_node_exporters_file(gateway: Laboratory) -> None:
    text = gateway.wait_for(partial(written, gateway), 60, "the file of metrics")
    names = {sample.name for family in read_text_format(text) for sample in family.samples}
    assert {"ciao_gateway_applied", "ciao_guard_trips_total", "ciao_dhcp_range_free_addresses"} <= names
    assert "192.168.0.101" not in text
    assert gateway.run(["stat", "-c", "%a %U", TEXTFILE]).stdout == "644 root\n"
    checks = {check["name"]: check["ok"] for check in ciao_json(gateway, "status")["checks"]}
    assert checks["metrics"] is True


def test_a_trip_is_counted_and_nothing_is_woken_on_the_companys_wire(gateway: Laboratory) -> None:
    def counted() -> bool:
        lines = ciao(gateway, "metrics").stdout.splitlines()
        return {'ciao_guard_mode{mode="tripped"} 1.0', "ciao_guard_trips_total 1.0"} <= set(lines)

    gateway.machine("join")
    try:
        gateway.wait_for(counted, 60, "a trip in the metrics")
        with ears(gateway, "compute1", "corporate") as heard:
            status, told = acted(gateway, "ssh", "compute1")
            done = ciao(gateway, "wake", "--all")
            lines = [process.communicate("end\n", timeout=30)[0] for process in heard.values()]
    finally:
        gateway.machine("part")
    assert (status, told["compute1"]["ok"]) == (0, True)
    assert (done.returncode, done.stdout, lines) == (1, "", ["", ""])
    assert "nothing was sent" in done.stderr
    apply(gateway, f'{EXAMPLE.read_text()}\n[metrics]\ntextfile = "{TEXTFILE}"\n')


def test_with_the_guard_goes_its_file_and_with_another_plan(gateway: Laboratory) -> None:
    """Last: this takes the gateway away."""
    gateway.wait_for(partial(written, gateway), 60, "the file of metrics")
    moved = TEXTFILE.replace("ciao.prom", "moved.prom")
    apply(gateway, f'{EXAMPLE.read_text()}\n[metrics]\ntextfile = "{moved}"\n')
    there = partial(gateway.run, ["sh", "-c", f"cat {moved} 2>/dev/null || :"])
    gateway.wait_for(lambda: there().stdout, 60, "the moved file")
    assert written(gateway) == ""
    reset(gateway)
    assert there().stdout == ""
    assert gateway.run(["sh", "-c", "ls /var/lib/misc"]).stdout == ""
    for argv in (("wake", "compute1"), ("reboot", "compute1", "--yes"), ("ssh", "compute1")):
        done = ciao(gateway, *argv)
        assert (done.returncode, "nothing is applied here" in done.stderr) == (3, True)
    done = ciao(gateway, "metrics")
    assert (done.returncode, "ciao_gateway_applied 0" in done.stdout) == (3, True)
