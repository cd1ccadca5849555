"""The table that compares methods in the gallery, from the scores of `dgn.metrics`."""

from dgn.metrics.scorer import REAL
from dgn.metrics.scores import Measured, Scores
from dgn.report.contents import Comparison, Contender, Interval, Metric

_METRICS = {
    "activation": Metric("activation", about="the objective's value"),
    "percentile": Metric("percentile", about="percentage of real images that activate the unit less"),
    "top1": Metric("recognized", percent=True, about="the judge's top label is the unit's label"),
    "top5": Metric("in top 5", percent=True, about="the unit's label is among the judge's top five"),
    "probability": Metric("probability", percent=True, about="the judge's softmax probability of the unit's label"),
    "frechet": Metric("Frechet distance", "lower", about="to real images of the same classes, in the judge's features"),
    "kid": Metric("KID", "lower", about="kernel distance to real images of the same classes, unbiased"),
    "diversity": Metric("diversity", "", about="mean distance between seeds, relative to that between real images"),
    "nearest_pixels": Metric("nearest real", "", about="distance to the nearest real image, in pixels"),
}
"""The metrics of docs/metrics.md that the page shows, in this order; scores.csv contains all of them."""

_NOTE = (
    "Intervals are over units. The last row are held-out real images, measured in the same way. With few images the "
    "Frechet distance is large, even for real images. scores.csv contains all metrics, differences.csv the differences "
    "between methods, paired by unit; docs/metrics.md explains them."
)


def comparison(scores: Scores, nearest_code: str) -> Comparison:
    """Returns the comparison of the scored methods.

    Args:
        scores: of every method.
        nearest_code: the layer whose codes are used for the distance to the nearest real image.
    """
    shown = dict(_METRICS)
    about = f"distance to the nearest real image, in codes of {nearest_code}"
    shown[f"nearest_{nearest_code}"] = Metric(f"nearest real ({nearest_code})", "", about=about)
    shown = {name: metric for name, metric in shown.items() if name in scores.figures}
    rows = [_contender(scores, row, shown) for row in scores.rows]
    seconds = Metric("seconds", "lower", about="of search per image")
    reference = next((c for c, row in zip(rows, scores.rows, strict=True) if row.method == REAL), None)
    others = [c for c, row in zip(rows, scores.rows, strict=True) if row.method != REAL]
    return Comparison(
        [*shown.values(), seconds], others, reference, _NOTE if reference else "Intervals are over units."
    )


def _contender(scores: Scores, row: Measured, shown: dict[str, Metric]) -> Contender:
    figures: dict[str, Interval] = {}
    for name, metric in shown.items():
        if (estimate := scores.estimate(row, name)) is not None:
            figures[metric.name] = estimate
    if "seconds" in row.plain:
        figures["seconds"] = _Plain(row.plain["seconds"])
    return Contender(row.method, row.prior, figures)


class _Plain:
    """A value without a confidence interval."""

    low = high = None

    def __init__(self, value: float) -> None:
        self.value = value
