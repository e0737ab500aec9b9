"""The entry point of an engine process; `front.start` writes its command line."""

from __future__ import annotations

import os
from collections.abc import Sequence

from wizard.deploy.apply import engine, partial_reset, recovery
from wizard.deploy.apply.client import take_request
from wizard.deploy.shapes import EngineRequest


def main(words: Sequence[str]) -> int:
    """`apply`, `reset`, `renew` or `recover` with an ORDER (the last one also without); `takeover EVENTS…`."""
    os.umask(0o022)
    verb, *rest = words
    if verb == "takeover":
        return recovery.recover(tuple(rest))
    order = take_request(rest[0]) if rest else EngineRequest(events=[])
    events = tuple(order["events"])
    if verb == "recover":
        return recovery.recover(events)
    if verb == "renew":
        return partial_reset.reset_part(str(order["part"]), events)
    if verb == "reset":
        return recovery.reset(events, bool(order["forget_leases"]))
    return engine.Engine(
        engine.ApplyRequest(
            plan_text=order["plan_text"],
            source=order["source"],
            events=events,
            confirm_within=float(order["confirm_within"]),
            keep=bool(order["keep"]),
            ssh_connection=str(order["ssh_connection"]),
        )
    ).run()
