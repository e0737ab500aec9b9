"""Each export, given to the program that it is for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.support import EXAMPLE, HERE, ciao
from tests.lab.unpacked import Unpacked, unpacked
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("readers")]

RACK = HERE.parent / "unit" / "plan" / "rack.toml"
PLACE = "/run/ciao-lab/exports"


@pytest.fixture(scope="module")
def desk(lab_possible: None) -> Iterator[Laboratory]:
    """A laptop whose /etc nobody else has."""
    with Laboratory() as lab:
        yield lab


def exported(lab: Laboratory, plan: Path, form: str, to: str) -> str:
    """The path of an export of a plan."""
    done = ciao(lab, "export", form, "-c", str(plan))
    assert done.returncode == 0, done.stderr
    lab.run(["sh", "-c", f"mkdir -p {PLACE} /etc/clustershell/groups.d; cat >{to}"], input=done.stdout)
    return to


def said(lab: Laboratory, files: Unpacked, program: str, *argv: str) -> str:
    env = {**files.env, "HOME": "/run/ciao-lab", "LC_ALL": "C.UTF-8"}
    done = lab.run([files.program(program), *argv], env=env, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return done.stdout


def test_clush_finds_the_machines_of_a_role(desk: Laboratory) -> None:
    """By ClusterShell's own configuration, with the file where its first lines say that it belongs."""
    files = unpacked("clustershell")
    desk.run(["cp", "-r", f"{files.place}/etc/clustershell", "/etc"])
    text = Path("/etc/clustershell/groups.d/local.cfg")
    assert str(text) in ciao(desk, "export", "clush", "-c", str(RACK)).stdout
    exported(desk, RACK, "clush", str(text))
    assert set(said(desk, files, "nodeset", "-l").split()) == {
        "@server", "@agent", "@gpu", "@devices", "@all",
    }  # fmt: skip
    for group, machines in {
        "@all": "agent1 server1 spare",
        "@gpu": "agent1",
        "@agent&@gpu": "agent1",
        "@all!@server": "agent1 spare",
        "@devices": "bmc switch",
    }.items():
        assert said(desk, files, "nodeset", "-e", group).strip() == machines
    here = said(desk, files, "clush", "-a", "-R", "exec", "echo", "for", "%h")
    assert sorted(here.splitlines()) == [f"{name}: for {name}" for name in ("agent1", "server1", "spare")]
    exported(desk, EXAMPLE, "clush", str(text))
    assert said(desk, files, "nodeset", "-f", "@compute").strip() == "compute[1-2]"


def test_prometheus_takes_its_targets_and_our_rules(desk: Laboratory) -> None:
    files = unpacked("prometheus", only=["usr/bin/promtool"])
    exported(desk, RACK, "prometheus", f"{PLACE}/targets.json")
    config = f"""
rule_files: ["{EXAMPLE.parent}/prometheus-rules.yml"]
scrape_configs:
  - job_name: node
    file_sd_configs: [{{files: ["{PLACE}/targets.json"]}}]
"""
    desk.run(["sh", "-c", f"cat >{PLACE}/prometheus.yml"], input=config)
    told = said(desk, files, "promtool", "check", "config", f"{PLACE}/prometheus.yml")
    assert "prometheus.yml is valid" in told
    assert "rules found" in told
    rules = said(desk, files, "promtool", "check", "rules", str(EXAMPLE.parent / "prometheus-rules.yml"))
    assert "SUCCESS" in rules
    # It looks into the file of the targets: one that is wrong is refused.
    desk.run(["sed", "-i", 's/"targets"/"target"/', f"{PLACE}/targets.json"])
    wrong = [files.program("promtool"), "check", "config", f"{PLACE}/prometheus.yml"]
    assert desk.run(wrong, env=files.env, check=False).returncode != 0


def inventory(lab: Laboratory, plan: Path, form: str, name: str) -> dict[str, Any]:
    path = exported(lab, plan, form, f"{PLACE}/{name}")
    return dict(json.loads(said(lab, unpacked("ansible-core"), "ansible-inventory", "-i", path, "--list")))


def test_ansible_reads_its_inventories(desk: Laboratory) -> None:
    rack = inventory(desk, RACK, "ansible", "rack.ini")
    assert {group: rack[group]["hosts"] for group in ("server", "agent", "gpu", "ungrouped")} == {
        "server": ["server1"],
        "agent": ["agent1"],
        "gpu": ["agent1"],
        "ungrouped": ["spare"],
    }
    # A play for all must not run on a switch.
    assert "devices" not in rack
    hosts = rack["_meta"]["hostvars"]
    assert {name: hosts[name]["ansible_host"] for name in hosts} == {
        "server1": "10.44.0.10",
        "agent1": "10.44.0.1",
        "spare": "10.44.0.2",
    }
    k3s = inventory(desk, RACK, "k3s-ansible", "k3s.yml")
    assert set(k3s["k3s_cluster"]["children"]) == {"server", "agent"}
    assert k3s["agent"]["hosts"] == ["agent1", "spare"]
    assert k3s["_meta"]["hostvars"]["agent1"]["api_endpoint"] == "10.44.0.10"
    sample = inventory(desk, EXAMPLE, "ansible", "ciao.ini")
    assert sample["computes"]["hosts"] == ["compute1", "compute2"]
    assert sample["_meta"]["hostvars"]["compute1"]["ciao_controller_ip"] == "192.168.0.101"


@pytest.mark.parametrize("plan", [RACK, EXAMPLE], ids=["rack", "example"])
def test_ssh_goes_by_way_of_the_gateway(desk: Laboratory, plan: Path) -> None:
    path = exported(desk, plan, "ssh-config", f"{PLACE}/ssh")
    name, address = {RACK: ("agent1", "10.44.0.1"), EXAMPLE: ("compute1", "192.168.0.103")}[plan]

    def seen(host: str) -> dict[str, str]:
        lines = desk.run(["ssh", "-F", path, "-G", host]).stdout.splitlines()
        return dict(line.split(" ", 1) for line in lines if " " in line)

    for host in (name, f"{name}.ciao.lan"):
        config = seen(host)
        assert (config["hostname"], config["proxyjump"]) == (address, "ciao-gateway")
        assert config["hostkeyalias"] == f"{name}.ciao.lan"
    assert seen(f"{name}.direct")["hostname"] == address
    assert "proxyjump" not in seen(f"{name}.direct")
    assert "proxyjump" not in seen("ciao-gateway")
    assert seen("elsewhere")["hostname"] == "elsewhere"


def test_the_c_library_reads_the_hosts_file(desk: Laboratory) -> None:
    exported(desk, RACK, "hosts", "/etc/hosts")
    for name, address in {"agent1": "10.44.0.1", "switch": "10.44.0.250", "gateway": "10.44.0.200"}.items():
        for asked in (name, f"{name}.ciao.lan", address):
            words = desk.run(["getent", "-s", "hosts:files", "hosts", asked]).stdout.split()
            assert words == [address, f"{name}.ciao.lan", name]
