"""The live page of a run of several searches without gradients."""

import re

import torch

from dgn.visualization.live_evolution import LiveGenerations, end_page


def evolve(run, number: int, generations: int = 1, method: str = "cma_sphere") -> None:
    """Scores generations of a search whose images are of the colour of its number."""
    kept = LiveGenerations(
        run / "evolution" / f"{number:05d}", [f"unit {number}"], "", method, run, run=run / "evolution"
    )
    for generation in range(generations):
        images = torch.full((5, 3, 4, 4), number / 20)
        kept.add(generation, torch.zeros(1, 5, 2), torch.arange(5.0)[None] + number, images)


def page(run) -> str:
    return (run / "evolution.html").read_text()


def headings(run) -> list[str]:
    return re.findall(r"<h2>(.*)</h2>", page(run))


def test_the_page_of_a_run_shows_finished_searches_too_and_reloads_until_the_last_has_ended(tmp_path):
    evolve(tmp_path, 0, 3)
    evolve(tmp_path, 1, 2, "genetic")
    assert headings(tmp_path) == ["unit 1 · genetic", "unit 0 · cma_sphere"]  # the running search first
    assert 'http-equiv="refresh"' in page(tmp_path)
    assert "The search is running" in page(tmp_path)
    end_page(tmp_path, tmp_path / "evolution")
    assert headings(tmp_path) == ["unit 1 · genetic", "unit 0 · cma_sphere"]
    assert "All searches have ended." in page(tmp_path)
    assert "http-equiv" not in page(tmp_path)


def test_one_search_has_ended_and_a_run_without_any_has_no_page(tmp_path):
    end_page(tmp_path, tmp_path / "evolution")
    assert not (tmp_path / "evolution.html").exists()
    evolve(tmp_path, 0)
    end_page(tmp_path, tmp_path / "evolution")
    assert "The search has ended." in page(tmp_path)


def test_the_page_of_many_searches_stays_small(tmp_path):
    for number in range(14):
        evolve(tmp_path, number)
    assert headings(tmp_path)[0] == "unit 13 · cma_sphere"
    assert len(headings(tmp_path)) == 12
    assert "2 earlier searches are not shown here." in page(tmp_path)


def test_a_damaged_generation_of_another_search_does_not_end_the_run(tmp_path):
    evolve(tmp_path, 0, 3)
    evolve(tmp_path, 1)
    (tmp_path / "evolution" / "00000" / "0001.generation").write_bytes(b"half of it")
    (tmp_path / "evolution" / "00001" / "0000.generation").write_bytes(b"")
    evolve(tmp_path, 2)
    assert headings(tmp_path) == ["unit 2 · cma_sphere", "unit 0 · cma_sphere"]
