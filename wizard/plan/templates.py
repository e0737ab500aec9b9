"""The templates of the files that an apply writes. Loads jinja2: `render` imports it when it renders."""

from __future__ import annotations

import jinja2

from wizard.plan.template_values import plain

# In the installed package, or beside it in a checkout. They are part of the program: jinja2 reads them as Python reads
# modules, and nothing else in here touches a disk.
_PACKAGE = __file__.rsplit("/", 2)[0]
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader([f"{_PACKAGE}/templates", f"{_PACKAGE}/../templates"]),
    undefined=jinja2.StrictUndefined,
    finalize=plain,
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
    # Shell and configuration text, not HTML: escaping would corrupt it. Fields are validated instead.
    autoescape=False,  # noqa: S701
)
