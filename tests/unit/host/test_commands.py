"""What a program that failed said is shown by the line that has the words."""

import os

import pytest

from tests.needs import need, unavailable
from wizard.host.commands import CommandFailed, reason_in, run

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
