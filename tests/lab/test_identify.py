"""Identify by hand: the kernel's own news of cables and NICs, as the page of the NICs gets them."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from wizard.lab.control import Laboratory

PATIENCE_S = 20
# Tells of every pulse in a line of JSON, until its input ends.
WATCHER = """
import json, sys, threading
from wizard.services.host import HostServices

def tell(pulse):
    rates = {nic: [r[-1].received, r[-1].sent] for nic, r in pulse.rates.items() if r}
    news = [[str(each.what), each.name, each.was] for each in pulse.news]
    print(json.dumps({"news": news, "rates": rates}), flush=True)

stop = threading.Event()
watch = threading.Thread(target=HostServices().watch_nics, args=(stop, tell))
watch.start()
sys.stdin.read()
stop.set()
watch.join(5)
print(json.dumps({"ended": not watch.is_alive()}), flush=True)
"""


class Watcher:
    """What the laptop's watch has told so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.news: list[list[str]] = []
        self.rates: dict[str, list[float]] = {}
        self.ended = False
        self._told: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._told.put(json.loads(line))

    def until(self, condition: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"waited in vain for {what}; told so far: {self.news}"
            try:
                told = self._told.get(timeout=left)
            except queue.Empty:
                continue
            self.news += told.get("news", [])
            self.rates.update(told.get("rates", {}))
            self.ended = told.get("ended", False)

    def hears(self, *news: str) -> None:
        wanted = [*news, ""][:3]
        self.until(lambda: wanted in self.news, f"the news {wanted}")


@contextmanager
def watching(lab: Laboratory) -> Iterator[Watcher]:
    process = lab.popen(
        [sys.executable, "-c", WATCHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        watcher = Watcher(process)
        watcher.until(lambda: watcher.rates, "the first pulse with rates")
        yield watcher
    finally:
        process.kill()
        process.wait()


def test_a_cable_pulled_and_plugged_is_felt_by_its_own_nic_alone(lab: Laboratory) -> None:
    with watching(lab) as watcher:
        lab.run(["ip", "-n", "switch", "link", "set", "laptop-eth1", "down"])
        watcher.hears("pulled", "eth1")
        lab.run(["ip", "-n", "switch", "link", "set", "laptop-eth1", "up"])
        watcher.until(lambda: {"plugged", "moved"} & {what for what, nic, _ in watcher.news if nic == "eth1"}, "a plug")
        assert {nic for _, nic, _ in watcher.news} == {"eth1"}


def test_a_nic_that_is_switched_off_by_hand_is_no_cable(lab: Laboratory) -> None:
    with watching(lab) as watcher:
        lab.run(["ip", "link", "set", "eth1", "down"])
        watcher.hears("switched", "eth1")
        lab.run(["ip", "link", "set", "eth1", "up"])
        watcher.until(lambda: watcher.news.count(["switched", "eth1", ""]) == 2, "both switches")
        assert "pulled" not in {what for what, _, _ in watcher.news}


def test_a_nic_comes_gets_its_name_and_goes(lab: Laboratory) -> None:
    with watching(lab) as watcher:
        lab.run(["ip", "link", "add", "eth7", "type", "veth", "peer", "eth8"])
        watcher.hears("came", "eth7")
        lab.run(["ip", "link", "set", "eth7", "name", "enx00e04c680f12"])
        watcher.hears("renamed", "enx00e04c680f12", "eth7")
        lab.run(["ip", "link", "delete", "enx00e04c680f12"])
        watcher.hears("went", "enx00e04c680f12")


def test_traffic_is_told_and_the_watch_ends_when_it_is_told_to(lab: Laboratory) -> None:
    with watching(lab) as watcher:
        lab.run(["ping", "-q", "-c", "20", "-i", "0.05", "-s", "1400", "10.77.0.1"])
        watcher.until(lambda: min(watcher.rates.get("eth0", [0, 0])) > 10_000, "what went through eth0")
        assert watcher.process.stdin is not None
        watcher.process.stdin.close()
        watcher.until(lambda: watcher.ended, "the end of the watch")
