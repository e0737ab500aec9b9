"""Whose key, name and proxy machines get: the command line's, else the plan's, else what is in ~/.ssh."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from wizard.deploy.seed_answers import found_keys, read_answers, unreadable_keys
from wizard.plan.findings import WizardError
from wizard.plan.images import SeedAnswers
from wizard.plan.seed_fields import Answers


def key(number: int) -> str:
    name = b"ssh-ed25519"
    return f"ssh-ed25519 {base64.b64encode(len(name).to_bytes(4, 'big') + name + bytes([number]) * 36).decode()}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of somebody with a key, and with a file beside it that is none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id_ed25519.pub").write_text(f"{key(1)} me@laptop\n")
    (tmp_path / ".ssh" / "id_rsa.pub").write_text("secret words\n")
    (tmp_path / "other.pub").write_text(f"{key(2)}\n")
    return tmp_path


def test_a_persons_own_keys_are_found(home: Path) -> None:
    assert found_keys() == ("~/.ssh/id_ed25519.pub",)
    assert read_answers(SeedAnswers()) == Answers((f"{key(1)} me@laptop",))


def test_the_plan_comes_before_them_and_the_command_line_before_both(home: Path) -> None:
    seeds = SeedAnswers("ops", ("~/other.pub", key(3)), "http://proxy:3128/")
    assert read_answers(seeds) == Answers((key(2), key(3)), "ops", proxy="http://proxy:3128/")
    asked = read_answers(seeds, [str(home / ".ssh" / "id_ed25519.pub")], "me", "http://other:1")
    assert asked == Answers((f"{key(1)} me@laptop",), "me", proxy="http://other:1/")


def test_without_any_there_is_none(home: Path) -> None:
    (home / ".ssh" / "id_ed25519.pub").unlink()
    assert read_answers(SeedAnswers()).ssh_keys == ()


@pytest.mark.parametrize("path", ["~/nothing.pub", "~/.ssh/id_rsa.pub", "/proc/self/mem.pub", "~/.ssh"])
def test_a_file_without_a_key_is_refused_and_its_content_not_shown(home: Path, path: str) -> None:
    with pytest.raises(WizardError) as raised:
        read_answers(SeedAnswers(ssh_keys=(path,)))
    assert raised.value.message.startswith(f"{path}: ")
    assert "secret" not in raised.value.message
    ((told, why),) = unreadable_keys(SeedAnswers(ssh_keys=(path, key(1))))
    assert told == path
    assert why in ("no such file", "it holds no public key")
