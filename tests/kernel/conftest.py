"""The tests of this directory run in a virtual machine, under the kernels of Debian's releases.

They are ordinary tests. Outside, pytest does not call them: it starts one machine a kernel, which runs pytest on all of
them, and tells here what is told there. In xdist's loadgroup mode each machine belongs to one worker.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.kernel import machine, packages
from tests.kernel.machine import Machine
from tests.needs import unavailable

HERE = Path(__file__).parent
INSIDE = os.environ.get(machine.VARIABLE)
MACHINES = pytest.StashKey[dict[str, Machine | str]]()
WHY_NOT = pytest.StashKey[tuple[str, bool]]()
"""Why a test could not run: a text, and whether a machine was to be had."""


@pytest.fixture(scope="session", params=[INSIDE] if INSIDE else list(packages.SUITES), autouse=True)
def kernel(request: pytest.FixtureRequest) -> str:
    """The kernel that this test runs under."""
    return str(request.param)


def _is_ours(item: pytest.Item) -> bool:
    return item.path.is_relative_to(HERE)


def _kernel_of(item: pytest.Item) -> str:
    assert isinstance(item, pytest.Function)
    return str(item.callspec.params["kernel"])


def _id_inside(item: pytest.Item) -> str:
    # In loadgroup mode xdist appends the group.
    return item.nodeid.removesuffix(f"@{_kernel_of(item)}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_ours(item) and not INSIDE:
            item.add_marker(pytest.mark.xdist_group(_kernel_of(item)))
            # How long it takes is the machine's business.
            item.add_marker(pytest.mark.timeout(0))


# Outside


def _machine(item: pytest.Item) -> Machine | str:
    """The machine of a test's kernel, started for the first that asks; or why there is none."""
    machines = item.config.stash.setdefault(MACHINES, {})
    name = _kernel_of(item)
    if name not in machines:
        hindrances = [*machine.missing(), *packages.missing()]
        try:
            tests = [_id_inside(other) for other in item.session.items if _is_ours(other) and _kernel_of(other) == name]
            machines[name] = "; ".join(hindrances) or Machine(name, packages.kernel(name), packages.nft(name), tests)
        except RuntimeError as error:
            machines[name] = str(error)
    return machines[name]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    if INSIDE or not _is_ours(item):
        return None
    there = _machine(item)
    if isinstance(there, str):
        item.stash[WHY_NOT] = there, False
        return None
    told = there.wait_for(_id_inside(item))
    if isinstance(told, str):
        item.stash[WHY_NOT] = told, True
        return None
    hook = item.config.hook
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for data in told:
        report = hook.pytest_report_from_serializable(config=item.config, data={**data, "nodeid": item.nodeid})
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What pytest comes to only where the machine told nothing of this test."""
    if INSIDE:
        return
    reason, was_there = item.stash[WHY_NOT]
    if was_there:
        pytest.fail(reason, pytrace=False)
    unavailable(f"no kernel of its own for this test: {reason}")


def pytest_unconfigure(config: pytest.Config) -> None:
    for there in config.stash.get(MACHINES, {}).values():
        if isinstance(there, Machine):
            there.remove()


# Inside


if INSIDE:

    class Reporter:
        def __init__(self, config: pytest.Config) -> None:
            self.config = config

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            data = self.config.hook.pytest_report_to_serializable(config=self.config, report=report)
            with Path(machine.SHARE, machine.REPORTS).open("a") as reports:
                reports.write(json.dumps(data) + "\n")

    def pytest_configure(config: pytest.Config) -> None:
        config.pluginmanager.register(Reporter(config))
