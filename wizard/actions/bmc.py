"""Power over Redfish, by the library sushy; where credentials come from. IPMI is beside it, in ipmi.py.

A password is in a file of the person's or in the system's keyring, never in a plan, a message or a log.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import tomllib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from wizard.actions.outcome import DONE, NodeOutcome
from wizard.host.person import behind_sudo
from wizard.plan.findings import WizardError
from wizard.plan.model import Node
from wizard.plan.text import clean

KEYRING_SERVICE = "ciao-wizard-bmc"
TIMEOUT_S = 15
_LONGEST_FILE = 1 << 20
INSTALL = "pip install 'ciao-wizard[bmc]', in the environment that ciao-wizard is installed in."
_FILE_INSTEAD = (
    "Write user and password into a file that only its owner can read (chmod 600), and name it in the plan: "
    '[bmc] credentials = "/etc/ciao-wizard/bmc.toml".'
)
_WAYS = {
    ("wake", False): "On",
    ("wake", True): "On",
    ("reboot", False): "GracefulRestart",
    ("reboot", True): "ForceRestart",
    ("off", False): "GracefulShutdown",
    ("off", True): "ForceOff",
}


class NotThere(WizardError):
    """Nobody at a BMC's address speaks the protocol that it was asked in; nothing was done."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """`verify`: True, False, or the path of the certificate to trust."""

    user: str
    password: str = field(repr=False)
    verify: bool | str = True


def credentials_for(node: Node, path: str) -> Credentials:
    """Those of a node's BMC: of the file at `path`, or for "" of the keyring. Raises WizardError."""
    return _from_file(node, path) if path else _from_keyring(node)


def _from_file(node: Node, path: str) -> Credentials:
    try:
        data = tomllib.loads(_read_private(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        # Not the parser's words: they may quote a password.
        raise WizardError(f"{path} is no TOML", 'Write user = "…" and password = "…".') from None
    nodes = data.get("nodes")
    own = nodes.get(node.name) if isinstance(nodes, dict) else None
    found = {**data, **own} if isinstance(own, dict) else data
    user, password, verify = found.get("user"), found.get("password"), found.get("verify", True)
    if not isinstance(user, str) or not isinstance(password, str):
        raise WizardError(
            f"{path} has no user and password for {node.name}",
            f'Write user = "…" and password = "…" in it, for all or below [nodes.{node.name}].',
        )
    if not isinstance(verify, bool | str):
        raise WizardError(f"{path}: verify is neither true, false nor a path", 'Write verify = "/path/of/ca.pem".')
    return Credentials(user, password, verify)


def _read_private(path: str) -> str:
    """A file that nobody else can read. Raises WizardError."""
    private = f"chmod 600 {path}"
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise WizardError(f"{path} is not a file", "Name the file of the BMCs' credentials in [bmc].")
            if found.st_mode & 0o077:
                raise WizardError(f"others may read or change {path}, which holds passwords: it is not used", private)
            person = behind_sudo()
            owners = {0, os.geteuid(), *([person.uid] if person else [])}
            if found.st_uid not in owners:
                raise WizardError(f"{path} belongs to somebody else: it is not used", f"chown it, then {private}")
            return file.read(_LONGEST_FILE).decode()
    except OSError as error:
        raise WizardError(
            f"{path}: {error.strerror}", "It is named in [bmc] of the plan; write user and password into it."
        ) from None


def _from_keyring(node: Node) -> Credentials:
    """Those under the BMC's own service, else those for all. Root, and whoever has no desktop, has no keyring."""
    service = f"{KEYRING_SERVICE}:{node.bmc}"
    try:
        import keyring
        import keyring.backends.fail
    except ImportError:
        remedy = f"{_FILE_INSTEAD} For a keyring: {INSTALL}"
        raise WizardError(f"there are no credentials for the BMC of {node.name}", remedy) from None
    try:
        # It finds nothing without a word.
        reachable = not isinstance(keyring.get_keyring(), keyring.backends.fail.Keyring)
        found = keyring.get_credential(service, None) or keyring.get_credential(KEYRING_SERVICE, None)
    except Exception as error:  # noqa: BLE001 - those of D-Bus and of the keyring's program are among them
        message = f"the keyring cannot be read for the BMC of {node.name}: {clean(type(error).__name__, 60)}"
        raise WizardError(message, _FILE_INSTEAD) from None
    if not reachable:
        whose = "root has no keyring" if os.geteuid() == 0 else "there is no keyring here"
        raise WizardError(f"{whose} to have credentials for the BMC of {node.name}", _FILE_INSTEAD)
    if found is None or not found.password:
        raise WizardError(
            f"the keyring has no {KEYRING_SERVICE} for {node.bmc}", f"keyring set {service} USER. Or: {_FILE_INSTEAD}"
        )
    return Credentials(found.username, found.password)


def order(node: Node, action: str, credentials: Credentials, hard: bool = False, base_url: str = "") -> NodeOutcome:
    """Have a node's BMC switch it on ("wake"), restart it ("reboot") or power it off ("off"); `hard`: at once.

    `base_url`: instead of HTTPS at the BMC's address. Raises WizardError; NotThere where nothing answers Redfish there.
    """
    try:
        import requests
        import sushy
        import sushy.auth
        import sushy.exceptions
    except ImportError:
        raise WizardError(f"{node.name} has a BMC, and the library for Redfish is not installed", INSTALL) from None
    hush("sushy", "urllib3")
    wanted = _WAYS[action, hard]
    failures = (sushy.exceptions.SushyError, requests.exceptions.RequestException)
    # Not a session: one that is left open may fill the BMC's few places.
    auth = sushy.auth.BasicAuth(credentials.user, credentials.password)
    url = base_url or f"https://{node.bmc}"
    _reach(node, url)
    try:
        root = sushy.Sushy(url, auth=auth, connector=_direct(url, credentials.verify))
    except failures as error:
        raise _no_redfish(node, error) or _explained(node, error) from None
    try:
        system = root.get_system()
        _refuse_unoffered(system, wanted)
    except failures as error:
        raise _explained(node, error) from None
    try:
        system.reset_system(sushy.ResetType(wanted))
    except (sushy.exceptions.ConnectionError, requests.exceptions.ConnectionError, requests.exceptions.Timeout):
        raise not_confirmed(node) from None
    except failures as error:
        raise _explained(node, error) from None
    return NodeOutcome(node.name, True, f"{DONE[action]}, by its BMC")


def _direct(url: str, verify: bool | str) -> Any:
    """The library's connection, past the proxy that the person's environment names: that is the company's."""
    from sushy.connector import Connector

    # One attempt: for 0 the library takes 3, and a restart that was taken would be ordered again.
    connector = Connector(
        url, verify=verify, server_side_retries=1, default_request_timeout=TIMEOUT_S, connect_timeout=TIMEOUT_S
    )
    connector._session.trust_env = False
    return connector


def not_confirmed(node: Node) -> WizardError:
    """For an order that was sent and not answered: it may be carried out."""
    message = f"the BMC of {node.name} was asked, and did not confirm"
    return WizardError(message, "See whether the node does it before you ask again.")


def _reach(node: Node, url: str) -> None:
    """Raises NotThere where nobody takes a connection: the library would try three times, two seconds apart."""
    there = urlsplit(url)
    try:
        socket.create_connection((there.hostname, there.port or 443), TIMEOUT_S).close()
    except OSError:
        raise _silent(node) from None


def _silent(node: Node) -> NotThere:
    message = f"the BMC of {node.name} at {node.bmc} does not answer"
    return NotThere(message, "Is it plugged in, and is that the address set in it?")


def _refuse_unoffered(system: Any, wanted: str) -> None:
    allowed = {str(value.value): value for value in system.get_allowed_reset_system_values()}
    if wanted not in allowed:
        raise WizardError(
            f"its BMC does not offer {wanted}", f"It offers {clean(', '.join(sorted(allowed)) or 'nothing', 200)}."
        )


def hush(*loggers: str) -> None:
    """Have libraries log nothing: what they tell of a request may hold a password, and of an answer anything."""
    for name in loggers:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _no_redfish(node: Node, error: Exception) -> NotThere | None:
    """What it means where the first question of all, which needs no user, fails in a way that Redfish does not."""
    import requests
    import sushy.exceptions

    if _is_of_certificate(error):
        return None
    where = f"the BMC of {node.name} at {node.bmc}"
    if isinstance(error, sushy.exceptions.ConnectionError | requests.exceptions.ConnectionError):
        return _silent(node)
    other_server = sushy.exceptions.ResourceNotFoundError | sushy.exceptions.MissingAttributeError
    if isinstance(error, other_server | requests.exceptions.InvalidJSONError):
        return NotThere(f"{where} has no Redfish", "Switch it on in the BMC, or update its firmware.")
    return None


def _is_of_certificate(error: Exception) -> bool:
    cause = error.__cause__ or error.__context__ or error
    return "certificate" in f"{error}{cause}".lower()


def _explained(node: Node, error: Exception) -> WizardError:
    """Without the library's words: they may quote what was sent."""
    import requests
    import sushy.exceptions

    where = f"the BMC of {node.name} at {node.bmc}"
    if isinstance(error, sushy.exceptions.AccessError):
        return WizardError(f"{where} refuses the user and password", "See the file that [bmc] names, or the keyring.")
    if _is_of_certificate(error):
        return WizardError(
            f"{where} shows a certificate that is not trusted: nothing was sent",
            'Save its certificate, and write verify = "/path/of/it.pem" into the file of credentials.',
        )
    if isinstance(error, sushy.exceptions.ConnectionError | requests.exceptions.ConnectionError):
        return WizardError(f"{where} does not answer", "Is it plugged in, and is that the address set in it?")
    return WizardError(f"{where} cannot do that: {type(error).__name__}", "Try it in the BMC's own web page.")
