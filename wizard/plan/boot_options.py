"""What dnsmasq tells firmware that boots over the network: lines of its dhcp-optsfile, which it reads again on SIGHUP.

Tags of firmware are set in tenant_dns.cfg; each machine of a plan with images has its own, and `PLANNED` besides.
"""

from __future__ import annotations

from collections.abc import Iterable

from netaddr import IPAddress

from wizard.plan.images import FIRST_STAGES, SHIM, BootUrls
from wizard.plan.netboot import ArmedNode
from wizard.plan.targets import OptionTarget

PLANNED = "planned"
"""dnsmasq's tag of every machine of the plan. No role or machine has it: theirs have a "-"."""
_IPXE, _BY_HTTP = "tag:ipxe", "tag:!ipxe,tag:efi-http,tag:http-client"
FIRMWARE = (
    (_IPXE, "option:bootfile-name,{base}/boot/${{mac:hexhyp}}"),
    ("tag:!ipxe,tag:!pi,tag:bios", f"option:bootfile-name,{FIRST_STAGES['bios']}"),
    ("tag:!ipxe,tag:efi64", f"option:bootfile-name,{FIRST_STAGES['efi64']}"),
    ("tag:!ipxe,tag:!pi,tag:arm64", f"option:bootfile-name,{FIRST_STAGES['arm64']}"),
    (_BY_HTTP, f"option:bootfile-name,{{base}}/first/{FIRST_STAGES['efi64']}"),
    (_BY_HTTP, "option:vendor-class,HTTPClient"),
    ("tag:!ipxe,tag:pi", "option:bootfile-name,bootcode.bin"),
    ("tag:!ipxe,tag:pi", "43,Raspberry Pi Boot"),
)
"""Tags of firmware, and an option for those that have all of them. `{base}`: of the gateway's HTTP server."""
_UEFI = "tag:!ipxe,tag:efi64"
SIGNED_FIRMWARE = (
    *(row for row in FIRMWARE if row[0] not in (_UEFI, _BY_HTTP)),
    (_UEFI, f"option:bootfile-name,{SHIM}"),
)
"""The same of a node with Secure Boot on: UEFI refuses iPXE then, and the shim goes on by TFTP."""


def boot_options(armed: Iterable[ArmedNode], gateway: IPAddress) -> str:
    """The text of the file. Firmware of other machines gets no boot file."""
    base = BootUrls(gateway).base
    lines = ["# written by ciao-wizard: what the firmware of armed nodes is told"]
    for node in armed:
        tag = f"tag:{OptionTarget('node', node.name).tag}"
        rows = SIGNED_FIRMWARE if node.secure_boot else FIRMWARE
        lines += [f"{tag},{tags},{option.format(base=base)}" for tags, option in rows]
        # A ROM takes the server's address from the header, which is this.
        lines.append(f"{tag},option:server-ip-address,{gateway}")
    return "\n".join([*lines, ""])
