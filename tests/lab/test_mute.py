"""Whatever the guard waits for: once the cluster's cable is in the office, nobody there is answered by us.

The whole matrix is in tests/soak.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.lab import hindering
from tests.lab.guarding import report
from tests.lab.hindering import Hindrance, make_ready, moved_to_the_office, serve_again
from wizard.lab.control import Laboratory

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("mute")]

HEARD_AT_ONCE_S = 1.0
"""Where it is heard at all, it is in the first tenths."""


@pytest.fixture(scope="module")
def world(lab_possible: None) -> Iterator[Laboratory]:
    with Laboratory() as lab:
        make_ready(lab)
        yield lab


@pytest.mark.parametrize(
    ("hindrance", "after"),
    [(hindering.xtables_lock_held, 0.6), (hindering.nft_slow, 0.3), (hindering.guard_stopped, 0.3)],
    ids=["the xtables lock is held", "nft is slow", "the guard is stopped"],
)
def test_a_cable_in_the_office_is_not_answered(world: Laboratory, hindrance: Hindrance, after: float) -> None:
    serve_again(world)
    office = moved_to_the_office(world, after, hindrance, stays=HEARD_AT_ONCE_S)
    report(f"{office.ours} of our answers in the office, {office.others} of its own")
    assert office.ours == 0


RESUME_MUTED = """
import subprocess, time
from wizard.host import processes
from wizard.host.muter import MuterClient

muter, child = MuterClient(lambda: None), subprocess.Popen(["sleep", "1000"])
try:
    muter.start()
    muter.watch(child)
    deadline = time.monotonic() + 20
    # It watches the rules once it has confirmed that it watches a process.
    while not muter.resume_muted(child, muter.sequence) and time.monotonic() < deadline:
        time.sleep(0.05)
    before = processes.stopped(processes.identify(child.pid))
    subprocess.run(["nft", "flush", "table", "inet", "ciao_gateway"], check=True)
    while not processes.stopped(processes.identify(child.pid)) and time.monotonic() < deadline:
        time.sleep(0.01)
    print(before, processes.stopped(processes.identify(child.pid)))
finally:
    muter.end()
    child.kill()
    child.wait()
"""


def test_what_only_rules_keep_mute_rests_as_soon_as_they_are_taken_away(world: Laboratory) -> None:
    """A dnsmasq that has yet to bind to its NIC, and a guard that waits for something."""
    serve_again(world)
    with hindering.guard_stopped(world):
        said = world.run([sys.executable, "-P", "-c", RESUME_MUTED]).stdout
    assert said == "False True\n"
