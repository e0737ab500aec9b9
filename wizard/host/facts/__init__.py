"""Reads the facts of this machine. Read-only; what needs root comes out empty without it.

- `reader`: all of it, as `plan.machine.Facts`; the shape of `detect --json`.
- `nics`, `routes`: from `ip`; NICs from /sys where there is no `ip`.
- `nic_watch`: NICs that appear, disappear or have a cable moved, as events.
- `listeners`, `udp_sockets`: who listens on which port; which NIC each UDP socket is bound to.
- `port_services`: the services of programs on ports 53 and 67.
- `processes`: DHCP clients, and the SSH session that we run in.
- `resolver`: the DNS servers of this machine.
- `vendors`: the vendor of a MAC.
"""
