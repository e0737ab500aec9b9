"""The seeds of a node: golden files under snapshots/seeds/, what their own readers say of them, and templates of a
person's own.

After a wanted change: script/test tests/unit/plan/test_seeds.py --snapshot-update, and read the difference.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from netaddr import EUI

from tests.needs import need
from wizard.plan.images import BootUrls, Image, ImageKind, SeedForm
from wizard.plan.model import Plan
from wizard.plan.seed_fields import Answers
from wizard.plan.seeds import (
    KNOWN,
    OwnTemplate,
    TemplateWrong,
    main_seed,
    render_seeds,
    variables,
)

GOLDEN = Path(__file__).parents[3] / "snapshots" / "seeds"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxRkm0q8u2uLGyIpVSWhVYpVtV4b0pZ1vS8o0Q8mJwG me@laptop"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOmWd1vCq9Z5Zf0Gm3wI0sPn2yq7aJc3kTt0s1q1m0mP"
PLAIN = Answers((KEY,))
FULL = Answers(
    (KEY, OTHER_KEY),
    user="admin1",
    time_servers=("192.168.0.200", "ntp.corp.example"),
    proxy="http://proxy.corp.example:3128/",
    disk="/dev/nvme0n1",
)
ANSWERS = {"plain": PLAIN, "full": FULL}
IMAGES = {
    SeedForm.PRESEED: Image("debian", ImageKind.DEBIAN),
    SeedForm.AUTOINSTALL: Image("ubuntu", ImageKind.UBUNTU),
    SeedForm.NOCLOUD: Image("cloud", ImageKind.CUSTOM, seed=SeedForm.NOCLOUD),
    SeedForm.TALOS: Image("talos", ImageKind.TALOS),
    SeedForm.IGNITION: Image("coreos", ImageKind.CUSTOM, seed=SeedForm.IGNITION),
}


def seeds(plan: Plan, form: SeedForm, answers: Answers = PLAIN, own: OwnTemplate | None = None) -> dict[str, str]:
    urls = BootUrls(plan.network.gateway)
    rendered = render_seeds(plan, plan.nodes[0], IMAGES[form], answers, urls, own)
    return {seed.name: seed.text for seed in rendered}


@pytest.mark.parametrize("form", IMAGES)
@pytest.mark.parametrize("given", ANSWERS)
def test_golden_files(plan: Plan, form: SeedForm, given: str, request: pytest.FixtureRequest) -> None:
    made = seeds(plan, form, ANSWERS[given])
    home = GOLDEN / f"{form}-{given}"
    if request.config.option.update_snapshots:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for name, text in made.items():
            (home / name).write_text(text, encoding="utf-8")
    assert made == {path.name: path.read_text(encoding="utf-8") for path in home.iterdir()}
    assert main_seed(form) in made or form is SeedForm.TALOS


def test_an_image_without_a_seed_has_none(plan: Plan) -> None:
    urls = BootUrls(plan.network.gateway)
    assert render_seeds(plan, plan.nodes[0], Image("x", ImageKind.CUSTOM), PLAIN, urls) == ()
    assert main_seed(SeedForm.NONE) == ""


@pytest.mark.parametrize("form", IMAGES)
@pytest.mark.parametrize("given", ANSWERS)
def test_each_says_who_wrote_it_and_holds_what_was_answered(plan: Plan, form: SeedForm, given: str) -> None:
    made, answers = seeds(plan, form, ANSWERS[given]), ANSWERS[given]
    whole = unquote("\n".join(made.values()))
    assert "written by ciao-wizard" in whole
    assert plan.nodes[0].name in whole
    assert all(server in whole for server in answers.time_servers)
    assert answers.proxy in whole
    if form is not SeedForm.TALOS:
        assert all(key in whole for key in answers.ssh_keys)
        assert answers.user in whole
        assert "http://192.168.0.200:8069/report/b8-ae-ed-7b-51-50" in whole
    assert "None" not in whole
    assert "{{" not in whole


def test_nobody_has_a_password(plan: Plan) -> None:
    assert "d-i passwd/user-password-crypted password !\n" in seeds(plan, SeedForm.PRESEED)["preseed.cfg"]
    installed = yaml.safe_load(seeds(plan, SeedForm.AUTOINSTALL)["user-data"])["autoinstall"]
    cloud = yaml.safe_load(seeds(plan, SeedForm.NOCLOUD)["user-data"])
    for user in (*installed["user-data"]["users"], *cloud["users"]):
        assert user["lock_passwd"] is True
        assert "passwd" not in user
    assert installed["ssh"]["allow-pw"] is False


# --- By their own readers.


def long_lines(text: str) -> dict[str, str]:
    """Each question of a preseed and its value, with the lines joined that a backslash continues."""
    joined = re.sub(r"\\\n\s*", "", text)
    rows = [line.split(None, 3) for line in joined.splitlines() if line and not line.startswith("#")]
    return {row[1]: row[3] if len(row) > 3 else "" for row in rows}


@pytest.mark.parametrize("given", ANSWERS)
def test_debconf_reads_the_preseed(plan: Plan, given: str, tmp_path: Path) -> None:
    need("debconf-set-selections")
    file = tmp_path / "preseed.cfg"
    file.write_text(seeds(plan, SeedForm.PRESEED, ANSWERS[given])["preseed.cfg"])
    done = subprocess.run(["debconf-set-selections", "--checkonly", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("given", ANSWERS)
@pytest.mark.parametrize("question", ["preseed/late_command", "partman/early_command"])
def test_the_scripts_of_the_preseed_are_scripts(plan: Plan, given: str, question: str) -> None:
    script = long_lines(seeds(plan, SeedForm.PRESEED, ANSWERS[given])["preseed.cfg"]).get(question)
    if script is None:
        assert (question, given) == ("partman/early_command", "full")
        return
    need("busybox")
    done = subprocess.run(["busybox", "sh", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "#" not in script.replace("${disk#/dev/}", "")


def programs(place: Path, **scripts: str) -> dict[str, str]:
    """An environment in which the installer's own programs are these scripts."""
    directory = place / "bin"
    directory.mkdir()
    for name, script in scripts.items():
        (directory / name).write_text(f"#!/bin/sh\n{script}\n")
        (directory / name).chmod(0o755)
    return {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}


def test_the_late_command_writes_the_keys_and_reports(plan: Plan, tmp_path: Path) -> None:
    """It is run here with a root, programs and a wget of its own."""
    need("busybox")
    script = long_lines(seeds(plan, SeedForm.PRESEED, FULL)["preseed.cfg"])["preseed/late_command"]
    target = tmp_path / "target"
    for directory in ("home/admin1/.ssh", "etc/sudoers.d"):
        (target / directory).mkdir(parents=True)
    script = script.replace("/target", str(target))
    tools = programs(tmp_path, **{"in-target": f'echo "$@" >>{tmp_path}/in-target'})
    wget = f'wget() {{ echo "$@" >>{tmp_path}/wget; }}\n'
    subprocess.run(["busybox", "sh", "-c", wget + script], env=tools, check=True, timeout=30)

    assert (target / "home/admin1/.ssh/authorized_keys").read_text() == f"{KEY}\n{OTHER_KEY}\n"
    assert (target / "etc/sudoers.d/ciao-wizard").read_text() == "admin1 ALL=(ALL) NOPASSWD: ALL\n"
    clock = (target / "etc/systemd/timesyncd.conf.d/ciao-wizard.conf").read_text()
    assert clock == "[Time]\nNTP=192.168.0.200 ntp.corp.example\n"
    report = "http://192.168.0.200:8069/report/b8-ae-ed-7b-51-50"
    assert (tmp_path / "wget").read_text() == f"-q -O /dev/null {report}\n"
    assert "chmod 600 /home/admin1/.ssh/authorized_keys\n" in (tmp_path / "in-target").read_text()


@pytest.mark.parametrize(
    ("disks", "expected"),
    [
        ({"sda": ("1", "/devices/pci0/ata1/sda"), "sdb": ("0", "/devices/pci0/ata2/sdb")}, "/dev/sdb"),
        ({"sda": ("0", "/devices/pci0/usb1/1-1/sda"), "nvme0n1": ("0", "/devices/pci0/nvme")}, "/dev/nvme0n1"),
        ({"sda": ("0", "/devices/pci0/usb1/1-1/sda")}, ""),
    ],
)
def test_sticks_and_cards_are_not_installed_on(
    plan: Plan, disks: dict[str, tuple[str, str]], expected: str, tmp_path: Path
) -> None:
    need("busybox")
    script = long_lines(seeds(plan, SeedForm.PRESEED)["preseed.cfg"])["partman/early_command"]
    (tmp_path / "block").mkdir()
    for name, (removable, device) in disks.items():
        place = tmp_path / device[1:]
        place.mkdir(parents=True)
        (place / "removable").write_text(f"{removable}\n")
        (tmp_path / "block" / name).symlink_to(place)
    names = " ".join(f"/dev/{name}" for name in disks)
    tools = programs(tmp_path, **{"list-devices": f"echo {names}", "debconf-set": 'echo "$@"'})
    done = subprocess.run(
        ["busybox", "sh", "-c", script.replace("/sys/block", f"{tmp_path}/block")],
        env=tools,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    said = f"partman-auto/disk {expected}\ngrub-installer/bootdev {expected}\n" if expected else ""
    assert done.stdout == said


@pytest.mark.parametrize("given", ANSWERS)
def test_yaml_reads_what_is_yaml(plan: Plan, given: str) -> None:
    answers = ANSWERS[given]
    install = seeds(plan, SeedForm.AUTOINSTALL, answers)
    user_data = yaml.safe_load(install["user-data"])["autoinstall"]
    assert user_data["user-data"]["users"][0]["ssh_authorized_keys"] == list(answers.ssh_keys)
    assert user_data.get("proxy", "") == answers.proxy
    match = {"path": answers.disk} if answers.disk else {"size": "largest"}
    assert user_data["storage"]["layout"] == {"name": "direct", "match": match}
    cloud = seeds(plan, SeedForm.NOCLOUD, answers)
    assert yaml.safe_load(cloud["user-data"]).get("ntp", {}).get("servers", []) == list(answers.time_servers)
    for made in (install, cloud):
        assert made["user-data"].startswith("#cloud-config\n")
        assert yaml.safe_load(made["meta-data"]) == {
            "instance-id": "controller-b8-ae-ed-7b-51-50",
            "local-hostname": "controller",
        }
        assert yaml.safe_load(made["vendor-data"]) == {}
    patch = yaml.safe_load(seeds(plan, SeedForm.TALOS, answers)["patch.yaml"])["machine"]
    assert patch["network"] == {"hostname": "controller"}
    assert patch.get("time", {}).get("servers", []) == list(answers.time_servers)


@pytest.mark.parametrize("given", ANSWERS)
def test_cloud_init_reads_its_configuration(plan: Plan, given: str, tmp_path: Path) -> None:
    if shutil.which("cloud-init") is None:
        pytest.skip("cloud-init is not here; it is nothing to install on a machine that is not in a cloud")
    made = seeds(plan, SeedForm.NOCLOUD, ANSWERS[given])
    inner = yaml.safe_load(seeds(plan, SeedForm.AUTOINSTALL, ANSWERS[given])["user-data"])["autoinstall"]["user-data"]
    for number, text in enumerate([made["user-data"], made["vendor-data"], "#cloud-config\n" + yaml.safe_dump(inner)]):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        done = subprocess.run(["cloud-init", "schema", "-c", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


MODES = {"/etc/hostname": 0o644, "/etc/sudoers.d/ciao-wizard": 0o440}


@pytest.mark.parametrize("given", ANSWERS)
def test_ignition_is_that_of_its_specification(plan: Plan, given: str) -> None:
    """The keys that we use, as the specification 3.4.0 of coreos/ignition has them."""
    answers = ANSWERS[given]
    data = json.loads(seeds(plan, SeedForm.IGNITION, answers)["config.ign"])
    assert data["ignition"]["version"] == "3.4.0"
    assert set(data) <= {"ignition", "passwd", "storage", "systemd"}
    assert data["passwd"]["users"] == [{"name": answers.user, "sshAuthorizedKeys": list(answers.ssh_keys)}]
    files = {file["path"]: file for file in data["storage"]["files"]}
    assert {path: files[path]["mode"] for path in MODES} == MODES
    assert len(files) == len(MODES) + (2 if given == "full" else 0)
    for file in files.values():
        assert set(file) <= {"path", "mode", "overwrite", "contents"}
        assert file["contents"]["source"].startswith("data:,")
    assert unquote(files["/etc/hostname"]["contents"]["source"]) == "data:,controller\n"
    (unit,) = data["systemd"]["units"]
    assert unit["enabled"] is True
    assert "WantedBy=multi-user.target" in unit["contents"]


@pytest.mark.parametrize("given", ANSWERS)
def test_ignitions_own_validator_takes_it(plan: Plan, given: str, tmp_path: Path) -> None:
    validator = shutil.which("ignition-validate")
    if validator is None:
        pytest.skip("ignition-validate is not here: install ignition")
    file = tmp_path / "config.ign"
    text = seeds(plan, SeedForm.IGNITION, ANSWERS[given])["config.ign"]
    # Debian's, 2.14, knows 3.4 as an experiment only.
    for version in ("3.4.0", "3.4.0-experimental"):
        file.write_text(text.replace('"3.4.0"', f'"{version}"'))
        done = subprocess.run([validator, file], capture_output=True, text=True, check=False)
        if "unsupported config version" not in done.stdout + done.stderr:
            break
    assert done.returncode == 0, done.stdout + done.stderr


# --- Templates of a person's own.


def own(text: str, path: str = "/srv/my.cfg") -> OwnTemplate:
    return OwnTemplate(path, text)


@pytest.mark.parametrize(
    ("form", "name", "text"),
    [
        (SeedForm.PRESEED, "preseed.cfg", "d-i netcfg/get_hostname string {{ name }}\n"),
        (SeedForm.AUTOINSTALL, "user-data", "#cloud-config\nautoinstall: {version: 1, x: {{ name | tojson }}}\n"),
        (SeedForm.NOCLOUD, "user-data", "#cloud-config\nhostname: {{ name }}\n"),
        (
            SeedForm.TALOS,
            "config.yaml",
            "version: v1alpha1\nmachine: {network: {hostname: {{ name }}}}\n---\nkind: X\n",
        ),
        (
            SeedForm.IGNITION,
            "config.ign",
            '{"ignition": {"version": "3.4.0"}, "x": {{ ("a b" ~ name) | data_url | tojson }}}',
        ),
    ],
)
def test_it_takes_the_place_of_ours_and_sees_the_node(plan: Plan, form: SeedForm, name: str, text: str) -> None:
    made = seeds(plan, form, own=own(text))
    assert next(iter(made)) == main_seed(form) == name
    assert "controller" in made[name]
    assert "written by ciao-wizard" not in made[name]
    beside = {each: theirs for each, theirs in seeds(plan, form).items() if each != name}
    assert {each: theirs for each, theirs in made.items() if each != name} == beside


def test_what_a_template_can_use_is_what_is_said(plan: Plan) -> None:
    urls = BootUrls(plan.network.gateway)
    given = variables(plan, plan.nodes[0], IMAGES[SeedForm.PRESEED], FULL, urls)
    assert {*given, "report_unit"} == set(KNOWN)
    text = "\n".join(f"{name}={{{{ {name} }}}}" for name in KNOWN)
    made = seeds(plan, SeedForm.PRESEED, FULL, own(text))["preseed.cfg"]
    assert "address=192.168.0.101\nmac=b8:ae:ed:7b:51:50\nroles=['controller']\n" in made


def test_a_node_without_an_address_has_the_one_that_the_plan_gives_it(plan: Plan) -> None:
    bare = replace(plan, nodes=(replace(plan.nodes[0], ip=None), *plan.nodes[1:]))
    made = seeds(bare, SeedForm.PRESEED, own=own("{{ address }}"))["preseed.cfg"]
    assert re.fullmatch(r"192\.168\.0\.\d+", made)


def test_a_node_with_several_nics_is_told_of_the_one_that_it_boots_by(plan: Plan) -> None:
    other = EUI("00:e0:4c:00:00:01")
    node = replace(plan.nodes[0], other_macs=(other,))
    template = own("{{ mac }} {{ seed_url }} {{ report_url }} {{ instance_id }}")
    urls = BootUrls(plan.network.gateway)
    first, second = (
        render_seeds(plan, node, IMAGES[SeedForm.PRESEED], PLAIN, urls, template, mac)[0].text for mac in (None, other)
    )
    base = "http://192.168.0.200:8069"
    # Whichever it boots by, it is the same machine.
    same = "controller-b8-ae-ed-7b-51-50"
    assert first == f"b8:ae:ed:7b:51:50 {base}/seed/b8-ae-ed-7b-51-50/ {base}/report/b8-ae-ed-7b-51-50 {same}"
    assert second == f"00:e0:4c:00:00:01 {base}/seed/00-e0-4c-00-00-01/ {base}/report/00-e0-4c-00-00-01 {same}"


WRONG = [
    ("ok\n{{ nmae }}\n", "/srv/my.cfg, line 2: 'nmae' is undefined"),
    ("ok\nok\n{% if %}", "/srv/my.cfg, line 3: "),
    ("{% for x in y", "/srv/my.cfg, line 1: "),
    ("\n{{ name + 1 }}", "/srv/my.cfg, line 2: "),
    ("\n\n{{ 1 / 0 }}", "/srv/my.cfg, line 3: division by zero"),
    ("{{ none }}", "/srv/my.cfg, line 1: a value is not set"),
    ("{% include '/etc/shadow' %}", "/srv/my.cfg, line 1: it wants the template"),
    ("{% extends 'other' %}", "/srv/my.cfg, line 1: it wants the template"),
    ("{{ ''.__class__.__mro__ }}", "/srv/my.cfg, line 1: "),
    ("{{ name.__class__ }}", "/srv/my.cfg, line 1: "),
    ("{{ self.__init__.__globals__ }}", "/srv/my.cfg, line 1: "),
    ("{{ ssh_keys.append('x') }}", "/srv/my.cfg, line 1: "),
    ("{{ '%s' % open }}", "/srv/my.cfg, line 1: 'open' is undefined"),
    ("{% for a in range(1000000) %}x{% endfor %}", "/srv/my.cfg, line 1: "),
    ("{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}", "larger than 4 MB"),
    ("x" * 1_100_000, "larger than 1 MB"),
    ("{{ '\x1b[31m' ~ }}", "/srv/my.cfg, line 1: "),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text[:30] for text, _ in WRONG])
def test_what_is_wrong_with_a_template_names_file_and_line(plan: Plan, text: str, words: str) -> None:
    with pytest.raises(TemplateWrong) as raised:
        seeds(plan, SeedForm.PRESEED, own=own(text))
    assert words in raised.value.message
    assert raised.value.message.isprintable()
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("form", "text", "words"),
    [
        (SeedForm.AUTOINSTALL, "autoinstall: {}", 'does not begin with the line "#cloud-config"'),
        (SeedForm.AUTOINSTALL, "#cloud-config\nhostname: x\n", 'has no "autoinstall"'),
        (SeedForm.AUTOINSTALL, "#cloud-config\na: 1\nb: [\n", "is no YAML in its line 4"),
        (SeedForm.NOCLOUD, "#cloud-config\n- x\n", "is no mapping"),
        (SeedForm.NOCLOUD, "#cloud-config\na: !!python/object:os.system {}\n", "is no YAML in its line 2"),
        (SeedForm.TALOS, "kind: X\n", 'has no "machine"'),
        (SeedForm.IGNITION, "{\n,}", "is no JSON in its line 2"),
        (SeedForm.IGNITION, "[]", 'has no "ignition"'),
        (SeedForm.IGNITION, "[" * 100_000, "cannot be read"),
        (SeedForm.NOCLOUD, "#cloud-config\n" + "[" * 5000, "cannot be read"),
    ],
)
def test_what_an_installer_could_not_read_is_told_before_it_tries(
    plan: Plan, form: SeedForm, text: str, words: str
) -> None:
    with pytest.raises(TemplateWrong) as raised:
        seeds(plan, form, own=own(text))
    assert "/srv/my.cfg: what it makes for controller " in raised.value.message
    assert words in raised.value.message


@pytest.mark.parametrize("form", IMAGES)
def test_ten_nodes_get_seeds_of_their_own(plan: Plan, form: SeedForm) -> None:
    urls = BootUrls(plan.network.gateway)
    made: list[Any] = [render_seeds(plan, node, IMAGES[form], PLAIN, urls) for node in plan.nodes]
    assert len({text for seed in made for text in [seed[0].text]}) == len(plan.nodes)
