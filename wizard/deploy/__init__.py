"""Changing the machine: steps, journal, engine, guard."""
