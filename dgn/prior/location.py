"""Finds the files that `prior=` and `code_prior=` refer to."""

from pathlib import Path

from dgn.errors import UserError
from dgn.prior.code_prior import CodePrior
from dgn.prior.generator_prior import Prior
from dgn.prior.hub import fetch, is_shared
from dgn.prior.packaged import packaged, packaged_names
from dgn.runs.folders import CHECKPOINT, CODE_PRIOR, DEBUG, OUTPUTS, PRIOR
from dgn.runs.programs import command, override


def find_prior(where: str | None, key: str = "prior") -> Path:
    """Finds the prior file or checkpoint that `prior=` or another key refers to.

    Args:
        where: A prior file, a checkpoint, a run's folder (its prior, else its last checkpoint), the name of a prior in
            the package (`dgn.prior.packaged`), `wandb:` or `hf:` and a name there (`dgn.prior.hub`), or None for the
            newest prior under outputs/.
        key: The key, for messages.

    Raises:
        UserError: If there is none.
    """
    if is_shared(where):
        return fetch(where)
    if where is None:
        patterns = f"*/*/{PRIOR}", f"*/{PRIOR}", f"multirun/*/*/{PRIOR}"
        priors = [path for pattern in patterns for path in OUTPUTS.glob(pattern) if DEBUG not in path.parents]
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
        raise UserError(f"{key}={where}: neither {PRIOR} nor {CHECKPOINT} is in that folder; give a run's folder")
    if not path.is_file():
        if (shipped := packaged(where)) is not None:
            return shipped
        names = "".join(f", or {name}" for name in packaged_names())
        raise UserError(
            f"{key}={where}: no such file or folder; give a prior file, a checkpoint or a run's folder{names}"
        )
    return path


def load_code_prior(where: str | None, prior: Prior) -> CodePrior:
    """Loads the prior over codes that `code_prior=` refers to.

    Args:
        where: a file, a run's folder, or None for the newest under outputs/ that was fitted to this prior's codes.
        prior: the prior whose codes are searched.

    Raises:
        UserError: If there is none.
    """
    if where is not None:
        path = Path(where)
        return CodePrior.load(path / CODE_PRIOR if path.is_dir() else path)
    paths = [path for path in OUTPUTS.glob(f"*/*/{CODE_PRIOR}") if DEBUG not in path.parents]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True):
        code_prior = CodePrior.load(path)
        if code_prior.fits(prior):
            return code_prior
    raise UserError(
        f"this method needs a prior over the codes of {prior.source}, and {OUTPUTS}/ holds none; fit one with "
        f"`{command('train', 'task=code_prior', override('prior', prior.source))}`, or name one with code_prior=FILE"
    )
