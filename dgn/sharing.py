"""Priors that others made, and priors for others: the Hugging Face hub and the artifacts of Weights & Biases.

    prior=hf:USER/NAME[@REVISION]                  a repository on the hub
    prior=wandb:ENTITY/PROJECT/NAME[:ALIAS]        an artifact; ALIAS: latest where none is given

    python -m dgn.sharing RUN_OR_PRIOR USER/NAME [--private]       shares a prior on the hub

A prior file is data: opening one executes nothing, whoever made it.
"""

import argparse
import logging
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any, TypeGuard

from dgn.errors import UserError
from dgn.files import cache_dir
from dgn.hub import unreachable

_FILE = "prior.safetensors"
_FORMS = "hf:USER/NAME[@REVISION] or wandb:ENTITY/PROJECT/NAME[:ALIAS]"


def is_shared(where: str | Path | None) -> TypeGuard[str]:
    """Whether `prior=` names a place on the network, not on the disk."""
    return where is not None and str(where).startswith(("hf:", "wandb:"))


def fetch(where: str) -> Path:
    """The prior file of a shared name, downloaded unless it is here. Raises UserError where it cannot be had."""
    kind, _, name = where.partition(":")
    if kind == "hf" and (match := re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)):
        return _from_hub(match[1], match[2])
    if kind == "wandb" and re.fullmatch(r"[\w.-]+/[\w. -]+/[\w.-]+(:[\w.-]+)?", name):
        return _from_wandb(name if ":" in name else f"{name}:latest")
    raise UserError(f"prior={where} is no name of a shared prior; give {_FORMS}")


def push(path: str | Path, repository: str, private: bool = False) -> str:
    """Shares a prior on the hub, with a model card made of what the file says and of pictures that it paints; returns
    the page's address. path: a prior file or a run's folder. repository: USER/NAME; made where it is not there."""
    hub = _hub()
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UserError(f"{repository!r} is no repository of the hub; give USER/NAME")
    path = fetch(str(path)) if is_shared(path) else Path(path)
    if path.is_dir():
        path = path / _FILE
    if away := unreachable():
        raise UserError(f"{repository} cannot be uploaded ({away}); check the network")
    from dgn.card import write_card  # here, as a run's folder is looked for without torch

    with tempfile.TemporaryDirectory(prefix="dgn-share-") as folder:
        write_card(path, Path(folder), repository)
        files = {_FILE: path} | {file.name: file for file in Path(folder).iterdir()}
        try:
            api = hub.HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            # One commit, so that no prior is there without its card.
            added = [hub.CommitOperationAdd(name, str(file)) for name, file in sorted(files.items())]
            api.create_commit(repository, added, commit_message="Prior and model card, by dgn")
        except Exception as error:  # the hub's errors, and those of the network below it
            raise UserError(
                f"the hub did not take {repository} ({_reason(error)}); "
                "log in with `hf auth login`, or check the name and the network"
            ) from None
    return f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}/{repository}"


def _from_hub(repository: str, revision: str | None) -> Path:
    hub = _hub()
    hub.logging.set_verbosity_error()  # where it does not answer, that is said once, below
    for client in ("httpx", "httpx2"):  # which tell of every request
        logging.getLogger(client).setLevel(logging.WARNING)
    name = f"prior=hf:{repository}" + (f"@{revision}" if revision else "")
    away = unreachable()
    try:  # without a connection, a file that has been downloaded before still opens
        return Path(hub.hf_hub_download(repository, _FILE, revision=revision, local_files_only=away is not None))
    except Exception as error:  # the hub's errors, and those of the network below it
        if away:
            raise UserError(
                f"{name} cannot be downloaded ({away}), and is not in the hub's cache here; check the network"
            ) from None
        raise UserError(f"{name} cannot be had{_why_not(hub.errors, error, revision)}") from None


def _why_not(kinds: Any, error: Exception, revision: str | None) -> str:
    if isinstance(error, kinds.RevisionNotFoundError):
        return f": the repository has no branch, tag or commit {revision}"
    if isinstance(error, kinds.EntryNotFoundError) and not isinstance(error, kinds.LocalEntryNotFoundError):
        return f": there is no {_FILE} in that repository; name one that dgn.sharing has made"
    if isinstance(error, kinds.GatedRepoError):
        return ": its owner lets in who asks; ask on its page, then `hf auth login`"
    if isinstance(error, kinds.RepositoryNotFoundError):
        return ": no such repository, or one for its members alone; check the name, or `hf auth login`"
    return f" ({_reason(error)}); check the name, the network and `hf auth login`"


def _from_wandb(name: str) -> Path:
    import wandb

    try:
        artifact = wandb.Api(timeout=30).artifact(name, type="prior")
        # By its digest: an alias that moves on finds the new file.
        folder = cache_dir() / "wandb" / re.sub(r"[^\w.-]", "_", f"{name}-{artifact.digest}")
        if not (folder / _FILE).is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent) as aside:  # a download that breaks leaves nothing
                there = Path(artifact.download(root=f"{aside}/files")) / _FILE
                if there.is_file():
                    folder.mkdir(exist_ok=True)
                    there.replace(folder / _FILE)
    except Exception as error:  # W&B's errors, and those of the network below it
        raise UserError(
            f"prior=wandb:{name} cannot be had ({_reason(error)}); check the name, the network and `wandb login`"
        ) from None
    if not (folder / _FILE).is_file():
        raise UserError(
            f"prior=wandb:{name}: there is no {_FILE} in that artifact; name one that logger=wandb has made"
        )
    return folder / _FILE


def _hub() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ModuleNotFoundError:
        raise UserError("the hub needs huggingface_hub: pip install -e '.[hub]'") from None
    return huggingface_hub


def _reason(error: BaseException) -> str:
    """The first line that says something, and the second where the first is an HTTP status alone."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("(Request ID", "http"))][:2]
    return " ".join(said if said and len(said[0]) < 40 else said[:1]) or type(error).__name__


def main() -> None:
    """The command line: `python -m dgn.sharing RUN_OR_PRIOR USER/NAME`."""
    parser = argparse.ArgumentParser(prog="python -m dgn.sharing", description="Share a prior on the Hugging Face hub.")
    parser.add_argument("prior", help="a prior file or a run's folder")
    parser.add_argument("repository", help="USER/NAME on the hub; made where it is not there")
    parser.add_argument("--private", action="store_true", help="a new repository that only you can see")
    given = parser.parse_args()
    try:
        print(push(given.prior, given.repository, given.private))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
