"""Arguments of the unit language's functions: layers, numbers, files, and values that are written out."""

import re
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dgn.am.objectives.terms import literal
from dgn.am.objectives.unit_names import UnitNames
from dgn.data.images import read_image
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet


class Arguments(UnitNames):
    """Parses arguments. Raises UserError for those that cannot be; the message says where they are."""

    def _layer_argument(self) -> tuple[str, tuple[int, ...]]:
        start = self._here()
        name, self.at = self._dictionary(start)
        if not name:
            name = self._taken(r"[^,()@]*", start)
            self.at = start + len(name)
        return name.strip(), self._shape(name.strip(), start)

    def _source(self, shape: tuple[int, ...], layer: str, start: int) -> tuple[str, Tensor]:
        """Parses the second argument; returns the source as written and its float32 values of the given shape."""
        self._expect(",", start)
        begins = self._here()
        if self._peek() == "{":
            return self._literal(shape, layer)
        source = self._path()
        try:
            values = _file_values(source, shape, layer, self.target)
        except UserError as error:
            self._fail(str(error), begins)
        return source, values

    def _literal(self, shape: tuple[int, ...], layer: str) -> tuple[str, Tensor]:
        begins = self.at
        match = re.compile(r"\{([^{}]*)\}").match(self.text, begins)
        if not match:
            self._fail("this { is not closed", begins)
        values = torch.zeros(shape).flatten()
        for pair in filter(None, (part.strip() for part in match[1].split(","))):
            try:
                unit, weight = pair.split(":")
                index, value = int(unit), float(weight)
            except ValueError:
                self._fail(f"{pair!r} is not UNIT:NUMBER; write for example {{3:0.5,7:-1}}", begins)
            if not 0 <= index < len(values):
                self._fail(f"{layer} has no unit {index}; its {len(values)} are 0 .. {len(values) - 1}", begins)
            values[index] = value
        self.at = match.end()
        return literal(values), values.view(shape)

    def _path(self) -> str:
        """Parses the path of a file, or the name of a function."""
        begins = self._here()
        if self._peek() in ("'", '"'):
            source = self._string()
        else:
            source = self._taken(r"[^,()]*", begins)
            self.at = begins + len(source)
            source = source.strip()
        if not source:
            self._fail("the path of a file (or {unit:value,...}) is missing here", begins)
        return source

    def _number_argument(self) -> float:
        begins = self._here()
        text = self._taken(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", begins)
        if not text:
            self._fail("a number is missing here", begins)
        self.at = begins + len(text)
        return float(text)

    def _mask_argument(self, size: tuple[int, ...], start: int) -> tuple[str, Tensor]:
        """Parses the file of a mask; returns it as written, and its weights on a map of that size, whose sum is 1."""
        self._expect(",", start)
        begins = self._here()
        source = self._path()
        try:
            mask = read_mask(source)
        except UserError as error:
            self._fail(str(error), begins)
        weights = F.interpolate(mask[None, None], size, mode="area")[0, 0]
        if not float(weights.sum()) > 0:
            self._fail(f"{source} is black everywhere: no region is left", begins)
        return source, weights / weights.sum()


def read_mask(source: str) -> Tensor:
    """Reads a mask, (H, W) of at least 0: the brightness of an image file, in [0, 1], or an array of an .npy file.

    Raises:
        UserError: if the file cannot be read.
    """
    if Path(source).suffix.lower() != ".npy":
        return read_image(source).float().div(255).mean(0)
    values = _array(source)
    if values.ndim != 2 or values.dtype.kind not in "fiub" or not (values >= 0).all():
        raise UserError(f"{source} is no mask: an array (height, width) of numbers of at least 0 is needed")
    return torch.from_numpy(values.astype(np.float32))


def _file_values(source: str, shape: tuple[int, ...], layer: str, target: FeatureNet) -> Tensor:
    """Reads values of the given shape from a file: an .npy file's numbers, or an image's activations in the layer."""
    if Path(source).suffix.lower() == ".npy":
        values = _array(source)
        if values.size != int(np.prod(shape)) or values.dtype.kind not in "fiu":
            actual = f"{values.dtype} {'x'.join(map(str, values.shape))}"
            raise UserError(f"{source} holds {actual}; {layer} needs {'x'.join(map(str, shape))} numbers")
        return torch.from_numpy(values.astype(np.float32)).view(shape)
    channels = target.input_space.image_channels
    image = read_image(source, channels=None if channels in (1, 3) else channels).unsqueeze(0).float().div(255)
    with torch.no_grad():
        code = target(image.to(target.device), [layer])[layer][0].cpu()
    if tuple(code.shape) != shape:
        raise UserError(f"direction(...) takes an .npy file of {shape[0]} numbers; {source} is an image")
    return code


def _array(source: str) -> np.ndarray:
    try:
        return np.load(source, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"no file {source}; check the path") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{source} cannot be read as numbers: {error}") from None
