"""Plan files: TOML -> Plan (read) and Plan -> TOML with the user's comments kept (write)."""
