"""Lines of ifupdown's files that configure the cluster NIC at the next boot, besides ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wizard.plan.backends import NAMES, Backend, choose_backend
from wizard.plan.findings import Finding, error, warning
from wizard.plan.ifupdown import Claim, claims
from wizard.plan.machine import Facts
from wizard.plan.model import Plan

_FIELD = "interfaces.cluster"
_CLOUD_INIT = (
    " Keep cloud-init from writing it again: put `network: {config: disabled}` into a file under "
    "/etc/cloud/cloud.cfg.d."
)


def against_machine(plan: Plan, facts: Facts) -> Iterator[Finding]:
    if "ifupdown" not in facts.network_managers:
        # Its files may have outlived it.
        return
    name = plan.interfaces.cluster
    nic = facts.nic(name)
    found = claims(facts.interfaces, name, nic.mac if nic is not None else "")
    for claim in found:
        if claim.can_go:
            continue
        if claim.harmful:
            yield error(
                "nic-claimed-elsewhere", _FIELD, f"{claim.line.place} {claim.what} at the next boot.", claim.remedy
            )
        else:
            yield warning("nic-used-elsewhere", _FIELD, f"{claim.line.place} {claim.what}.", claim.remedy)
    own = [claim for claim in found if claim.can_go]
    backend = choose_backend(plan, facts).backend
    if own and backend is Backend.IFUPDOWN:
        yield _own(name, own)
    elif own and facts.applied_backend != Backend.IFUPDOWN:
        lines = "; ".join(f"{claim.line.place} {claim.what}" for claim in own)
        yield error(
            "nic-claimed-elsewhere",
            _FIELD,
            f"ifupdown configures {name} at boot too, beside {NAMES[backend]}: {lines}.",
            'Take these lines out, or write `backend = "ifupdown"` under [network].',
        )
    for path in facts.interfaces_closed:
        yield warning(
            "interfaces-unreadable",
            _FIELD,
            f"ifupdown reads {path}, and only root may: what it says of {name} is not known.",
            "Check as root: `sudo ciao-wizard check -c …`.",
        )


def _own(name: str, own: Sequence[Claim]) -> Finding:
    lines = "; ".join(f"{claim.line.place} {claim.what}" for claim in own)
    written = _CLOUD_INIT if any("cloud-init" in claim.line.file for claim in own) else ""
    return warning(
        "nic-configured-elsewhere",
        _FIELD,
        f"Others configure {name} at boot: {lines}.",
        f"Nothing to do: an apply comments these lines out, and a reset brings them back.{written}",
    )
