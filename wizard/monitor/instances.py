"""The instances behind CNCIs: each CNCI's own lease files, read over ssh, and the ssh commands for each instance."""

from __future__ import annotations

import io
import ipaddress
import re
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from wizard.host import commands, ssh
from wizard.host.ssh import SshFailed, Target
from wizard.plan.findings import WizardError
from wizard.plan.lease_parser import Lease, parse_leases
from wizard.plan.text import clean

FIRST_PORT = 33000
HERE = ("localhost", ".")
GATEWAY_BLANK = "GATEWAY"
PATIENCE_S = 30.0
MOST_AT_ONCE = 16
MOST_FILES = 256
MOST_LINES = 16384
# One CNCI's whole answer.
MOST_BYTES = 8 << 20
_MOST_PINGED = 1024
_MOST_FED = 1 << 18
_PINGS_AT_ONCE = 64
_NAME = re.compile(r"dnsmasq_(?P<subnet>.*)\.leases", re.DOTALL)

# The files are parsed here: the shell expands and runs nothing of them. Any user there may put a pipe, a device or a
# link into /tmp, so only plain files are opened, and by a program with a timeout, should one become a pipe meanwhile.
SCRIPT = r"""
mark=@MARK@
echo "$mark now $(date +%s)"
limit=
timeout 5 true 2>/dev/null && limit='timeout 5'
leases() {
    n=0
    for f in /tmp/dnsmasq_*.leases; do
        [ -f "$f" ] && [ ! -L "$f" ] || continue
        [ -r "$f" ] || { echo "$mark unreadable"; continue; }
        [ $n -lt @FILES@ ] || { echo "$mark more"; break; }
        n=$((n + 1))
        echo "$mark file $f"
        $limit head -c @BYTES@ "$f"
        echo
        echo "$mark end"
    done
}
leases | head -c @BYTES@
echo
command -v ping >/dev/null || { echo "$mark noping"; exit 0; }
n=0
leases | head -c @FED@ | head -n @MOST@ | {
    while read -r expiry mac ip rest; do
        case "$ip" in '' | *[!0-9.]*) continue ;; esac
        if ping -c1 -W1 "$ip" </dev/null >/dev/null 2>&1; then echo "$mark up $ip"; else echo "$mark quiet $ip"; fi &
        n=$((n + 1))
        [ $((n % @ATONCE@)) -ne 0 ] || wait
    done
    wait
}
exit 0
"""


@dataclass(frozen=True, slots=True)
class SshCommands:
    """The ssh command for an instance: on the CNCI itself, on the gateway, and from the corporate side.

    `port` is the CNCI's port for it. Where that is None, `why_no_port` says why, and the commands jump through the
    CNCI's own ssh.
    """

    direct: str
    gateway: str
    corporate: str
    port: int | None
    why_no_port: str = ""


@dataclass(frozen=True, slots=True)
class Instance:
    """One lease of a CNCI. `subnet`: ciao's id of the tenant's subnet. `state`: "leased" or "expired", by the CNCI's
    own clock. `reachable`: by a ping from the CNCI, None where that was not possible."""

    mac: str
    ip: str
    subnet: str
    hostname: str
    expires: datetime | None
    state: str
    reachable: bool | None
    ways: SshCommands
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CnciReading:
    """The result of reading one CNCI. `state`: "read", "no-lease-files", "ambiguous", or a kind of SshFailed.

    `reason` and `remedy` are for people, "" where all is well. One that was read has a reason where its output was
    cut.
    """

    cnci: str
    address: str
    state: str
    reason: str = ""
    remedy: str = ""
    subnets: tuple[str, ...] = ()
    instances: tuple[Instance, ...] = ()

    @property
    def failed(self) -> bool:
        return self.state != "read"


@dataclass(frozen=True, slots=True)
class GatewayContext:
    """What this gateway knows: VMs' leases, its domain, and `jump`: what the corporate side gives to ssh -J."""

    vms: tuple[Lease, ...] = ()
    domain: str = ""
    jump: str = GATEWAY_BLANK


def ssh_port(ip: str) -> int | None:
    """The CNCI's port that leads to an instance's SSH: 33000 + 256 times the third octet + the fourth.

    None where ciao has none: from a third octet of 127 on there would be no such port.
    """
    octets = [int(octet) for octet in ip.split(".")]
    return None if octets[2] >= 127 else FIRST_PORT + (octets[2] << 8) + octets[3]


def ssh_commands(ip: str, cnci: str, login: str, user: str, jump: str) -> SshCommands:
    """`cnci`: its address on the cluster network. `login`: "user@" for the CNCI's own ssh, or ""."""
    port = ssh_port(ip)
    direct = f"ssh {user}@{ip}"
    if port is not None:
        line = f"-p {port} {user}@{cnci}"
        return SshCommands(direct, f"ssh {line}", f"ssh -J {jump} {line}", port)
    why = f"no port: the third octet of {ip} is {ip.split('.')[2]}, and the ports end before 127"
    line = f"{login}{cnci} {user}@{ip}"
    return SshCommands(direct, f"ssh -J {line}", f"ssh -J {jump},{line}", None, why)


def read_cncis(
    targets: Sequence[Target], known: GatewayContext, user: str = "demouser"
) -> Iterator[tuple[int, CnciReading]]:
    """The index of each target with its reading, in the order of completion; all are read at once."""
    if not targets:
        return
    with ThreadPoolExecutor(min(len(targets), MOST_AT_ONCE)) as pool:
        asked = {pool.submit(read_cnci, target, known, user): place for place, target in enumerate(targets)}
        for done in as_completed(asked):
            yield asked[done], done.result()


def read_cnci(target: Target, known: GatewayContext, user: str = "demouser") -> CnciReading:
    """Read one CNCI. Never raises for one that does not answer, or answers nonsense: the reading says why."""
    marker = f"ciao-{secrets.token_hex(8)}"
    name = clean(str(target), 120)
    address = target.host
    try:
        if target.host in HERE and not target.user:
            output = commands.run("sh", "-s", stdin=_script(marker), timeout=PATIENCE_S)
            address = _own_address()
        else:
            target, address = resolve(target, known)
            output = ssh.run_script(target, _script(marker), PATIENCE_S)
        login = f"{target.user}@" if target.user else ""
        return _reading(
            name, address, _parse_answer(output, marker), lambda ip: ssh_commands(ip, address, login, user, known.jump)
        )
    except SshFailed as error:
        return CnciReading(name, clean(address, 80), error.kind, error.message, error.remedy)
    except WizardError as error:
        return CnciReading(name, clean(address, 80), "failed", clean(error.message, 300), error.remedy)
    except (OSError, ValueError, OverflowError) as error:
        why = f"{name} could not be read: {clean(str(error), 300)}"
        return CnciReading(name, clean(address, 80), "failed", why, "Look at it by hand.")


def _script(marker: str) -> str:
    numbers = {"BYTES": MOST_BYTES, "FILES": MOST_FILES, "FED": _MOST_FED, "MOST": _MOST_PINGED}
    script = SCRIPT.replace("@MARK@", marker).replace("@ATONCE@", str(_PINGS_AT_ONCE))
    for blank, number in numbers.items():
        script = script.replace(f"@{blank}@", str(number))
    return script


def resolve(target: Target, known: GatewayContext) -> tuple[Target, str]:
    """The target with the address of a VM's lease, where it names one by MAC or host name, and that address.

    An alias of the user's own ssh configuration goes before a lease: the names of leases are the VMs' own claims.
    Raises SshFailed where several VMs claim the name.
    """
    host = target.host.lower()
    short = host.removesuffix(f".{known.domain}") if known.domain else host
    settings = ssh.settings(target)
    called = settings.get("hostname", target.host)
    if called.lower() != host:
        return target, called
    found = {lease.ip for lease in known.vms if host == lease.mac or short == lease.hostname.lower()}
    if not found:
        return target, target.host
    if len(found) > 1:
        raise SshFailed(
            "ambiguous",
            f"{len(found)} VMs have leases under the name {clean(target.host, 80)}: {', '.join(sorted(found)[:10])}",
            "Give the address of the one you mean.",
        )
    (address,) = found
    return Target(target.host, target.user, address), address


def _own_address() -> str:
    """This machine's address on its default route; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "CNCI"


@dataclass(slots=True)
class _Answer:
    """A CNCI's parsed output. `files`: (name, text) each. `answers`: by address, whether a ping was answered. `cut`:
    there was more."""

    now: datetime
    files: list[tuple[str, str]]
    answers: dict[str, bool]
    unreadable: bool = False
    cut: bool = False


def _parse_answer(output: str, marker: str) -> _Answer:
    """The CNCI may be hostile: one pass, and every size is bounded."""
    most = MOST_BYTES + _MOST_FED
    answer = _Answer(datetime.now(UTC), [], {}, cut=len(output) > most)
    file: str | None = None
    text: list[str] = []
    room = MOST_LINES
    # Not splitlines(), for which many control characters end a line. The last marker ends a file without an end.
    for raw in chain(io.StringIO(output[:most], newline="\n"), [marker]):
        line = raw.removesuffix("\n")
        marked, _, rest = line.partition(" ")
        if marked != marker:
            if file is not None and room:
                text.append(line)
                room -= 1
            elif file is not None:
                answer.cut |= bool(line)
            continue
        word, _, value = rest.partition(" ")
        if file is not None:
            # Without an end it was cut, perhaps within its last line.
            answer.cut |= word != "end"
            answer.files.append((file, "\n".join(text if word == "end" else [*text[:-1], ""])))
            file, text = None, []
        if word == "now":
            answer.now = _clock(value) or answer.now
        elif word == "file" and len(answer.files) < MOST_FILES:
            file = value
        elif word in ("file", "more"):
            answer.cut = True
        elif word in ("up", "quiet") and len(answer.answers) < MOST_LINES:
            answer.answers[value] = word == "up"
        elif word == "unreadable":
            answer.unreadable = True
    return answer


def _clock(digits: str) -> datetime | None:
    if re.fullmatch("[0-9]{1,12}", digits) is None:
        return None
    try:
        return datetime.fromtimestamp(int(digits), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _reading(name: str, address: str, answer: _Answer, ways: Callable[[str], SshCommands]) -> CnciReading:
    instances: list[Instance] = []
    subnets: list[str] = []
    for file, text in answer.files:
        matched = _NAME.fullmatch(file.rpartition("/")[2])
        subnet = clean(matched["subnet"] if matched else file, 80)
        subnets.append(subnet)
        leases, _ = parse_leases(text)
        instances += [_instance(lease, subnet, answer.now, answer.answers, ways(lease.ip)) for lease in leases]
    instances.sort(key=lambda instance: (int(ipaddress.IPv4Address(instance.ip)), instance.subnet, instance.mac))
    address = clean(address, 80)
    if subnets:
        why = f"{name} says more than a CNCI would: some of it is left out" if answer.cut else ""
        remedy = "See what is in its /tmp/dnsmasq_*.leases, and whose they are." if answer.cut else ""
        return CnciReading(name, address, "read", why, remedy, tuple(subnets), tuple(instances))
    if answer.unreadable:
        why = "its /tmp/dnsmasq_*.leases may not be read by this user"
        remedy = f"Log in as another user of {name}."
    else:
        why = "it has no /tmp/dnsmasq_*.leases: it is no CNCI, or no instance of its tenant has been started yet"
        remedy = "'ciao-wizard leases' lists the VMs here; a CNCI is one of them."
    return CnciReading(name, address, "no-lease-files", f"{name}: {why}", remedy)


def _instance(lease: Lease, subnet: str, now: datetime, answers: dict[str, bool], ways: SshCommands) -> Instance:
    over = lease.expires is not None and lease.expires <= now
    reason = ""
    if lease.mac.startswith("02:00:") and len(lease.mac) == 17:
        stands_for = ".".join(str(int(octet, 16)) for octet in lease.mac.split(":")[2:])
        if stands_for != lease.ip:
            reason = f"its MAC is that of the instance {stands_for}"
    return Instance(
        mac=lease.mac,
        ip=lease.ip,
        subnet=subnet,
        hostname=lease.hostname,
        expires=lease.expires,
        state="expired" if over else "leased",
        reachable=answers.get(lease.ip),
        ways=ways,
        reason=reason,
    )


def reading_json(reading: CnciReading) -> dict[str, Any]:
    """A reading in the shape of `instances --json`."""
    return {
        "cnci": reading.cnci,
        "address": reading.address,
        "state": reading.state,
        "reason": reading.reason,
        "remedy": reading.remedy,
        "subnets": list(reading.subnets),
        "instances": [_instance_json(instance) for instance in reading.instances],
    }


def _instance_json(instance: Instance) -> dict[str, Any]:
    ways = instance.ways
    return {
        "mac": instance.mac,
        "ip": instance.ip,
        "subnet": instance.subnet,
        "hostname": instance.hostname,
        "expires": instance.expires.isoformat() if instance.expires else None,
        "state": instance.state,
        "reachable": instance.reachable,
        "reason": instance.reason or ways.why_no_port,
        "port": ways.port,
        "ssh": {"direct": ways.direct, "gateway": ways.gateway, "corporate": ways.corporate},
    }


def is_plain_user(text: str) -> bool:
    """Whether a user name has no character that is special to a shell."""
    return re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", text) is not None


def parse_user(text: str) -> str:
    """A user name for ssh commands. Raises WizardError (status 2) where it has characters special to a shell."""
    if is_plain_user(text):
        return text
    error = WizardError(f'"{clean(text, 60)}" is not a user name', "Write letters and digits, such as demouser.")
    error.status = 2
    raise error
