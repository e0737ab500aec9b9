"""Plan -> files for other tools: `formats` writes them, `about` describes them, `ciao` is ciao's own."""
