"""One screen a file; plain data in, a message or a result out."""
