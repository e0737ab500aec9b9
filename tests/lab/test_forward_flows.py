"""Connections through forwards that change: what could not begin now ends, and nothing else is touched."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.lab.bare_gateway import NODE, bare_gateway, load
from tests.lab.support import HERE, OFFICE
from wizard.lab.control import Laboratory
from wizard.lab.world import COLLEAGUE_ADDRESS

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("helpers")]

OTHER_COLLEAGUE = "10.77.0.51"
KINDS = ("tcp", "udp")


def forward(kind: str, port: str, *more: str) -> str:
    lines = ["[[forwards]]", f"port = {port}", f'to = "{NODE}"', f'protocol = "{kind}"', *more]
    return "\n".join([*lines, ""])


ALL = "\n".join(forward(kind, port) for kind in KINDS for port in ("7000", '"7100-7110"'))


@pytest.fixture(scope="module")
def laptop(lab_possible: None) -> Iterator[Laboratory]:
    with bare_gateway(ALL) as lab, ExitStack() as servers:
        lab.run(["ip", "-n", "colleague", "address", "add", f"{OTHER_COLLEAGUE}/24", "dev", "eth0"])
        for port in (7000, 7105, 7200):
            servers.enter_context(talking(lab, "node", "answer", "node", str(port)))
        yield lab


@contextmanager
def talking(lab: Laboratory, netns: str | None, *argv: str) -> Iterator[subprocess.Popen[str]]:
    process = lab.popen(
        [sys.executable, str(HERE / "talk.py"), *argv], netns=netns, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


TRACKED = """
import sys
from wizard.host.net import conntrack
port = int(sys.argv[1])
print([flow.handle.hex() for flow in conntrack.flows() if flow.forwarded and flow.original.source_port == port])
"""


class Connection:
    """Of somebody in the office to a port of the laptop."""

    def __init__(self, lab: Laboratory, process: subprocess.Popen[str], port: int) -> None:
        self.lab, self.process, self.port = lab, process, port

    def __call__(self) -> str:
        """Ask once more; who answers, "silence" or "ended"."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def entry(self) -> str:
        """The kernel's entry of it. One that was deleted and made again is another."""
        entry = self.lab.run([sys.executable, "-c", TRACKED, str(self.port)]).stdout
        assert entry.count("'") == 2, entry
        return entry


_source_ports = itertools.count(40000)


@contextmanager
def connection(lab: Laboratory, kind: str, port: int, source: str = COLLEAGUE_ADDRESS) -> Iterator[Connection]:
    source_port = next(_source_ports)
    with talking(lab, "colleague", "ask", kind, OFFICE, str(port), source, str(source_port)) as process:
        yield Connection(lab, process, source_port)


@pytest.mark.parametrize("port", [7000, 7105])
@pytest.mark.parametrize("kind", KINDS)
def test_a_forward_that_goes_takes_along_its_connections_alone(laptop: Laboratory, kind: str, port: int) -> None:
    own = forward(kind, "7200")
    load(laptop, ALL + own)
    with connection(laptop, kind, port) as ended, connection(laptop, kind, 7200) as kept:
        assert (ended(), kept()) == ("node", "node")
        entry = kept.entry()
        load(laptop, own)
        assert ended() in ("silence", "ended")
        assert kept() == "node"
        load(laptop, ALL + own)
        assert kept() == "node"
        assert kept.entry() == entry


@pytest.mark.parametrize("port", [7000, 7105])
@pytest.mark.parametrize("kind", KINDS)
def test_who_is_taken_off_the_list_loses_what_runs_and_who_stays_keeps_it(
    laptop: Laboratory, kind: str, port: int
) -> None:
    name = "7000" if port == 7000 else '"7100-7110"'
    load(laptop, forward(kind, name, f'from = ["{COLLEAGUE_ADDRESS}/32", "{OTHER_COLLEAGUE}/32"]'))
    with connection(laptop, kind, port) as ended, connection(laptop, kind, port, OTHER_COLLEAGUE) as kept:
        assert (ended(), kept()) == ("node", "node")
        entry = kept.entry()
        load(laptop, forward(kind, name, f'from = ["{OTHER_COLLEAGUE}/32"]'))
        assert ended() in ("silence", "ended")
        assert kept() == "node"
        assert kept.entry() == entry


@pytest.mark.parametrize("kind", KINDS)
def test_a_forward_for_all_that_becomes_one_for_some(laptop: Laboratory, kind: str) -> None:
    load(laptop, ALL)
    with connection(laptop, kind, 7000) as ended, connection(laptop, kind, 7000, OTHER_COLLEAGUE) as kept:
        assert (ended(), kept()) == ("node", "node")
        load(laptop, forward(kind, "7000", f'from = ["{OTHER_COLLEAGUE}/32"]'))
        assert ended() in ("silence", "ended")
        assert kept() == "node"
        # And for all again: nobody who may is cut off.
        load(laptop, ALL)
        assert kept() == "node"


def test_a_udp_sender_reaches_the_node_that_it_could_not_reach_before(laptop: Laboratory) -> None:
    """Before the forward the laptop itself answered: the kernel remembers that while packets come."""
    load(laptop, "")
    with talking(laptop, None, "answer", "laptop", "7000"), connection(laptop, "udp", 7000) as asking:
        assert asking() == "laptop"
        load(laptop, ALL)
        assert asking() == "node"
        # Not for this one: then it is the laptop's again.
        load(laptop, forward("udp", "7000", f'from = ["{OTHER_COLLEAGUE}/32"]'))
        assert asking() == "laptop"
        load(laptop, forward("udp", "7000", f'from = ["{COLLEAGUE_ADDRESS}/32"]'))
        assert asking() == "node"
        load(laptop, "")
        assert asking() == "laptop"


def test_a_reset_ends_what_runs_through_forwards(laptop: Laboratory) -> None:
    load(laptop, ALL)
    with connection(laptop, "udp", 7000) as udp, connection(laptop, "tcp", 7000) as tcp:
        assert (udp(), tcp()) == ("node", "node")
        removing = "from wizard.host.net import gateway_rules; gateway_rules.remove_everything()"
        laptop.run([sys.executable, "-c", removing])
        try:
            assert udp() in ("silence", "ended")
            assert tcp() in ("silence", "ended")
        finally:
            load(laptop, ALL)
