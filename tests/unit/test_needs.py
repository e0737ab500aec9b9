"""A test that cannot run here says why and what to do; in CI it fails."""

from __future__ import annotations

import pytest

from tests import needs


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_a_missing_program_skips_a_test_and_fails_it_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(needs, "find", lambda _: None)
    with pytest.raises(outcome, match=r"qemu-system-x86_64 is not here: .* install qemu-system-x86$"):
        needs.need("qemu-system-x86_64")


def test_what_is_here_is_no_matter() -> None:
    needs.need("sh", "env")


def test_both_lists_of_script_bootstrap_are_read() -> None:
    packages = needs.packages_of_programs()
    assert packages["nft"] == "nftables"
    assert packages["depmod"] == "kmod"
    assert all(packages.values())
