"""TOML <-> Plan."""
