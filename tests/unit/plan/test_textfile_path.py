"""Where the file of metrics may be: what is refused is what the guard's unit forbids."""

from __future__ import annotations

from pathlib import Path

import pytest

from wizard.plan.fields import NOT_FOR_THE_GUARD, FieldError, parse_textfile

UNIT = (Path(__file__).parents[3] / "templates" / "ciao-gateway.service").read_text()
FORBIDDEN_BY = {
    "ProtectSystem=yes": {"/usr/", "/boot/", "/efi/"},
    "ProtectHome=read-only": {"/home/", "/root/", "/run/user/"},
    "PrivateTmp=yes": {"/tmp/", "/var/tmp/"},
}


def test_the_list_is_the_units() -> None:
    assert set(FORBIDDEN_BY) <= set(UNIT.splitlines())
    assert set(NOT_FOR_THE_GUARD) == set().union(*FORBIDDEN_BY.values())


@pytest.mark.parametrize("directory", NOT_FOR_THE_GUARD)
def test_where_the_unit_may_not_write_is_refused(directory: str) -> None:
    for path in (f"{directory}ciao.prom", f"{directory}a/b/ciao.prom"):
        with pytest.raises(FieldError, match="where the guard may not write") as refused:
            parse_textfile(path)
        assert "/var/lib/prometheus/node-exporter/ciao.prom" in refused.value.remedy


@pytest.mark.parametrize(
    "path", ["/var/lib/prometheus/node-exporter/ciao.prom", "/srv/usr/x.prom", "/homes/x.prom", "/var/tmpfiles/x.prom"]
)
def test_other_places_are_taken(path: str) -> None:
    assert parse_textfile(path) == path


@pytest.mark.parametrize("path", ["//usr/x.prom", "/var/..//usr/x.prom"])
def test_a_place_written_in_another_way_is_no_other_place(path: str) -> None:
    with pytest.raises(FieldError):
        parse_textfile(path)
