"""The entry point of an engine process, `python -m wizard engine VERB`.

`client.start_engine` starts one for a person, the guard for a recovery; a worker becomes one when the watchman dies.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from wizard.deploy.apply import engine, partial_reset, recovery
from wizard.deploy.apply.client import take_request


def main(argv: Sequence[str]) -> int:
    """Run a verb: `apply`, `reset`, `renew`, `recover` with a request file, or `takeover` with event files.

    Returns the exit status.
    """
    os.umask(0o022)
    verb, *rest = argv
    if verb == "takeover":
        return recovery.recover(tuple(rest))
    request = take_request(rest[0])
    event_files = tuple(request["events"])
    if verb == "recover":
        return recovery.recover(event_files)
    if verb == "renew":
        return partial_reset.reset_part(str(request["part"]), event_files)
    if verb == "reset":
        return recovery.reset(event_files, bool(request["forget_leases"]), bool(request.get("forget_images")))
    return engine.Engine(
        engine.ApplyRequest(
            plan_text=request["plan_text"],
            source=request["source"],
            event_files=event_files,
            confirm_within=float(request["confirm_within"]),
            keep=bool(request["keep"]),
            ssh_connection=str(request["ssh_connection"]),
            stop=tuple(request.get("stop", ())),
        )
    ).run()
