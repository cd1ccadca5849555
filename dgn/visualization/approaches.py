"""The approaches of a gallery: each method with each prior whose codes it searches, and where its searches start."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dgn.am.method import Method
from dgn.data.reference import Reference
from dgn.errors import UserError
from dgn.files import file_stem
from dgn.prior import Prior
from dgn.prior.hub import is_shared

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Approach:
    """A column of the gallery: a method, and the prior whose codes it searches.

    Attributes:
        method: the method.
        prior: the prior; None for methods that search no codes.
        name: how columns call the prior; "" if there is none.
        start: where its searches start.
    """

    method: Method
    prior: Prior | None
    name: str
    start: str

    @property
    def started_method(self) -> Method:
        """The method as it is for this start."""
        return self.method.starting(self.start)

    @property
    def title(self) -> str:
        """Its heading: the method's name, and the prior's if there is one."""
        return " · ".join(filter(None, (self.method.name, self.name)))

    @property
    def folder(self) -> str:
        """The name of its folder among others'."""
        return file_stem("-".join(filter(None, (self.method.name, self.name))))


def make_approaches(
    methods: Sequence[Method], priors: Sequence[Prior], start: str, reference: Reference | None
) -> list[Approach]:
    """Pairs every method with every prior; methods that search no codes appear once.

    Args:
        methods: the methods.
        priors: the priors.
        start: where searches are asked to start; "own": where each method says; "auto": the same for one method, and
            from noise for several, as what begins at real images cannot be compared with what begins at noise.
        reference: the real images, if any are known.
    """
    if start == "auto" and len(methods) > 1:
        start = "noise"
        log.info("Methods are compared from one kind of start, noise (start=own: where each method's file says)")
    approaches = []
    for method in methods:
        pairs: list[tuple[Prior | None, str]] = [(None, "")]
        if method.searches_codes and priors:
            pairs = list(zip(priors, name_priors(priors), strict=True))
        for prior, name in pairs:
            approaches.append(Approach(method, prior, name, choose_start(start, method, prior, reference)))
    return approaches


def choose_start(asked: str, method: Method, prior: Prior | None, reference: Reference | None) -> str:
    """Returns where a method's searches start.

    It is `asked`; if that is "auto" or "own", it is the method's own start, and noise instead of "real" if there are no
    real images, or if the prior's encoder is missing.

    Raises:
        UserError: for start=real without real images.
    """
    start = method.start if asked in ("auto", "own") else asked
    if start != "real":
        return start
    if reference is None:
        if asked == "real":
            raise UserError(
                "start=real needs real images, and none are known here: name some with data=image_folder "
                "data.root=FOLDER (or data=doodles), and leave reference_images above 0"
            )
        return "noise"
    if prior is not None and asked != "real":
        try:
            prior.encoder_net()
        except UserError:
            return "noise"
    return start


def name_priors(priors: Sequence[Prior]) -> list[str]:
    """Returns the names of the priors in columns and tables.

    A name is the layer that the prior inverts. Where several invert the same, their runs' folders follow, or the names
    of their files, or, if these are the same too, their paths.
    """
    layers, paths = [prior.layer for prior in priors], [Path(prior.source) for prior in priors]
    shared = [prior.source if is_shared(prior.source) else None for prior in priors]
    folders = [name or path.parent.name or path.stem for name, path in zip(shared, paths, strict=True)]
    stems = [name or path.stem for name, path in zip(shared, paths, strict=True)]
    names = layers
    for places in (folders, stems, map(str, paths)):
        longer = [f"{layer} ({place})" for layer, place in zip(layers, places, strict=True)]
        names = [name if names.count(name) == 1 else long for name, long in zip(names, longer, strict=True)]
    return names
