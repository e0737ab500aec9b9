"""The cluster's own network."""
