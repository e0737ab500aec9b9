"""Which ports of the gateway lead to which node."""
