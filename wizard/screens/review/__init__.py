"""All that will be changed, before it is."""
