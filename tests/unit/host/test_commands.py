"""What a program that failed said is shown by the line that has the words."""

import os
from pathlib import Path

import pytest

from tests.needs import need, unavailable
from wizard.host.commands import CommandFailed, output_of, reason_in, run

NFT = """/dev/stdin:54:9-70: Error: Could not process rule: Numerical result out of range
        meta skuid 60867 udp sport 67 @th,2136,32 0x696e2075 drop
        ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
"""
TWO = """/dev/stdin:1:52-57: Error: syntax error, unexpected accept
table inet x { chain a { nonsense accept
                                  ^^^^^^
/dev/stdin:2:1-1: Error: syntax error, unexpected end of file
table inet x { chain a { nonsense accept
^
"""


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        (NFT, "/dev/stdin:54:9-70: Error: Could not process rule: Numerical result out of range"),
        (TWO, "/dev/stdin:1:52-57: Error: syntax error, unexpected accept"),
        (
            "iptables v1.8.9 (nf_tables): Chain 'NOPE' does not exist\nTry `iptables -h' or 'iptables --help' for more"
            " information.\n",
            "iptables v1.8.9 (nf_tables): Chain 'NOPE' does not exist",
        ),
        (
            "iptables-restore v1.8.9 (legacy): Couldn't load target `NO'\n\nError occurred at line: 3\nTry `iptables-re"
            "store -h' or 'iptables-restore --help' for more information.\n",
            "iptables-restore v1.8.9 (legacy): Couldn't load target `NO'",
        ),
        ("RTNETLINK answers: File exists\nifup: failed to bring up eth1\n", "RTNETLINK answers: File exists"),
        ("Error: Unknown device type.\n", "Error: Unknown device type."),
        (
            "Job for x.service failed because the control process exited with error code.\n"
            'See "systemctl status x.service" and "journalctl -xeu x.service" for details.\n',
            "Job for x.service failed because the control process exited with error code.",
        ),
        ('Traceback\n  File "a", line 1\nValueError: no\n', "ValueError: no"),
        ("Warning: Permanently added\nPermission denied (publickey).\n", "Permission denied (publickey)."),
        ("ifup: failed to bring up eth1\n", "ifup: failed to bring up eth1"),
        ("iptables-nft-restore: line 1 failed\n", "iptables-nft-restore: line 1 failed"),
        ("  ^^^^\n", "^^^^"),
        ("\n \n", ""),
        ("", ""),
    ],
)
def test_the_line_with_the_words_is_shown(stderr: str, line: str) -> None:
    assert reason_in(stderr) == line


def test_nft_itself_is_shown_by_its_words() -> None:
    need("nft")
    if os.geteuid():
        unavailable("nft is asked as root")
    with pytest.raises(CommandFailed) as failed:
        run("nft", "-c", "-f", "-", stdin="table inet x {\n  chain y { nonsense accept; }\n}\n")
    assert "Error: syntax error" in failed.value.message
    assert "^" not in failed.value.message


def test_output_is_read_while_the_program_runs() -> None:
    with output_of("sh", "-c", "printf '\\377\\0one'; head -c 3000000 /dev/zero") as output:
        assert output.read(5) == b"\xff\0one"
        assert len(output.read()) == 3_000_000


def test_a_program_that_fails_after_its_output_is_told() -> None:
    with (
        pytest.raises(CommandFailed, match="no such thing") as raised,
        output_of("sh", "-c", "echo some; echo 'no such thing' >&2; exit 3") as output,
    ):
        assert output.read() == b"some\n"
    assert raised.value.code == 3


def test_a_program_whose_output_nobody_wants_is_stopped() -> None:
    pid = 0

    def first_line() -> None:
        nonlocal pid
        with output_of("sh", "-c", "echo $$; exec yes") as output:
            pid = int(output.readline())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        first_line()
    assert pid
    assert not Path(f"/proc/{pid}").exists()


def test_a_program_that_is_missing_is_told_before_anything_is_read() -> None:
    with pytest.raises(CommandFailed, match="is not installed"), output_of("no-such-program-here"):
        pytest.fail("it was run")
