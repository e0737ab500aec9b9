"""The entry point of an engine process; `front.start` writes its command line."""

from __future__ import annotations

import os
from collections.abc import Sequence

from wizard.deploy import back, engine, renew
from wizard.deploy.front import take_order
from wizard.deploy.shapes import EngineRequest


def main(words: Sequence[str]) -> int:
    """`apply`, `reset`, `renew` or `recover` with an ORDER (the last one also without); `takeover EVENTS…`."""
    os.umask(0o022)
    verb, *rest = words
    if verb == "takeover":
        return back.recover(tuple(rest))
    order = take_order(rest[0]) if rest else EngineRequest(events=[])
    events = tuple(order["events"])
    if verb == "recover":
        return back.recover(events)
    if verb == "renew":
        return renew.renew(str(order["part"]), events)
    if verb == "reset":
        return back.reset(events, bool(order["forget_leases"]))
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
