"""What dnsmasq tells firmware that boots over the network: lines of its dhcp-optsfile, which it reads again on SIGHUP.

Tags of firmware are set in tenant_dns.cfg; each machine of a plan with images has its own, and `PLANNED` besides.
"""

from __future__ import annotations

from collections.abc import Iterable

from netaddr import IPAddress

from wizard.plan import raw_machines
from wizard.plan.images import IPXE_LOADERS, SHIM, BootUrls
from wizard.plan.netboot import ArmedNode
from wizard.plan.targets import OptionTarget

PLANNED = "planned"
"""dnsmasq's tag of every machine of the plan. No role or machine has it: theirs have a "-"."""
STRANGER = "raw"
"""Its tag of machines that no plan has, while somebody looks for them."""
Rows = tuple[tuple[str, str], ...]
_IPXE, _BY_HTTP = "tag:ipxe", "tag:!ipxe,tag:efi-http,tag:http-client"
_UEFI, _PI = "tag:!ipxe,tag:efi64", "tag:!ipxe,tag:pi"
FIRMWARE: Rows = (
    (_IPXE, "option:bootfile-name,{base}/boot/${{mac:hexhyp}}"),
    ("tag:!ipxe,tag:!pi,tag:bios", f"option:bootfile-name,{IPXE_LOADERS['bios']}"),
    (_UEFI, f"option:bootfile-name,{IPXE_LOADERS['efi64']}"),
    ("tag:!ipxe,tag:!pi,tag:arm64", f"option:bootfile-name,{IPXE_LOADERS['arm64']}"),
    (_BY_HTTP, f"option:bootfile-name,{{base}}/first/{IPXE_LOADERS['efi64']}"),
    (_BY_HTTP, "option:vendor-class,HTTPClient"),
    (_PI, "option:bootfile-name,bootcode.bin"),
    (_PI, "43,Raspberry Pi Boot"),
)
"""Tags of firmware, and an option for those that have all of them. `{base}`: of the gateway's HTTP server."""
SIGNED_FIRMWARE: Rows = (
    *(row for row in FIRMWARE if row[0] not in (_UEFI, _BY_HTTP)),
    (_UEFI, f"option:bootfile-name,{SHIM}"),
)
"""The same of a node with Secure Boot on: UEFI refuses iPXE then, and the shim goes on by TFTP."""
STRANGERS_FIRMWARE: Rows = (
    *(row for row in FIRMWARE if row[0] not in (_IPXE, _PI)),
    (_IPXE, f"option:bootfile-name,{{base}}{raw_machines.PATH}"),
)
"""The same of a machine that no plan has: iPXE shows its page, and a Raspberry Pi's ROM has none."""


def boot_options(armed: Iterable[ArmedNode], gateway: IPAddress, *, for_strangers: bool = False) -> str:
    """The text of the file. `for_strangers`: machines that no plan has are shown who they are. Firmware of all others
    gets no boot file."""
    base = BootUrls(gateway).base
    lines = ["# written by ciao-wizard: what the firmware of armed nodes is told"]
    asking: list[tuple[str, Rows]] = []
    for node in armed:
        asking.append((OptionTarget("node", node.name).tag, SIGNED_FIRMWARE if node.secure_boot else FIRMWARE))
    if for_strangers:
        asking.append((STRANGER, STRANGERS_FIRMWARE))
    for tag, rows in asking:
        lines += [f"tag:{tag},{tags},{option.format(base=base)}" for tags, option in rows]
        # A ROM takes the server's address from the header, which is this.
        lines.append(f"tag:{tag},option:server-ip-address,{gateway}")
    return "\n".join([*lines, ""])
