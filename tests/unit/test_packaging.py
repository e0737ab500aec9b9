"""The wheel, as somebody gets it who has no checkout: built from the sdist, installed elsewhere, run from /."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import wizard

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "ciao.toml"


def offline() -> list[str]:
    """What goes before a command so that it can fetch nothing; empty where nobody may make namespaces."""
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--net"]
    possible = subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0
    return unshare if possible else []


def run(*argv: str | Path, cwd: Path | str = "/") -> str:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON"))}
    done = subprocess.run(
        [*offline(), *map(str, argv)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        cwd=cwd,
        env={**env, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull},
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Built:
    wheel: Path
    sdist: Path
    bin: Path

    def names(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def metadata(self) -> Message:
        with zipfile.ZipFile(self.wheel) as archive:
            name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
            return Parser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both archives, and an environment with the wheel and, from ours, what it depends on."""
    home = tmp_path_factory.mktemp("packaging")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", home, ROOT)
    (wheel,), (sdist,) = home.glob("*.whl"), home.glob("*.tar.gz")
    run(sys.executable, "-m", "venv", "--without-pip", home / "venv")
    python = home / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel)
    # A directory named in a .pth file has its own .pth files ignored, so the checkout stays out.
    there = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (there / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Built(wheel, sdist, home / "venv" / "bin")


def test_a_wheel_of_the_tree_has_what_that_of_the_sdist_has(built: Built, tmp_path: Path) -> None:
    """pip builds it from the tree, where tests lie beside the package."""
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    assert Built(wheel, built.sdist, built.bin).names() == built.names()


def test_wheel_has_all_of_the_package(built: Built) -> None:
    ours = [f for f in (ROOT / "wizard").rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    assert {str(f.relative_to(ROOT)) for f in ours} <= built.names()


@pytest.mark.parametrize("directory", ["templates", "examples"])
def test_wheel_has_what_lies_beside_the_package(built: Built, directory: str) -> None:
    top = ROOT / directory
    wanted = {f"wizard/{directory}/{file.relative_to(top)}" for file in top.rglob("*") if file.is_file()}
    assert wanted
    assert wanted <= built.names()


def test_wheel_has_nothing_else(built: Built) -> None:
    tops = {name.split("/")[0] for name in built.names()}
    assert tops == {"wizard", f"ciao_wizard-{wizard.VERSION}.dist-info"}
    assert not [name for name in built.names() if "__pycache__" in name]


def test_sdist_has_what_the_wheel_is_built_from(built: Built) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "templates/nat.sh", "examples/ciao.toml"} <= names
    assert {"ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "docs/decisions.md"} <= names


def test_metadata(built: Built) -> None:
    told = built.metadata()
    assert (told["Name"], told["Version"]) == ("ciao-wizard", wizard.VERSION)
    assert told["Requires-Python"] == ">=3.11"
    assert told["License-Expression"] == "Apache-2.0"
    assert told.get_all("License-File") == ["LICENSE"]


def test_installed_package_is_not_the_checkout(built: Built) -> None:
    where = run(built.bin / "python", "-c", "import wizard; print(wizard.__file__)").strip()
    assert Path(where).is_relative_to(built.bin.parent)


def test_installed_command_renders_what_the_checkout_renders(built: Built) -> None:
    here = run(sys.executable, "-m", "wizard", "render", "-c", SAMPLE, cwd=ROOT)
    assert "==> /etc/ciao-wizard/nat.sh <==" in here
    assert run(built.bin / "ciao-wizard", "render", "-c", SAMPLE) == here


def test_installed_command_has_the_sample(built: Built) -> None:
    found = run(
        built.bin / "python",
        "-c",
        "from wizard.cli.interactive import sample_plan; print(sample_plan().read_text())",
    )
    assert found == SAMPLE.read_text() + "\n"


def test_installed_command_says_its_version(built: Built) -> None:
    assert run(built.bin / "ciao-wizard", "--version") == f"ciao-wizard {wizard.VERSION}\n"
