"""Machines from whatever lists people have: tables, leases, reservations, inventories, neighbour tables.

bytes -> text            decode
text -> rows             reader: which format a line is in, decided for each line
    tables                   below a line of headings
    blocks                   several lines: dhcpd, uci, nmap
    program_lines            one line of a known program
    free_form                one line that somebody typed
    scaffolding              lines of these formats that are no machine
    trees                    JSON, YAML and TOML (json_text, yaml_text: tree); xml_text
row -> machine           row: what stands there becomes values, or a problem; values, vocabulary: the words
machines -> machines     merging: rows about one machine are one
"""

from wizard.plan.machine_lists.decode import decode, is_text
from wizard.plan.machine_lists.reader import MachineList, read_list
from wizard.plan.machine_lists.row import ListedMachine

__all__ = ["ListedMachine", "MachineList", "decode", "is_text", "read_list"]
