"""What the machine is, and how to touch it."""
