"""The network of this machine: links, the packet filter, and the other programs that configure either.

- `link`, `link_image`: a NIC as the kernel sees it, and bringing it back to what it was.
- `managers/`: the network managers, one module each; `managers/__init__.py` lists them.
- `firewalls/`: other people's packet filters, one module each; `firewalls/__init__.py` lists them.
- `gateway_rules`, `forwarding`: our own rules (nat.sh) and the forwarding switches.
- `forward_flows`, `conntrack`, `nft_objects`: connections and nftables objects, spoken to over netlink.
"""
