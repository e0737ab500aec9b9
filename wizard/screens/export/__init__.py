"""The plan as other tools read it."""
