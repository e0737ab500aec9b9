"""Restart a part, apply the plan once more, or undo everything."""
