"""What a person answers for the machines that are installed, and what is refused with the remedy."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from wizard.plan.fields import FieldError
from wizard.plan.seed_fields import (
    parse_disk,
    parse_key_source,
    parse_key_sources,
    parse_proxy,
    parse_ssh_key,
    parse_ssh_keys,
    parse_time_server,
    parse_user,
)


def key(kind: str = "ssh-ed25519", body: bytes = bytes(36), inner: str = "") -> str:
    named = (inner or kind).encode()
    return f"{kind} {base64.b64encode(len(named).to_bytes(4, 'big') + named + body).decode()}"


@pytest.mark.parametrize(
    ("parse", "given", "expected"),
    [
        (parse_user, " ciao ", "ciao"),
        (parse_user, "a_b-c9", "a_b-c9"),
        (parse_ssh_key, f"{key()} me@laptop\n", f"{key()} me@laptop"),
        (parse_ssh_key, key(), key()),
        # What is in a comment is anybody's text.
        (parse_ssh_key, f"{key()} it's; reboot", key()),
        (parse_ssh_key, f"{key()} my laptop", f"{key()} my"),
        (parse_ssh_key, key("sk-ssh-ed25519@openssh.com"), key("sk-ssh-ed25519@openssh.com")),
        (parse_time_server, "192.168.0.200", "192.168.0.200"),
        (parse_time_server, "NTP.corp.example.", "ntp.corp.example"),
        (parse_proxy, "", ""),
        (parse_proxy, "http://10.0.0.1:3128", "http://10.0.0.1:3128/"),
        (parse_proxy, "https://Proxy.example/", "https://proxy.example/"),
        (parse_disk, "", ""),
        (parse_disk, "/dev/nvme0n1", "/dev/nvme0n1"),
        (parse_disk, "/dev/disk/by-id/ata-X_1:2", "/dev/disk/by-id/ata-X_1:2"),
    ],
)
def test_what_is_taken(parse: Callable[[str], str], given: str, expected: str) -> None:
    assert parse(given) == expected


PRIVATE = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("parse", "given"),
    [
        (parse_user, ""),
        (parse_user, "root"),
        (parse_user, "sudo"),
        (parse_user, "Ciao"),
        (parse_user, "ciao;reboot"),
        (parse_user, "ciao\n"),
        (parse_user, "-ciao"),
        (parse_user, "a" * 32),
        (parse_ssh_key, ""),
        (parse_ssh_key, "ssh-ed25519"),
        (parse_ssh_key, "ssh-dss AAAA"),
        (parse_ssh_key, "ssh-ed25519 '$(reboot)'"),
        (parse_ssh_key, "ssh-ed25519 AAAA"),
        (parse_ssh_key, key(body=bytes(8))),
        (parse_ssh_key, key(inner="ssh-rsa")),
        (parse_ssh_key, f"{key()}\n{key()}"),
        (parse_ssh_key, f'command="reboot" {key()}'),
        (parse_ssh_key, key(body=bytes(4000))),
        (parse_ssh_key, PRIVATE),
        (parse_time_server, "300.1.1.1"),
        (parse_time_server, "ntp'; reboot"),
        (parse_time_server, "ntp example"),
        (parse_proxy, "proxy:3128"),
        (parse_proxy, "ftp://proxy:21"),
        (parse_proxy, "http://me:secret@proxy:3128"),
        (parse_proxy, "http://proxy:99999"),
        (parse_proxy, "http://proxy/$(reboot)"),
        (parse_proxy, 'http://proxy"/'),
        (parse_disk, "sda"),
        (parse_disk, "/dev/../etc/passwd"),
        (parse_disk, "/dev/sda; reboot"),
        (parse_disk, "/dev/disk/by-id/$(reboot)"),
        (parse_disk, "/dev/sda\n"),
    ],
)
def test_what_is_refused(parse: Callable[[str], str], given: str) -> None:
    with pytest.raises(FieldError) as raised:
        parse(given)
    assert raised.value.remedy
    assert raised.value.message.isprintable()
    # A secret that was given by mistake is not shown again.
    assert "secret" not in raised.value.message
    assert "b3BlbnNzaC1rZXk" not in raised.value.message


def test_keys_of_a_file() -> None:
    first, second = key(), key("ssh-rsa")
    assert parse_ssh_keys([f"# mine\n{first}\n\n{second} me\n{first}\n"]) == (first, f"{second} me")


@pytest.mark.parametrize(
    ("given", "words"), [([], "no public key"), (["# none\n"], "no public key"), ([PRIVATE], "private")]
)
def test_files_without_public_keys(given: list[str], words: str) -> None:
    with pytest.raises(FieldError, match=words):
        parse_ssh_keys(given)


@pytest.mark.parametrize("path", ["~/.ssh/id_ed25519.pub", "/etc/keys/me.pub", "/home/me/.ssh/authorized_keys"])
def test_a_key_may_be_a_path(path: str) -> None:
    assert parse_key_source(f" {path} ") == path
    assert parse_key_sources([path, key(), path]) == (path, key())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("~/.ssh/id_ed25519", "does not end in .pub"),
        ("~root/.ssh/id_rsa.pub", "somebody else"),
        ("~", "somebody else"),
        ("/../etc/x.pub", "not the path"),
        ("~/a b.pub", "not the path"),
        ("ssh/id.pub", "not a public key"),
        (PRIVATE, "private key"),
    ],
)
def test_a_path_that_is_refused(given: str, words: str) -> None:
    with pytest.raises(FieldError, match=words) as raised:
        parse_key_source(given)
    assert raised.value.remedy
    assert "b3BlbnNzaC1rZXk" not in raised.value.message


def test_too_many_keys() -> None:
    with pytest.raises(FieldError, match="more than 16"):
        parse_ssh_keys([key(body=bytes(36) + bytes([number])) for number in range(17)])
