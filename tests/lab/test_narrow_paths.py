"""Downloads through a path that takes no packet above 1400 bytes, and that says so to nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import transfers
from tests.lab.bare_gateway import NODE, bare_gateway, serving
from tests.lab.narrow_path import narrow_path, take
from tests.lab.support import OFFICE
from wizard.lab.control import Laboratory
from wizard.lab.world import COLLEAGUE_ADDRESS

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("helpers")]

FORWARD = f"""
[[forwards]]
port = 9100
to = "{NODE}"
"""
WHOLE = len(transfers.CONTENT)


@pytest.fixture(scope="module")
def laptop(lab_possible: None) -> Iterator[Laboratory]:
    with bare_gateway(FORWARD) as lab, narrow_path(lab):
        yield lab


def took(lab: Laboratory, netns: str | None, address: str, port: int) -> int:
    return take(lab, netns, address, port)[0]


def test_a_node_downloads_what_the_laptop_does(laptop: Laboratory) -> None:
    with serving(laptop, "colleague", "give", "9000"):
        assert took(laptop, None, COLLEAGUE_ADDRESS, 9000) == WHOLE
        assert took(laptop, "node", COLLEAGUE_ADDRESS, 9000) == WHOLE


def test_a_colleague_downloads_from_a_node_through_a_forward(laptop: Laboratory) -> None:
    with serving(laptop, "node", "give", "9100"):
        assert took(laptop, "colleague", OFFICE, 9100) == WHOLE


def test_the_path_is_as_narrow_as_that(laptop: Laboratory) -> None:
    """Without the route's word on it nothing large comes, not even to the laptop."""
    route = ["ip", "route", "replace", f"{COLLEAGUE_ADDRESS}/32", "dev", "eth0"]
    laptop.run(route)
    try:
        with serving(laptop, "colleague", "give", "9000"):
            assert took(laptop, None, COLLEAGUE_ADDRESS, 9000) == 0
    finally:
        laptop.run([*route, "mtu", "1400"])
