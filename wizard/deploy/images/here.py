"""What of booting over the network is on this machine, for the rules."""

from __future__ import annotations

from importlib.util import find_spec

from wizard.deploy.images.loaders import missing_loaders
from wizard.deploy.images.store import ImageState, ImageStore
from wizard.plan.findings import WizardError
from wizard.plan.image_manifest import BootHere


def read_boot_here() -> BootHere | None:
    """None where it may not be seen. Files are looked at, and not read. Never raises."""
    try:
        images = ImageStore().images()
        return BootHere(
            stored=tuple(each.manifest for each in images if each.manifest and each.state is ImageState.WHOLE),
            incomplete=tuple(each.name for each in images if each.state is ImageState.INCOMPLETE),
            damaged=tuple(each.name for each in images if each.state is ImageState.DAMAGED),
            missing_loaders=missing_loaders(),
            server=find_spec("aiohttp") is not None,
        )
    except (WizardError, OSError):
        return None
