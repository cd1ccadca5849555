"""Finds the file that `prior=` refers to."""

from pathlib import Path

from dgn.errors import UserError
from dgn.prior.hub import fetch, is_shared
from dgn.runs.folders import CHECKPOINT, OUTPUTS, PRIOR
from dgn.runs.programs import command


def find_prior(where: str | None) -> Path:
    """Finds the prior file or checkpoint that `prior=` refers to.

    Args:
        where: A prior file, a checkpoint, a run's folder (its prior, else its last checkpoint), `wandb:` or `hf:` and
            a name there (`dgn.prior.hub`), or None for the newest prior under outputs/.

    Raises:
        UserError: If there is none.
    """
    if is_shared(where):
        return fetch(where)
    if where is None:
        priors = [*OUTPUTS.glob(f"*/*/{PRIOR}"), *OUTPUTS.glob(f"*/{PRIOR}"), *OUTPUTS.glob(f"multirun/*/*/{PRIOR}")]
        if not priors:
            raise UserError(
                f"no prior under {OUTPUTS}/; make one with `{command('train')}`, or name one with prior=FILE_OR_FOLDER"
            )
        return max(priors, key=lambda path: path.stat().st_mtime)
    path = Path(where)
    if path.is_dir():
        for name in (PRIOR, CHECKPOINT):
            if (path / name).is_file():
                return path / name
        raise UserError(f"prior={where}: neither {PRIOR} nor {CHECKPOINT} is in that folder; give a run's folder")
    if not path.is_file():
        raise UserError(f"prior={where}: no such file or folder; give a prior file, a checkpoint or a run's folder")
    return path
