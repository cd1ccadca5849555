"""Sharing of priors on the Hugging Face hub.

python -m dgn.prior.sharing RUN_OR_PRIOR USER/NAME [--private]
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dgn.data.hub import unreachable
from dgn.errors import UserError
from dgn.prior.card import write_card
from dgn.prior.hub import failure_reason, fetch, hub_library, is_shared
from dgn.runs.folders import PRIOR


def push(path: str | Path, repository: str, private: bool = False, code: Sequence[str] = ()) -> str:
    """Uploads a prior to the hub, with a model card made from the file's header and generated images.

    Args:
        path: A prior file or a run's folder.
        repository: USER/NAME; created if it does not exist.
        private: Whether a new repository is private.
        code: As of `Prior.load`, for a prior whose generator is the user's own code.

    Returns:
        The URL of the repository.

    Raises:
        UserError: If the name is invalid, or the hub is unreachable or rejects the upload.
    """
    hub = hub_library()
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UserError(f"{repository!r} is not a repository of the hub; give USER/NAME")
    path = fetch(str(path)) if is_shared(path) else Path(path)
    if path.is_dir():
        path = path / PRIOR
    away = unreachable()
    if away:
        raise UserError(f"{repository} cannot be uploaded ({away}); check the network")
    with tempfile.TemporaryDirectory(prefix="dgn-share-") as folder:
        write_card(path, Path(folder), repository, code)
        files = {PRIOR: path} | {file.name: file for file in Path(folder).iterdir()}
        try:
            api = hub.HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            # One commit, so that a prior never exists without its card.
            added = [hub.CommitOperationAdd(name, str(file)) for name, file in sorted(files.items())]
            api.create_commit(repository, added, commit_message="Prior and model card, by dgn")
        except Exception as error:  # the hub's errors, and those of the network below it
            raise UserError(
                f"the hub did not take {repository} ({failure_reason(error)}); "
                "log in with `hf auth login`, or check the name and the network"
            ) from None
    return f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}/{repository}"


def main() -> None:
    """The command line: `python -m dgn.prior.sharing RUN_OR_PRIOR USER/NAME`."""
    parser = argparse.ArgumentParser(
        prog="python -m dgn.prior.sharing", description="Share a prior on the Hugging Face hub."
    )
    parser.add_argument("prior", help="a prior file or a run's folder")
    parser.add_argument("repository", help="USER/NAME on the hub; created if it does not exist")
    parser.add_argument("--private", action="store_true", help="a new repository that only you can see")
    parser.add_argument("--code", action="append", default=[], metavar="FILE:CALLABLE",
                        help="the code of a custom generator, to draw the card's images")  # fmt: skip
    given = parser.parse_args()
    try:
        print(push(given.prior, given.repository, given.private, given.code))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
