"""ciao-wizard: a guided set-up of the gateway of an isolated cluster."""

VERSION = "0.1.0"
