"""The virtual laboratory: this machine plays the gateway laptop in namespaces of its own."""
