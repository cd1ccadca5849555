import csv
import json
import random
from pathlib import Path

import numpy as np
import pytest

from dgn.report import Row, image_name, write_results
from dgn.report.results import COLUMNS


@pytest.fixture(scope="module")
def rows(make_row) -> list[Row]:
    return [
        make_row(),
        make_row(seed=1, label='a "quoted", label\nof two lines', activation=0.1 + 0.2),
        make_row("conv5:12@4,4", "", percentile=None, judge_label="", judge_probability=None, recognized=None),
        make_row("fc8:house+0.5*fc8:boat", "house + 0.5 boat", activation=float("nan"), recognized=False),
    ]


def written(folder: Path, rows, settings=()) -> tuple[list[dict], dict]:
    write_results(folder, rows, dict(settings))
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    return table, json.loads((folder / "results.json").read_text(), parse_constant=refuse)


def refuse(constant: str):
    raise AssertionError(f"{constant} is not JSON")


def test_the_columns_are_those_promised():
    assert list(COLUMNS) == [
        *("layer", "unit", "label", "seed", "method", "activation", "percentile"),
        *("judge_label", "judge_probability", "recognized", "image", "objective"),
        *("prior", "facet", "judge_top5", "nearest_pixels", "nearest_code", "steps", "seconds", "note", "start"),
        *("start_activation", "start_recognized", "image_correlation_with_start", "tries"),
    ]


def test_csv_and_json_hold_the_same_values_in_full_precision(tmp_path, rows):
    table, document = written(tmp_path, rows)
    assert tuple(table[0]) == COLUMNS == tuple(document["results"][0])
    texts = {None: "", True: "true", False: "false"}
    for line, record in zip(table, document["results"], strict=True):
        assert line == {k: texts[v] if v is None or isinstance(v, bool) else str(v) for k, v in record.items()}
    assert float(table[1]["activation"]) == 0.1 + 0.2
    assert table[1]["label"] == rows[1].label


def test_unknown_values_are_empty_cells_and_null(tmp_path, rows):
    table, document = written(tmp_path, rows)
    for name in ("percentile", "judge_probability", "recognized"):
        assert table[2][name] == ""
        assert document["results"][2][name] is None
    assert table[3]["activation"] == ""
    assert document["results"][3]["activation"] is None


def test_settings_of_any_kind_are_strict_json(tmp_path, rows):
    settings = dict(
        prior=Path("a/b.safetensors"), sigmas=float("inf"), seeds=(0, 1), target=dict(size=[64, 64]), lr=1e-3, none=None
    )
    _, document = written(tmp_path, rows, settings)
    assert document["settings"] == dict(
        prior="a/b.safetensors", sigmas="inf", seeds=[0, 1], target=dict(size=[64, 64]), lr=1e-3, none=None
    )


def test_numbers_of_numpy_are_numbers_in_rows_too(tmp_path, make_row):
    row = make_row(activation=np.float32(0.5), judge_probability=np.float32("nan"), recognized=np.bool_(True))
    table, document = written(tmp_path, [row])
    result = document["results"][0]
    assert (result["activation"], result["judge_probability"], result["recognized"]) == (0.5, None, True)
    assert (table[0]["activation"], table[0]["judge_probability"], table[0]["recognized"]) == ("0.5", "", "true")


def test_settings_may_be_numpy_numbers(tmp_path, rows):
    _, document = written(tmp_path, rows, dict(lr=np.float32(0.5), steps=np.int64(200), flags=np.array([1, 2])))
    assert document["settings"] == dict(lr=0.5, steps=200, flags=[1, 2])


def test_no_rows_still_make_a_table_with_its_head(tmp_path):
    table, document = written(tmp_path, [])
    assert table == []
    assert document["results"] == []
    assert (tmp_path / "results.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_an_ordinary_units_file_is_named_after_it():
    assert image_name("fc8:house", 0) == "fc8-house-seed0.png"
    assert image_name("conv5:12@4,4", 3) == "conv5-12@4,4-seed3.png"
    assert image_name("layer4.1.conv2:7", 12) == "layer4.1.conv2-7-seed12.png"


def test_file_names_are_safe_everywhere_and_unique():
    chance = random.Random(0)
    pieces = [*"ab:/-. *+\\?\"'<>|~%#&@,_\n\0é日", "..", "fc8", "seed0", "--", "A", "CON", "x" * 60]
    objectives = {"".join(chance.choices(pieces, k=chance.randint(1, 8))) for _ in range(5000)}
    objectives |= {
        "fc8:ice cream",
        "fc8:ice_cream",
        "fc8:ice-cream",
        "fc8-ice:cream",
        "a/b:c",
        "a:b/c",
        "a:b:c",
        "\ud800",
    }
    names = {image_name(objective, seed).lower() for objective in objectives for seed in (0, 1)}
    assert len(names) == 2 * len(objectives)
    for name in names:
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.,@+-"), name
        assert name[0] not in ".-"
        assert len(name) < 150


def test_a_file_name_stays_the_same():
    assert image_name("fc8:0+0.5*fc8:3", 0) == image_name("fc8:0+0.5*fc8:3", 0)
    assert image_name("fc8:0+0.5*fc8:3", 0).startswith("fc8-0+0.5xfc8-3--")
