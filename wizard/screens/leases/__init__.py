"""Who has which address, and what happens meanwhile."""
