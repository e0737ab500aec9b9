"""The virtual laboratory: this machine plays the gateway laptop in namespaces of its own. Standard library only,
but for `control`.

- `enter`: makes the namespaces and passes signals on; `ciao-wizard lab` runs it.
- `preflight`: what keeps the laboratory from running here, and the remedy.
- `inside`: process 1: builds the world, runs the command.
- `private`: its own /etc, /run, /var and /sys.
- `world`: names, addresses and MACs.
- `corporate`, `node`, `web`: the company's network; what runs on a machine; its pages.
- `machine`, `machines`: the command `machine`, and the machines, cables and switches that it changes.
- `marker`: knows whether a program runs in a laboratory.
- `control`: runs a laboratory from a test.
- `boot`, `tools`: starts our own modules; runs other programs.
"""
