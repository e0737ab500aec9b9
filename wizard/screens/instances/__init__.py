"""The instances behind CNCIs, and the ways onto each."""
