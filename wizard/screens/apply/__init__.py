"""A change under way, and the question whether to keep it."""
