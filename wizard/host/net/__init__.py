"""The network of this machine: its links and the packet filter.

- `link`, `link_image`: a NIC as the kernel sees it, and bringing it back to what it was.
- `forward_flows`, `conntrack`, `nft_objects`: connections and nftables objects, spoken to over netlink.
"""
