"""What an engine process does when it is started: its words come from `front.start`."""

from __future__ import annotations

from collections.abc import Sequence

from wizard.deploy import engine
from wizard.deploy.front import take_order


def main(words: Sequence[str]) -> int:
    """`apply ORDER`, `reset ORDER` or `recover [EVENTS…]`."""
    verb = words[0] if words else ""
    if verb == "recover":
        return engine.recover(tuple(w for w in words[1:] if not w.endswith(".json")) or _events_of(words[1:]))
    order = take_order(words[1])
    events = tuple(order["events"])
    if verb == "reset":
        return engine.reset(events, bool(order["forget_leases"]))
    return engine.Engine(
        engine.Order(
            plan_text=order["plan_text"],
            source=order["source"],
            events=events,
            confirm_within=float(order["confirm_within"]),
            keep=bool(order["keep"]),
            ssh_connection=str(order["ssh_connection"]),
        )
    ).run()


def _events_of(words: Sequence[str]) -> tuple[str, ...]:
    """`recover` from the command line comes with an order, from a worker with the files themselves."""
    return tuple(take_order(words[0])["events"]) if words else ()
