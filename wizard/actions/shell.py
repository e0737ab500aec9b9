"""Nodes over the person's own ssh: a command, a restart, a power-off. No password is ever asked for or kept."""

from __future__ import annotations

import secrets

from wizard.actions.outcome import DONE, NodeOutcome
from wizard.actions.way import refuse_elsewhere
from wizard.host import ssh
from wizard.host.ssh import SshFailed, Target
from wizard.plan.model import Node, Plan

PATIENCE_S = 30.0
RUN_PATIENCE_S = 600.0
_NOT_ALLOWED = 77

# sshd may be gone before it can tell how systemctl ended: what is written before tells that it was asked.
_ORDER = r"""
root=
if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || exit @NOT_ALLOWED@
    root='sudo -n'
fi
order() {
    if command -v systemctl >/dev/null 2>&1; then $root systemctl @SYSTEMD@; else $root @PLAIN@; fi
}
echo '@MARK@ asked' >&2
order || { echo '@MARK@ refused' >&2; exit 1; }
"""
_SYSTEMD = {"reboot": "reboot", "off": "poweroff"}


def target_of(plan: Plan, node: Node, user: str = "") -> Target:
    """The node by its name, for what the person's ssh configuration says of it; its host key is known under the same
    name as in `export ssh-config`. Raises WizardError where it would be asked on another wire."""
    refuse_elsewhere(plan, node.ip)
    return Target(node.name, user, str(node.ip), f"{node.name}.{plan.network.domain}")


def order(plan: Plan, node: Node, action: str, user: str = "") -> NodeOutcome:
    """Have a node restart ("reboot") or power off ("off"). Raises SshFailed."""
    mark = f"ciao-{secrets.token_hex(8)}"
    word = _SYSTEMD[action]
    script = _ORDER.replace("@MARK@", mark).replace("@SYSTEMD@", word).replace("@PLAIN@", word)
    try:
        ssh.run_script(target_of(plan, node, user), script.replace("@NOT_ALLOWED@", str(_NOT_ALLOWED)), PATIENCE_S)
    except SshFailed as error:
        asked, refused = (f"{mark} {word}" in error.said for word in ("asked", "refused"))
        if asked and not refused:
            return NodeOutcome(node.name, True, DONE[action])
        if error.status_there == _NOT_ALLOWED:
            return NodeOutcome(
                node.name,
                False,
                f"{node.name}: this user may not use sudo there without a password",
                "Give --user with one who may, such as root.",
            )
        if refused:
            words = [line for line in error.said.splitlines() if mark not in line]
            raise SshFailed("failed", f"{node.name} refused: {' '.join(words) or 'it does not say why'}", "") from None
        raise
    return NodeOutcome(node.name, True, DONE[action])


def run(plan: Plan, node: Node, command: str, user: str = "") -> NodeOutcome:
    """Run a shell command on a node; without one only log in. Raises SshFailed."""
    output = ssh.run_script(target_of(plan, node, user), f"{command or 'true'}\n", RUN_PATIENCE_S)
    return NodeOutcome(node.name, True, "done" if command else "ssh works", output=output)
