"""ifupdown: /etc/network/interfaces, and the ifup and ifdown that read it.

- `backend`: the `NetworkBackend`.
- `ifstate`: what ifupdown remembers of the interfaces that it raised.
- `interfaces_tree`, `interfaces_file`: the files that it reads, and editing one of them.
- `main_file`, `own_stanza`: /etc/network/interfaces to the byte; our own file in interfaces.d.
- `interfaces_change`, `dry_run`: what has to change in other people's files, and proof that it breaks nothing.
"""
