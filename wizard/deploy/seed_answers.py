"""The answers for what is installed: of the plan's `[seeds]`, of the command line, and the keys of whoever asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from wizard.host.person import behind_sudo
from wizard.plan.fields import FieldError, printable
from wizard.plan.findings import WizardError
from wizard.plan.images import SeedAnswers
from wizard.plan.seed_fields import Answers, is_path, parse_proxy, parse_ssh_keys, parse_user

_LARGEST_KEY_FILE = 256 << 10
_REMEDY = "Give the file of a public key, such as ~/.ssh/id_ed25519.pub."


def found_keys() -> tuple[str, ...]:
    """The public keys in the person's ~/.ssh, as paths that a plan may have. Never raises."""
    found = []
    for file in _own_keys():
        try:
            read_keys(str(file))
        except WizardError:
            continue
        found.append(f"~/.ssh/{file.name}")
    return tuple(found)


def read_answers(seeds: SeedAnswers, key_files: Sequence[str] = (), user: str = "", proxy: str = "") -> Answers:
    """`key_files`, `user` and `proxy` come before the plan's; without any key those in ~/.ssh are taken.

    Raises FieldError, and WizardError for a file without a public key.
    """
    if key_files:
        texts = [text for file in key_files for text in read_keys(file)]
    elif seeds.ssh_keys:
        texts = [text for key in seeds.ssh_keys for text in (read_keys(key) if is_path(key) else (key,))]
    else:
        texts = [text for file in found_keys() for text in read_keys(file)]
    answers = Answers(parse_ssh_keys(texts) if texts else ())
    return Answers(
        answers.ssh_keys,
        user=parse_user(user) if user else seeds.user or answers.user,
        proxy=parse_proxy(proxy) if proxy else seeds.proxy,
    )


def unreadable_keys(seeds: SeedAnswers) -> Iterator[tuple[str, str]]:
    """The paths of the plan that give no public key, each with the reason."""
    for path in filter(is_path, seeds.ssh_keys):
        try:
            read_keys(path)
        except WizardError as error:
            yield path, error.message.removeprefix(f"{path}: ")


def read_keys(path: str) -> tuple[str, ...]:
    """The public keys of a file. "~" is whose command it is, behind sudo too. Raises WizardError.

    What is in a file that has none is not shown: it may be anything.
    """
    name = printable(path, 200)
    try:
        file = Path(f"{_home()}{path[1:]}" if path.startswith("~/") else path)
        if not file.is_file():
            raise WizardError(f"{name}: no such file", _REMEDY)
        with file.open("rb") as content:
            text = content.read(_LARGEST_KEY_FILE).decode()
        return parse_ssh_keys([text])
    except OSError as error:
        raise WizardError(f"{name}: {error.strerror}", _REMEDY) from None
    except (FieldError, ValueError):
        raise WizardError(f"{name}: it holds no public key", _REMEDY) from None


def _home() -> str:
    person = behind_sudo()
    return person.home if person else str(Path.home())


def _own_keys() -> list[Path]:
    try:
        files = sorted(Path(_home(), ".ssh").glob("id_*.pub"))
        # A certificate lies beside its key, and is none.
        return [file for file in files if file.is_file() and not file.stem.endswith("-cert")]
    except (OSError, RuntimeError):
        return []
