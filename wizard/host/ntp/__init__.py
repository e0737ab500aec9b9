"""The time: what this machine's own time server is and does, what the company's DHCP names, and asking either."""
