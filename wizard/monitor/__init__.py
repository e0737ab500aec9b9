"""Monitoring: leases, reachability, instances. Changes nothing."""
