"""Images from Hugging Face `datasets`: a name on the Hub, or parquet files and image folders on disk."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dgn.data.channels import RGB, ReadForm
from dgn.data.dataset import Pictures
from dgn.data.hub import unreachable
from dgn.data.images import decode_image, read_image
from dgn.data.transforms import Transform
from dgn.errors import UserError


class HuggingFace(Pictures):
    """The rows of a `datasets.Dataset` with an image column and an optional label column.

    No code of a dataset is executed; images stay encoded until they are read.

    Args:
        root: A name on the Hub, a folder (of images, of parquet files, of `save_to_disk`), or a parquet file.
        split: A split's name, or a slice of one ("train[:95%]").
        transform: Converts an image to (3, image_size, image_size).
        subset: Name of the subset, for a Hub dataset that has several.
        image_column: None: the only image column.
        label_column: None: the only ClassLabel column, or the column named label. If a label column has no class
            names, its values are the names.

    Raises:
        UserError: If the package, the dataset, the split or a column is missing.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        transform: Transform,
        subset: str | None = None,
        image_column: str | None = None,
        label_column: str | None = None,
        form: ReadForm = RGB,
    ) -> None:
        self.form = form
        rows = _load(root, split, subset)
        self.image_column = image_column or _only_image_column(rows, root)
        if self.image_column not in rows.column_names:
            raise UserError(f"data.image_column={image_column}: {root} has the columns {', '.join(rows.column_names)}")
        labels, classes = _labels(rows, label_column, root)
        import datasets

        self._rows = rows.select_columns([self.image_column]).cast_column(
            self.image_column, datasets.Image(decode=False)
        )
        super().__init__(labels, classes, transform, f"{root} ({split})")

    def select(self, places: np.ndarray) -> "HuggingFace":
        """Returns a dataset of the rows at `places`."""
        chosen = copy.copy(self)
        chosen._rows = self._rows.select(places)
        Pictures.__init__(chosen, self.labels.numpy()[places], self.classes, self.transform, self.where)
        return chosen

    def name(self, index: int) -> str:
        return f"row {index} of {self.where}"

    def read(self, index: int) -> Tensor:
        stored = self._rows[index][self.image_column]
        short_side = getattr(self.transform, "resize", None)
        if not stored or not (stored.get("bytes") or stored.get("path")):
            raise UserError(f"cannot read image {self.name(index)}: the row holds none; fix or remove it")
        if stored.get("bytes"):
            data = np.frombuffer(bytearray(stored["bytes"]), np.uint8)
            return decode_image(data, self.name(index), short_side, self.form.channels, self.form.values)
        return read_image(stored["path"], short_side, self.form.channels, self.form.values)

    def fingerprint(self) -> str:
        form = "" if self.form == RGB else f" {self.form}"
        return f"{self._rows._fingerprint} {self.image_column} {self.where}{form}"


def _load(root: str | Path, split: str, subset: str | None) -> Any:
    try:
        import datasets
    except ModuleNotFoundError:
        raise UserError("data=hf needs the package datasets: pip install 'dgn[data]'") from None
    path, away = Path(root).expanduser(), None
    try:
        if path.is_file():
            files = {split.partition("[")[0]: str(path)}
            return datasets.load_dataset(path.suffix.lstrip("."), data_files=files, split=split)
        if any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
            return _saved(datasets.load_from_disk(str(path)), split)
        if path.exists():
            return datasets.load_dataset(str(path), subset, split=split)
        away = unreachable()
        with _offline(away is not None):
            return datasets.load_dataset(str(root), subset, split=split)
    except Exception as error:  # raised by the Hub, the file system or any reader
        reason = away or next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(
            f"data.root={root}, split {split}: {reason}; give a name on the Hub (with a network), a folder of images "
            "or parquet files, one parquet file, or what save_to_disk wrote, and a split that it has "
            "(data.train_split, data.val_split)"
        ) from None


@contextmanager
def _offline(away: bool) -> Iterator[None]:
    """Makes `datasets` use only its cache if the Hub is unreachable; its retries take half a minute."""
    import datasets

    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or away
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _saved(data: Any, split: str) -> Any:
    """Selects a split or a slice of one from a `save_to_disk` folder; without splits, all rows are "train"."""
    import datasets

    name = split.partition("[")[0]
    splits = data if isinstance(data, Mapping) else {"train": data}
    if name not in splits:
        raise ValueError(f"it has the splits {', '.join(splits)}")
    rows = splits[name]
    slices = datasets.ReadInstruction.from_spec(split).to_absolute({name: len(rows)})
    places = [i for part in slices for i in range(part.from_, part.to)]
    return rows if len(places) == len(rows) else rows.select(places)


def _only_image_column(rows: Any, root: str | Path) -> str:
    columns = [name for name, feature in rows.features.items() if type(feature).__name__ == "Image"]
    if len(columns) != 1:
        existing = f"the image columns {', '.join(columns)}" if columns else "no image column"
        raise UserError(f"{root} has {existing}; name one of {', '.join(rows.column_names)}: data.image_column=NAME")
    return columns[0]


def _labels(rows: Any, column: str | None, root: str | Path) -> tuple[np.ndarray, Sequence[str]]:
    """Returns labels, int64 (N,), and class names; -1 and () without a label column."""
    named = [name for name, feature in rows.features.items() if type(feature).__name__ == "ClassLabel"]
    if column is None:
        if len(named) == 1:
            column = named[0]
        elif "label" in rows.column_names:
            column = "label"
        if column is None:
            return np.full(len(rows), -1, dtype=np.int64), ()
    if column not in rows.column_names:
        raise UserError(f"data.label_column={column}: {root} has the columns {', '.join(rows.column_names)}")
    values = rows.select_columns([column]).with_format("arrow")[:][column].to_pylist()
    if column in named:
        return np.array([-1 if v is None else v for v in values], dtype=np.int64), rows.features[column].names
    if not all(isinstance(value, str | int) for value in values):
        raise UserError(f"data.label_column={column} of {root} does not contain names or integers in every row")
    classes = sorted(set(values))
    place = {value: i for i, value in enumerate(classes)}
    return np.array([place[value] for value in values], dtype=np.int64), [str(value) for value in classes]
