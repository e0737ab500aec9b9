"""This machine's own time server, opened to the cluster: at once where it can be told, for good by a file of ours.

The trial tells chrony over its command socket; a restart forgets that. ntpsec reads files alone: it serves once kept.
What either refuses is said, and fails no apply.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from wizard.deploy.apply.context import ApplyContext, NotAsBefore, Record, command_line
from wizard.deploy.apply.steps.persist import InstallFile
from wizard.deploy.installed_files import is_ours
from wizard.deploy.journal import Journal
from wizard.host.facts.processes import read_processes
from wizard.host.files import read_text, remove
from wizard.host.ntp import own_server
from wizard.host.ntp.query import NoTime, ask, is_here
from wizard.plan.findings import WizardError
from wizard.plan.ntp import DROP_INS, NTPSEC, TimeServer

TIME = "time"


class ServeTime:
    """Open a time server to the cluster, or note that it is to be closed. The trial's part: a restart undoes it."""

    def __init__(self, context: ApplyContext, server: TimeServer) -> None:
        self.context = context
        self.server = server
        self.wanted = server == context.time.server
        self.cidr = str(context.plan.network.cidr)
        self.name = f"{TIME}:{server.kind}"
        self.title = "time"

    def needed(self) -> bool:
        wanted = next((file.text for file in self.context.files if file.path == self.server.drop_in), None)
        return read_text(self.server.drop_in) != wanted or (self.wanted and not _serves(self.context))

    def preview(self) -> list[str]:
        if not self.wanted:
            return [f"{self.server.kind} is closed to the cluster once kept"]
        commands = own_server.open_commands(self.server, self.cidr)
        return [command_line(*argv) for argv in commands] or [f"{self.server.kind} serves the cluster once kept"]

    def capture(self) -> Record:
        return {"kind": self.server.kind, "unit": self.server.unit, "drop_in": self.server.drop_in, "opens": self.cidr}

    def do(self) -> str:
        if not self.wanted:
            return f"{self.server.kind} is closed to the cluster once kept"
        try:
            own_server.open_now(self.server, self.cidr)
        except WizardError as error:
            # The time takes nothing back.
            return f"not opened in the trial ({error}); a restart opens it once kept"
        if self.server.kind == NTPSEC:
            return "ntpsec serves the cluster once kept"
        return f"{self.server.kind} gives the cluster the time"


def _serves(context: ApplyContext) -> bool:
    gateway = str(context.plan.network.gateway)
    if not is_here(gateway):
        return False
    try:
        ask(gateway)
    except NoTime:
        return False
    return True


def _by_its_own_files(server: TimeServer) -> str:
    """Start a server that did not restart, after our file is gone: this machine needs its clock set. Says what came."""
    try:
        own_server.start(server)
    except WizardError as error:
        return f"{server.kind} does not start by its own files either ({error})"
    return f"{server.kind} goes by its own files"


def time_steps(context: ApplyContext) -> list[ServeTime]:
    """A step for the server that is to serve, and for one that no longer is."""
    servers = [server for server in (context.former_time.server, context.time.server) if server is not None]
    return [ServeTime(context, server) for server in {server.kind: server for server in servers}.values()]


def undo_time(image: Record, journal: Journal) -> str:
    """Have the server go by its files, which were undone before. Raises NotAsBefore where it does not start."""
    server = TimeServer(str(image["kind"]), str(image["unit"]), str(image["drop_in"]))
    changed = any(
        name == f"file:{server.drop_in}" for transaction in journal.read().transactions for name, _ in transaction.steps
    )
    if server.kind == NTPSEC and not changed:
        return "it was not changed yet"
    try:
        own_server.reread(server, str(image["opens"]))
    except WizardError as error:
        remedy = f"Look at 'systemctl status {server.unit}'." if server.unit else error.remedy
        raise NotAsBefore(f"{server.kind} does not read its files again: {error}", remedy) from None
    return f"{server.kind} goes by its own files again"


def close_by_name(path: str) -> None:
    """Have the server that read our file, which is gone, go by the others: the journal does not know of it."""
    server = own_server.read_time_server(read_processes())
    if server is not None and server.drop_in == path:
        with suppress(WizardError):
            own_server.reread(server, "")


class InstallTimeFile(InstallFile):
    """Our file in a time server's directory; the server restarts where it has to for it."""

    def __init__(self, context: ApplyContext, path: str) -> None:
        super().__init__(context, context.file(path))
        self.server = context.time.server

    def _told(self) -> bool:
        # chrony was told in the trial; over an older file of ours it has been told more than that.
        return self.server is not None and self.server.kind != NTPSEC and not Path(self.file.path).exists()

    def _restart(self) -> tuple[str, ...]:
        return () if self.server is None or self._told() else own_server.restart_command(self.server)

    def preview(self) -> list[str]:
        restart = self._restart()
        return [*super().preview(), *([command_line(*restart)] if restart else [])]

    def do(self) -> str:
        # It may have been restarted since the trial, and forgotten what it was told.
        told = self._told() and _serves(self.context)
        detail = super().do()
        if self.server is None or told:
            return detail
        try:
            own_server.reread(self.server, str(self.context.plan.network.cidr))
        except WizardError as error:
            remove(self.file.path)
            return f"taken away again: {error}; {_by_its_own_files(self.server)}, and the nodes get no time"
        return detail


class RemoveTimeFile:
    """The file of a server that no longer serves the cluster."""

    def __init__(self, context: ApplyContext, path: str) -> None:
        self.context = context
        self.path = path
        self.name = f"file:{path}"
        self.title = Path(path).name
        self.server = context.former_time.server

    def needed(self) -> bool:
        return Path(self.path).exists()

    def preview(self) -> list[str]:
        restart = own_server.restart_command(self.server) if self.server is not None else ()
        return [f"removes {self.path}", *([command_line(*restart)] if restart else [])]

    def capture(self) -> Record:
        return self.context.journal.images.capture(self.path)

    def do(self) -> str:
        remove(self.path)
        if self.server is not None and self.server.drop_in == self.path:
            before = self.context.previous.network.cidr if self.context.previous is not None else ""
            try:
                own_server.reread(self.server, str(before))
            except WizardError as error:
                return f"removed, but: {error}; {_by_its_own_files(self.server)}"
        return "removed"


def former_time_files(context: ApplyContext) -> list[RemoveTimeFile]:
    """A step for each file of ours at a time server that is not to serve."""
    wanted = {file.path for file in context.files}
    return [RemoveTimeFile(context, path) for path in DROP_INS if path not in wanted and is_ours(path)]
