"""The app: the order of the pages, background calls, following a change, draft autosave."""

from wizard.app.app import WizardApp as WizardApp
from wizard.app.app import run as run
