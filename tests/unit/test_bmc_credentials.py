"""Where a BMC's password comes from: a keyring of the person's, or a file that is theirs or root's alone."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import keyring
import pytest
from keyring.backends import fail
from keyring.errors import KeyringLocked
from netaddr import IPAddress

from tests.file_keyring import VARIABLE, FileKeyring
from wizard.actions import bmc
from wizard.actions.bmc import Credentials
from wizard.plan.file.read import load_plan
from wizard.plan.findings import WizardError

TREE = Path(__file__).parents[2]
NODE = replace(
    load_plan((TREE / "examples" / "ciao.toml").read_text(), "ciao.toml").nodes[0], bmc=IPAddress("192.168.0.151")
)
SECRET = "correct-horse"  # noqa: S105


@pytest.fixture(autouse=True)
def keyring_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    file = tmp_path / "keyring"
    monkeypatch.setenv(VARIABLE, str(file))
    before = keyring.get_keyring()
    keyring.set_keyring(FileKeyring())
    yield file
    keyring.set_keyring(before)


def refused(path: str = "") -> WizardError:
    with pytest.raises(WizardError) as error:
        bmc.credentials_for(NODE, path)
    assert SECRET not in f"{error.value.message}{error.value.remedy}"
    return error.value


def test_a_bmcs_own_entry_goes_before_the_one_for_all() -> None:
    keyring.set_password("ciao-wizard-bmc", "all", "x")
    assert bmc.credentials_for(NODE, "") == Credentials("all", "x")
    keyring.set_password("ciao-wizard-bmc:192.168.0.152", "other", "y")
    assert bmc.credentials_for(NODE, "").user == "all"
    keyring.set_password("ciao-wizard-bmc:192.168.0.151", "admin", SECRET)
    assert bmc.credentials_for(NODE, "") == Credentials("admin", SECRET)
    # Nothing there says that a certificate need not be looked at.
    assert bmc.credentials_for(NODE, "").verify is True


def test_the_command_of_the_remedy_keeps_what_is_found_then() -> None:
    told = refused()
    assert told.message == "the keyring has no ciao-wizard-bmc for 192.168.0.151"
    command, _, rest = told.remedy.partition(". ")
    assert "chmod 600" in rest
    assert "[bmc] credentials" in rest
    argv = command.replace("USER", "admin").split()
    backend = {"PYTHON_KEYRING_BACKEND": "tests.file_keyring.FileKeyring", "PYTHONPATH": str(TREE)}
    subprocess.run([sys.executable, "-m", *argv], input=SECRET, text=True, check=True, env={**os.environ, **backend})
    assert bmc.credentials_for(NODE, "") == Credentials("admin", SECRET)


@pytest.mark.parametrize(("uid", "says"), [(0, "root has no keyring"), (1000, "there is no keyring here")])
def test_where_no_keyring_is_the_file_is_named(uid: int, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.set_keyring(fail.Keyring())
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    told = refused()
    assert says in told.message
    assert NODE.name in told.message
    assert "chmod 600" in told.remedy
    assert '[bmc] credentials = "/etc/ciao-wizard/bmc.toml"' in told.remedy


class Broken(FileKeyring):
    """Fails as a locked keyring does, or as one whose program is gone."""

    error: Exception

    def get_credential(self, service: str, username: str | None) -> None:
        raise self.error


@pytest.mark.parametrize("error", [KeyringLocked(SECRET), RuntimeError(f"\x1b[2J{SECRET}"), OSError(2, SECRET)])
def test_a_keyring_that_fails_is_told_without_its_words(error: Exception) -> None:
    broken = Broken()
    broken.error = error
    keyring.set_keyring(broken)
    told = refused()
    assert type(error).__name__ in told.message
    assert "chmod 600" in told.remedy


def test_an_entry_without_a_password_is_none() -> None:
    keyring.set_password("ciao-wizard-bmc", "admin", "")
    assert "the keyring has no" in refused().message


# The file


def write(file: Path, mode: int = 0o600) -> str:
    file.write_text(f'user = "admin"\npassword = "{SECRET}"\n')
    file.chmod(mode)
    return str(file)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o602, 0o601, 0o666])
def test_a_file_of_a_wider_mode_is_not_read(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "bmc.toml", mode)
    told = refused(path)
    assert path in told.message
    assert told.remedy == f"chmod 600 {path}"
    assert bmc.credentials_for(NODE, write(tmp_path / "bmc.toml", 0o400)) == Credentials("admin", SECRET)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    person, stranger = [entry for entry in pwd.getpwall() if entry.pw_uid][:2]
    path = write(tmp_path / "bmc.toml")
    monkeypatch.setenv("SUDO_UID", str(person.pw_uid))
    monkeypatch.setenv("SUDO_USER", person.pw_name)
    os.chown(path, person.pw_uid, person.pw_gid)
    assert bmc.credentials_for(NODE, path).password == SECRET
    os.chown(path, stranger.pw_uid, stranger.pw_gid)
    told = refused(path)
    assert path in told.message
    assert "belongs to somebody else" in told.message
    assert "chown" in told.remedy
    monkeypatch.delenv("SUDO_UID")
    os.chown(path, person.pw_uid, person.pw_gid)
    assert "belongs to somebody else" in refused(path).message
