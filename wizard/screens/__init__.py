"""One screen a file; plain data in, a message or a result out.

The pages are had from here (`screens.NodesPage`) and loaded when they are first asked for, so that the first of
them is on the terminal before the others are read from the disk.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wizard.screens.apply import ApplyPage
    from wizard.screens.dashboard import DashboardPage
    from wizard.screens.export import ExportPage
    from wizard.screens.forwards import ForwardsPage
    from wizard.screens.instances import InstancesPage
    from wizard.screens.interfaces import InterfacesPage
    from wizard.screens.leases import LeasesPage
    from wizard.screens.network import NetworkPage
    from wizard.screens.nodes import NodesPage
    from wizard.screens.reset import ResetPage
    from wizard.screens.review import ReviewPage
    from wizard.screens.start import StartPage

__all__ = [
    "ApplyPage",
    "DashboardPage",
    "ExportPage",
    "ForwardsPage",
    "InstancesPage",
    "InterfacesPage",
    "LeasesPage",
    "NetworkPage",
    "NodesPage",
    "ResetPage",
    "ReviewPage",
    "StartPage",
]


def __getattr__(name: str) -> Any:
    """`NodesPage` is in nodes.py, and so on."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    page = getattr(import_module(f"{__name__}.{name.removesuffix('Page').lower()}"), name)
    globals()[name] = page
    return page
