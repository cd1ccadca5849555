"""What a run of visualize.py or compare.py is asked to do, as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dgn.am.objectives.diversity import Diversity


@dataclass(frozen=True)
class SearchSettings:
    """How the searches of every method run.

    Attributes:
        seeds: the seeds of each objective.
        seed: is added to all seeds.
        batch_size: searches that run together; None: as many as fit in memory.
        canvas_size: height and width of the images of methods on pixels, or one number for both; None: the target's
            input size.
        diversity: pushes the seeds of an objective apart; None: nothing does.
        code_prior: the file, or the run's folder, of the prior over codes; None: the newest that fits.
    """

    seeds: Sequence[int]
    seed: int = 0
    batch_size: int | None = None
    canvas_size: int | tuple[int, int] | None = None
    diversity: Diversity | None = None
    code_prior: str | None = None

    @property
    def shifted_seeds(self) -> list[int]:
        """The seeds that the searches have."""
        return [self.seed + seed for seed in self.seeds]


@dataclass(frozen=True)
class FacetSettings:
    """Which facets of a unit are found.

    Attributes:
        count: the number of facets of each unit.
        layer: the target's layer in whose codes they are found; None: the layer that enters the layer of classes.
        seed: of the clustering, and of the samples.
        source: "real": facets of real images; "samples": of images that the prior's code model draws.
        samples: how many images are drawn, for all units together.
    """

    count: int
    layer: str | None = None
    seed: int = 0
    source: Literal["real", "samples"] = "real"
    samples: int = 2000

    @property
    def start(self) -> str:
        """Where searches start, as tables record it."""
        return "facets" if self.source == "real" else "sampled facets"


@dataclass(frozen=True)
class NoteSettings:
    """What is shown of the real images that excite a unit.

    Attributes:
        top_images: how many are shown for each unit.
        masks: whether they have masks; "auto": those of hidden units do, if there are few of these.
        patch: side in pixels of the patch that hides a part of the image; None: a ninth of the image's side.
        stride: pixels from one patch to the next; None: half a patch.
        deconvolutions: whether they have deconvolutions, where the network allows it; "auto": if there are few units.
        map_images: how many real images are laid out on the map that shows where they lie; 0: there is no map.
    """

    top_images: int = 5
    masks: bool | Literal["auto"] = "auto"
    patch: int | None = None
    stride: int | None = None
    deconvolutions: bool | Literal["auto"] = "auto"
    map_images: int = 500


@dataclass(frozen=True)
class PredictiveSettings:
    """How predictive power is measured.

    Attributes:
        tasks: the number of pairs of real images of each unit.
        minimize: whether the images that excite a unit least are searched too.
        causal: whether it is also asked which of two occlusions of an image lowers a unit more.
    """

    tasks: int = 20
    minimize: bool = True
    causal: bool = False


@dataclass(frozen=True)
class Visualization:
    """What a run of visualize.py is asked to do.

    Attributes:
        search: how searches run.
        start: "auto" or "own" (where the method says), "real", "noise", "sample", an image's path, or as facets say.
        facets: the facets in which searches start; None: they start elsewhere.
        notes: what is shown of real images.
        reference_images: the number of real images to measure on; 0: none.
        nearest: layers in whose codes the nearest real image is searched; "all": the target's main layers.
        nearest_images: how many training images of each class the nearest is searched among; 0: it is not.
        predictive: how predictive power is measured; None: it is not.
        wrong_class_start: whether searches from real images of another class are measured too.
        video: the format of the searches' films; None: there are none.
        title: of the page; None: made of the target's name.
    """

    search: SearchSettings
    start: str = "auto"
    facets: FacetSettings | None = None
    notes: NoteSettings = NoteSettings()
    reference_images: int = 2000
    nearest: Sequence[str] | Literal["all"] = "all"
    nearest_images: int | Literal["all"] = 125
    predictive: PredictiveSettings | None = None
    wrong_class_start: bool = False
    video: str | None = None
    title: str | None = None


@dataclass(frozen=True)
class PriorComparison:
    """What a run of compare.py is asked to do with priors.

    Attributes:
        search: how searches run, alike for all priors.
        start: where they start: "noise", "sample" or an image's path.
        reference_images: the number of real images that preferred images are compared with; 0: none.
        code: the user's own code that may be run for priors with a custom generator.
    """

    search: SearchSettings
    start: str = "noise"
    reference_images: int = 500
    code: Sequence[str] = ()
