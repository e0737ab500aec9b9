"""What is in force here, and whether it works."""
