"""The first page: what this machine is, what is missing, what an earlier run has left."""
