"""DHCP on the wire, and our own dnsmasq.

- `packet`: DHCP frames as bytes: builds questions, parses answers.
- `probe`, `probe_questions`: does a DHCP server answer on a network, and what to ask for a plan.
- `cabling`: probes both networks at once, and explains what the pattern means.
- `discovery`: lists the machines that ask for an address, or have one.
- `own_replies`: knows our own answers when a switch loop returns them.
- `local_servers`: finds another DHCP server on this machine.
- `dnsmasq`: starts, reloads and checks our dnsmasq; its lease file and log.
- `dnsmasq_log`: who was ignored or refused, and why, from that log.
- `release`: releases a lease at our dnsmasq.
"""
