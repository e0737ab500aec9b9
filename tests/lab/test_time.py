"""The time for the nodes: from this laptop's own chrony or ntpsec, from the company's servers, or from nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.striking import APPLY, Machine, kill_engine, kill_tree, moments, prepare, strike_all
from tests.lab.striking import ciao as ciao_fast
from tests.lab.support import (
    EXAMPLE,
    GATEWAY,
    apply,
    await_nodes,
    await_status,
    ciao,
    ciao_json,
    differences,
    plan_with,
    reset,
    usable,
    whole,
)
from tests.lab.time_servers import (
    CHRONY_DROP_IN,
    NTPSEC_DROP_IN,
    alive,
    asked,
    chrony,
    clock_error,
    end,
    ntpsec,
    option_42,
    sh,
)
from wizard.lab.control import Laboratory
from wizard.lab.world import CORPORATE_ROUTER, LAPTOP_ADDRESS

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("time")]

LEASE = 'lease_time = "12h"'


def time_check(lab: Laboratory) -> Any:
    checks = {check["name"]: check for check in ciao_json(lab, "status")["checks"]}
    return checks.get("time")


def time_findings(lab: Laboratory, plan: str) -> dict[str, str]:
    """Code -> remedy of the findings about the time."""
    found = ciao(lab, "check", "-c", "-", "--json", stdin=plan)
    return {each["code"]: each["remedy"] for each in json.loads(found.stdout) if each["field"] == "network.ntp"}


def there(lab: Laboratory, path: str) -> bool:
    return lab.run(["test", "-e", path], check=False).returncode == 0


def allows(lab: Laboratory, address: str) -> bool:
    return "Access allowed" in lab.run(["chronyc", "accheck", address], check=False).stdout


def is_open(lab: Laboratory) -> bool:
    """Whether chrony has been told anything of the cluster. No question tells: after a reset no NIC is in there."""
    by_its_own_clock = "7F7F0101" in lab.run(["chronyc", "-c", "tracking"]).stdout
    return allows(lab, "192.168.0.9") or by_its_own_clock


def test_chrony_gives_a_node_without_a_clock_the_time(lab: Laboratory) -> None:
    with chrony(lab):
        before = whole(lab)
        assert not is_open(lab)
        assert time_findings(lab, EXAMPLE.read_text()) == {"time": "Nothing to do."}
        apply(lab)
        await_nodes(lab)
        assert is_open(lab)
        assert option_42(lab, "compute1") == GATEWAY
        assert abs(clock_error(lab, GATEWAY, "compute1")) < 0.1
        # The company's network is given nothing.
        assert asked(lab, LAPTOP_ADDRESS, "colleague").startswith("does not answer")
        found = await_status(lab, "applied")
        assert found["drift"] == []
        said = time_check(lab)
        # It serves, and nobody tells it the time.
        assert said["ok"] is None
        assert "chrony on this machine serves the nodes: by its own clock alone" in said["detail"]

        # As after its next start: by our file alone.
        lab.run(["/etc/init.d/chrony", "restart"])
        lab.wait_for(lambda: asked(lab, GATEWAY, "compute1") == "stratum 10", what="chrony after a restart")
        assert ciao(lab, "diff").returncode == 0

        end(lab, "chronyd")
        said = time_check(lab)
        assert said["ok"] is False
        assert "does not run: the nodes get no time" in said["detail"]
        assert "sudo systemctl start chrony" in said["remedy"]
        # What was recorded counts, not what runs now.
        assert ciao_json(lab, "status")["drift"] == []
        lab.run(["/etc/init.d/chrony", "start"])
        lab.wait_for(lambda: alive(lab, "chronyd") and "own clock" in time_check(lab)["detail"], what="chrony again")

        reset(lab)
        lab.wait_for(lambda: alive(lab, "chronyd") and not is_open(lab), what="a chrony that is closed")
        assert differences(before, whole(lab)) == []


def test_a_daemon_that_does_not_answer_at_the_gateways_address_is_seen(lab: Laboratory) -> None:
    with chrony(lab):
        sh(lab, "echo 'bindaddress 127.0.0.1' >>/etc/chrony/chrony.conf; /etc/init.d/chrony restart")
        lab.wait_for(lambda: alive(lab, "chronyd"), what="chrony")
        apply(lab)
        said = time_check(lab)
        assert said["ok"] is False
        assert f"does not answer (Connection refused) at {GATEWAY}" in said["detail"]
        assert "'sudo /etc/init.d/chrony restart'" in said["remedy"]
        reset(lab)


def test_ntpsec_gives_the_nodes_the_time_once_kept(lab: Laboratory) -> None:
    with ntpsec(lab):
        before = whole(lab)
        apply(lab)
        await_nodes(lab)
        assert option_42(lab, "compute1") == GATEWAY
        lab.wait_for(lambda: asked(lab, GATEWAY, "compute1") == "stratum 10", 60, "ntpsec's own clock")
        assert abs(clock_error(lab, GATEWAY, "compute2")) < 0.1
        assert await_status(lab, "applied")["drift"] == []
        assert "ntpsec on this machine serves the nodes" in time_check(lab)["detail"]
        assert there(lab, NTPSEC_DROP_IN)
        reset(lab)
        assert differences(before, whole(lab)) == []


def test_the_companys_servers_are_handed_on(lab: Laboratory) -> None:
    lease = f'lease {{\n  interface "eth0";\n  fixed-address {LAPTOP_ADDRESS};\n  option ntp-servers SERVER;\n}}\n'
    leases = "mkdir -p /var/lib/dhcp; cat >/var/lib/dhcp/dhclient.leases"
    sh(lab, leases, lease.replace("SERVER", CORPORATE_ROUTER))
    apply(lab)
    await_nodes(lab)
    assert option_42(lab, "compute1") == CORPORATE_ROUTER
    said = time_check(lab)
    assert said["ok"] is False
    assert f"the nodes ask {CORPORATE_ROUTER}: {CORPORATE_ROUTER} does not answer" in said["detail"]
    # Another one tomorrow is news, and no drift.
    sh(lab, leases, lease.replace("SERVER", "10.77.0.9"))
    seen = ciao_json(lab, "status")
    assert seen["drift"] == []
    assert "now it would be 10.77.0.9: 'sudo ciao-wizard apply' tells the nodes" in time_check(lab)["detail"]
    assert "+dhcp-option=tag:cluster,option:ntp-server,10.77.0.9" in ciao(lab, "diff").stdout
    assert ciao(lab, "apply", "--yes").returncode == 0
    assert option_42(lab, "compute1") == "10.77.0.9"


@pytest.mark.parametrize("setting", ["absent", '"off"', '["10.1.1.1", "192.168.0.103"]'])
def test_what_is_announced_without_a_server_here(lab: Laboratory, setting: str) -> None:
    plan = plan_with((LEASE, LEASE if setting == "absent" else f"{LEASE}\nntp = {setting}"))
    announced = "10.1.1.1 192.168.0.103" if setting.startswith("[") else ""
    codes = {"absent": {"time-unknown"}, '"off"': set()}.get(setting, {"time", "time-server-is-machine"})
    assert set(time_findings(lab, plan)) == codes
    apply(lab, plan)
    await_nodes(lab)
    assert option_42(lab, "compute1") == announced
    script = lab.run(["cat", "/etc/ciao-wizard/nat.sh"]).stdout
    assert "123" not in script
    said = time_check(lab)
    if setting == "absent":
        assert said["ok"] is None
        assert "sudo apt install chrony" in said["detail"]
    else:
        assert (said is None) == (setting == '"off"')


def test_off_closes_what_an_earlier_apply_opened(lab: Laboratory) -> None:
    with chrony(lab):
        before = whole(lab)
        apply(lab)
        await_nodes(lab)
        assert asked(lab, GATEWAY, "compute1") == "stratum 10"
        apply(lab, plan_with((LEASE, f'{LEASE}\nntp = "off"')))
        assert not there(lab, CHRONY_DROP_IN)
        assert option_42(lab, "compute1") == ""
        assert asked(lab, GATEWAY).startswith("does not answer")
        apply(lab)
        assert asked(lab, GATEWAY, "compute1") == "stratum 10"
        reset(lab)
        lab.wait_for(lambda: alive(lab, "chronyd") and not is_open(lab), what="a chrony that is closed")
        assert differences(before, whole(lab)) == []


def test_a_file_of_ours_that_somebody_changed_is_drift_and_an_apply_brings_it_back(lab: Laboratory) -> None:
    with chrony(lab):
        apply(lab)
        sh(lab, f"sed -i 's/^allow.*/allow 10.9.0.0\\/24/' {CHRONY_DROP_IN}; /etc/init.d/chrony restart")
        lab.wait_for(lambda: alive(lab, "chronyd") and time_check(lab)["ok"] is False, what="a chrony that is closed")
        assert ciao_json(lab, "status")["drift"] == [f"{CHRONY_DROP_IN} was changed"]
        apply(lab)
        assert "allow 192.168.0.0/24" in lab.run(["cat", CHRONY_DROP_IN]).stdout
        assert ciao_json(lab, "status")["drift"] == []
        # It has read the file as it is now, and forgotten the other one.
        lab.wait_for(lambda: alive(lab, "chronyd") and is_open(lab), what="chrony again")
        assert allows(lab, "192.168.0.9")
        assert not allows(lab, "10.9.0.9")


def test_where_iptables_drops_what_it_does_not_know_the_time_gets_through(lab: Laboratory) -> None:
    usable(lab, "iptables-nft")
    with chrony(lab):
        sh(lab, "iptables-nft -P INPUT DROP; iptables-nft -A INPUT -i lo -j ACCEPT; iptables-nft -P OUTPUT ACCEPT")
        apply(lab)
        await_nodes(lab)
        assert asked(lab, GATEWAY, "compute1") == "stratum 10"


# Killed at every moment


@pytest.fixture(scope="module")
def clocked(lab_possible: None) -> Iterator[Machine]:
    held = Machine()
    with chrony(held.lab):
        prepare(held.lab)
        held.before = whole(held.lab)
        yield held
        assert held.left() == []
    held.drop()


@pytest.mark.parametrize("strike", [kill_engine, kill_tree], ids=["engine", "everything"])
def test_a_killed_apply_leaves_chrony_whole_or_as_it_was(clocked: Machine, strike: Any) -> None:
    lab = clocked.lab
    found = [m.partition(":")[2] for m in moments(lab, *APPLY) if m.startswith("before:")]
    assert ciao_fast(lab, "reset", "--yes", "--forget-leases").returncode == 0
    steps = [step for step in found if step.startswith("time:") or step == f"file:{CHRONY_DROP_IN}"]
    assert len(steps) == 2
    places = [f"{when}:{step}" for step in steps for when in ("noted", "did")]
    last = [f"did:{step}" for step in found[-1:]]
    for place in [*places, *last]:
        assert strike_all(lab, clocked.before, [place], strike) == {}
        assert alive(lab, "chronyd")
        assert not is_open(lab), place


def test_a_killed_reset_is_gone_on_with(clocked: Machine) -> None:
    lab = clocked.lab
    for place in (f"undo:file:{CHRONY_DROP_IN}", "undo:time:chrony", "undone:time:chrony"):
        assert ciao_fast(lab, *APPLY).returncode == 0
        assert strike_all(lab, clocked.before, [place], kill_tree, ("reset", "--yes", "--forget-leases")) == {}, place
        assert not is_open(lab), place


def test_a_server_that_does_not_restart_holds_nothing_up(clocked: Machine) -> None:
    lab = clocked.lab
    assert ciao_fast(lab, *APPLY).returncode == 0
    sh(lab, ": >/run/ciao-lab/broken")
    done = ciao_fast(lab, "reset", "--yes", "--forget-leases")
    sh(lab, "rm /run/ciao-lab/broken")
    assert done.returncode == 1
    assert "chrony does not read its files again" in done.stderr
    assert "systemctl status chrony.service" in done.stderr
    lab.run(["/etc/init.d/chrony", "restart"])
    lab.wait_for(lambda: alive(lab, "chronyd") and not is_open(lab), what="chrony by its own files")
    assert clocked.left() == []


def test_without_a_journal_a_reset_closes_it_by_the_name_of_our_file(lab: Laboratory) -> None:
    with chrony(lab):
        apply(lab)
        sh(lab, "rm /var/lib/ciao-wizard/journal")
        done = ciao(lab, "reset", "--yes", "--forget-leases")
        assert done.returncode == 1
        assert CHRONY_DROP_IN in done.stderr
        lab.wait_for(lambda: alive(lab, "chronyd") and not is_open(lab), what="a chrony that is closed")
        assert not there(lab, CHRONY_DROP_IN)
