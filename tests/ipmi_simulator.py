"""OpenIPMI's simulated BMC: its files, and the question whether it is there."""

from __future__ import annotations

SECRET = "correct-horse"  # noqa: S105
"""The password of its user "admin"."""
# As ipmi_sim sends and takes them: is there a BMC, there is one, and it speaks IPMI 2.0; the same of one that does not.
PING = bytes.fromhex("0600ff06000011be80000000")
PONG = bytes.fromhex("0600ff06000011be40000010000011be000000008100000000000000")
SPEAKS_2_0 = bytes.fromhex("0600ff0700000000000000000010811c6320043800019704030000000005")
SPEAKS_1_5 = bytes.fromhex("0600ff0700000000000000000010811c6320043800011704010000000087")

_LAN = """\
name "bmc"
set_working_mc 0x20
  startlan 1
    addr {address} {port}
    priv_limit admin
    allowed_auths_admin md5
    allowed_auths_operator md5
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{place}/chassis 0x20"
  user 2 true "admin" "{secret}" admin 10
"""
_EMULATION = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
"""
_CHASSIS = '#!/bin/sh\nshift; echo "$*" >>{place}/asked\n'


def no_session(tag: int, status: int) -> bytes:
    """The answer to the request for a session with this tag: there is none, by this status code."""
    return bytes.fromhex("0600ff070611000000000000000002") + bytes([0, tag, status])


def files(place: str, address: str, port: int) -> dict[str, str]:
    """Name -> text of what it reads in the directory `place`. What its machine is to do it writes into "asked" there,
    a line each, such as "set power 0"; nothing is done. "chassis" is a program."""
    lan = _LAN.format(address=address, port=port, place=place, secret=SECRET)
    return {"lan.conf": lan, "bmc.emu": _EMULATION, "chassis": _CHASSIS.format(place=place)}


def argv(place: str) -> list[str]:
    """What runs it. The directory "state" has to be in `place`."""
    return ["ipmi_sim", "-n", "-c", f"{place}/lan.conf", "-f", f"{place}/bmc.emu", "-s", f"{place}/state"]
