"""Links and directories that somebody put where the wizard keeps what runs: told by their name, and never followed."""

from __future__ import annotations

import pytest

from tests.lab.support import EXAMPLE, apply, ciao, ciao_json, differences, whole
from wizard.lab.control import Laboratory

pytestmark = pytest.mark.lab

RUN = "/run/ciao-wizard"
BEFORE = {
    "nowhere": (f"ln -s /nowhere/x {RUN}", "is not a directory that only root can write to"),
    "a loop": (f"ln -s ciao-wizard {RUN}", "is not a directory that only root can write to"),
    "the lock": (f"mkdir {RUN}; ln -s /etc/passwd {RUN}/lock", f"the lock {RUN}/lock cannot be opened"),
    "what runs": (f"mkdir {RUN}; ln -s /etc {RUN}/live", "is not a directory that only root can write to"),
    "dnsmasq's own": (f"mkdir {RUN}; ln -s /etc {RUN}/dnsmasq", f"{RUN}/dnsmasq is a link"),
}
AFTER = f"""
ln -s serve.loop {RUN}/serve.loop; ln -s /etc/passwd {RUN}/busy.77; ln -s busy.78 {RUN}/busy.78
mkdir {RUN}/dnsmasq/planted; : >{RUN}/dnsmasq/planted/file; ln -s /etc {RUN}/dnsmasq/etc
"""


def test_what_is_planted_before_an_apply_is_refused_and_named(lab: Laboratory) -> None:
    for name, (shell, words) in BEFORE.items():
        lab.run(["sh", "-ec", shell])
        before = whole(lab)
        for argv in (
            ["status"],
            ["check", "-c", str(EXAMPLE)],
            ["apply", "-c", str(EXAMPLE), "--yes"],
            ["reset", "--yes"],
        ):
            done = ciao(lab, *argv, timeout=45)
            said = done.stdout + done.stderr + lab.run(["sh", "-c", f"cat {RUN}/engine.log"], check=False).stdout
            assert "Traceback" not in said, (name, argv, said)
            if argv[0] == "apply":
                assert done.returncode == 1, (name, said)
                assert words in said, name
        changed = [line for line in differences(before, whole(lab)) if RUN not in line]
        assert changed == [], name
        lab.run(["sh", "-ec", f"rm -rf {RUN}"])


def test_what_is_planted_afterwards_keeps_no_reset_from_its_end(lab: Laboratory) -> None:
    before = whole(lab)
    apply(lab)
    lab.run(["sh", "-ec", AFTER])
    assert ciao_json(lab, "status")["state"] == "applied"
    done = ciao(lab, "reset", "--yes", "--forget-leases")
    assert done.returncode == 0, done.stderr
    assert differences(before, whole(lab)) == []
