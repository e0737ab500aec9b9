"""Which nodes boot an image over the network, and how far each has come."""
