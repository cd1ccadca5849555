"""The table that compares methods in the gallery, from the scores of `dgn.metrics`."""

from dgn.metrics.predictive import PROXY
from dgn.metrics.scores import REAL, Measured, Scores
from dgn.metrics.similarity import Similarity
from dgn.report.contents import Comparison, Contender, Interval, Metric

_METRICS = {
    "2afc": Metric(
        "2AFC",
        percent=True,
        about="how often they predict which of two real images excites the unit",
    ),
    "mis": Metric(
        "MIS", about="the same, weighed by how clear the answers are (machine interpretability score); chance: 0.5"
    ),
    "causal": Metric(
        "causal", percent=True, about="how often they predict which of two occlusions lowers the unit more"
    ),
    "frechet": Metric("Frechet distance", "lower", about="to real images of the same classes, in the judge's features"),
    "kid": Metric("KID", "lower", about="kernel distance to real images of the same classes, unbiased"),
    "diversity": Metric("diversity", "", about="mean distance between seeds, relative to that between real images"),
    "gain": Metric("gain over start", about="the objective's value minus its value where the search started"),
    "paths": Metric(
        "path similarity", about="ranks of activations in all layers: 1 as in real images of the class, 0 as in others"
    ),
    "activation": Metric("activation", about="the objective's value"),
    "percentile": Metric("percentile", about="percentage of real images that activate the unit less"),
    "nearest_pixels": Metric("nearest real", "", about="distance to the nearest real image, in pixels"),
    "wrong_class_start": Metric(
        "wrong-class start", percent=True, about="searches from another class's real images that end in their own class"
    ),
    "top1": Metric("recognized", percent=True, about="the judge's top label is the unit's label"),
    "top5": Metric("in top 5", percent=True, about="the unit's label is among the judge's top five"),
    "probability": Metric("probability", percent=True, about="the judge's softmax probability of the unit's label"),
}
"""The metrics of docs/metrics.md that the page shows, in this order; scores.csv contains all of them."""

_NOTE = (
    "Intervals are over units. The last row is of held-out real images, measured in the same way. With few images the "
    "Frechet distance is large, even for real images. scores.csv contains all metrics, differences.csv the differences "
    "between methods, paired by unit; docs/metrics.md explains them."
)


def comparison(scores: Scores, nearest_code: str, similarity: Similarity | None = None) -> Comparison:
    """Returns the comparison of the scored methods.

    Args:
        scores: of every method.
        nearest_code: the layer whose codes are used for the distance to the nearest real image.
        similarity: what predicts in 2AFC and MIS, if they were measured.
    """
    about = f"distance to the nearest real image, in codes of {nearest_code}"
    nearest = {f"nearest_{nearest_code}": Metric(f"nearest real ({nearest_code})", "", about=about)}
    metrics = _METRICS | nearest
    shown = {name: metrics[name] for name in scores.figures if name in metrics}
    rows = [_contender(scores, row, shown) for row in scores.rows]
    seconds = Metric("seconds", "lower", about="of search per image")
    reference = next((c for c, row in zip(rows, scores.rows, strict=True) if row.method == REAL), None)
    others = [c for c, row in zip(rows, scores.rows, strict=True) if row.method != REAL]
    note = _NOTE if reference else "Intervals are over units."
    if similarity is not None:
        note += f" 2AFC and MIS: {PROXY.format(name=similarity.name)}"
    return Comparison([*shown.values(), seconds], others, reference, note)


def _contender(scores: Scores, row: Measured, shown: dict[str, Metric]) -> Contender:
    figures: dict[str, Interval] = {}
    for name, metric in shown.items():
        if (estimate := scores.estimate(row, name)) is not None:
            figures[metric.name] = estimate
    if "seconds" in row.plain:
        figures["seconds"] = _Plain(row.plain["seconds"])
    return Contender(row.method, row.prior, figures, row.start)


class _Plain:
    """A value without a confidence interval."""

    low = high = None

    def __init__(self, value: float) -> None:
        self.value = value
