"""What of booting over the network is on this machine, for the rules."""

from __future__ import annotations

from importlib.util import find_spec

from wizard.deploy.images.loaders import missing_loaders
from wizard.deploy.images.store import ImageState, ImageStore
from wizard.deploy.seed_answers import found_keys, unreadable_keys
from wizard.plan.findings import WizardError
from wizard.plan.image_manifest import BootHere
from wizard.plan.images import NO_ANSWERS, SeedAnswers


def read_boot_here(seeds: SeedAnswers = NO_ANSWERS) -> BootHere | None:
    """None where it may not be seen. `seeds`: of the plan, whose keys are read. Images are not read. Never raises."""
    try:
        store = ImageStore()
        return BootHere(
            stored=tuple(store.manifests().values()),
            incomplete=store.named(ImageState.INCOMPLETE),
            damaged=store.named(ImageState.DAMAGED),
            missing_loaders=missing_loaders(),
            server=find_spec("aiohttp") is not None,
            keys=found_keys(),
            bad_keys=tuple(unreadable_keys(seeds)),
        )
    except (WizardError, OSError):
        return None
