"""The settings that all networks share: the keys of conf/network/keys.yaml."""

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from dgn.data.channels import check_channels
from dgn.data.size import ImageSize
from dgn.errors import UserError
from dgn.networks.weights.read import named_blobs, read_weights

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of any network: the keys of conf/network/keys.yaml.

    Attributes:
        weights: None for random weights, drawn from `seed`; a file in any format of `dgn.networks.weights`; or the
            name of published weights of the library.
        container, allow_missing, allow_unexpected: See `read_state_dict` and `load_state_dict`.
        classes: Number of classes. None or "auto" takes it from the weights, else from the published network, else
            from the data (`data_classes`).
        labels: Class names, or a text file with one name per line. None: same order of sources as `classes`.
        seed: Seed of the random weights.
        input_size, mean, std, channel_order, value_range, fit, resize, bands: Overrides of the network's own
            `InputSpace`.
        channels: Number of channels of the network's input; None: found (`dgn.networks.found_channels`).
        data_classes: Class names of the data, used if settings, weights and network do not define them.
        data_size: Image size of the data in pixels, used likewise.
        data_channels: Number of channels of the data, used likewise.
    """

    weights: str | None = None
    container: str | None = None
    allow_missing: Sequence[str] = ()
    allow_unexpected: Sequence[str] = ()
    classes: int | str | None = None
    labels: Sequence[str] | str | None = None
    seed: int = 0
    input_size: int | Sequence[int] | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    channel_order: str | None = None
    value_range: float | None = None
    fit: str | None = None
    resize: int | None = None
    channels: int | None = None
    bands: Sequence[int] | None = None
    data_classes: Sequence[str] = ()
    data_size: ImageSize | None = None
    data_channels: int | None = None

    @classmethod
    def from_keywords(cls, builder: str, own: Sequence[str], given: Mapping[str, Any]) -> "NetworkSettings":
        """Creates settings from keyword arguments.

        Args:
            builder: Name of the network's builder, for messages.
            own: Names of the builder's additional settings.
            given: The values by name; None counts as not given.

        Raises:
            UserError: If a setting does not exist or has a wrong type.
        """
        known = [field.name for field in fields(cls)]
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(key, [*own, *known], 1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                raise UserError(f"{builder} has no setting {key}{hint}; settings: {', '.join((*own, *_public(known)))}")
        values = {key: value for key, value in given.items() if value is not None}
        if not isinstance(values.get("seed", 0), int):
            raise UserError(f"seed={values['seed']} must be a whole number")
        if values.get("classes") == "auto":
            del values["classes"]
        check_channels(values.get("channels"), "channels")
        for key in ("allow_missing", "allow_unexpected"):
            if isinstance(values.get(key), str):
                values[key] = [values[key]]
        return cls(**values)

    @property
    def space(self) -> dict[str, Any]:
        """The overrides of the input space that are set."""
        keys = ("input_size", "mean", "std", "channel_order", "value_range", "fit", "resize", "channels", "bands")
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}

    def given_labels(self) -> tuple[str, ...]:
        """The labels of the settings, read from their file if `labels` is a path."""
        if not isinstance(self.labels, str):
            return tuple(map(str, self.labels or ()))
        try:
            text = Path(self.labels).expanduser().read_text(encoding="utf-8-sig")  # without a byte order mark
            if text.lstrip()[:1] in ("{", "[") and str(self.labels).lower().endswith(".json"):
                return _labels_of_json(json.loads(text))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"labels={self.labels} cannot be read as names ({error}); give a text file with one a line, or JSON: "
                '["cat", "dog"], {"0": "cat"}, {"0": ["n01", "cat"]} or {"cat": 0}'
            ) from None
        return tuple(line.strip() for line in text.splitlines() if line.strip())

    def read(self, caffe: Callable[..., State] = named_blobs) -> State | None:
        """Reads the weights file; returns None if `weights` is None. caffe: see `read_weights`."""
        return None if self.weights is None else read_weights(self.weights, self.container, caffe)


def _public(names: Sequence[str]) -> list[str]:
    return [name for name in names if not name.startswith("data_")]


def labels_beside(weights: str | Path | None) -> tuple[str, ...]:
    """Returns the labels in a safetensors file's header, as written by `save_network`; () if there are none."""
    if weights is None or not str(weights).endswith(".safetensors"):
        return ()
    try:
        with safe_open(weights, framework="pt") as file:
            return tuple(json.loads((file.metadata() or {}).get("labels", "[]")))
    except (SafetensorError, OSError, ValueError):
        return ()  # read_weights reports what is wrong with the file


def _labels_of_json(tree: Any) -> tuple[str, ...]:
    """Class names in order, from a list of names, {number: name} or {name: number}.

    If the entry of a class is a list, as in torchvision's {"0": ["n01440764", "tench"]}, its last item is the name.

    Raises:
        ValueError: For any other structure.
    """
    if isinstance(tree, Mapping):
        by_number = all(str(key).isdigit() for key in tree)
        numbered = tree.items() if by_number else [(value, key) for key, value in tree.items()]
        names_by_number = {int(number): name for number, name in numbered}
        if sorted(names_by_number) != list(range(len(tree))):
            raise ValueError(f"classes are numbered from 0 to {len(tree) - 1}, each once")
        tree = [names_by_number[number] for number in range(len(names_by_number))]
    names = [entry[-1] if isinstance(entry, list) and entry else entry for entry in tree]
    if not all(isinstance(name, str | int | float) for name in names):
        raise ValueError("a class's name is a text")
    return tuple(str(name) for name in names)
