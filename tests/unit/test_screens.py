"""Every page has what is found by its name: its class, its controller, its style, and a hand for all that it asks."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from wizard import screens
from wizard.app.app import PREVIOUS_PAGE
from wizard.screens.controller import StepController
from wizard.widgets.page import Page, PageMessage, StepPage


def test_pages_are_named_after_their_folders() -> None:
    assert len(screens.PAGES) == len(screens.__all__)
    folders = {file.parent.name for file in Path(screens.__file__).parent.glob("*/__init__.py")}
    assert set(screens.PAGES) == folders


@pytest.mark.parametrize("name", screens.PAGES)
def test_a_page_is_found_by_its_name(name: str) -> None:
    page = getattr(screens, f"{name.title()}Page")
    assert issubclass(page, Page)
    # Those that edit the draft have it checked.
    assert issubclass(page, StepPage) == issubclass(screens.load_controller(name), StepController)
    assert screens.style_of(name).is_file()


@pytest.mark.parametrize("name", screens.PAGES)
def test_a_controller_carries_out_all_that_its_page_asks(name: str) -> None:
    module = f"wizard.screens.{name}.messages"
    found = vars(import_module(module)).values() if find_spec(module) is not None else ()
    asked = {kind for kind in found if isinstance(kind, type) and kind.__module__ == module}
    assert all(issubclass(kind, PageMessage) for kind in asked)
    assert asked == set(screens.load_controller(name).handlers) - {StepPage.CheckRequested}


@pytest.mark.parametrize("name", sorted({*screens.PAGES} - {"welcome", "dashboard"}))
def test_a_page_leads_back_to_one(name: str) -> None:
    assert PREVIOUS_PAGE[name] in screens.PAGES


def test_there_is_no_other_page() -> None:
    assert not hasattr(screens, "NoSuchPage")
