"""Reads .caffemodel files without Caffe and protobuf, also untrusted ones.

A .caffemodel is a NetParameter message of Caffe's caffe.proto. The fields that hold weights, with their numbers:

    NetParameter      layers = 2 (V1LayerParameter, until 2014), layer = 100 (LayerParameter)
    V1LayerParameter  layer = 1 (V0, until 2013), name = 4, type = 5 (an enum), blobs = 6
    LayerParameter    name = 1, type = 2 (a string), blobs = 7
    BlobProto         num, channels, height, width = 1..4, data = 5, shape = 7, double_data = 8
    BlobShape         dim = 1

All other fields are skipped. Every length is compared with the number of bytes that are left, and no memory is
allocated for a size that the file only states, so that time and memory are at most proportional to the file's size,
also for damaged and malicious files.
"""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dgn.errors import UserError
from dgn.networks.weights.paths import weights_file
from dgn.networks.weights.text import short


@dataclass
class CaffeLayer:
    """A layer of a .caffemodel that has weights.

    Attributes:
        name: the layer's name in the network's prototxt.
        type: "Convolution", "Deconvolution", "InnerProduct", ..., also for files with the older enum; "" if the file
            does not contain it.
        blobs: float32 arrays in the file's order, usually the weight and the bias. A Convolution's weight is
            (out, in / groups, height, width), a Deconvolution's (in, out / groups, height, width), an InnerProduct's
            (out, in). In old files all blobs have four dimensions: (1, 1, out, in) for the weight of an InnerProduct,
            (1, 1, 1, out) for a bias.
    """

    name: str
    type: str
    blobs: list[np.ndarray] = field(default_factory=list)


def read_caffemodel(path: str | Path) -> dict[str, CaffeLayer]:
    """Returns {name: layer} of the layers of a .caffemodel that have weights, in the file's order.

    Raises:
        UserError: If the file is missing, damaged, not a .caffemodel or in Caffe's oldest format (V0), if two layers
            with weights have the same name, or if no layer has weights.
    """
    path = weights_file(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        try:
            layers = list(_read_layers(_Wire(buffer)))
        except _Damage as damage:
            raise UserError(
                f"{path} is damaged or not a .caffemodel: {damage}; "
                "download it again, and give the .caffemodel, not its .prototxt or .solverstate"
            ) from None
    named: dict[str, CaffeLayer] = {}
    for layer in layers:
        if layer.name in named:
            raise UserError(f"{path} has two layers named {short(layer.name)!r} with weights: rename one")
        named[layer.name] = layer
    if not named:
        raise UserError(f"{path} contains no layer with weights: give the .caffemodel of a trained network")
    return named


# The values of V1LayerParameter.LayerType for layers with weights.
_V1_TYPES = {4: "Convolution", 14: "InnerProduct", 39: "Deconvolution"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_AXES = 32  # Caffe's kMaxBlobAxes
# Networks have a few thousand; the limit bounds the time that a file of many tiny fields can take.
_MAX_FIELDS = 200_000


class _Damage(Exception):
    """Describes what is wrong with the file, and where."""


class _Wire:
    """Parses protobuf's wire format in a buffer. Positions are bytes from the start of the file."""

    def __init__(self, buffer: mmap.mmap) -> None:
        self.buffer = buffer
        self.fields_left = _MAX_FIELDS

    def fields(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Yields (number, wire type, first byte, last byte + 1) of each field of the message in [start, end)."""
        while start < end:
            number, wire, first, start = self.field(start, end)
            yield number, wire, first, start

    def field(self, position: int, end: int) -> tuple[int, int, int, int]:
        """Returns the field whose tag is at `position`, like `fields`, for a message that ends before `end`."""
        self.fields_left -= 1
        if self.fields_left < 0:
            raise _Damage(f"more than {_MAX_FIELDS} fields")
        tag, first = self.varint(position, end)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number < 1 << 29:
            raise _Damage(f"field number {number} at byte {position}")
        if wire == _VARINT:
            stop = self.varint(first, end)[1]
        elif wire == _FIXED64:
            stop = first + 8
        elif wire == _FIXED32:
            stop = first + 4
        elif wire == _BYTES:
            length, first = self.varint(first, end)
            stop = first + length
        else:  # 3 and 4 are groups, which caffe.proto does not use
            raise _Damage(f"wire type {wire} at byte {position}")
        if stop > end:
            raise _Damage(f"a field of {stop - first} bytes at byte {position} where {end - first} are left")
        return number, wire, first, stop

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """Returns the unsigned number at `position`, and the position after it."""
        value = 0
        for i in range(10):
            if position + i >= end:
                raise _Damage(f"a number cut off at byte {end}")
            byte = self.buffer[position + i]
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF, position + i + 1
        raise _Damage(f"a number of more than 10 bytes at byte {position}")

    def text(self, wire: int, first: int, stop: int) -> str:
        _expect(wire, _BYTES, first)
        return self.buffer[first:stop].decode("utf-8", errors="replace")

    def numbers(self, dtype: str, first: int, stop: int) -> np.ndarray:
        """Returns a float32 copy of the packed numbers in [first, stop)."""
        count, rest = divmod(stop - first, np.dtype(dtype).itemsize)
        if rest:
            raise _Damage(f"{stop - first} bytes of {np.dtype(dtype).name} data at byte {first}")
        if not count:
            return np.empty(0, np.float32)
        with np.errstate(over="ignore"):
            return np.frombuffer(self.buffer, dtype, count, first).astype(np.float32)

    def unpacked_numbers(self, dtype: str, tag_at: int, stop: int, end: int) -> tuple[np.ndarray, int]:
        """Returns a run of unpacked numbers as float32, and the position after the run.

        The first tag is at `tag_at`, and the first value ends at `stop`. Each number is a separate field; a Python
        loop over them would take minutes.
        """
        self.fields_left -= 100  # about the cost of a run, even a short one; usually a file has one run per blob
        size, stride = np.dtype(dtype).itemsize, stop - tag_at
        tag = np.frombuffer(self.buffer, np.uint8, stride - size, tag_at)
        count, look = 1, 64
        # The look-ahead doubles, so that a file of many short runs is still read in time linear in its size.
        while look := min(look, (end - tag_at) // stride - count):
            ahead = np.frombuffer(self.buffer, np.uint8, look * stride, tag_at + count * stride)
            same = (ahead.reshape(look, stride)[:, : stride - size] == tag).all(axis=1)
            if not same.all():
                count += int(same.argmin())
                break
            count += look
            look *= 2
        rows = np.frombuffer(self.buffer, np.uint8, count * stride, tag_at).reshape(count, stride)
        with np.errstate(over="ignore"):
            numbers = np.ascontiguousarray(rows[:, stride - size :]).view(dtype)[:, 0].astype(np.float32)
        return numbers, tag_at + count * stride


def _read_layers(wire: _Wire) -> Iterator[CaffeLayer]:
    """Yields the layers with weights of the NetParameter in the buffer."""
    for number, kind, first, stop in wire.fields(0, len(wire.buffer)):
        if number in (2, 100):
            _expect(kind, _BYTES, first)
            layer = _read_layer(wire, first, stop, v1=number == 2)
            if layer.blobs:
                yield layer


def _read_layer(wire: _Wire, start: int, end: int, v1: bool) -> CaffeLayer:
    """Reads a V1LayerParameter or LayerParameter; `blobs` is empty for a layer without weights."""
    name_field, type_field, blobs_field = (4, 5, 6) if v1 else (1, 2, 7)
    layer = CaffeLayer("", "")
    blobs = []  # read last, so that error messages can name the layer
    for number, kind, first, stop in wire.fields(start, end):
        if number == name_field:
            layer.name = wire.text(kind, first, stop)
        elif number == type_field and v1:
            _expect(kind, _VARINT, first)
            value = wire.varint(first, stop)[0]
            layer.type = _V1_TYPES.get(value, f"V1 type {value}")
        elif number == type_field:
            layer.type = wire.text(kind, first, stop)
        elif number == blobs_field:
            _expect(kind, _BYTES, first)
            blobs.append((first, stop))
        elif number == 1 and v1:
            raise _Damage("its layers are in Caffe's format of 2013 (V0); convert it with upgrade_net_proto_binary")
    if blobs and not layer.name:
        raise _Damage(f"a layer without a name at byte {start}")
    for index, (first, stop) in enumerate(blobs):
        try:
            layer.blobs.append(_read_blob(wire, first, stop))
        except _Damage as damage:
            raise _Damage(f"blob {index} of layer {short(layer.name)!r}: {damage}") from None
    return layer


def _read_blob(wire: _Wire, start: int, end: int) -> np.ndarray:
    """Reads a BlobProto. As in Caffe, the old four numbers take precedence over shape, and double_data over data."""
    four: dict[int, int] = {}
    shape: list[int] = []
    parts: dict[int, list[np.ndarray]] = {5: [], 8: []}
    position = start
    while position < end:
        at = position
        number, kind, first, position = wire.field(at, end)
        if number in (1, 2, 3, 4):
            _expect(kind, _VARINT, first)
            four[number] = wire.varint(first, position)[0]
        elif number == 7:
            _expect(kind, _BYTES, first)
            _read_shape(wire, first, position, shape)
        elif number in parts:
            dtype, unpacked = ("<f4", _FIXED32) if number == 5 else ("<f8", _FIXED64)
            if kind == unpacked:
                numbers, position = wire.unpacked_numbers(dtype, at, position, end)
            else:
                _expect(kind, _BYTES, first)
                numbers = wire.numbers(dtype, first, position)
            if numbers.size:
                parts[number].append(numbers)
    dims = [four.get(i, 0) for i in (1, 2, 3, 4)] if four else shape
    chunks = parts[8] or parts[5]
    count = sum(chunk.size for chunk in chunks)
    if count == 0 or math.prod(dims) != count:
        dims = [d - (1 << 64) if d >= 1 << 63 else d for d in dims]
        raise _Damage(f"{count} values for the shape {tuple(dims)}")
    return (chunks[0] if len(chunks) == 1 else np.concatenate(chunks)).reshape(dims)


def _read_shape(wire: _Wire, start: int, end: int, shape: list[int]) -> None:
    """Appends the dimensions of a BlobShape, packed or not, to `shape`."""
    for number, kind, first, stop in wire.fields(start, end):
        if number != 1:
            continue
        if kind != _BYTES:
            _expect(kind, _VARINT, first)
        while first < stop:
            dim, first = wire.varint(first, stop)
            shape.append(dim)
            if len(shape) > _MAX_AXES:
                raise _Damage(f"a blob of more than {_MAX_AXES} dimensions")


def _expect(kind: int, right: int, position: int) -> None:
    if kind != right:
        raise _Damage(f"wire type {kind} where {right} belongs, before byte {position}")
