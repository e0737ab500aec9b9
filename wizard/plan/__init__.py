"""What the gateway should be. Pure: values in, values out; no I/O, no clock, no module state.

model           the plan, as frozen values
fields          text -> value, one parser per field
file/           plan files: TOML -> Plan and back, with the user's comments kept
draft/          what is typed in the screens: check, suggestions, presets, adoption
machine         facts about a machine; `host.facts` reads them
rules/          Plan × Facts -> findings
findings        Finding, and the errors that a person can fix
render          Plan -> the files that an apply writes
templates       the templates that render fills; template_values is what may go into them
export/         Plan -> files for other tools
addresses       address arithmetic: ranges, free addresses, networks in use
names           the texts that our DNS server reads
ifupdown        which lines of interfaces(5) configure a NIC
machine_lists/  lists that people have -> machines
lease_parser    dnsmasq's lease file, a line at a time
checks          the results of a verification
welcome         the lines of the first page
paths           paths on the machine
tools           the programs that an apply needs
staleness       how old an answer may be and still be shown as current
text            untrusted text, made safe to show
"""
