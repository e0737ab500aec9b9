"""Looking on: leases and instances."""
