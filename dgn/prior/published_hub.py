"""Published generators in a repository on the Hugging Face hub: listed, and fetched when the user agrees."""

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dgn.errors import UserError
from dgn.prior.hub import failure_reason, hub_library

NAMES = ("norm1", "norm2", "conv3", "conv4", "conv5", "pool5", "fc6", "fc6_eucl", "fc6-places365", "fc7", "fc8")
"""The generators by the names that they are published under."""
SUFFIXES = (".pt", ".pth", ".safetensors", ".caffemodel")


@dataclass(frozen=True)
class HubFile:
    """A generator's file on the hub.

    Attributes:
        name: the generator, one of NAMES.
        path: the file's path in the repository.
        size: its size in bytes; None if the hub does not say.
    """

    name: str
    path: str
    size: int | None

    def __str__(self) -> str:
        size = "size unknown" if self.size is None else f"{self.size / 1e6:.0f} MB"
        return f"{self.name:14s} {self.path}  ({size})"


@dataclass(frozen=True)
class Repository:
    """What a repository holds.

    Attributes:
        name: OWNER/NAME.
        revision: a branch, tag or commit; None: the newest.
        terms: the licence that it states; "" if it states none.
        files: its generators.
    """

    name: str
    revision: str | None
    terms: str
    files: list[HubFile]

    def find(self, name: str) -> HubFile:
        """Returns the file of a generator. Raises UserError if there is none, or if it is not clear which."""
        found = [file for file in self.files if file.name == name]
        if not found:
            known = ", ".join(file.name for file in self.files) or "none"
            raise UserError(f"hf:{self.name} has no generator {name!r}; it has: {known}")
        if len(found) > 1:
            paths = ", ".join(file.path for file in found)
            raise UserError(
                f"hf:{self.name} has several files of {name}: {paths}; download one yourself and give its path"
            )
        return found[0]

    def __str__(self) -> str:
        terms = f"terms: {self.terms}" if self.terms else "no terms stated; see docs/published-priors.md"
        lines = [f"hf:{self.name}: {len(self.files)} generators; {terms}", *(f"  {file}" for file in self.files)]
        return "\n".join(lines)


def read_repository(where: str) -> Repository:
    """Returns what a repository on the hub holds; downloads none of its files.

    Args:
        where: hf:OWNER/NAME[@REVISION].

    Raises:
        UserError: for another form, or if the repository cannot be read.
    """
    match = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", where)
    if match is None:
        raise UserError(f"--from {where}: give a repository on the hub, hf:OWNER/NAME or hf:OWNER/NAME@REVISION")
    hub = hub_library()
    try:
        info = hub.HfApi().repo_info(match[1], revision=match[2], files_metadata=True)
    except Exception as error:  # the hub's errors, and those of the network below it
        raise UserError(
            f"--from {where} cannot be read ({failure_reason(error)}); check the name, the network and `hf auth login`"
        ) from None
    files = []
    for sibling in info.siblings or []:
        name = generator_name(sibling.rfilename)
        if name is not None:
            files.append(HubFile(name, sibling.rfilename, sibling.size))
    files.sort(key=lambda file: (NAMES.index(file.name), file.path))
    return Repository(match[1], match[2], _terms(info), files)


def generator_name(path: str) -> str | None:
    """Returns the generator that a file's name tells; None if it tells none.

    The namings in use are `fc6.pt`, `upconvGAN_fc6_eucl.pt` and `deepsim-fc6-places365.pt`.
    """
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        return None
    words = re.sub(r"[^a-z0-9]+", "-", f"{file.parent.name}/{file.stem}".lower()).strip("-")
    found = [name for name in NAMES if re.search(rf"(?:^|-){name.replace('_', '-')}(?:-|$)", words)]
    return max(found, key=len, default=None)


def fetch_generator(repository: Repository, name: str, agreed: bool) -> Path:
    """Downloads a generator's file, unless the hub's cache has it, and returns its path.

    Args:
        repository: the repository.
        name: the generator.
        agreed: whether the user has agreed already; else he is asked in the terminal.

    Raises:
        UserError: if he does not agree, or if it cannot be downloaded.
    """
    file = repository.find(name)
    if not agreed:
        print(f"{repository}\n", file=sys.stderr)
        if not sys.stdin.isatty():
            raise UserError(f"nothing was downloaded: add --yes to download {file.path} from hf:{repository.name}")
        if input(f"Download {file.path} from hf:{repository.name}? [y/N] ").strip().lower() not in ("y", "yes"):
            raise UserError("nothing was downloaded")
    try:
        return Path(hub_library().hf_hub_download(repository.name, file.path, revision=repository.revision))
    except Exception as error:  # the hub's errors, and those of the network below it
        raise UserError(f"{file.path} of hf:{repository.name} cannot be downloaded ({failure_reason(error)})") from None


def _terms(info: Any) -> str:
    card = getattr(info, "card_data", None)
    licence = getattr(card, "license", None)
    named = getattr(card, "license_name", None)
    return str(named or licence or "")
