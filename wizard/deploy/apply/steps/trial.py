"""The steps of a trial: wires, rules, address, gateway. Of what they change a reboot leaves the leases alone.

Services that are stopped are in `services.py`. Taken by the engine's worker, undone by the reverter.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from wizard.deploy import runtime_state
from wizard.deploy.apply.context import ApplyContext, Record, command_line, write_file
from wizard.deploy.guard import control, corporate_dhcp_history, proof
from wizard.deploy.guard.link_listener import LinkListener, nodes_by_mac
from wizard.deploy.installed_files import addresses_given
from wizard.deploy.journal import Journal
from wizard.deploy.shapes import GuardState
from wizard.host import systemd
from wizard.host.commands import CommandFailed, run
from wizard.host.dhcp import dnsmasq
from wizard.host.dhcp.cabling import CablingProbe, explain
from wizard.host.dhcp.probe import ProbeOutcome
from wizard.host.dhcp.probe_questions import questions_for
from wizard.host.files import read_text, remove
from wizard.host.net import firewalls, forwarding, gateway_rules, link_image
from wizard.host.net.frames import NOBODY
from wizard.host.net.link import ethernet_links, read_link
from wizard.host.net.managers import BACKENDS, applied_backend
from wizard.host.net.managers.backend import NetworkBackend
from wizard.plan import paths
from wizard.plan.backends import Backend
from wizard.plan.findings import WizardError
from wizard.plan.render import live_file
from wizard.plan.text import clean

SETTLES_S = 5.0
"""How long a manager may take to say what it has configured a NIC by."""
PROOF_FILE = f"{paths.RUN}/{proof.PROOF}"


class ProveWires:
    """Probe both wires before any change that could be heard on them. `report_progress` gets the elapsed s."""

    def __init__(self, context: ApplyContext) -> None:
        self.context = context
        self.corporate, self.cluster = next(iter(context.uplinks), ""), context.plan.interfaces.cluster
        self.name = f"wires:{self.cluster}"
        self.title = "both wires"
        self._up_command = ("ip", "link", "set", "dev", self.cluster, "up")
        self.report_progress: Callable[[float], None] | None = None

    def needed(self) -> bool:
        guard = runtime_state.running_guard() or GuardState()
        served = guard.get("mode") == "armed" and guard.get("nic") == self.cluster
        return not (served and proof.holds(self.cluster))

    def preview(self) -> list[str]:
        link = read_link(self.cluster)
        raised = [command_line(*self._up_command)] if link is not None and not link.up else []
        both = (self.corporate, self.cluster)
        return [
            *raised,
            f"asks {' and '.join(filter(None, both))} for DHCP servers (DISCOVER alone), for 12 s",
            f"sends marked frames out of {self.cluster}, to hear whether another NIC is on its wire",
            f"asks the plan's nodes behind {self.cluster} by ARP whether they are there, each at its own MAC",
        ]

    def capture(self) -> Record:
        return {"link": link_image.link_state(self.cluster), "proof": self.context.journal.images.capture(PROOF_FILE)}

    def do(self) -> str:
        link = link_image.link_state(self.cluster)
        if not link.get("up"):
            # A NIC that is down receives nothing. Up without an address it sends nothing by itself.
            run(*self._up_command)
            proof.wait_for_carrier(self.cluster)
        before = proof.read_stamp(self.cluster)
        seen, overheard, node_heard = self.probe_wires(fresh_link=not link.get("up"))
        refused = proof.refusal(seen, overheard)
        if refused is not None:
            proof.forget()
            raise refused
        nic = proof.read_stamp(self.corporate)
        mac = nic.mac if nic is not None else ""
        if seen.corporate.verdict is ProbeOutcome.ANSWER or self.context.corporate_has_lease:
            corporate_dhcp_history.note_answer(mac)
        proven = proof.is_proven(seen, node_heard=node_heard, answered_before=corporate_dhcp_history.has_answered(mac))
        if proven and before is not None and before.same_wire(proof.read_stamp(self.cluster)):
            proof.write(before)
        if not proven and seen.cluster.verdict is ProbeOutcome.SILENCE:
            return proof.missing_control_message(seen)
        return explain(seen).in_a_line

    def probe_wires(self, fresh_link: bool) -> tuple[CablingProbe, str, bool]:
        """Probe both wires: the report, what a listener heard that must not be there, and whether it heard a node."""
        with ExitStack() as stack:
            listener, link = None, read_link(self.cluster)
            if link is not None and link.up:
                plans = [plan for plan in (self.context.plan, self.context.previous) if plan is not None]
                listener = LinkListener(
                    link,
                    ethernet_links((self.corporate, *self.context.others)),
                    [p.network.gateway for p in plans],
                    nodes_by_mac(self.context.plan),
                )
                stack.callback(listener.close)
                # ARP needs a sender: the new address is on no NIC yet, the previous plan's may be on this one.
                ours = [plan.network.gateway.packed for plan in plans[1:] if plan.interfaces.cluster == self.cluster]
                listener.probe_nodes(ours[0] if ours else NOBODY)
            seen = proof.probe_both_wires(
                self.corporate,
                self.cluster,
                corporate_has_lease=self.context.corporate_has_lease,
                fresh_link=fresh_link,
                progress=self._progress(listener),
                questions=questions_for(self.context.plan),
            )
            _, overheard = listener.poll() if listener is not None else ("", "")
            return seen, overheard, listener is not None and listener.node_heard

    def _progress(self, listener: LinkListener | None) -> Callable[[float], None]:
        """Besides the time gone: our mark, for those NICs that the probe itself does not try."""

        def tell(seconds: float) -> None:
            if listener is not None:
                with suppress(OSError):
                    listener.send_mark()
            if self.report_progress is not None:
                self.report_progress(seconds)

        return tell


def undo_wires(image: Record, journal: Journal) -> str:
    if image["proof"]["kind"] == "absent":
        # An earlier proof is not restored: what was heard since counts.
        journal.images.restore(image["proof"])
    if applied_backend().is_configured(str(image["link"]["nic"])):
        return "left as it is: it is in use"
    return _with_problems("the link is as it was", link_image.restore_link(image["link"]))


class LoadRules:
    """The nftables table, the accepts in others' firewalls, forwarding on both NICs. Blocks our DHCP until armed."""

    name = "rules"

    def __init__(self, context: ApplyContext) -> None:
        self.context = context
        self.file = live_file(context.file(paths.NAT_SCRIPT))
        self.title = "rules"

    def needed(self) -> bool:
        if read_text(self.file.path) != self.file.text:
            return True
        try:
            return bool(gateway_rules.changes(self.file.path, now=True))
        except CommandFailed:
            return True

    def preview(self) -> list[str]:
        return [f"writes {self.file.path}", command_line("sh", paths.LIVE_SCRIPT, "up")]

    def capture(self) -> Record:
        old = self.context.previous
        nics = {*self.context.uplinks, self.context.plan.interfaces.cluster}
        # The journal has the previous plan's NICs from before they became ours.
        nics -= {old.interfaces.corporate, old.interfaces.cluster} if old is not None else set()
        cluster = self.context.plan.interfaces.cluster
        return {
            "script": self.context.journal.images.capture(self.file.path),
            "loaded": gateway_rules.table_loaded(),
            "forwarding": forwarding.image(sorted(nics)),
            **firewalls.images(cluster if cluster in nics else None),
        }

    def do(self) -> str:
        old = self.context.previous
        if old is not None and old.interfaces != self.context.plan.interfaces and Path(self.file.path).exists():
            # The old script's accepts and forwarding bear the old names; the new script would not find them. Its table
            # stays, so that our DHCP is blocked throughout.
            gateway_rules.script(self.file.path, "leave")
        write_file(self.file)
        output = gateway_rules.load(self.file.path)
        count = len(self.context.plan.forwards)
        detail = f"NAT, {count} forward{'' if count == 1 else 's'}, firewall; our DHCP is mute until armed"
        return "; ".join([detail, *(" ".join(line.split()) for line in output.splitlines())])


def undo_rules(image: Record, journal: Journal) -> str:
    before = image["script"]
    if image["loaded"] and before["kind"] == "file":
        now, old = read_text(paths.LIVE_SCRIPT), journal.images.content(before).decode()
        if now is not None and _nics_of(now) != _nics_of(old):
            gateway_rules.script(paths.LIVE_SCRIPT, "leave")
        journal.images.restore(before)
        gateway_rules.load(paths.LIVE_SCRIPT)
        return "the former rules are back"
    # From the journal, as nat.sh's own record under /run may be gone; of every apply, as the NICs may have changed.
    steps = [step for transaction in journal.read().transactions for step in transaction.steps]
    images = [step for name, step in steps if name == "rules"]
    forwarding.restore([i["forwarding"] for i in images if i.get("forwarding")])
    _, problems = firewalls.restore(images)
    if Path(paths.LIVE_SCRIPT).exists():
        # A program that it runs may have been removed.
        with suppress(CommandFailed):
            gateway_rules.script(paths.LIVE_SCRIPT, "down")
    # The script may have been changed, or have left something.
    _, more = gateway_rules.remove_everything()
    journal.images.restore(before)
    return _with_problems("our tables and accepts are gone", list(dict.fromkeys([*problems, *more])))


def _nics_of(script: str) -> list[str]:
    return [line for line in script.splitlines() if line.startswith(("CORPORATE=", "CLUSTER="))]


class SetClusterAddress:
    """The gateway's address on the cluster NIC, set by whoever manages that NIC."""

    def __init__(self, context: ApplyContext) -> None:
        self.context = context
        self.backend = context.backend
        self.former = applied_backend()
        self.nic = context.plan.interfaces.cluster
        self.cidr = context.plan.network.gateway_cidr
        self.name = f"address:{self.nic}"
        self.title = "address"
        self.file = context.live_address

    def needed(self) -> bool:
        there = self._is_written() and link_image.has_address(self.nic, self.cidr) and not self._others_configuration()
        return self._replaces_former() or not there

    def _others_configuration(self) -> str:
        """By what else than our configuration the backend has the NIC, "" where by ours or by none."""
        found, ours = self.backend.configured_as(self.nic), self.backend.ours(self.nic)
        return found if ours and found not in ours else ""

    def _replaces_former(self) -> bool:
        return self.context.previous is not None and self.former is not self.backend

    def _is_written(self) -> bool:
        """Whether it is configured from the text of now. After a boot there may be the kept file alone."""
        live = read_text(self.file.path)
        kept = self.context.files[-1]
        return live == self.file.text or (live is None and read_text(kept.path) == kept.text)

    def _await_our_configuration(self) -> str:
        """`_others_configuration`, once the manager has had time to say otherwise."""
        deadline = time.monotonic() + SETTLES_S
        while (other := self._others_configuration()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return other

    def preview(self) -> list[str]:
        former = self.former.make_way_commands(self.nic) if self._replaces_former() else []
        commands = [*former, *self.backend.make_way_commands(self.nic)]
        up = self.backend.bring_up_commands(self.nic, self.cidr)
        lines = [command_line(*argv) for argv in commands]
        return [*lines, f"writes {self.file.path}", *(command_line(*argv) for argv in up)]

    def capture(self) -> Record:
        return _capture_nic(self.nic, self.backend, self.context.journal) | {"gives": self.cidr}

    def do(self) -> str:
        backend = self.backend
        before = link_image.whole_state(self.nic)
        if self._replaces_former():
            self.former.make_way(self.nic)
            self.former.release(self.nic)
        by_ours = backend.is_configured(self.nic) and not self._others_configuration()
        up_to_date = by_ours and self._is_written()
        if up_to_date and not link_image.has_address(self.nic, self.cidr):
            # The guard removed it for another gateway. Add it without taking the link down, which would end the proof.
            link_image.add_address(self.nic, self.cidr)
        if by_ours and link_image.has_address(self.nic, self.cidr) and (Path(self.file.path).exists() or up_to_date):
            # A comment or a check in the text changed: no reason to take the link down.
            write_file(self.file)
            return f"{self.cidr} on {self.nic}, as before"
        backend.make_way(self.nic)
        problems: list[str] = []
        theirs = any(a["cidr"] == self.cidr for a in link_image.link_state(self.nic).get("addresses", []))
        if theirs:
            # ifup fails over an existing address. The journal has it, and a reset restores it.
            link_image.remove_address(problems, self.nic, self.cidr)
        write_file(self.file)
        backend.bring_up(self.nic)
        other = clean(self._await_our_configuration())
        if other:
            raise WizardError(
                f"{backend.name} has {self.nic} by {other} still, which comes before the gateway's configuration",
                f"Change {other} so that it leaves {self.nic} alone, and apply again.",
            )
        if not link_image.has_address(self.nic, self.cidr):
            raise WizardError(
                f"{self.nic} does not have {self.cidr}, though {backend.name} reported no error",
                f"Look at 'ip addr show {self.nic}' and at what else configures it.",
            )
        ours_before = self.context.previous is not None and self.context.previous.interfaces.cluster == self.nic
        if ours_before or theirs:
            # ifdown flushes the NIC, and removing an address removes the later ones of its subnet.
            problems += link_image.put_back(self.nic, before, addresses_given(self.name, self.context.journal.read()))
        return _with_problems(f"{self.cidr} on {self.nic}, by {backend.name}", problems)


class ReleaseFormerNic(SetClusterAddress):
    """Take the previous plan's cluster NIC out of use, where the new plan names another one.

    `nic`: its present name, `was`: the previous plan's.
    """

    def __init__(self, context: ApplyContext, nic: str, was: str) -> None:
        super().__init__(context)
        self.backend = self.former
        self.nic = nic
        if context.previous is not None:
            self.cidr = context.previous.network.gateway_cidr
        # The name under which the journal has its first image.
        self.name = f"address:{was}"
        self.title = f"leave {nic}"

    def needed(self) -> bool:
        return True

    def preview(self) -> list[str]:
        return [
            f"takes our address off {self.nic}",
            *(command_line(*argv) for argv in self.former.make_way_commands(self.nic)),
        ]

    def do(self) -> str:
        first = dict(self.context.journal.read().first_images()).get(self.name)
        seen = link_image.whole_state(self.nic)
        self.former.release(self.nic)
        if first is None:
            return "our address is gone"
        problems = link_image.restore_link(first["link"], addresses_given(self.name, self.context.journal.read()), seen)
        return _with_problems("as it was before it was ours", problems)


def former_nic(journal: Journal, was: str) -> str:
    """The present name of the NIC that a previous plan called `was`, by the journal's MAC; "" where it is gone."""
    first = dict(journal.read().first_images()).get(f"address:{was}")
    return was if first is None else _name_now(first)


def _with_problems(detail: str, problems: list[str]) -> str:
    return f"{detail}; could not be put back: {'; '.join(problems)}" if problems else detail


def _capture_nic(nic: str, backend: NetworkBackend, journal: Journal) -> Record:
    image: Record = {
        "link": link_image.whole_state(nic),
        "backend": str(backend.backend),
        "held": backend.is_configured(nic),
        "stanza": backend.configured_as(nic),
        "config": journal.images.capture(backend.file.live),
    }
    if state := backend.state_file(nic):
        image["state"] = journal.images.capture(state)
    former = applied_backend()
    if former is not backend and former.is_configured(nic):
        image["former"] = _capture_nic(nic, former, journal)
    return image


def undo_address(image: Record, journal: Journal) -> str:
    nic = str(image["link"]["nic"])
    ours = addresses_given(f"address:{nic}", journal.read())
    seen = link_image.whole_state(link_image.current_name(image["link"]))
    # Older versions recorded no backend: there was only ifupdown.
    backend = BACKENDS[Backend(image.get("backend", Backend.IFUPDOWN))]
    here = _name_now(image)
    for other in BACKENDS.values():
        # A later apply may have gone through another one, and a boot since.
        if other is backend:
            continue
        # networkd and netplan share a live file, and `backend` has networkd configure the NIC by what is there then.
        shared = other.file.live == backend.file.live
        if shared and other.has_ours(here):
            other.reconfigure("", "")
        elif not shared and (Path(other.file.live).exists() or other.has_ours(here)):
            other.release(here)
            remove(other.file.live)
            other.reconfigure(here, "")
    backend.release(here if backend.backend is not Backend.IFUPDOWN else nic)
    problems = _reconfigure(backend, image, journal)
    if former := image.get("former"):
        problems += _reconfigure(BACKENDS[Backend(former["backend"])], former, journal)
    return _with_problems(f"{nic} is as it was", [*problems, *link_image.restore_link(image["link"], ours, seen)])


def _name_now(image: Record) -> str:
    """The present name of a record's NIC, "" where no NIC here has its MAC: the name may be the corporate one's now."""
    name, macs = link_image.current_name(image["link"]), image["link"].get("macs") or []
    now = link_image.link_state(name)
    return name if now["present"] and (not macs or macs[0] in now["macs"]) else ""


def _reconfigure(backend: NetworkBackend, image: Record, journal: Journal) -> list[str]:
    # ifupdown knows a NIC by its name alone, and checks the MAC itself.
    nic = str(image["link"]["nic"]) if backend.backend is Backend.IFUPDOWN else _name_now(image)
    journal.images.restore(image["config"])
    if nic and image["held"] and link_image.link_state(nic)["present"]:
        return backend.reconfigure(nic, str(image.get("stanza") or nic))
    if "state" in image:
        journal.images.restore(image["state"])
    return backend.reconfigure(nic, str(image.get("stanza") or ""))


class StartGuard:
    """Start the guard and its dnsmasq, or have them reload the new configuration without a pause."""

    name = "gateway"

    def __init__(self, context: ApplyContext) -> None:
        self.context = context
        self.title = "dnsmasq"
        sources = (paths.PLAN_IN_FORCE, paths.DNSMASQ_CONF, paths.DNSMASQ_HOSTS, paths.IDENTITY)
        self.files = [live_file(context.file(path)) for path in sources]

    def needed(self) -> bool:
        guard = runtime_state.running_guard()
        if guard is None or guard.get("mode") != "armed" or guard.get("program") != control.program_fingerprint():
            return True
        return any(read_text(f.path) != f.text for f in self.files)

    def preview(self) -> list[str]:
        test = command_line("dnsmasq", "--test", f"--conf-file={dnsmasq.CONF}")
        lines = [*(f"writes {file.path}" for file in self.files), test]
        if runtime_state.running_guard() is not None:
            return [*lines, "has the guard load the new configuration"]
        if systemd.running():
            start = command_line("systemctl", "start", paths.SERVICE_NAME)
        else:
            start = command_line("setsid", "-f", *control.serve_command())
        return [*lines, start, "which probes the wire, starts dnsmasq, and lets its DHCP out on that NIC alone"]

    def capture(self) -> Record:
        images = self.context.journal.images
        return {
            "running": runtime_state.running_guard() is not None,
            "files": [images.capture(f.path) for f in self.files],
            "leases": images.capture(paths.LEASES),
        }

    def do(self) -> str:
        for file in self.files:
            write_file(file)
        control.prepare_runtime(self.context.dhcp_uid)
        return control.wait_until_armed(control.start_or_reload())


def undo_gateway(image: Record, journal: Journal) -> str:
    if image["running"]:
        for file in image["files"]:
            journal.images.restore(file)
        # The address is restored only after this step; the guard arms by itself then.
        control.wait_until_loaded(control.start_or_reload())
        return "serving as before"
    control.stop()
    undo_leases(image, journal)
    if all(file["kind"] == "absent" for file in image["files"]):
        control.remove_runtime_files()
    for file in image["files"]:
        journal.images.restore(file)
    return "dnsmasq and its guard are gone"


def undo_leases(image: Record, journal: Journal) -> str:
    """Restore the lease file, or (`keep_leases` in the image) leave it as it is, owned as before."""
    now = Path(paths.LEASES)
    if image["running"]:
        return "left to the gateway"
    if not image.get("keep_leases") or not now.exists() or now.stat().st_size == 0:
        journal.images.restore(image["leases"])
        return "the leases are as they were"
    os.chown(paths.LEASES, *image["leases"].get("owner", (0, 0)), follow_symlinks=False)
    return "the leases are kept"
