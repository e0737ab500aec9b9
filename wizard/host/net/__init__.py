"""The network of this machine: links, netlink, frames, the packet filter, and the other programs that configure them.

Links and addresses:
- `link`, `link_image`: the state of a NIC's link; snapshots of a NIC, and restoring one.
- `rtnetlink`, `neighbours`, `forwarding`: addresses and routes without `ip`; the neighbour table; forwarding switches.
- `traffic`: byte counters and rates.
- `managers/`: the network managers, one module each; `managers/__init__.py` lists them.

Netlink:
- `netlink`, `nfnetlink`: messages and attributes; nftables and conntrack over it.
- `netlink_events`: what changed, as events.

Frames and probes:
- `frames`, `ipv6_packet`, `fragments`, `bpf`: frames as bytes, reassembly, socket filters.
- `packet_socket`: sends and receives frames.
- `spanning_tree`: whether a switch passes frames on by a fresh port.
- `adjacency`: are two NICs on one network.
- `prober`, `tcp_ports`: is a machine there; which ports answer.

The packet filter:
- `gateway_rules`: our own rules (nat.sh): loading, comparing, removing.
- `nft_armed_set`, `nft_objects`: the set that lets DHCP answers out; tables and chains without `nft`.
- `forward_flows`, `conntrack`: ends connections whose forward changed.
- `notes`: what nat.sh notes under /run.
- `firewalls/`: other people's packet filters, one module each; `firewalls/__init__.py` lists them.
"""
