"""Receptive fields: what part of its input each unit of a network sees.

Found by one forward pass in which every operation says which input rows and columns its results depend on, so
that branches, shortcuts and what a forward does without modules are followed, whatever the weights are. Where an
axis of a tensor still has places, place i depends on input pixels low + jump * i .. high + jump * i; where it has
none any more (pooled, flattened into a fully connected layer), on low .. high. Borders are not cut off: a field
may reach beyond the image, as published sizes do (CaffeNet's pool5: 195 pixels).
"""

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dgn.networks.layers import OUTPUT, Layer


@dataclass(frozen=True)
class Track:
    """What one axis of the input (rows or columns) is to a tensor.

    dim: the tensor's dimension that has places along it, or None; place p of the dimension is place
    ((p - shift) // period) % length of the axis (tokens hold rows and columns in one dimension).
    jump, low, high: as above. exact: whether that is what is seen, or only known to contain it.
    """

    dim: int | None
    length: int
    jump: float
    low: float
    high: float
    period: int = 1
    shift: int = 0
    exact: bool = True

    def of_all(self, exact: bool = True) -> "Track":
        """What all its places see together."""
        high = self.high + self.jump * (self.length - 1)
        return Track(None, 1, 0, self.low, high, exact=self.exact and exact)

    def scaled(self, length: int, stride: float, first: float, last: float) -> "Track":
        """After an operation whose place i sees places stride * i + first .. stride * i + last of this one."""
        low, high = self.low + self.jump * first, self.high + self.jump * last
        return replace(self, length=length, jump=self.jump * stride, low=low, high=high)


@dataclass(frozen=True)
class ReceptiveField:
    """Of one layer. rows, columns: what its places along each axis of the input see; input_size: of the input,
    height and width."""

    rows: Track
    columns: Track
    input_size: tuple[int, int]

    @property
    def exact(self) -> bool:
        """Whether it is known, or only what contains it."""
        return self.rows.exact and self.columns.exact

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of what one unit sees, borders not cut off."""
        return tuple(math.floor(t.high + _EPS) - math.ceil(t.low - _EPS) + 1 for t in (self.rows, self.columns))

    @property
    def stride(self) -> tuple[float, float]:
        """By how many pixels the fields of neighbours are apart; 0 where the layer has no places along an axis."""
        return self.rows.jump, self.columns.jump

    @property
    def offset(self) -> tuple[float, float]:
        """Row and column of the first pixel that the unit at (0, 0) sees; negative: in the padding."""
        return self.rows.low, self.columns.low

    @property
    def everywhere(self) -> bool:
        """Whether every unit sees all of the input."""
        return all(
            t.low + t.jump * (t.length - 1) <= 0 and t.high >= side - 1
            for t, side in zip((self.rows, self.columns), self.input_size, strict=True)
        )

    def of_all(self) -> "ReceptiveField":
        """What all the layer's positions see together."""
        return ReceptiveField(self.rows.of_all(), self.columns.of_all(), self.input_size)

    def region(self, position: Sequence[int] | None = None) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) of what the unit at a position sees, cut off at the input's borders; bottom and
        right are the first that it does not see, so that image[:, top:bottom, left:right] is it.

        position: (row, column) of a map, (token,) of tokens, None for a vector or for all positions together."""
        edges = []
        for axis, (track, side) in enumerate(zip((self.rows, self.columns), self.input_size, strict=True)):
            low, high = track.low, track.high
            if track.dim is not None and position is None:
                high += track.jump * (track.length - 1)
            elif track.dim is not None:
                place = position[axis] if len(position) == 2 else position[0] - track.shift
                index = place if len(position) == 2 else (place // track.period) % track.length
                if place < 0:  # the class token sees nothing of its own
                    low, high = 0, -1
                else:
                    low, high = low + track.jump * index, high + track.jump * index
            edges.append((max(0, math.ceil(low - _EPS)), min(side, math.floor(high + _EPS) + 1)))
        (top, bottom), (left, right) = edges
        return top, left, max(top, bottom), max(left, right)


def region(net: Any, layer: str, position: Sequence[int] | str | None = None) -> tuple[int, int, int, int]:
    """(top, left, bottom, right), in pixels of an image of the network's input size, of what the unit of a layer
    sees: image[..., top:bottom, left:right]. The whole image where that cannot be told.

    net: a FeatureNet. position: (row, column) of a map, (token,) of tokens, "mean" or None for all together, as
    `Unit.position` has it."""
    field = net.receptive_field(layer)
    if field is None:
        height, width = net.probe_size
        return 0, 0, height, width
    return field.region(None if isinstance(position, str) else position or None)


def receptive_fields(
    network: nn.Module, layers: Mapping[str, Layer], run: Callable[[int], None], input_size: tuple[int, int]
) -> dict[str, ReceptiveField | None]:
    """The field of every layer. run: runs the network on so many images of input_size, whose tensor is the first
    that enters the network."""
    found: dict[str, ReceptiveField | None] = dict.fromkeys(layers)
    at: dict[tuple[str, bool], list[Layer]] = {}
    for layer in layers.values():
        at.setdefault((layer.module, layer.entering), []).append(layer)
    calls: dict[tuple[str, bool], int] = dict.fromkeys(at, 0)
    tracing = _Tracing()

    def look(point: tuple[str, bool], value: Any) -> None:
        if point == (OUTPUT, True):
            tracing.begin(next(v for v in value if isinstance(v, Tensor)))
        call = calls[point]
        calls[point] += 1
        for layer in at[point]:
            tensor = layer.take(value) if layer.call in (None, call) else None
            known = tracing.of(tensor) if tensor is not None else None
            if known is not None:
                rows, columns = (_of_layer(track, layer) for track in known)
                found[layer.name] = ReceptiveField(rows, columns, input_size)

    with ExitStack() as hooks:
        for point in at:
            name, entering = point
            module = network if name == OUTPUT else network.get_submodule(name)
            if entering:
                hook = module.register_forward_pre_hook(
                    lambda _, args, kwargs, p=point: look(p, (*args, *kwargs.values())), with_kwargs=True
                )
            else:
                hook = module.register_forward_hook(lambda _, args, out, p=point: look(p, out))
            hooks.callback(hook.remove)
        with tracing:
            run(1)
    return found


_EPS = 1e-6


def _of_layer(track: Track, layer: Layer) -> Track:
    """A track of a module's tensor as one of the layer's activations, where they are arranged otherwise."""
    if track.dim is None:
        return track
    if layer.batch_axis or layer.windows > 1:
        return track.of_all(exact=False)
    wanted = {3: (2, 3) if not layer.channels_last else (1, 2), 2: (1,)}.get(len(layer.shape), ())
    return track if track.dim in wanted else track.of_all(exact=False)


Tracks = tuple[Track, Track]


class _Tracing(TorchDispatchMode):
    """Runs operations as they are, and keeps for each tensor what it depends on."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[weakref.ref, Tracks]] = {}

    def begin(self, images: Tensor) -> None:
        """images: (N, 3, H, W), whose every place depends on itself."""
        height, width = images.shape[-2:]
        self._keep(images, (Track(2, height, 1, 0, 0), Track(3, width, 1, 0, 0)))

    def of(self, tensor: Tensor) -> Tracks | None:
        """What a tensor depends on; None: on nothing that was followed."""
        there = self._known.get(id(tensor))
        return there[1] if there is not None and there[0]() is tensor else None

    def _keep(self, tensor: Tensor, tracks: Tracks) -> None:
        self._known[id(tensor)] = weakref.ref(tensor), tracks

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        given = [t for t in _flat((args, kwargs)) if self.of(t) is not None]
        before = {id(t): (self.of(t), t.shape) for t in given}
        out = func(*args, **kwargs)
        if not given:
            return out

        def tracks(value: Any) -> Tracks | None:
            return before[id(value)][0] if isinstance(value, Tensor) and id(value) in before else None

        for tensor in _flat(out):
            axes = []
            for axis in (0, 1):
                sources = [(before[id(t)][0][axis], before[id(t)][1]) for t in given]
                call = _Call(func, args, kwargs, tensor, axis, tracks)
                axes.append(call.result(sources))
            self._keep(tensor, (axes[0], axes[1]))
            base = tensor._base
            if base is not None and func._schema.is_mutable and self.of(base) is not None:
                # A part of a tensor was changed in place: all of it may depend on what came in.
                old = self.of(base)
                self._keep(
                    base, tuple(_union([a.of_all(False), b.of_all(False)]) for a, b in zip(axes, old, strict=True))
                )
        return out


def _flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [t for inner in value for t in _flat(inner)] if isinstance(value, tuple | list) else []


def _union(tracks: Sequence[Track]) -> Track:
    """What depends on all of these, which are of one tensor."""
    first = tracks[0]
    exact = all(track.exact for track in tracks)
    if any(replace(t, low=0, high=0, exact=True) != replace(first, low=0, high=0, exact=True) for t in tracks):
        tracks = [track.of_all() for track in tracks]
    low, high = min(t.low for t in tracks), max(t.high for t in tracks)
    return replace(tracks[0], low=low, high=high, exact=exact)


@dataclass
class _Call:
    """One operation, one of its results, and one axis of the input (0: rows, 1: columns)."""

    func: Any
    args: tuple
    kwargs: dict
    out: Tensor
    axis: int
    tracks: Callable[[Any], Tracks | None]

    def result(self, sources: Sequence[tuple[Track, torch.Size]]) -> Track:
        name = self.func._schema.name.removeprefix("aten::").rstrip("_").removeprefix("_")
        rule = getattr(self, f"after_{name}", None)
        pointwise = torch.Tag.pointwise in self.func.tags or name in _POINTWISE
        if pointwise:
            return _union([self._broadcast(track, shape) for track, shape in sources])
        if rule is None:
            return _union([track.of_all(exact=False) for track, _ in sources])
        if name in ("cat", "stack"):
            return rule(sources)
        found = []
        for track, shape in sources:
            found.append(track if track.dim is None else rule(track, shape))
        return _union(found)

    def arg(self, name: str, default: Any = None) -> Any:
        """An argument by its name in the operation's schema."""
        for i, parameter in enumerate(self.func._schema.arguments):
            if parameter.name == name:
                if i < len(self.args):
                    return self.args[i]
                return self.kwargs.get(name, parameter.default_value if parameter.has_default_value() else default)
        return default

    def _broadcast(self, track: Track, shape: torch.Size) -> Track:
        if track.dim is None:
            return track
        dim = track.dim + self.out.ndim - len(shape)
        return replace(track, dim=dim) if self.out.shape[dim] == shape[track.dim] else track.of_all()

    # Windows: convolutions and pooling.

    def after_convolution(self, track: Track, shape: torch.Size) -> Track:
        place = track.dim - 2
        if place < 0 or track.period != 1 or track.shift:
            return track.of_all()  # summed over, as channels are
        kernel = self.arg("weight").shape[track.dim]
        stride, padding, dilation = (_at(self.arg(key), place) for key in ("stride", "padding", "dilation"))
        length, reach = self.out.shape[track.dim], (kernel - 1) * dilation
        if self.arg("transposed"):
            return track.scaled(length, 1 / stride, (padding - reach) / stride, padding / stride)
        return track.scaled(length, stride, -padding, reach - padding)

    def _pool(self, track: Track, shape: torch.Size) -> Track:
        place = track.dim - (self.out.ndim - len(self.arg("kernel_size")))
        if place < 0 or track.period != 1 or track.shift:
            return track.of_all(exact=False)
        kernel = _at(self.arg("kernel_size"), place)
        stride = _at(self.arg("stride") or self.arg("kernel_size"), place)
        padding, dilation = _at(self.arg("padding"), place), _at(self.arg("dilation", 1), place)
        length = self.out.shape[track.dim]
        return track.scaled(length, stride, -padding, (kernel - 1) * dilation - padding)

    after_max_pool2d_with_indices = after_avg_pool2d = after_max_pool2d = after_mkldnn_max_pool2d = _pool

    def _adaptive(self, track: Track, shape: torch.Size) -> Track:
        if track.period != 1 or track.shift or track.dim < len(shape) - 2:
            return track.of_all(exact=False)
        places, length = shape[track.dim], self.out.shape[track.dim]
        if length == 1:
            return replace(track.of_all(), dim=track.dim)
        stride, spare = places / length, 0 if places % length == 0 else (length - 1) / length
        return track.scaled(length, stride, -spare, stride - 1 + spare)

    after_adaptive_avg_pool2d = after_adaptive_max_pool2d = _adaptive

    def after_constant_pad_nd(self, track: Track, shape: torch.Size) -> Track:
        pads, behind = self.arg("pad"), len(shape) - 1 - track.dim
        before = pads[2 * behind] if 2 * behind < len(pads) else 0
        if self.out.shape[track.dim] == shape[track.dim] and not before:
            return track
        if track.period != 1 or track.shift:
            return track.of_all(exact=False)
        return track.scaled(self.out.shape[track.dim], 1, -before, -before)

    # Shapes: where the axis's dimension goes.

    def after_permute(self, track: Track, shape: torch.Size) -> Track:
        dims = [dim % len(shape) for dim in self.arg("dims")]
        return replace(track, dim=dims.index(track.dim))

    def after_transpose(self, track: Track, shape: torch.Size) -> Track:
        a, b = self.arg("dim0") % len(shape), self.arg("dim1") % len(shape)
        return replace(track, dim={a: b, b: a}.get(track.dim, track.dim))

    def after_t(self, track: Track, shape: torch.Size) -> Track:
        return replace(track, dim=len(shape) - 1 - track.dim)

    def after_view(self, track: Track, shape: torch.Size) -> Track:
        inner = math.prod(shape[track.dim + 1 :])
        new = self.out.shape
        for dim in range(self.out.ndim):
            below = math.prod(new[dim + 1 :])
            if below == inner and new[dim] == shape[track.dim]:
                return replace(track, dim=dim)
        step = inner * track.period  # in elements, from one place to the next
        for dim in range(self.out.ndim):
            below = math.prod(new[dim + 1 :])
            whole = step % below == 0 and (below * new[dim]) % (step * track.length) == 0
            if not track.shift and whole:
                return replace(track, dim=dim, period=step // below)
        if shape[track.dim] == 1:
            return track.of_all()
        return track.of_all(exact=False)

    after_unsafe_view = after_reshape_alias = after_view

    def after_unsqueeze(self, track: Track, shape: torch.Size) -> Track:
        dim = self.arg("dim") % (len(shape) + 1)
        return replace(track, dim=track.dim + (track.dim >= dim))

    def after_squeeze(self, track: Track, shape: torch.Size) -> Track:
        dims = self.arg("dim")
        dims = range(len(shape)) if dims is None else [dims] if isinstance(dims, int) else dims
        gone = [dim % len(shape) for dim in dims if shape[dim] == 1]
        if track.dim in gone:
            return track.of_all()
        return replace(track, dim=track.dim - sum(dim < track.dim for dim in gone))

    def after_expand(self, track: Track, shape: torch.Size) -> Track:
        return self._broadcast(track, shape)

    def after_select(self, track: Track, shape: torch.Size) -> Track:
        dim, index = self.arg("dim") % len(shape), self.arg("index")
        if dim != track.dim:
            return replace(track, dim=track.dim - (dim < track.dim))
        place = index % shape[dim] - track.shift
        if place < 0:
            return track.of_all(exact=False)
        at = track.jump * ((place // track.period) % track.length)
        return Track(None, 1, 0, track.low + at, track.high + at, exact=track.exact)

    def after_slice(self, track: Track, shape: torch.Size) -> Track:
        dim = self.arg("dim") % len(shape)
        if dim != track.dim or self.out.shape[dim] == shape[dim]:
            return track
        start, step = self.arg("start") or 0, self.arg("step")
        if track.period != 1 or track.shift:
            return track.of_all(exact=False)
        return track.scaled(self.out.shape[dim], step, start % shape[dim], start % shape[dim])

    def _split(self, track: Track, shape: torch.Size) -> Track:
        return track.of_all(exact=False) if self.arg("dim") % len(shape) == track.dim else track

    after_split = after_split_with_sizes = after_chunk = _split

    def after_unbind(self, track: Track, shape: torch.Size) -> Track:
        dim = self.arg("dim") % len(shape)
        return track.of_all(exact=False) if dim == track.dim else replace(track, dim=track.dim - (dim < track.dim))

    def after_cat(self, sources: Sequence[tuple[Track, torch.Size]]) -> Track:
        dim = self.arg("dim") % self.out.ndim
        found, place = [], 0
        known = [tracks[self.axis] if (tracks := self.tracks(t)) else None for t in self.arg("tensors")]
        for track, tensor in zip(known, self.arg("tensors"), strict=True):
            if track is not None and track.dim == dim:
                # Behind tokens that depend on no pixel, the others keep their places.
                alone = (
                    sum(other is not None for other in known) == 1 and place + tensor.shape[dim] == self.out.shape[dim]
                )
                track = replace(track, shift=track.shift + place) if alone else track.of_all(exact=False)
            if track is not None:
                found.append(track)
            place += tensor.shape[dim]
        return _union(found)

    def after_stack(self, sources: Sequence[tuple[Track, torch.Size]]) -> Track:
        dim = self.arg("dim") % self.out.ndim
        return _union([t if t.dim is None else replace(t, dim=t.dim + (t.dim >= dim)) for t, _ in sources])

    # Sums over dimensions.

    def _reduce(self, track: Track, shape: torch.Size) -> Track:
        dims = self.arg("dim")
        dims = range(len(shape)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
        dims = [dim % len(shape) for dim in dims]
        if track.dim in dims:
            return track.of_all()
        kept = self.arg("keepdim", False)
        return track if kept else replace(track, dim=track.dim - sum(dim < track.dim for dim in dims))

    after_mean = after_sum = after_amax = after_amin = after_var = after_std = after_prod = after_logsumexp = _reduce
    after_linalg_vector_norm = _reduce

    def _along(self, track: Track, shape: torch.Size) -> Track:
        return track.of_all() if self.arg("dim") % len(shape) == track.dim else track

    after_softmax = after_log_softmax = after_cumsum = _along

    def after_native_layer_norm(self, track: Track, shape: torch.Size) -> Track:
        normalized = len(shape) - len(self.arg("normalized_shape"))
        return track.of_all() if track.dim >= normalized else track

    after_fused_rms_norm = after_native_layer_norm

    def after_native_group_norm(self, track: Track, shape: torch.Size) -> Track:
        return track.of_all()

    def after_mm(self, track: Track, shape: torch.Size) -> Track:
        # With weights as the second factor, rows of the first stay; what is summed over is seen whole.
        first, second = (
            self.arg(key) for key in (("mat1", "mat2") if self.arg("mat1") is not None else ("self", "mat2"))
        )
        alone = self.tracks(first) is not None and self.tracks(second) is None
        return track if alone and track.dim < len(shape) - 1 else track.of_all()

    after_addmm = after_mm

    def after_bmm(self, track: Track, shape: torch.Size) -> Track:
        # Attention's products: what one token makes of another depends on both, and in the end on all.
        return track if track.dim < len(shape) - 2 else track.of_all()

    after_baddbmm = after_bmm

    def _attention(self, track: Track, shape: torch.Size) -> Track:
        return track if track.dim < len(shape) - 2 else track.of_all()

    after_scaled_dot_product_flash_attention_for_cpu = after_scaled_dot_product_flash_attention = _attention
    after_scaled_dot_product_efficient_attention = after_scaled_dot_product_cudnn_attention = _attention
    after_scaled_dot_product_attention_math = after_native_multi_head_attention = _attention


# Operations that treat every place alike, though they are not tagged so.
_POINTWISE = {
    *("native_batch_norm", "native_batch_norm_legit", "native_batch_norm_legit_no_training", "cudnn_batch_norm"),
    *("batch_norm_with_update", "miopen_batch_norm", "clone", "copy", "to_copy", "contiguous", "alias", "detach"),
    *("lift_fresh", "dropout", "native_dropout", "gelu", "hardswish", "hardsigmoid", "silu", "mish", "prelu"),
    *("prelu_kernel", "leaky_relu", "elu", "relu6", "hardtanh", "nan_to_num", "where", "clamp", "pow"),
}


def _at(value: Any, place: int) -> int:
    return value if isinstance(value, int) else value[place] if len(value) > place else value[0]
