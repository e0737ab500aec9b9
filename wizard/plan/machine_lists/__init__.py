"""Machines from whatever lists people have: tables, leases, reservations, inventories, neighbour tables."""

from wizard.plan.machine_lists.decode import decode, is_text
from wizard.plan.machine_lists.reader import MachineList, read_list
from wizard.plan.machine_lists.row import ListedMachine

__all__ = ["ListedMachine", "MachineList", "decode", "is_text", "read_list"]
