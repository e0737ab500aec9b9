"""`[[images]]` of a plan file: text -> value, one parser per field, as in `fields`; the table, and its rows back."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TypeVar

from wizard.plan.fields import FieldError, parse_path, shown
from wizard.plan.file.toml_table import TomlTable, as_text, as_texts
from wizard.plan.images import Architecture, Image, ImageKind, SeedForm

LONGEST_ARGUMENTS = 1024
LONGEST_PATH = 200
MOST_INITRDS = 8

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_PART = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_.+-]*")
# No quote, blank, `$`, `;`, `#`, `&`, `|`, `\`: grub and iPXE read these as their own.
_ARGUMENT = re.compile(r"[A-Za-z0-9_.,:/=@%+~!\[\]-]+")
_MEMORY = re.compile(r"([1-9][0-9]{0,6}) ?([MG])(?:i?B)?", re.IGNORECASE)
_LEAST_MEMORY, _MOST_MEMORY = 16, 1 << 20

_Choice = TypeVar("_Choice", bound=StrEnum)


def parse_image_name(text: str) -> str:
    """A name that can be a directory and a part of a URL."""
    given = _lower(text.strip(" "))
    if not _NAME.fullmatch(given):
        raise FieldError(
            text, "is not an image's name", "Write letters, digits and '-' between them, 32 at most, such as debian12."
        )
    return given


def parse_image_kind(text: str) -> ImageKind:
    return _one(text, ImageKind, "a kind of image")


def parse_architecture(text: str) -> Architecture:
    """Debian's word; the kernel's is understood too."""
    given = _lower(text.strip(" "))
    return _one({"x86_64": "amd64", "aarch64": "arm64"}.get(given, given), Architecture, "an architecture", text)


def parse_seed_form(text: str) -> SeedForm:
    return _one(text, SeedForm, "a form of seed")


def parse_image_file(text: str) -> str:
    """A file below an image's directory: parts with "/" between, none hidden and none ".."."""
    given = text.strip(" ")
    if len(given) > LONGEST_PATH:
        raise FieldError(text, f"is longer than {LONGEST_PATH} characters", "Give the file a shorter name.")
    if given.startswith("/") or "\\" in given:
        raise FieldError(
            text, "is not below the image's directory", "Write the file's name, as 'ciao-wizard image list' shows it."
        )
    if not all(_PART.fullmatch(part) for part in given.split("/")):
        raise FieldError(
            text,
            "is not a file's name that can be used safely",
            "Write letters, digits, '_', '.', '+' and '-', with no '..' and no dot in front, such as initrd.gz.",
        )
    return given


def parse_arguments(text: str) -> str:
    """Kernel arguments, separated by single blanks."""
    given = text.strip(" ")
    if len(given) > LONGEST_ARGUMENTS:
        raise FieldError(text, f"is longer than {LONGEST_ARGUMENTS} characters", "Put the rest into the seed.")
    words = [word for word in given.split(" ") if word]
    for word in words:
        if not _ARGUMENT.fullmatch(word):
            bad = next(letter for letter in word if not _ARGUMENT.fullmatch(letter))
            raise FieldError(
                word,
                f"has {shown(bad)}, which a boot loader reads as its own",
                "Write letters, digits and _ . , : / = @ % + ~ ! [ ] - only; put what needs quotes into the seed.",
            )
    return " ".join(words)


def parse_memory(value: str | int) -> int:
    """MiB, from a number of them or from text such as "4G"."""
    remedy = 'Write a number and M or G, such as "4G".'
    if isinstance(value, str):
        match = _MEMORY.fullmatch(value.strip(" "))
        if match is None:
            raise FieldError(value, "is not an amount of memory", remedy)
        amount = int(match[1]) * (1024 if match[2] in "gG" else 1)
    else:
        amount = 0 if isinstance(value, bool) else value
    if not _LEAST_MEMORY <= amount <= _MOST_MEMORY:
        raise FieldError(value, "is not an amount of memory that a machine has", remedy)
    return amount


def _lower(text: str) -> str:
    return text.lower() if text.isascii() else text


def _one(text: str, choices: type[_Choice], what: str, given: str | None = None) -> _Choice:
    wanted = _lower(text.strip(" "))
    for choice in choices:
        if choice.value == wanted:
            return choice
    *first, last = (choice.value for choice in choices)
    raise FieldError(text if given is None else given, f"is not {what}", f"Write {', '.join(first)} or {last}.")


IMAGE_KEYS = (
    "name",
    "kind",
    "kernel",
    "initrd",
    "arguments",
    "seed",
    "template",
    "architecture",
    "memory",
    "script",
)


def read_image(table: TomlTable) -> Image | None:
    """An `[[images]]` table; None, with its problems recorded, if it is not one."""
    table.only(*IMAGE_KEYS)
    name = table.required("name", as_text(parse_image_name))
    kind = table.required("kind", as_text(parse_image_kind))
    image = Image(
        name="" if name is None else name,
        kind=ImageKind.CUSTOM if kind is None else kind,
        kernel=table.optional("kernel", as_text(parse_image_file), ""),
        initrd=table.optional("initrd", _initrds, ()),
        arguments=table.optional("arguments", as_text(parse_arguments), ""),
        seed=table.optional("seed", as_text(parse_seed_form), None),
        template=table.optional("template", as_text(parse_path), ""),
        architecture=table.optional("architecture", as_text(parse_architecture), Architecture.AMD64),
        memory=table.optional("memory", _memory, None),
        script=table.optional("script", as_text(parse_image_file), ""),
    )
    return None if name is None or kind is None else image


def _initrds(value: object) -> tuple[str, ...]:
    files = tuple(map(parse_image_file, as_texts(value) if isinstance(value, list) else [as_text(str)(value)]))
    if len(files) > MOST_INITRDS:
        raise FieldError(list(files), f"holds more than {MOST_INITRDS} files", "Join them: initrds are concatenated.")
    if len(set(files)) < len(files):
        raise FieldError(list(files), "names a file twice", "Write each file once.")
    return files


def _memory(value: object) -> int:
    return parse_memory(value if isinstance(value, int) and not isinstance(value, bool) else as_text(str)(value))


def image_rows(image: Image) -> list[tuple[str, str | int | list[str] | None, bool]]:
    """Key, value (None: absent) and whether it is the default, in the order of a plan file."""
    memory = image.memory
    amount = None if memory is None else f"{memory // 1024}G" if memory % 1024 == 0 else f"{memory}M"
    return [
        ("name", image.name, False),
        ("kind", image.kind.value, False),
        ("kernel", image.kernel or None, False),
        ("initrd", list(image.initrd) or None, False),
        ("arguments", image.arguments or None, False),
        ("seed", None if image.seed is None else image.seed.value, False),
        ("template", image.template or None, False),
        ("architecture", image.architecture.value, image.architecture is Architecture.AMD64),
        ("memory", amount, False),
        ("script", image.script or None, False),
    ]
