"""What lies on the disk for an image: the manifest beside its files, and whether a plan's image can be served by it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wizard.plan.fields import FieldError, shown
from wizard.plan.findings import Finding, Severity, WizardError, error, warning
from wizard.plan.image_fields import parse_image_file, parse_image_name
from wizard.plan.images import (
    ADD,
    IPXE_LOADERS_OF,
    KINDS,
    LOADER_REMEDY,
    REMOVE,
    Architecture,
    Image,
    ImageKind,
    SeedAnswers,
    SeedForm,
)

VERSION = 1
MANIFEST = "manifest.json"
"""The file's name; no file of an image may be called so."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ManifestDamaged(WizardError):
    """A text that is no manifest of this version."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an image: its path below the image's directory, its size in bytes and its SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image as it was added. `kernel`, `initrd`, `script`, `iso` name `files`; "" and () where it has none.

    `source`: the name of what it was added from; `added`: ISO 8601 with zone.
    """

    name: str
    kind: ImageKind
    architecture: Architecture
    files: tuple[StoredFile, ...]
    kernel: str = ""
    initrd: tuple[str, ...] = ()
    script: str = ""
    iso: str = ""
    source: str = ""
    added: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def as_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            "name": self.name,
            "kind": self.kind.value,
            "architecture": self.architecture.value,
            "kernel": self.kernel,
            "initrd": list(self.initrd),
            "script": self.script,
            "iso": self.iso,
            "source": self.source,
            "added": self.added,
            "files": [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in self.files],
        }


def dump_manifest(manifest: Manifest) -> str:
    return json.dumps(manifest.as_json(), indent=2) + "\n"


def load_manifest(text: str) -> Manifest:
    """The manifest of a file's text. Raises ManifestDamaged."""
    try:
        data = json.loads(text)
        if not isinstance(data, Mapping) or data["version"] != VERSION:
            raise ManifestDamaged("it is of another version", "Add the image again.")
        manifest = Manifest(
            name=parse_image_name(_text(data["name"])),
            kind=ImageKind(data["kind"]),
            architecture=Architecture(data["architecture"]),
            files=tuple(map(_file, data["files"])),
            kernel=_path(data["kernel"]),
            initrd=tuple(map(_path, data["initrd"])),
            script=_path(data["script"]),
            iso=_path(data["iso"]),
            source=_text(data["source"]),
            added=_text(data["added"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError, FieldError) as problem:
        raise ManifestDamaged("it cannot be read", "Remove the image and add it again.") from problem
    present = {file.path for file in manifest.files}
    named = [*filter(None, (manifest.kernel, manifest.script, manifest.iso)), *manifest.initrd]
    if MANIFEST in present or len(present) < len(manifest.files) or not present.issuperset(named):
        raise ManifestDamaged("what it names does not fit together", "Remove the image and add it again.")
    return manifest


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _path(value: object) -> str:
    text = _text(value)
    return parse_image_file(text) if text else ""


def _file(value: object) -> StoredFile:
    if not isinstance(value, Mapping):
        raise TypeError
    size, digest = value["size"], _text(value["sha256"])
    if isinstance(size, bool) or not isinstance(size, int) or size < 0 or not _SHA256.fullmatch(digest):
        raise ValueError
    return StoredFile(parse_image_file(_text(value["path"])), size, digest)


@dataclass(frozen=True, slots=True)
class BootHere:
    """What of booting over the network is on this machine.

    `stored`: the whole images; `incomplete`, `damaged`: names of those that are not; `missing_loaders`: files of
    `images.IPXE_LOADERS`; `server`: whether the program that serves nodes can be loaded. `keys`: the person's public
    keys, as paths; `bad_keys`: paths of the plan that give none, each with the reason.
    """

    stored: tuple[Manifest, ...] = ()
    incomplete: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    missing_loaders: tuple[str, ...] = ()
    server: bool = True
    keys: tuple[str, ...] = ()
    bad_keys: tuple[tuple[str, str], ...] = ()


def check_here(images: Sequence[Image], seeds: SeedAnswers, here: BootHere) -> Iterator[Finding]:
    """Warnings on a plan's images on this machine: the gateway serves its nodes without them too."""
    stored = {manifest.name: manifest for manifest in here.stored}
    for finding in check_stored(images, stored, here.incomplete, here.damaged):
        yield replace(finding, severity=Severity.WARNING)
    booted = [image for image in images if image.kind is not ImageKind.DISK]
    if not booted:
        return
    if not here.server:
        yield warning(
            "netboot-server-missing",
            "machine",
            "aiohttp is not installed, which serves nodes that boot over the network.",
            "Run `pip install 'ciao-wizard[boot]'` where ciao-wizard is installed.",
        )
    for path, why in here.bad_keys:
        yield warning(
            "seed-key-unreadable",
            "seeds.ssh_key",
            f"{path}, a public key for what is installed, cannot be used: {why}.",
            "Make one with `ssh-keygen`, or write the path of yours.",
        )
    seeded = next((image for image in booted if image.seed_form is not SeedForm.NONE), None)
    if seeded is not None and not seeds.ssh_keys and not here.keys:
        yield warning(
            "seed-without-key",
            "seeds.ssh_key",
            f"Nobody could log in to a node that {shown(seeded.name)} is installed on: there is no public key.",
            'Make one with `ssh-keygen`, or write `ssh_key = "PATH"` in [seeds].',
        )
    asked = {stage for image in booted for stage in IPXE_LOADERS_OF[image.architecture]}
    if missing := [loader for loader in here.missing_loaders if loader in asked]:
        yield warning(
            "boot-loader-missing",
            "machine",
            f"No boot loader {', '.join(missing)} is on this machine: firmware that asks for it gets none.",
            LOADER_REMEDY,
        )


def check_stored(
    images: Sequence[Image],
    stored: Mapping[str, Manifest],
    incomplete: Collection[str] = (),
    damaged: Collection[str] = (),
) -> Iterator[Finding]:
    """Findings on a plan's images against the whole ones on this machine, by name."""
    for number, image in enumerate(images):
        at = f"images[{number}]"
        if image.kind is ImageKind.DISK:
            continue
        manifest = stored.get(image.name)
        if manifest is None:
            yield _absent(image, f"{at}.name", incomplete, damaged)
            continue
        for key in ("kind", "architecture"):
            here, asked = getattr(manifest, key), getattr(image, key)
            if here is not asked and (here, asked) != (ImageKind.DEBIAN, ImageKind.RESCUE):
                yield error(
                    f"image-{key}-differs",
                    f"{at}.{key}",
                    f"The plan says {asked}, and the image {shown(image.name)} on this machine is of {key} {here}.",
                    f"Write {here}, or remove the image and add another.",
                )
        present = {file.path for file in manifest.files}
        for key, path in (("kernel", image.kernel), ("script", image.script), *(("initrd", p) for p in image.initrd)):
            if path and path not in present:
                yield error(
                    "image-file-not-here",
                    f"{at}.{key}",
                    f"The image {shown(image.name)} on this machine has no file {shown(path)}.",
                    f"Write one of {', '.join(sorted(present))}; or leave {key} out.",
                )


def _absent(image: Image, at: str, incomplete: Collection[str], damaged: Collection[str]) -> Finding:
    name, add = shown(image.name), f"{ADD} {image.name} {KINDS[image.kind].source}"
    if image.name in incomplete:
        message = f"The image {name} on this machine is incomplete: adding it was interrupted."
        return error("image-incomplete", at, message, f"Run it again, and it goes on: `{add}`.")
    if image.name in damaged:
        message = f"The image {name} on this machine is damaged, and is not served."
        again = f"See `ciao-wizard image check {image.name}`; then `{REMOVE} {image.name}` and `{add}`."
        return error("image-damaged", at, message, again)
    return error("image-not-here", at, f"The image {name} is not on this machine.", f"Add it: `{add}`.")
