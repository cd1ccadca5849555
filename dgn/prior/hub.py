"""Shared priors: downloaded from the Hugging Face hub or from the artifacts of Weights & Biases.

    prior=hf:USER/NAME[@REVISION]                  a repository on the hub
    prior=wandb:ENTITY/PROJECT/NAME[:ALIAS]        an artifact; ALIAS defaults to latest

A prior file is data: opening it never executes code.
"""

import hashlib
import logging
import re
import tempfile
from pathlib import Path
from typing import Any, TypeGuard

from dgn.data.hub import unreachable
from dgn.errors import UserError
from dgn.files import cache_dir
from dgn.runs.folders import PRIOR

_FORMS = "hf:USER/NAME[@REVISION] or wandb:ENTITY/PROJECT/NAME[:ALIAS]"


def is_shared(where: str | Path | None) -> TypeGuard[str]:
    """Whether `prior=` names a shared prior instead of a local file."""
    return where is not None and str(where).startswith(("hf:", "wandb:"))


def fetch(where: str) -> Path:
    """Returns the prior file of a shared name, downloaded if needed. Raises UserError if it is not available."""
    kind, _, name = where.partition(":")
    if kind == "hf" and (match := re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)):
        return _from_hub(match[1], match[2])
    if kind == "wandb" and re.fullmatch(r"[\w.-]+/[\w. -]+/[\w.-]+(:[\w.-]+)?", name):
        return _from_wandb(name if ":" in name else f"{name}:latest")
    raise UserError(f"prior={where} is not the name of a shared prior; give {_FORMS}")


def _from_hub(repository: str, revision: str | None) -> Path:
    hub = hub_library()
    hub.logging.set_verbosity_error()  # errors are reported once, below
    for client in ("httpx", "httpx2"):  # these log every request
        logging.getLogger(client).setLevel(logging.WARNING)
    name = f"prior=hf:{repository}" + (f"@{revision}" if revision else "")
    away = unreachable()
    try:  # without a connection, a file that has been downloaded before still opens
        return Path(hub.hf_hub_download(repository, PRIOR, revision=revision, local_files_only=away is not None))
    except Exception as error:  # the hub's errors, and those of the network below it
        if away:
            raise UserError(
                f"{name} cannot be downloaded ({away}), and is not in the hub's cache here; check the network"
            ) from None
        raise UserError(f"{name} is not available{_why_not(hub.errors, error, revision)}") from None


def _why_not(kinds: Any, error: Exception, revision: str | None) -> str:
    if isinstance(error, kinds.RevisionNotFoundError):
        return f": the repository has no branch, tag or commit {revision}"
    if isinstance(error, kinds.EntryNotFoundError) and not isinstance(error, kinds.LocalEntryNotFoundError):
        return f": there is no {PRIOR} in that repository; name one that dgn.prior.sharing has made"
    if isinstance(error, kinds.GatedRepoError):
        return ": access must be requested on its page; then run `hf auth login`"
    if isinstance(error, kinds.RepositoryNotFoundError):
        return ": no such repository, or it is private; check the name, or `hf auth login`"
    return f" ({failure_reason(error)}); check the name, the network and `hf auth login`"


def _from_wandb(name: str) -> Path:
    import wandb

    try:
        artifact = wandb.Api(timeout=30).artifact(name, type="prior")
        # Cached by digest, so that an alias that moves gets the new file.
        key = f"{name}-{artifact.digest}"
        if len(key) > 200:  # longer than file systems take
            key = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        folder = cache_dir() / "wandb" / re.sub(r"[^\w.-]", "_", key)
        if not (folder / PRIOR).is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as aside:  # an interrupted download leaves no files
                there = Path(artifact.download(root=f"{aside}/files")) / PRIOR
                if there.is_file():
                    folder.mkdir(exist_ok=True)
                    there.replace(folder / PRIOR)
    except Exception as error:  # W&B's errors, and those of the network below it
        raise UserError(
            f"prior=wandb:{name} is not available ({failure_reason(error)}); check the name, the network and "
            "`wandb login`"
        ) from None
    if not (folder / PRIOR).is_file():
        raise UserError(
            f"prior=wandb:{name}: there is no {PRIOR} in that artifact; name one that logger=wandb has made"
        )
    return folder / PRIOR


def hub_library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ModuleNotFoundError:
        raise UserError("the hub needs huggingface_hub: pip install -e '.[hub]'") from None
    return huggingface_hub


def failure_reason(error: BaseException) -> str:
    """The first informative line of an error, with the second if the first is only an HTTP status."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("(Request ID", "http"))][:2]
    return " ".join(lines if lines and len(lines[0]) < 40 else lines[:1]) or type(error).__name__
