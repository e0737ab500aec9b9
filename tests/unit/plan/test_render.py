"""What a plan is rendered to: golden files under snapshots/rendered/, and what each program says of its file.

After a wanted change: script/test tests/unit/plan/test_render.py --snapshot-update, and read the difference.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.needs import need, unavailable
from wizard.plan import paths
from wizard.plan.backends import ADDRESS_FILES, Backend
from wizard.plan.fields import parse_sources
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError
from wizard.plan.machine import Facts
from wizard.plan.model import Interfaces, Plan
from wizard.plan.render import (
    HEADER,
    File,
    live_file,
    plan_in_force_text,
    render,
    render_identity,
    render_live_address,
    render_service,
)
from wizard.plan.rules.check import check_plan

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "snapshots" / "rendered"
PLANS = {
    "sample": ROOT / "examples" / "ciao.toml",
    "rich": Path(__file__).with_name("rich.toml"),
    "auto": Path(__file__).with_name("auto.toml"),
    "rack": Path(__file__).with_name("rack.toml"),
}
CLUSTER_MACS = {"sample": "", "rich": "00:e0:4c:68:0f:12", "auto": "00:e0:4c:68:0f:12", "rack": ""}
"""The sample is rendered for a machine that has no such NIC."""


def rendered(name: str) -> dict[str, File]:
    text = PLANS[name].read_text(encoding="utf-8")
    return {file.path: file for file in render(load_plan(text, name), text, cluster_mac=CLUSTER_MACS[name])}


def address_files(name: str) -> list[File]:
    """The files of the cluster NIC's address, of every backend but ifupdown."""
    text = PLANS[name].read_text(encoding="utf-8")
    plan, mac = load_plan(text, name), CLUSTER_MACS[name]
    backends = [backend for backend in ADDRESS_FILES if backend is not Backend.IFUPDOWN]
    return [render(plan, text, cluster_mac=mac, backend=backend)[-1] for backend in backends]


@pytest.fixture(params=PLANS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def on_disk(name: str, tmp_path: Path) -> Path:
    """The rendered files under a directory of their own."""
    for file in rendered(name).values():
        target = tmp_path / file.path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.text, encoding="utf-8")
        target.chmod(file.mode)
    return tmp_path


def said_by(*argv: str) -> str:
    """What a program says of a file, which it must not refuse."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def in_empty_network(*argv: str) -> list[str]:
    """The command in a network namespace of its own; the test is skipped where nobody may make one."""
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        unavailable("no namespaces here")
    return [*unshare, *argv]


def test_golden_files(name: str, request: pytest.FixtureRequest) -> None:
    files = rendered(name) | {file.path: file for file in address_files(name)}
    home = GOLDEN / name
    if request.config.option.update_snapshots:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for path, file in files.items():
            (home / Path(path).name).write_text(file.text, encoding="utf-8")
    kept = {path.name: path.read_text(encoding="utf-8") for path in home.iterdir()}
    assert {Path(path).name: file.text for path, file in files.items()} == kept


def test_every_file_says_who_wrote_it_from_what_and_how_to_change_it(name: str) -> None:
    for file in [*rendered(name).values(), *address_files(name)]:
        lines = file.text.splitlines()
        first = lines[1] if lines[0].startswith("#!") else lines[0]
        assert first.startswith(HEADER)
        assert "ciao-wizard apply" in first
        assert file.text.endswith("\n")
        if file.path != paths.PLAN_IN_FORCE:
            assert paths.PLAN_IN_FORCE in first


def test_only_the_script_can_be_run(name: str) -> None:
    assert {path for path, file in rendered(name).items() if file.mode & 0o111} == {paths.NAT_SCRIPT}


def test_the_rules_look_no_farther_into_a_packet_than_old_kernels_do(name: str) -> None:
    """Linux 6.1 and 6.12 refuse an offset above 255, and a raw match longer than 16 bytes is none for any nft."""
    script = rendered(name)[paths.NAT_SCRIPT].text
    matches = re.findall(r"@(?:ll|nh|th|ih),(\d+),(\d+)", script)
    assert matches, "no raw match: this test is for nothing"
    assert [match for match in matches if int(match[0]) // 8 > 255 or int(match[1]) > 128] == []


@pytest.mark.parametrize("backend", ADDRESS_FILES, ids=str)
def test_the_address_of_a_trial_is_rendered_as_that_of_a_boot(name: str, backend: Backend) -> None:
    text, mac = PLANS[name].read_text(encoding="utf-8"), CLUSTER_MACS[name]
    plan = load_plan(text, name)
    kept, live = render(plan, text, cluster_mac=mac, backend=backend)[-1], render_live_address(plan, mac, backend)

    assert (kept.path, live.path) == (ADDRESS_FILES[backend].kept, ADDRESS_FILES[backend].live)
    # NetworkManager reads no profile that others may read, and networkd, which is no root, nothing else.
    assert live.mode == (0o600 if backend is Backend.NETWORKMANAGER else 0o644)
    if backend is Backend.NETPLAN:
        kept = render(plan, text, cluster_mac=mac, backend=Backend.NETWORKD)[-1]
    assert live.text == kept.text


def test_a_profile_of_networkmanager_is_nobody_elses(name: str) -> None:
    modes = {Path(file.path).name: file.mode for file in address_files(name)}
    assert modes["ciao-cluster.nmconnection"] == 0o600
    assert modes["90-ciao-cluster.yaml"] == 0o600


def test_interfaces_file_comes_last(name: str) -> None:
    assert list(rendered(name))[-1] == paths.INTERFACES_FILE


def test_plan_in_force_is_the_plan_as_given(name: str) -> None:
    given = PLANS[name].read_text(encoding="utf-8")
    kept = plan_in_force_text(given)
    assert kept.endswith(given)
    assert load_plan(kept, "kept") == load_plan(given, "given")
    assert plan_in_force_text(kept) == kept


def test_the_richer_plan_passes_the_rules() -> None:
    # Else its golden files would show what nobody can get.
    assert [f for f in check_plan(load_plan(PLANS["rich"].read_text(), "rich")) if f.severity == "error"] == []


def test_the_plan_in_the_readme_passes_the_rules() -> None:
    (given,) = re.findall(
        r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    assert [f for f in check_plan(load_plan(given, "README.md")) if f.severity == "error"] == []


def test_dangerous_lines_of_the_samples_are_not_there(name: str) -> None:
    files = rendered(name)
    options = [line for line in files[paths.DNSMASQ_CONF].text.splitlines() if not line.startswith("#")]
    words = [line.partition("=")[0] for line in options]
    for banned in ("listen-address", "bind-interfaces", "strict-order"):
        assert banned not in words
    assert not any("*:*:*:*:*:*" in line for line in options)
    commands = [line.split("#")[0] for line in files[paths.NAT_SCRIPT].text.splitlines()]
    for banned in ("killall", "-t nat", "ip_forward'", ">/proc/sys/net/ipv4/ip_forward", "flush ruleset", "rm -rf"):
        assert not any(banned in line for line in commands), banned


def test_only_ours_is_flushed(name: str) -> None:
    text = rendered(name)[paths.NAT_SCRIPT].text
    flushes = [line.strip() for line in text.splitlines() if line.startswith("flush ") or " -F " in line]
    assert flushes == [
        "flush table inet ciao_gateway",
        "flush table arp ciao_gateway",
        "flush map inet ciao_gateway forwards",
        "flush set inet ciao_gateway restricted",
        "flush set inet ciao_gateway allowed",
        "flush set inet ciao_gateway ftp",
        "flush set inet ciao_gateway tftp",
        '"$program" -w 5 -F "CIAO-$chain" 2>/dev/null || continue',
    ]


def test_node_of_the_gateways_name_keeps_it() -> None:
    assert "host-record=gateway." in rendered("sample")[paths.DNSMASQ_CONF].text
    assert "host-record" not in rendered("rich")[paths.DNSMASQ_CONF].text


def test_strangers_are_ignored_unless_everyone_is_answered() -> None:
    assert "\ndhcp-ignore=tag:!known\n" in rendered("sample")[paths.DNSMASQ_CONF].text
    assert "dhcp-ignore=" not in rendered("rich")[paths.DNSMASQ_CONF].text


def test_without_forwards_the_map_stays_empty(plan: Plan) -> None:
    script = next(f for f in render(replace(plan, forwards=()), "") if f.path == paths.NAT_SCRIPT)
    assert "elements" not in script.text


def test_networks_that_overlap_are_written_as_one(plan: Plan) -> None:
    """nftables refuses them otherwise."""
    sources = parse_sources(["10.0.0.0/8", "10.1.0.0/16", "10.99.0.7/32", "172.16.0.0/13", "172.24.0.0/13"])
    forward = replace(plan.forwards[0], sources=sources)
    script = next(f for f in render(replace(plan, forwards=(forward,)), "") if f.path == paths.NAT_SCRIPT)
    rows = re.findall(r"tcp \. \d+ \. ([\d./]+)", script.text)
    assert rows == ["10.0.0.0/8", "172.16.0.0/12"]


@pytest.mark.parametrize("bad", ["eth0\nauto eth9", "eth0; reboot", "$(reboot)", "eth0`id`", 'eth0"', "eth0'", "a\\b"])
def test_what_is_not_plain_reaches_no_file(plan: Plan, bad: str) -> None:
    # The parser refuses these long before; this is the wall behind it.
    with pytest.raises(WizardError, match="cannot be written"):
        render(replace(plan, interfaces=Interfaces(bad, "eth1")), "")


def test_a_trial_names_its_companions_under_run() -> None:
    trial = live_file(rendered("sample")[paths.DNSMASQ_CONF])
    assert trial.path == "/run/ciao-wizard/live/tenant_dns.cfg"
    assert "dhcp-hostsfile=/run/ciao-wizard/live/tenant_dns.hosts\n" in trial.text
    assert "/etc/ciao-wizard/tenant_dns" not in trial.text


def test_identity_names_the_nics_by_what_does_not_change(plan: Plan, facts: Facts) -> None:
    text = render_identity(plan, facts).text
    assert text.startswith(HEADER)
    assert 'mac  = "00:1b:21:00:00:02"' in text
    assert 'bus  = "pci0000:00/usb1/1-1"' in text


def test_service_runs_what_it_is_told() -> None:
    text = render_service(["/opt/x/bin/python", "-P", "-m", "wizard", "serve"]).text
    assert text.startswith(HEADER)
    assert "\nExecStart=/opt/x/bin/python -P -m wizard serve\n" in text


# What each program itself says of its file.


def test_shellcheck_has_nothing_to_say(on_disk: Path) -> None:
    need("shellcheck")
    assert said_by("shellcheck", str(on_disk / paths.NAT_SCRIPT[1:])) == ""


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_script_without_a_verb_only_says_how_to_use_it(on_disk: Path, shell: str, name: str) -> None:
    need(shell)
    script = str(on_disk / paths.NAT_SCRIPT[1:])
    done = subprocess.run([shell, script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    more = " | uplinks [NIC...]" if name == "auto" else ""
    assert done.stderr == f"usage: nat.sh up | down | leave | status | table{more}\n"


def test_nft_takes_the_table_twice_and_says_it_back(name: str, on_disk: Path) -> None:
    need("nft")
    script = on_disk / paths.NAT_SCRIPT[1:]
    load_it = 'sh "$0" table | nft -c -f - && sh "$0" table | nft -f - && sh "$0" table | nft -f - && nft list ruleset'
    listed = said_by(*in_empty_network("sh", "-c", load_it, str(script)))
    assert [line for line in listed.splitlines() if line.startswith("table ")] == [
        "table inet ciao_gateway {",
        "table arp ciao_gateway {",
    ]
    for forward in load_plan(PLANS[name].read_text(), name).forwards:
        assert f"{forward.protocol} . {forward.port} : " in listed


def test_dnsmasq_takes_its_file(on_disk: Path) -> None:
    need("dnsmasq")
    told = said_by("dnsmasq", "--test", f"--conf-file={on_disk / paths.DNSMASQ_CONF[1:]}")
    assert "syntax check OK" in told


def test_ifupdown_takes_its_file(name: str, on_disk: Path) -> None:
    need("ifquery")
    plan = load_plan(PLANS[name].read_text(), name)
    net = plan.network
    told = said_by("ifquery", "--interfaces", str(on_disk / paths.INTERFACES_FILE[1:]), plan.interfaces.cluster)
    options = dict(line.split(": ") for line in told.splitlines())
    assert options["address"].split("/")[0] == str(net.gateway)
    assert options["netmask"] in (str(net.cidr.netmask), str(net.cidr.prefixlen))
    assert "gateway" not in options
    assert CLUSTER_MACS[name] in options.get("pre-up", "")
