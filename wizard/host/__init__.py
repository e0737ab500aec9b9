"""Reads what this machine is, and changes it: the only room that speaks to the kernel and to other programs.

- `facts/`: reads the machine: NICs, routes, sockets, processes, the resolver.
- `dhcp/`: DHCP on the wire, and our own dnsmasq.
- `net/`: links, netlink, frames, the packet filter; other network managers and firewalls.
- `path/`: probes the path of a node's packets.
- `commands`: runs other programs; the only importer of `sh`.
- `files`: writes files atomically, and puts back what was there.
- `muter`, `muter_process`: the process that stops dnsmasq on a link event: the guard's side, and the process itself.
- `notice`: a desktop notice.
- `plan_in_force`: reads the plan that runs, or is kept, on this machine.
- `processes`: processes by pid, start time and boot.
- `shapes`: checks of JSON that was read back.
- `ssh`: runs a script on another machine.
- `systemd`: systemctl.
"""
