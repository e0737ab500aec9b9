"""In the laptop's place: what the preview says of an apply, and what the engine's steps then really run, as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from wizard.deploy.apply import engine, preview
from wizard.deploy.apply.context import Step
from wizard.deploy.events import EventWriter
from wizard.deploy.journal import Journal
from wizard.host import commands
from wizard.plan.file.read import load_plan

RAN = Path("/run/ciao-lab/ran.jsonl")
SAID = Path("/run/ciao-lab/said.jsonl")


def main() -> int:
    text = Path(sys.argv[1]).read_text()
    foretold = [asdict(step) for step in preview.preview_steps(load_plan(text, "the plan"), text)]
    current = [""]
    take = engine.take_step

    def noted(step: Step, journal: Journal, events: EventWriter) -> None:
        note(step.name, "")
        current[0] = step.name
        take(step, journal, events)
        current[0] = ""

    def note(step: str, line: str) -> None:
        # The steps of the trial are taken in another process.
        with RAN.open("a") as handle:
            handle.write(json.dumps([step, line]) + "\n")

    engine.take_step = noted
    commands.on_command(lambda line: note(current[0], line) if current[0] else None)
    ended = engine.Engine(engine.ApplyRequest(text, "test", (str(SAID),), keep=True)).run()
    ran: dict[str, list[str]] = {}
    for step, line in map(json.loads, RAN.read_text().splitlines()):
        ran.setdefault(step, []).extend([line] if line else [])
    said = SAID.read_text().splitlines()[-3:]
    sys.stdout.write(json.dumps({"foretold": foretold, "ran": ran, "ended": ended, "said": said}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
