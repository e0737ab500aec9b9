"""The only door from the screens to the machine: `protocols` says what they may ask, `host` asks this machine."""
