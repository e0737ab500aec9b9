"""Instances behind CNCIs: two that are played by a real sshd and a real dnsmasq, and all that may be the matter."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.support import BRIEF, EXAMPLE, OFFICE, apply, ciao_json
from tests.needs import unavailable
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("instances")]

PLACE = "/run/instances"
"""Private to the laboratory, as /etc is. /tmp is not, and so each CNCI gets one of its own over it."""
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin:/sbin")


def _own_tmp() -> str:
    """Shell that puts an empty /tmp in place, and a checkout that lies below /tmp back into it."""
    root = Path(__file__).resolve().parents[2]
    if not root.is_relative_to("/tmp"):
        return "mount -t tmpfs tmpfs /tmp"
    here, kept = shlex.quote(str(root)), '"/run/kept.$$"'
    keep = f"mkdir -p {kept} && mount --rbind {here} {kept}"
    return f"{keep} && mount -t tmpfs tmpfs /tmp && mkdir -p {here} && mount --rbind {kept} {here}"


OWN_TMP = _own_tmp()

CNCI_BOOT = f"""
set -eu
name=$1 third=$2
{OWN_TMP}
ip link add tenant0 type veth peer name eth0 address "$(printf 02:00:ac:10:%02x:02 "$third")" netns "inst-$name"
ip address add "172.16.$third.1/24" dev tenant0
ip link set tenant0 up
ip -n "inst-$name" link set eth0 up
cd /tmp
printf '02:00:ac:10:%02x:02,172.16.%s.2,id:*\\n' "$third" "$third" >dnsmasq_$name-net.hosts
cat >dnsmasq_$name-net.conf <<CONF
port=0
user=root
group=
interface=tenant0
bind-interfaces
pid-file=/tmp/dnsmasq_$name-net.pid
dhcp-leasefile=/tmp/dnsmasq_$name-net.leases
dhcp-hostsfile=/tmp/dnsmasq_$name-net.hosts
dhcp-range=172.16.$third.0,static,1h
no-ping
CONF
dnsmasq --conf-file=/tmp/dnsmasq_$name-net.conf
ip netns exec "inst-$name" udhcpc -f -n -q -i eth0 -x "hostname:vm-$name" -s {PLACE}/bound >/dev/null
exec {SSHD} -D -e -f {PLACE}/$name/sshd_config
"""
BOUND = '#!/bin/sh\n[ "$1" != bound ] || ip address add "$ip/24" dev "$interface"\n'
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
Match User nobody
AuthorizedKeysFile none
"""


@dataclass(frozen=True)
class Cncis:
    lab: Laboratory
    address: dict[str, str]

    def instances(self, *argv: str) -> subprocess.CompletedProcess[str]:
        done = self.lab.run(["ciao-wizard", "instances", *argv], check=False, env=BRIEF)
        assert "Traceback" not in done.stderr
        return done

    def readings(self, *argv: str) -> tuple[int, list[Any]]:
        done = self.instances(*argv, "--json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def cncis(lab_possible: None) -> Iterator[Cncis]:
    """cnci1 and cnci2, each with a tenant's subnet and an instance in it; the example is applied."""
    if SSHD is None:
        unavailable("no sshd here")
    with Laboratory() as lab:
        apply(lab)
        # ssh takes a user's home from the list of users, whatever HOME says.
        lab.run(["sed", "-i", f"s#^root:.*#root:x:0:0:root:{PLACE}/home:/bin/sh#", "/etc/passwd"])
        keygen = "ssh-keygen -q -t ed25519 -N ''"
        lab.run(["sh", "-euc", f"mkdir -p /run/sshd {PLACE}/home/.ssh; cd {PLACE}; {keygen} -f home/.ssh/id_ed25519; "
                 "cp home/.ssh/id_ed25519.pub authorized_keys; cat >bound; chmod 755 bound; chmod 700 home/.ssh"],
                input=BOUND)  # fmt: skip
        running, address = [], {}
        for number, name in enumerate(("cnci1", "cnci2")):
            lab.machine("add", name, "--mac", f"02:11:22:33:44:0{number + 1}")
            lab.run(["ip", "netns", "add", f"inst-{name}"])
            make = f"mkdir {PLACE}/{name}; cd {PLACE}/{name}; cat >sshd_config; {keygen} -f key"
            lab.run(["sh", "-euc", make], input=SSHD_CONFIG.format(place=PLACE, name=name))
        for number, name in enumerate(("cnci1", "cnci2")):
            (address[name],) = lab.wait_for(partial(lab.addresses, name), 30, f"an address for {name}")
            boot = ["unshare", "-m", "sh", "-c", CNCI_BOOT, "sh", name, str(number)]
            running.append(lab.popen(boot, netns=name, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for name in address:
            keys_of = partial(lab.run, ["ssh-keyscan", address[name]], check=False)
            lab.wait_for(partial(lambda scan: scan().stdout, keys_of), 20, f"sshd of {name}")
        keys = {name: lab.run(["cut", "-d ", "-f1,2", f"{PLACE}/{name}/key.pub"]).stdout.strip() for name in address}
        # Of one more address of cnci1 no key is known; at one of cnci2 another machine was, the last time.
        lab.run(["ip", "address", "add", "192.168.0.251/24", "dev", "eth0"], netns="cnci1")
        lab.run(["ip", "address", "add", "192.168.0.252/24", "dev", "eth0"], netns="cnci2")
        known = [(address["cnci1"], keys["cnci1"]), (address["cnci2"], keys["cnci2"]), ("192.168.0.252", keys["cnci1"])]
        lab.run(["sh", "-c", f"cat >{PLACE}/home/.ssh/known_hosts"], input="".join(f"{h} {k}\n" for h, k in known))
        config = f"Host mine\n  HostName {address['cnci2']}\n  User root\n"
        lab.run(["sh", "-c", f"cat >{PLACE}/home/.ssh/config"], input=config)
        yield Cncis(lab, address)
        for process in running:
            process.kill()
            process.wait()


def test_instances_of_two_cncis(cncis: Cncis) -> None:
    status, told = cncis.readings(f"root@{cncis.address['cnci1']}", "root@" + cncis.address["cnci2"])

    assert status == 0
    for number, (reading, name) in enumerate(zip(told, cncis.address, strict=True)):
        at = cncis.address[name]
        assert (reading["state"], reading["address"], reading["subnets"]) == ("read", at, [f"{name}-net"])
        (one,) = reading["instances"]
        assert one["mac"] == f"02:00:ac:10:{number:02x}:02"
        assert one["ip"] == f"172.16.{number}.2"
        assert one["subnet"] == f"{name}-net"
        assert (one["state"], one["reachable"], one["port"]) == ("leased", True, 33002 + 256 * number)
        assert one["ssh"] == {
            "direct": f"ssh demouser@172.16.{number}.2",
            "gateway": f"ssh -p {one['port']} demouser@{at}",
            "corporate": f"ssh -J root@{OFFICE} -p {one['port']} demouser@{at}",
        }


def test_by_alias_by_mac_and_by_the_name_of_a_lease(cncis: Cncis) -> None:
    # A lease's name is known to nobody's resolver here.
    status, told = cncis.readings("mine", "root@02:11:22:33:44:01", "root@cnci1", "root@cnci1.ciao.lan")
    assert [(r["state"], r["address"]) for r in told] == [
        ("read", cncis.address["cnci2"]),
        *[("read", cncis.address["cnci1"])] * 3,
    ]
    assert status == 0


def test_each_trouble_in_its_own_words_and_nobody_is_held_up(cncis: Cncis) -> None:
    good = f"root@{cncis.address['cnci1']}"
    asked = {
        good: "read",
        "root@192.168.0.77": "down",
        "root@192.168.0.251": "unknown-host-key",
        "root@192.168.0.252": "changed-host-key",
        f"nobody@{cncis.address['cnci1']}": "permission-denied",
        "root@no-such-machine": "no-such-name",
        "root@192.168.0.101": "down",
    }
    start = time.monotonic()
    status, told = cncis.readings(*asked)
    assert time.monotonic() - start < 15
    assert status == 1
    assert {r["cnci"]: r["state"] for r in told} == asked
    for reading in told:
        assert bool(reading["reason"]) == bool(reading["remedy"]) == (reading["cnci"] != good)
        assert not reading["instances"] or reading["cnci"] == good
    words = {r["cnci"]: r["reason"] for r in told}
    assert "another host key" in words["root@192.168.0.252"]
    assert "not known" in words["root@192.168.0.251"]
    assert "none of your keys" in words[f"nobody@{cncis.address['cnci1']}"]
    assert "no ssh server" in words["root@192.168.0.101"]


def test_who_answers_is_shown_before_who_does_not(cncis: Cncis) -> None:
    line = f"ciao-wizard instances root@192.168.0.77 root@{cncis.address['cnci1']} 2>&1"
    said = cncis.lab.run(["sh", "-c", line], check=False, env=BRIEF).stdout
    assert said.index("172.16.0.2") < said.index("192.168.0.77 does not answer")


def test_for_people_with_the_lines_to_copy(cncis: Cncis) -> None:
    done = cncis.instances(f"root@{cncis.address['cnci1']}")
    assert done.returncode == 0
    assert f"ssh -p 33002 demouser@{cncis.address['cnci1']}" in done.stdout
    assert f"ssh -J root@{OFFICE} -p 33002 demouser@{cncis.address['cnci1']}" in done.stdout
    assert "cnci1-net" in done.stdout


def test_a_machine_without_lease_files(cncis: Cncis) -> None:
    # /tmp of the laboratory is the machine's own, which may have some.
    hidden = f"{OWN_TMP} && exec ciao-wizard instances . --json"
    done = cncis.lab.run(["unshare", "-m", "sh", "-c", hidden], check=False, cwd="/")
    (reading,) = json.loads(done.stdout)
    assert (reading["state"], done.returncode) == ("no-lease-files", 1)
    assert "no /tmp/dnsmasq_*.leases" in reading["reason"]


def test_on_the_cnci_itself_lease_files_from_the_wild(cncis: Cncis) -> None:
    later = int(time.time()) + 3600
    lines = [
        f"{later} 02:00:ac:10:82:05 172.16.130.5 far *",
        f"{later} 02:00:ac:10:00:09 172.16.0.10 * *",
        f"{later} 02:00:ac:10:00:0b 172.16.0.11 \x1b[31mred\x07 *",
        "7 02:00:ac:10:00:0c 172.16.0.12 old *",
        "0 02:00:ac:10:00:0d 172.16.0.13 $(reboot) *",
        f"{later} 02:00:ac:10:00:0e -I.1.2.3 option *",
        "duid 00:01:00:01",
        f"{later} 02:00:ac:10:00:0f 172.16.0.15 torn",
    ]
    hidden = f"{OWN_TMP} && cat >'/tmp/dnsmasq_a b.leases' && : >/tmp/dnsmasq_empty.leases && "
    hidden += "exec ciao-wizard instances localhost --instance-user me --json"
    done = cncis.lab.run(["unshare", "-m", "sh", "-c", hidden], check=False, cwd="/", input="\n".join(lines))
    assert done.returncode == 0, done.stderr
    (reading,) = json.loads(done.stdout)
    assert reading["subnets"] == ["a b", "empty"]
    found = {one["ip"]: one for one in reading["instances"]}
    assert set(found) == {"172.16.130.5", "172.16.0.10", "172.16.0.11", "172.16.0.12", "172.16.0.13"}
    assert "\x1b" not in done.stdout
    assert found["172.16.0.12"]["state"] == "expired"
    assert found["172.16.0.13"]["expires"] is None
    assert "172.16.0.9" in found["172.16.0.10"]["reason"]
    far = found["172.16.130.5"]
    assert far["port"] is None
    assert "third octet" in far["reason"]
    assert far["ssh"]["gateway"] == f"ssh -J {OFFICE} me@172.16.130.5"


@pytest.mark.parametrize(
    "word", ["-oProxyCommand=touch /run/instances/hacked", "-o@x", "x;reboot", "a b", "", "me@", "@x"]
)
def test_what_is_no_machine_never_reaches_ssh(cncis: Cncis, word: str) -> None:
    done = cncis.instances("--", word)
    assert done.returncode == 2
    assert "no" in done.stderr
    assert cncis.lab.run(["test", "-e", "/run/instances/hacked"], check=False).returncode == 1


def test_export_knows_the_gateways_office_address(cncis: Cncis) -> None:
    for argv in (["export", "ssh-config"], ["export", "ssh-config", "-c", str(EXAMPLE)]):
        assert f"HostName {OFFICE}\n" in cncis.lab.run(["ciao-wizard", *argv]).stdout
    cncis.lab.run(["ciao-wizard", "export", "hosts", "-o", f"{PLACE}/hosts"])
    hosts = cncis.lab.run(["cat", f"{PLACE}/hosts"]).stdout
    assert f"# {OFFICE} controller.ciao.lan controller  # 8889, 35357, 5000\n" in hosts


def test_a_cnci_is_a_vm_of_the_lease_board(cncis: Cncis) -> None:
    rows = {row["ip"]: row for row in ciao_json(cncis.lab, "leases")}
    assert {rows[at]["kind"] for at in cncis.address.values()} == {"vm"}


def test_paths_are_the_laboratorys_own() -> None:
    assert not Path(PLACE).exists()
