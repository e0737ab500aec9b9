"""Changing the machine, guarding it while the gateway runs, and reading what is applied. Core: loads without Textual.

apply/             an apply, reset or recovery: the client that starts it, and the engine process that does it
images/            what nodes boot: kept, checked and removed
guard/             the guard process: runs dnsmasq and lets its DHCP answers out only while that is safe
journal            the pre-images of every change, from which everything is undone
journal_schema     which records of the journal an undo may act on
events             the events file of an engine: writer and reader
runtime_state      state files under /run/ciao-wizard: which engine and guard run, the answer to a trial
shapes             TypedDicts of those files, of events and of requests
file_changes       the plan's files as rendered for this machine, and as diffs
installed_files    which files of ours are installed, and their drift
armed              the record of the nodes that are armed to boot over the network
discovery_record   until when machines not in the plan are shown a page, and what they said
netboot_server     the HTTP server of what armed nodes fetch, a child of the guard
netboot_check      whether armed nodes would be served
tftp_root          the directories that TFTP serves, one for each armed node
seed_answers       user, keys and proxy of what is installed
time_check         whether whoever gives the nodes the time answers, and how well
verify             checks from outside that the machine is as the plan says
status             the answer to `status`: state, checks and drift
failpoints         named moments at which a test in the laboratory stops a process
"""
