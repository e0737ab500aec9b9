"""The file of metrics under the real unit, which may write in few places."""

from __future__ import annotations

import os

import pytest

from tests.boot.computer import EXAMPLE, HASTE, Computer
from tests.boot.wires import wait_for
from wizard.plan.fields import NOT_FOR_THE_GUARD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

UNIT = "ciao-gateway.service"
DIRECTORY = "var/lib/prometheus/node-exporter"
EXPORTER = 65534
"""Who owns that directory, as on Debian it is the exporter's."""


def test_the_guard_writes_the_file_in_every_life_and_takes_it_along(computer: Computer) -> None:
    file = computer.disk / DIRECTORY / "ciao.prom"
    computer.write({**HASTE, f"{DIRECTORY}/apt.prom": "theirs 1\n"})
    computer.write({"etc/plan.toml": f'{EXAMPLE.read_text()}\n[metrics]\ntextfile = "/{DIRECTORY}/ciao.prom"\n'})
    os.chown(file.parent, EXPORTER, EXPORTER)
    file.parent.chmod(0o755)

    def written() -> bool:
        return file.exists() and 'ciao_guard_mode{mode="armed"} 1.0' in file.read_text()

    computer.power_on()
    computer.ciao("apply", "-c", "/etc/plan.toml", "--yes")
    wait_for(written, 60, "the file of metrics")
    assert (file.stat().st_mode & 0o777, file.stat().st_uid) == (0o644, 0)
    assert sorted(path.name for path in file.parent.iterdir()) == ["apt.prom", "ciao.prom"]
    told = {check["name"]: check["ok"] for check in computer.status()["checks"]}
    assert told["metrics"] is True

    computer.run("systemctl", "stop", UNIT)
    assert not file.exists()
    computer.run("systemctl", "start", UNIT)
    wait_for(written, 90, "the file after a start")
    computer.pull_the_plug()
    computer.power_on()
    wait_for(written, 90, "the file after a power cut")
    computer.ciao("reset", "--yes")
    assert sorted(path.name for path in file.parent.iterdir()) == ["apt.prom"]


def test_where_the_plan_lets_it_be_written_the_unit_does(computer: Computer) -> None:
    """Each place, as the guard itself sees it: a file is made there, and is looked for from outside."""
    computer.write(HASTE)
    computer.power_on()
    computer.ciao("apply", "-c", str(EXAMPLE), "--yes")
    guard = computer.run("systemctl", "show", "--property=MainPID", "--value", UNIT).stdout.strip()

    def arrives(directory: str) -> bool:
        name = f"{directory}ciao-try.prom"
        enter = ["nsenter", "--target", guard, "--mount", "--"]
        computer.run(*enter, "touch", name, check=False)
        seen = computer.run("test", "-e", name, check=False).returncode == 0
        computer.run(*enter, "rm", "-f", name, check=False)
        return seen

    for directory in NOT_FOR_THE_GUARD:
        assert not arrives(directory), directory
    for directory in ("/var/lib/", "/srv/", "/opt/", "/etc/", "/run/"):
        assert arrives(directory), directory
