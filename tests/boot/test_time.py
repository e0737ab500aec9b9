"""Debian's chrony on a booted laptop: installed by the remedy that is named, served to the cluster, given back."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.boot.computer import CONTROLLER, EXAMPLE, HASTE, Computer
from tests.boot.disk import changed, image
from tests.boot.wires import wait_for
from tests.needs import need, unavailable

pytestmark = pytest.mark.timeout(1800)

PLAN = "root/plan.toml"
DROP_IN = "etc/chrony/conf.d/ciao-cluster.conf"
GATEWAY = "192.168.0.200"
FILES = {
    **HASTE,
    PLAN: EXAMPLE.read_text(),
    # No container may set the clock, so the unit would not start in one, and its program must not try.
    "etc/systemd/system/chrony.service.d/lab.conf": "[Unit]\nConditionCapability=\n",
    "etc/default/chrony": 'DAEMON_OPTS="-F 1 -x"\n',
    "etc/apt/sources.list": "deb [trusted=yes] file:/root/packages ./\n",
    "etc/apt/apt.conf.d/lab": 'Dpkg::Options { "--force-confold"; };\nAPT::Sandbox::User "root";\n',
}
# Its own state, and that of apt's.
OTHERS = ("var/lib/ciao-wizard", "var/lib/misc", "var/lib/chrony", "var/lib/systemd", "var/log", "var/cache")


def archive(computer: Computer, place: Path) -> None:
    """The package, where the machine's apt looks for it: it has no network to fetch any from."""
    need("apt-get", "dpkg-deb")
    try:
        subprocess.run(
            ["apt-get", "-qq", "-oAPT::Sandbox::User=root", "download", "chrony"],
            cwd=place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=300,
            check=True,
        )
    except subprocess.SubprocessError as error:
        unavailable(f"no package of chrony: {error}")
    (package,) = place.glob("*.deb")
    about = subprocess.run(["dpkg-deb", "--field", package], capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    entry = f"{about}Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n"
    (place / "Packages").write_text(entry)
    shutil.copytree(place, computer.disk / "root/packages")


def asked(computer: Computer, server: str) -> str:
    """What is heard of a server that is asked from the laptop itself."""
    script = (
        "import sys\nsys.path.insert(0, sys.argv[2])\nfrom wizard.host.ntp.query import NoTime, ask\n"
        "try: print('stratum', ask(sys.argv[1]).stratum)\nexcept NoTime as why: print(why)\n"
    )
    tree = str(Path(__file__).resolve().parents[2])
    return computer.run(sys.executable, "-c", script, server, tree).stdout.strip()


def remedies(computer: Computer) -> dict[str, str]:
    told = computer.ciao("check", "-c", f"/{PLAN}", "--json", check=False).stdout
    return {each["code"]: each["remedy"] for each in json.loads(told) if each["field"] == "network.ntp"}


def main_pid(computer: Computer) -> str:
    return computer.run("systemctl", "show", "--property=MainPID", "--value", "chrony").stdout.strip()


def test_chrony_installed_as_the_remedy_says_serves_the_cluster_and_is_given_back(
    computer: Computer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    computer.write(FILES)
    archive(computer, tmp_path_factory.mktemp("packages"))
    computer.power_on()
    wait_for(lambda: computer.addresses("eth0"), 60, "the laptop's own lease")
    remedy = remedies(computer)["time-unknown"]
    assert remedy == "Run `sudo apt install chrony`, and then `sudo ciao-wizard apply`."
    computer.run("apt-get", "-qq", "update")
    # There is no sudo in here, and root needs none.
    computer.run(*remedy.split("`")[1].removeprefix("sudo ").split())
    assert computer.run("systemctl", "is-active", "chrony").stdout.strip() == "active"
    assert remedies(computer) == {"time": "Nothing to do."}
    before = image(computer.disk)

    def differing() -> list[str]:
        return [path for path in changed(before, image(computer.disk)) if not path.startswith(OTHERS)]

    pid = main_pid(computer)
    computer.ciao("apply", "-c", f"/{PLAN}", "--yes")
    assert main_pid(computer) == pid, "chrony need not be restarted to serve"
    assert asked(computer, GATEWAY) == "stratum 10"
    assert computer.wires.leased("switch") == CONTROLLER
    status = computer.status()
    (said,) = [check for check in status["checks"] if check["name"] == "time"]
    assert "serves the nodes: by its own clock alone" in said["detail"], said
    assert status["healthy"], status
    assert status["drift"] == []

    computer.pull_the_plug()
    computer.power_on()
    computer.await_armed()
    # By its file.
    wait_for(lambda: asked(computer, GATEWAY) == "stratum 10", 30, "chrony after a boot")
    assert computer.status()["drift"] == []

    computer.ciao("reset", "--yes", "--forget-leases")
    assert not (computer.disk / DROP_IN).exists()
    assert "Access denied" in computer.run("chronyc", "accheck", "192.168.0.9", check=False).stdout
    assert "7F7F0101" not in computer.run("chronyc", "-c", "tracking").stdout
    assert computer.run("systemctl", "is-active", "chrony").stdout.strip() == "active"
    assert computer.failed_units() == []
    assert differing() == []
