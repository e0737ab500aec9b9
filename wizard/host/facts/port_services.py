"""The systemd services of programs on ports 53 and 67: what a rule needs to tell whether an apply may stop one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from wizard.host import systemd
from wizard.host.facts.nics import read_sysfs
from wizard.plan import paths
from wizard.plan.machine import Listener, PortService

_PORTS = (53, 67)
_PROPERTIES = (
    "ActiveState",
    "Before",
    "BoundBy",
    "ConsistsOf",
    "ControlGroup",
    "MainPID",
    "PropagatesStopTo",
    "RequiredBy",
    "RequisiteOf",
    "SourcePath",
    "TriggeredBy",
    "UnitFileState",
)
_STOPPED_WITH = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "PropagatesStopTo")
# Enabled by links under /etc, or started by hand alone. "generated" is an init script.
_CAN_BE_DISABLED = ("enabled", "disabled", "indirect", "generated")
_INIT_SCRIPTS = "/etc/init.d/"
_GROUPS = ("sys/fs/cgroup", "sys/fs/cgroup/systemd")


def read_port_services(listeners: Iterable[Listener], root: Path = Path("/")) -> tuple[PortService, ...]:
    """The services of the listeners on ports 53 and 67, except the gateway's; () where systemd does not run.

    Changes nothing and never raises.
    """
    units = {x.unit for x in listeners if x.port in _PORTS and x.unit and x.unit != paths.SERVICE_NAME}
    if not units:
        return ()
    told = systemd.show(sorted(units), _PROPERTIES)
    related = {name for unit in told.values() for key in (*_STOPPED_WITH, "TriggeredBy") for name in unit[key].split()}
    others = systemd.show(sorted(related), ("ActiveState", "UnitFileState", "SourcePath", *_STOPPED_WITH))
    beyond = {name for unit in others.values() for key in _STOPPED_WITH for name in unit[key].split()} - set(others)
    others |= systemd.show(sorted(beyond), ("ActiveState",))
    return tuple(_service(name, about, others, root) for name, about in told.items())


def _service(name: str, about: Mapping[str, str], others: Mapping[str, Mapping[str, str]], root: Path) -> PortService:
    triggers = tuple(about["TriggeredBy"].split())
    states = {name: about, **{trigger: others.get(trigger, {}) for trigger in triggers}}
    stopped = (about, *(others.get(trigger, {}) for trigger in triggers))
    dependents = [
        each
        for state in stopped
        for key in _STOPPED_WITH
        for each in state.get(key, "").split()
        if each not in (name, *triggers)
    ]
    main = int(about["MainPID"]) if about["MainPID"].isdigit() else 0
    only = _only_process(about["ControlGroup"], root)
    if not main and about["SourcePath"].startswith(_INIT_SCRIPTS):
        # systemd does not know which of its processes is the main one.
        main = only
    return PortService(
        name,
        main,
        main == only != 0,
        triggers,
        tuple(unit for unit, state in states.items() if not _can_be_disabled(state)),
        tuple(each for each in dict.fromkeys(dependents) if others.get(each, {}).get("ActiveState") == "active"),
        "network.target" in about["Before"].split(),
    )


def _can_be_disabled(state: Mapping[str, str]) -> bool:
    word = state.get("UnitFileState", "")
    # Other generators make their units at every boot, whatever is disabled.
    return word in _CAN_BE_DISABLED and (word != "generated" or state.get("SourcePath", "").startswith(_INIT_SCRIPTS))


def _only_process(group: str, root: Path) -> int:
    """The process of a control group, 0 where it has none or several."""
    found = [read_sysfs(root / tree / group.lstrip("/") / "cgroup.procs").split() for tree in _GROUPS if group]
    pids = next((each for each in found if each), [])
    return int(pids[0]) if len(pids) == 1 and pids[0].isdigit() else 0
