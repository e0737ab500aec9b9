"""/etc/network/interfaces: our change of its text, what ifupdown makes of that, and the way back to the byte."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.needs import need
from wizard.host.net.managers.ifupdown import interfaces_file
from wizard.host.net.managers.ifupdown.interfaces_change import interfaces_wanted
from wizard.host.net.managers.ifupdown.interfaces_file import edited, edited_again, reads_ours, restored
from wizard.host.net.managers.ifupdown.main_file import main_file_bytes, read_main_file, write_main_file
from wizard.plan import paths
from wizard.plan.findings import WizardError

SOURCE = f"source {paths.INTERFACES_FILE}"
IFQUERY = shutil.which("ifquery", path="/usr/sbin:/sbin:/usr/bin")
needs_ifquery = pytest.mark.usefixtures("ifupdown")


@pytest.fixture(scope="module")
def ifupdown() -> None:
    need("ifup")


LO = "auto lo\niface lo inet loopback\n"
TEXTS = {
    "missing or empty": "",
    "loopback alone": LO,
    "no newline at the end": LO.rstrip("\n"),
    "many newlines at the end": LO + "\n\n\n",
    "source line": f"source interfaces.d/*\n{LO}",
    "own stanza": LO + "auto eth1\niface eth1 inet dhcp\n    metric 7\n# a comment\n\n    mtu 9000\n",
    "tabs": LO + "\tauto\teth0\teth1\nallow-hotplug\teth1\n\tiface\teth1\tinet\tmanual\n\t\tmtu\t9000\n",
    "several names": "auto eth0 eth1 lo\niface lo inet loopback\niface eth0 inet dhcp\niface eth1 inet dhcp\n",
    "several names, and the file ends there": LO + "iface eth0 inet dhcp\nauto lo eth0 eth1",
    "our name twice": LO + "auto eth1 eth1\niface eth1 inet manual\n",
    "hotplug": LO + "allow-hotplug eth1\niface eth1 inet dhcp\n",
    "names over two lines": LO + "iface eth0 inet dhcp\n  auto lo \\\n   eth1 \\\n  eth0\niface eth1 inet manual\n",
    "an option over two lines": LO
    + "iface eth1 inet manual\n up echo a \\\n  iface b\n down true\niface eth0 inet dhcp\n",
    "a comment that ends in a backslash": "# c \\\niface eth1 inet dhcp\n# d \\\n" + LO,
    "a blank line continued": LO + "iface eth1 inet manual\n  up a \\\n\niface eth0 inet dhcp\n",
    "the end goes on": LO + "iface eth0 inet dhcp\n up echo \\\n",
    "the end goes on, without a newline": LO + "iface eth0 inet dhcp\n up echo \\",
    "mapping": LO + "mapping eth0*\n  script /bin/true\n  map a b\niface eth1 inet manual\n",
    "carriage returns": (LO + "auto eth0 eth1\niface eth0 inet dhcp\n up a \\\niface eth1 inet dhcp\n").replace(
        "\n", "\r\n"
    ),
    "latin-1": b"# B\xfcro\n".decode("utf-8", "surrogateescape") + LO + "iface eth1 inet manual\n",
    "signs that python takes for line ends": LO
    + "iface eth1 inet manual\n up echo a\x0b\x0cb\x1c\x85\u2028auto eth1\n",
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An /etc/network and a /run/ciao-wizard of our own."""
    (tmp_path / "interfaces.d").mkdir()
    monkeypatch.setattr(paths, "INTERFACES_MAIN", str(tmp_path / "interfaces"))
    monkeypatch.setattr(paths, "INTERFACES_FILE", str(tmp_path / "interfaces.d" / "ciao-cluster"))
    monkeypatch.setattr(interfaces_file, "SOURCE_LINE", f"source {paths.INTERFACES_FILE}")
    monkeypatch.setattr(paths, "RUN", str(tmp_path / "run"))
    yield tmp_path
    assert not (tmp_path / "run").exists(), "a temporary file stayed"


def ifquery(file: Path, *words: str) -> str:
    assert IFQUERY is not None
    done = subprocess.run([IFQUERY, "-i", str(file), *words], capture_output=True, timeout=20, check=False)
    # `auto` for an interface without a stanza is told, and no harm.
    assert done.returncode == 0 or all(b"unknown interface" in line for line in done.stderr.splitlines()), done.stderr
    return done.stdout.decode("utf-8", "replace")


@pytest.mark.parametrize("case", TEXTS)
def test_it_goes_back_to_the_byte(case: str) -> None:
    text = TEXTS[case]
    changed = edited(text, "eth1")
    assert restored(changed) == text
    assert edited_again(changed, "eth1") == changed
    assert restored(edited_again(changed, "eth0")) == text


@given(st.lists(st.sampled_from([*"\\#\n\n\n \t\r", "auto", "iface", "eth1", "eth0", " inet", "mtu 9", "source"])))
def test_whatever_stands_there_goes_back_to_the_byte(words: list[str]) -> None:
    text = "".join(words)
    changed = edited(text, "eth1")
    assert restored(changed) == text
    assert edited_again(changed, "eth1") == changed
    assert reads_ours(changed)


@needs_ifquery
@pytest.mark.parametrize("case", TEXTS)
def test_ifupdown_reads_the_others_as_before_and_ours_alone(machine: Path, case: str) -> None:
    file = Path(paths.INTERFACES_MAIN)
    text = TEXTS[case]
    file.write_bytes(main_file_bytes(text))
    stanza = f"auto eth1\niface eth1 inet static\n  address 10.1.1.{len(case)}/24\n"
    names = [name for name in interfaces_file.ifaces(text) if name != "eth1"]
    before = [ifquery(file, "--no-mappings", name) for name in names]
    raised = set(ifquery(file, "--list").split())
    main = interfaces_wanted("eth1")[0]
    assert main.now == text
    write_main_file(main.wanted)
    Path(paths.INTERFACES_FILE).write_text(stanza, encoding="utf-8")
    assert [ifquery(file, "--no-mappings", name) for name in names] == before
    assert set(ifquery(file, "--list").split()) - {"eth1"} == raised - {"eth1"}
    assert ifquery(file, "--no-mappings", "eth1").count("address:") == 1
    assert f"10.1.1.{len(case)}\n" in ifquery(file, "--no-mappings", "eth1")
    assert "metric" not in ifquery(file, "--no-mappings", "eth1")
    write_main_file(restored(read_main_file() or ""))
    assert file.read_bytes() == main_file_bytes(text)


def test_a_logical_line_is_commented_out_as_one() -> None:
    changed = edited("iface eth1 inet manual\n up echo a \\\n  iface b\n down true\niface eth0 inet dhcp\n", "eth1")
    mark = "# ciao-wizard: "
    assert changed.startswith(
        f"{mark}iface eth1 inet manual\n{mark} up echo a \\\n{mark}  iface b\n{mark} down true\niface eth0 inet dhcp\n"
    )


def test_of_several_names_ours_alone_goes() -> None:
    assert "\nauto eth0 lo\n" in edited("auto eth0 eth1 lo\n", "eth1")
    assert "\n\tallow-hotplug eth0\r\n" in edited("\tallow-hotplug eth1 eth0\r\n", "eth1")
    assert "mapping eth*\n script x\n" in edited("mapping eth*\n script x\n", "eth1")


COVERED = [
    "source /etc/network/interfaces.d/*",
    "source interfaces.d/*",
    "\tsource\tinterfaces.d/*\r",
    "source interfaces.d/ciao-*",
    "source /etc/network/*.d/[!x]iao-cluster",
    "source interfaces.d/\\\n*",
    "source /etc/network/interfaces.d/ciao-cluster",
    "source-directory interfaces.d",
    "source-directory /etc/network/interfaces.d/",
    "source other /etc/network/interfaces.d/*",
]
NOT_COVERED = [
    "source /etc/network/interfaces.d/*.cfg",
    "source /etc/network/*",
    "source /etc/network/interfaces.d",
    "source interfaces.d/",
    "source-directory /etc/network",
    "source-directory interfaces.d/*",
    "source other interfaces.d/*",
    "# source interfaces.d/*",
    "iface eth0 inet manual\n up a \\\nsource interfaces.d/*",
]


@pytest.mark.parametrize("line", COVERED)
def test_a_line_that_reads_our_file_is_enough(line: str) -> None:
    assert edited(f"{line}\n", "eth1") == f"{line}\n"


@pytest.mark.parametrize("line", NOT_COVERED)
def test_else_our_file_alone_is_read(line: str) -> None:
    changed = edited(f"{line}\n", "eth1")
    assert changed.startswith(f"{line}\n")
    assert changed.endswith(f"\n{SOURCE}\n")


@needs_ifquery
@pytest.mark.parametrize(("lines", "reads"), [(COVERED, True), (NOT_COVERED, False)])
def test_ifupdown_agrees_on_what_is_read(machine: Path, lines: list[str], reads: bool) -> None:
    Path(paths.INTERFACES_FILE).write_text("auto eth1\niface eth1 inet manual\n", encoding="utf-8")
    for line in lines:
        Path(paths.INTERFACES_MAIN).write_text(line.replace("/etc/network", str(machine)) + "\n", encoding="utf-8")
        assert ("eth1" in ifquery(Path(paths.INTERFACES_MAIN), "--list").split()) is reads, line


@needs_ifquery
def test_parked_files_of_others_stay_parked(machine: Path) -> None:
    (machine / "interfaces.d" / "parked").write_text("auto eth7\niface eth7 inet manual\n", encoding="utf-8")
    Path(paths.INTERFACES_MAIN).write_text(LO, encoding="utf-8")
    write_main_file(interfaces_wanted("eth1")[0].wanted)
    Path(paths.INTERFACES_FILE).write_text("auto eth1\niface eth1 inet manual\n", encoding="utf-8")
    assert ifquery(Path(paths.INTERFACES_MAIN), "--list").split() == ["lo", "eth1"]


def test_what_was_put_around_ours_stays() -> None:
    for text in TEXTS.values():
        changed = edited(text, "eth1")
        assert restored(f"{changed}\niface wlan0 inet dhcp\n").endswith("\niface wlan0 inet dhcp\n")
        assert restored(f"# mine\n{changed}").startswith("# mine\n")
        assert "ciao" not in restored(f"# mine\n{changed}iface wlan0 inet dhcp")
        if changed != text:
            # Where it is right already nothing moves.
            assert edited_again(f"{changed}# more\n", "eth1") == f"{changed}# more\n"


def test_a_source_line_of_theirs_takes_the_place_of_ours() -> None:
    changed = edited(LO, "eth1") + "source interfaces.d/*\n"
    assert edited_again(changed, "eth1") == LO + "source interfaces.d/*\n"


@pytest.mark.parametrize("text", ["", "iface eth0 inet dhcp\n\n", "iface eth0 inet dhcp"])
def test_lines_before_ours_are_not_glued_to_what_follows(text: str) -> None:
    changed = edited(text, "eth1").replace("# added", "# mine\n# added", 1) + "iface wlan0 inet dhcp\n"
    assert restored(changed).endswith("# mine\niface wlan0 inet dhcp\n")


HEIR = "iface eth1 inet manual\n mtu 9000\niface vlan3 inet manual \\\n inherits eth1\n"


def refusal(text: str) -> WizardError:
    Path(paths.INTERFACES_MAIN).write_bytes(main_file_bytes(text))
    with pytest.raises(WizardError) as caught:
        interfaces_wanted("eth1")
    assert Path(paths.INTERFACES_MAIN).read_bytes() == main_file_bytes(text)
    assert str(Path(paths.INTERFACES_MAIN).parent) in caught.value.message
    assert caught.value.remedy
    return caught.value


def test_it_is_refused_to_leave_an_heir_with_nothing(machine: Path) -> None:
    assert "has vlan3 inherit from the stanza of eth1" in refusal(HEIR).message


@needs_ifquery
def test_an_heir_in_another_file_is_left_with_nothing_as_well(machine: Path) -> None:
    (machine / "interfaces.d" / "heir").write_text("iface vlan3 inet manual inherits eth1\n", encoding="utf-8")
    refused = refusal("iface eth1 inet manual\nsource interfaces.d/*\n")
    assert "interfaces.d/heir:1 has vlan3 inherit" in refused.message


@needs_ifquery
def test_a_file_that_ifupdown_cannot_read_is_left_alone(machine: Path) -> None:
    error = refusal(LO + "iface eth0 inet dhcp\n  bogus\n")
    assert f"{paths.INTERFACES_MAIN}:4: option with empty value" in error.message
    assert "as it is" in error.message


@needs_ifquery
def test_a_name_to_raise_without_a_stanza_hinders_nobody(machine: Path) -> None:
    Path(paths.INTERFACES_MAIN).write_text("auto wlan0 eth1\niface eth1 inet dhcp\n", encoding="utf-8")
    assert "\nauto wlan0\n" in interfaces_wanted("eth1")[0].wanted


@needs_ifquery
@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [
        ("iface eth0 inet dhcp\n", "change auto for others"),
        ("auto eth0\niface eth0 inet dhcp\n metric 9\n", "iface eth0"),
        ("auto eth0\niface eth0 inet dhcp\nallow-hotplug eth0\n", "allow-hotplug"),
        ("auto eth0\n mtu 9\n", "misplaced option"),
    ],
)
def test_a_change_for_others_is_refused(
    machine: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str, reason: str
) -> None:
    """Whatever mistake of ours would bring it about."""
    monkeypatch.setattr(interfaces_file, "edited_again", lambda *_: spoilt)
    assert reason in refusal("auto eth0\niface eth0 inet dhcp\n").message


@needs_ifquery
def test_another_nic_than_before(machine: Path) -> None:
    text = LO + "auto eth0 eth1 eth2\niface eth0 inet dhcp\niface eth1 inet manual\niface eth2 inet manual\n"
    Path(paths.INTERFACES_MAIN).write_text(text, encoding="utf-8")
    write_main_file(interfaces_wanted("eth1")[0].wanted)
    Path(paths.INTERFACES_FILE).write_text(
        "auto eth1\niface eth1 inet static\n  address 10.1.1.1/24\n", encoding="utf-8"
    )
    wanted = interfaces_wanted("eth2")[0].wanted
    assert "\nauto eth0 eth1\n" in wanted
    assert "\niface eth1 inet manual\n" in wanted
    assert restored(wanted) == text


def test_mode_and_owner_stay(machine: Path) -> None:
    main = Path(paths.INTERFACES_MAIN)
    main.write_text(LO, encoding="utf-8")
    main.chmod(0o640)
    write_main_file(edited(LO, "eth1"))
    assert main.stat().st_mode & 0o7777 == 0o640
