"""Power over IPMI 2.0, by the library python-ipmi: for BMCs without Redfish.

Only sessions that are signed and encrypted (cipher suites 17 and 3). The BMC has to prove that it knows the password
before anything made of it is sent.
"""

from __future__ import annotations

import contextlib
from typing import Any

from wizard.actions.bmc import INSTALL, Credentials, NotThere, hush, not_confirmed
from wizard.actions.outcome import DONE, NodeOutcome
from wizard.plan.findings import WizardError
from wizard.plan.model import Node

PORT = 623
_TRIES_AGAIN = 2
"""Of each packet, two seconds apart; a BMC that stops answering half-way is given up after 12 s."""
_LONGEST_USER, _LONGEST_PASSWORD = 16, 20
"""In bytes: what IPMI has room for."""
_POWER_DOWN, _POWER_UP, _HARD_RESET, _SOFT_SHUTDOWN = 0, 1, 3, 5
"""Of the command Chassis Control. None of its ways restarts a system gracefully."""
_WAYS = {
    ("wake", False): _POWER_UP,
    ("wake", True): _POWER_UP,
    ("reboot", True): _HARD_RESET,
    ("off", False): _SOFT_SHUTDOWN,
    ("off", True): _POWER_DOWN,
}
# Status codes of a session's set-up (IPMI 2.0, table 13-15) and of completion codes (table 5-2).
_NO_ROOM = (0x01, 0x0B)
_REFUSED = (0x09, 0x0A, 0x0C, 0x0D, 0x0F)
_NO_CIPHER = (0x04, 0x05, 0x06, 0x07, 0x10, 0x11)
_NOT_ALLOWED = (0x80, 0x81, 0xD4)
_NOT_NOW = 0xD5


def order(node: Node, action: str, credentials: Credentials, hard: bool = False, port: int = PORT) -> NodeOutcome:
    """Have a node's BMC switch it on ("wake"), restart it ("reboot") or power it off ("off"); `hard`: at once.

    Raises WizardError; NotThere where nothing answers IPMI there.
    """
    wanted = _WAYS.get((action, hard))
    if wanted is None:
        raise WizardError(
            "IPMI has no restart that asks the system there first: nothing was sent",
            "--hard restarts it at once; --user USER restarts it over ssh.",
        )
    user, password = credentials.user.encode(), credentials.password.encode()
    if len(user) > _LONGEST_USER or len(password) > _LONGEST_PASSWORD:
        raise WizardError(
            f"IPMI takes {_LONGEST_USER} bytes of a user and {_LONGEST_PASSWORD} of a password: nothing was sent",
            f"Set shorter ones in the BMC of {node.name}.",
        )
    try:
        import pyipmi
        import pyipmi.interfaces
    except ImportError:
        raise WizardError(f"{node.name} has a BMC, and the library for IPMI is not installed", INSTALL) from None
    # Its debug messages have the password in them.
    hush("pyipmi")
    interface = pyipmi.interfaces.create_interface("rmcpplus", keep_alive_interval=0, max_retries=_TRIES_AGAIN)
    bmc: Any = pyipmi.create_connection(interface)
    bmc.session.set_session_type_rmcp(str(node.bmc), port)
    bmc.session.set_auth_type_user(user, password)
    # All that Chassis Control needs; a BMC's user need not be an administrator.
    bmc.session.set_priv_level("operator")
    bmc.target = pyipmi.Target(ipmb_address=0x20)
    try:
        _send(bmc, wanted)
    except Exception as error:  # noqa: BLE001 - its errors have no common base, and a BMC may answer anything
        raise _explained(node, error) from None
    return NodeOutcome(node.name, True, f"{DONE[action]}, by its BMC over IPMI")


class NotConfirmed(Exception):
    """The command was sent, and nothing came back."""


def _send(bmc: Any, wanted: int) -> None:
    from pyipmi import errors

    try:
        bmc.open()
        # Once: each repeat is a command of its own to a BMC, and the machine may be booting again by then.
        bmc.interface.max_retries = 0
        try:
            bmc.chassis_control(wanted)
        except (errors.IpmiConnectionError, errors.RetryError, errors.IpmiTimeoutError, OSError):
            raise NotConfirmed from None
    finally:
        # What was ordered was answered: a session that is not closed ends by itself.
        with contextlib.suppress(Exception):
            bmc.session.close()
        with contextlib.suppress(OSError):
            bmc.interface.close()


def _explained(node: Node, error: Exception) -> WizardError:
    """Without the library's words."""
    from pyipmi import errors

    where = f"the BMC of {node.name} at {node.bmc}"
    if isinstance(error, NotConfirmed):
        return not_confirmed(node)
    status = error.msc if isinstance(error, errors.MessageStatusCodeError) else 0
    completion = error.cc if isinstance(error, errors.CompletionCodeError) else 0
    if isinstance(error, errors.AuthenticationError) or status in _REFUSED:
        return WizardError(
            f"{where} refuses the user and password over IPMI",
            "See the file that [bmc] names, or the keyring; is the user at least an operator, and may use IPMI?",
        )
    if completion in _NOT_ALLOWED:
        return WizardError(f"{where} does not let this user do that", "Make the user an operator in the BMC.")
    if completion == _NOT_NOW:
        return WizardError(f"{where} cannot do that now", "Is the machine off? Then wake it instead.")
    if status in _NO_ROOM:
        return WizardError(f"{where} has no session free", "Wait a minute, or close others' sessions.")
    if isinstance(error, errors.NotSupportedError) or status in _NO_CIPHER:
        return WizardError(
            f"{where} offers no session that is signed and encrypted (cipher suite 17 or 3): nothing was sent",
            "Switch IPMI 2.0 with such a suite on in it, or use ssh: --user USER.",
        )
    if isinstance(error, errors.IpmiConnectionError | errors.RetryError | OSError):
        return NotThere(f"{where} does not answer IPMI", "Is it plugged in, and is IPMI over LAN switched on in it?")
    return WizardError(f"{where} cannot do that: {type(error).__name__}", "Try it in the BMC's own web page.")
