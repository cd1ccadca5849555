"""Priors in the package: `prior=NAME` without a file of one's own."""

from pathlib import Path

FOLDER = Path(__file__).parent / "packages"
"""Holds NAME.safetensors, in half precision (`dgn.prior.half`), and its card, NAME.md."""


def packaged_names() -> list[str]:
    """Returns the names of the priors in the package."""
    return sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def packaged(name: str) -> Path | None:
    """Returns the file of a prior in the package; None if there is none of that name."""
    return FOLDER / f"{name}.safetensors" if name in packaged_names() else None
