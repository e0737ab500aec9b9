"""Probes the path of a node's packets: ARP, DHCP, DNS, the way out, forwards in. The frames enter as if received from
the node, and the answers are captured where they leave.

- `probe`: the tests, and running them.
- `packets`: their frames as bytes.
- `injection`: has the kernel receive a frame by a NIC.
- `egress`: captures what leaves by a NIC.
- `trace`: finds the rule that dropped a packet.
"""
