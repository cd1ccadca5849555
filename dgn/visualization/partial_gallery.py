"""The gallery of a run that was stopped: the images that it had found, not measured."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgn.metrics.scorer import Scorer
from dgn.report.gallery import write_gallery
from dgn.report.words import counted
from dgn.visualization.gallery_contents import make_rows, make_traces
from dgn.visualization.gallery_run import GalleryInputs, facts, make_films, searches
from dgn.visualization.scoring import ScoredResult
from dgn.visualization.search import SearchResult
from dgn.visualization.settings import Visualization


def write_partial_gallery(
    asked: Visualization, inputs: GalleryInputs, folder: Path, settings: Mapping[str, Any], command: str, resume: str
) -> str:
    """Writes a gallery of the images found so far, if there are any; returns in words what was found, and the page.

    Args:
        asked: what the run was asked to do.
        inputs: what it computed with.
        folder: the run folder.
        settings: the run's settings.
        command: the command that started it.
        resume: the command that resumes it.
    """
    results, films = [], []
    scorer = Scorer(inputs.target, None, None)  # nothing that takes time
    for i, approach in enumerate(inputs.approaches):
        kept = searches(folder, "preferred", i, approach)
        preferred = kept.load(inputs.objectives, asked.search.seed)
        if preferred is not None:
            seconds = kept.total_seconds / len(preferred.images)
            measured, scores = scorer.measure(preferred, approach.method.name, approach.name)
            results.append(ScoredResult(SearchResult(approach, preferred, seconds, ()), measured, scores))
            films.append(make_films(asked, inputs, approach, folder))
    if not results:
        return "before any search was finished"
    wanted = len(inputs.objectives) * len(asked.search.seeds) * len(inputs.approaches)
    rows = make_rows(results, {}, "", several=len(inputs.approaches) > 1)
    found = f"with {len(rows)} of {counted(wanted, 'image')}"
    page = write_gallery(
        folder,
        rows,
        [image for result in results for image in result.preferred.images],
        {**settings, **facts(inputs, results), "partial": True},
        f"{asked.title or inputs.target.name}: partial",
        command,
        f"A partial gallery: the run was stopped {found}, and they were not measured. Go on with: {resume}",
        traces=make_traces(results, films, inputs.target, None, asked.search.seed),
    )
    return f"{found}, which {page} shows"
