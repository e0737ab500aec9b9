"""Plan -> what other tools read."""
