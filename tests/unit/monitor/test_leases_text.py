"""Text from the network must not reach a terminal as it came."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wizard.plan.text import clean


@pytest.mark.parametrize(
    "sign",
    [
        *map(chr, range(0x20)),
        "\x7f",
        *map(chr, range(0x80, 0xA0)),
        *"\u200b\u200c\u200d\u2060\ufeff\u00ad\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
        "\u2028",
        "\u2029",
        "\U000e0041",
        "\ud800",
    ],
)
def test_a_sign_that_steers_or_hides_is_replaced(sign: str) -> None:
    assert clean(f"a{sign}b") == "a?b"


def test_what_people_write_stays() -> None:
    assert clean("Größe node-1_x [b] 名前 €") == "Größe node-1_x [b] 名前 €"


def test_long_text_is_cut_and_shows_it() -> None:
    assert clean("abcdef", 4) == "abc…"
    assert clean("abcd", 4) == "abcd"


@given(st.text(), st.integers(1, 40))
def test_it_is_always_short_and_printable(text: str, limit: int) -> None:
    cleaned = clean(text, limit)

    assert cleaned.isprintable()
    assert len(cleaned) <= limit
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
