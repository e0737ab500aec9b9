"""One screen a folder: `screen` has the page, `messages` what it asks of its `controller`, which asks the services.

Beside them lie its dialogs and its style. The pages are had from here (`screens.NodesPage`) and loaded when they are
first asked for, as their controllers are, so that the first of them is on the terminal before the others are read.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wizard.screens.apply.screen import ApplyPage
    from wizard.screens.boot.screen import BootPage
    from wizard.screens.controller import Controller
    from wizard.screens.dashboard.screen import DashboardPage
    from wizard.screens.export.screen import ExportPage
    from wizard.screens.forwards.screen import ForwardsPage
    from wizard.screens.instances.screen import InstancesPage
    from wizard.screens.interfaces.screen import InterfacesPage
    from wizard.screens.leases.screen import LeasesPage
    from wizard.screens.network.screen import NetworkPage
    from wizard.screens.nodes.screen import NodesPage
    from wizard.screens.reset.screen import ResetPage
    from wizard.screens.review.screen import ReviewPage
    from wizard.screens.welcome.screen import WelcomePage

__all__ = [
    "ApplyPage",
    "BootPage",
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
    "WelcomePage",
]

PAGES = tuple(page.removesuffix("Page").lower() for page in __all__)
"""Their names, as the app and its messages call them."""


def style_of(name: str) -> Path:
    """The file with the style of the page of that name, and of its dialogs."""
    return Path(__file__).parent / name / "style.tcss"


def load_controller(name: str) -> type[Controller]:
    """The controller of the page of that name: NodesController is in nodes/controller.py, and so on."""
    found: type[Controller] = getattr(import_module(f"{__name__}.{name}.controller"), f"{name.title()}Controller")
    return found


def __getattr__(name: str) -> Any:
    """`NodesPage` is in nodes/screen.py, and so on."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    page = getattr(import_module(f"{__name__}.{name.removesuffix('Page').lower()}.screen"), name)
    globals()[name] = page
    return page
