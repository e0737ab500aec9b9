"""Which NIC leads where."""
