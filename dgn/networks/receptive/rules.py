"""What each operation of torch does to the places of a tensor: the rules by which receptive fields grow.

A rule is registered under the names of aten's operations that it covers (`_rule`): from what an operand's axis sees to
what the result's does. What has no rule is taken to see everything, and not to be exact.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dgn.networks.receptive.field import Track, union

Tracks = tuple[Track, Track]
Rule = Callable[["Operation", Track, torch.Size], Track]

_RULES: dict[str, Rule] = {}
"""The rule of each operation of aten, by its name."""


def _rule(*names: str) -> Callable[[Rule], Rule]:
    """Registers a method of `Operation` as the rule of operations."""

    def register(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


@dataclass
class Operation:
    """One operation, one of its results, and one axis of the input (0: rows, 1: columns)."""

    func: Any
    args: tuple
    kwargs: dict
    out: Tensor
    axis: int
    tracks: Callable[[Any], Tracks | None]

    def result(self, sources: Sequence[tuple[Track, torch.Size]]) -> Track:
        name = self.func._schema.name.removeprefix("aten::").rstrip("_").removeprefix("_")
        pointwise = torch.Tag.pointwise in self.func.tags or name in _POINTWISE
        if pointwise:
            return union([self._broadcast(track, shape) for track, shape in sources])
        if name == "cat":
            return self._cat(sources)
        if name == "stack":
            return self._stack(sources)
        rule = _RULES.get(name)
        if rule is None:
            return union([track.of_all(exact=False) for track, _ in sources])
        tracks = []
        for track, shape in sources:
            tracks.append(track if track.dim is None else rule(self, track, shape))
        return union(tracks)

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

    @_rule("convolution")
    def _convolution(self, track: Track, shape: torch.Size) -> Track:
        place = track.along - 2
        if place < 0 or track.period != 1 or track.shift:
            return track.of_all()  # summed over, as channels are
        kernel = self.arg("weight").shape[track.along]
        stride, padding, dilation = (_at(self.arg(key), place) for key in ("stride", "padding", "dilation"))
        length, reach = self.out.shape[track.along], (kernel - 1) * dilation
        if self.arg("transposed"):
            return track.scaled(length, 1 / stride, (padding - reach) / stride, padding / stride)
        return track.scaled(length, stride, -padding, reach - padding)

    @_rule("max_pool2d_with_indices", "avg_pool2d", "max_pool2d", "mkldnn_max_pool2d")
    def _pool(self, track: Track, shape: torch.Size) -> Track:
        place = track.along - (self.out.ndim - len(self.arg("kernel_size")))
        if place < 0 or track.period != 1 or track.shift:
            return track.of_all(exact=False)
        kernel = _at(self.arg("kernel_size"), place)
        stride = _at(self.arg("stride") or self.arg("kernel_size"), place)
        padding, dilation = _at(self.arg("padding"), place), _at(self.arg("dilation", 1), place)
        length = self.out.shape[track.along]
        return track.scaled(length, stride, -padding, (kernel - 1) * dilation - padding)

    @_rule("adaptive_avg_pool2d", "adaptive_max_pool2d")
    def _adaptive(self, track: Track, shape: torch.Size) -> Track:
        if track.period != 1 or track.shift or track.along < len(shape) - 2:
            return track.of_all(exact=False)
        places, length = shape[track.along], self.out.shape[track.along]
        if length == 1:
            return replace(track.of_all(), dim=track.along)
        stride, spare = places / length, 0 if places % length == 0 else (length - 1) / length
        return track.scaled(length, stride, -spare, stride - 1 + spare)

    @_rule("constant_pad_nd")
    def _constant_pad_nd(self, track: Track, shape: torch.Size) -> Track:
        pads, behind = self.arg("pad"), len(shape) - 1 - track.along
        before = pads[2 * behind] if 2 * behind < len(pads) else 0
        if self.out.shape[track.along] == shape[track.along] and not before:
            return track
        if track.period != 1 or track.shift:
            return track.of_all(exact=False)
        return track.scaled(self.out.shape[track.along], 1, -before, -before)

    # Shapes: where the axis's dimension goes.

    @_rule("permute")
    def _permute(self, track: Track, shape: torch.Size) -> Track:
        dims = [dim % len(shape) for dim in self.arg("dims")]
        return replace(track, dim=dims.index(track.along))

    @_rule("transpose")
    def _transpose(self, track: Track, shape: torch.Size) -> Track:
        a, b = self.arg("dim0") % len(shape), self.arg("dim1") % len(shape)
        return replace(track, dim={a: b, b: a}.get(track.along, track.along))

    @_rule("t")
    def _t(self, track: Track, shape: torch.Size) -> Track:
        return replace(track, dim=len(shape) - 1 - track.along)

    @_rule("view", "unsafe_view", "reshape_alias")
    def _view(self, track: Track, shape: torch.Size) -> Track:
        inner = math.prod(shape[track.along + 1 :])
        new = self.out.shape
        for dim in range(self.out.ndim):
            below = math.prod(new[dim + 1 :])
            if below == inner and new[dim] == shape[track.along]:
                return replace(track, dim=dim)
        step = inner * track.period  # in elements, from one place to the next
        for dim in range(self.out.ndim):
            below = math.prod(new[dim + 1 :])
            whole = step % below == 0 and (below * new[dim]) % (step * track.length) == 0
            if not track.shift and whole:
                return replace(track, dim=dim, period=step // below)
        if shape[track.along] == 1:
            return track.of_all()
        return track.of_all(exact=False)

    @_rule("unsqueeze")
    def _unsqueeze(self, track: Track, shape: torch.Size) -> Track:
        dim = self.arg("dim") % (len(shape) + 1)
        return replace(track, dim=track.along + (track.along >= dim))

    @_rule("squeeze")
    def _squeeze(self, track: Track, shape: torch.Size) -> Track:
        gone = [dim for dim in _places(self.arg("dim"), len(shape)) if shape[dim] == 1]
        if track.along in gone:
            return track.of_all()
        return replace(track, dim=track.along - sum(dim < track.along for dim in gone))

    @_rule("expand")
    def _expand(self, track: Track, shape: torch.Size) -> Track:
        return self._broadcast(track, shape)

    @_rule("select")
    def _select(self, track: Track, shape: torch.Size) -> Track:
        dim, index = self.arg("dim") % len(shape), self.arg("index")
        if dim != track.along:
            return replace(track, dim=track.along - (dim < track.along))
        place = index % shape[dim] - track.shift
        if place < 0:
            return track.of_all(exact=False)
        at = track.jump * ((place // track.period) % track.length)
        return Track(None, 1, 0, track.low + at, track.high + at, exact=track.exact)

    @_rule("slice")
    def _slice(self, track: Track, shape: torch.Size) -> Track:
        dim = self.arg("dim") % len(shape)
        if dim != track.along or self.out.shape[dim] == shape[dim]:
            return track
        start, step = self.arg("start") or 0, self.arg("step")
        if track.period != 1 or track.shift:
            return track.of_all(exact=False)
        return track.scaled(self.out.shape[dim], step, start % shape[dim], start % shape[dim])

    @_rule("split", "split_with_sizes", "chunk")
    def _split(self, track: Track, shape: torch.Size) -> Track:
        return track.of_all(exact=False) if self.arg("dim") % len(shape) == track.along else track

    @_rule("unbind")
    def _unbind(self, track: Track, shape: torch.Size) -> Track:
        dim = self.arg("dim") % len(shape)
        if dim == track.along:
            return track.of_all(exact=False)
        return replace(track, dim=track.along - (dim < track.along))

    def _cat(self, sources: Sequence[tuple[Track, torch.Size]]) -> Track:
        dim = self.arg("dim") % self.out.ndim
        joined, place = [], 0
        known = []
        for tensor in self.arg("tensors"):
            tracks = self.tracks(tensor)
            known.append(tracks[self.axis] if tracks else None)
        for track, tensor in zip(known, self.arg("tensors"), strict=True):
            if track is not None and track.dim == dim:
                # Behind tokens that depend on no pixel, the others keep their places.
                alone = (
                    sum(other is not None for other in known) == 1 and place + tensor.shape[dim] == self.out.shape[dim]
                )
                track = replace(track, shift=track.shift + place) if alone else track.of_all(exact=False)
            if track is not None:
                joined.append(track)
            place += tensor.shape[dim]
        return union(joined)

    def _stack(self, sources: Sequence[tuple[Track, torch.Size]]) -> Track:
        dim = self.arg("dim") % self.out.ndim
        return union([t if t.dim is None else replace(t, dim=t.dim + (t.dim >= dim)) for t, _ in sources])

    # Sums over dimensions.

    @_rule("mean", "sum", "amax", "amin", "var", "std", "prod", "logsumexp", "linalg_vector_norm")
    def _reduce(self, track: Track, shape: torch.Size) -> Track:
        given = self.arg("dim")
        dims = _places(None if given == [] else given, len(shape))
        if track.along in dims:
            return track.of_all()
        kept = self.arg("keepdim", False)
        return track if kept else replace(track, dim=track.along - sum(dim < track.along for dim in dims))

    @_rule("softmax", "log_softmax", "cumsum")
    def _along(self, track: Track, shape: torch.Size) -> Track:
        return track.of_all() if self.arg("dim") % len(shape) == track.along else track

    @_rule("native_layer_norm", "fused_rms_norm")
    def _native_layer_norm(self, track: Track, shape: torch.Size) -> Track:
        normalized = len(shape) - len(self.arg("normalized_shape"))
        return track.of_all() if track.along >= normalized else track

    @_rule("native_group_norm")
    def _native_group_norm(self, track: Track, shape: torch.Size) -> Track:
        return track.of_all()

    @_rule("mm", "addmm")
    def _mm(self, track: Track, shape: torch.Size) -> Track:
        # With weights as the second factor, rows of the first stay; what is summed over is seen whole.
        first, second = (
            self.arg(key) for key in (("mat1", "mat2") if self.arg("mat1") is not None else ("self", "mat2"))
        )
        alone = self.tracks(first) is not None and self.tracks(second) is None
        return track if alone and track.along < len(shape) - 1 else track.of_all()

    @_rule("bmm", "baddbmm")
    def _bmm(self, track: Track, shape: torch.Size) -> Track:
        # Attention's products: what one token makes of another depends on both, and in the end on all.
        return track if track.along < len(shape) - 2 else track.of_all()

    @_rule("scaled_dot_product_flash_attention_for_cpu", "scaled_dot_product_flash_attention")
    @_rule("scaled_dot_product_efficient_attention", "scaled_dot_product_cudnn_attention")
    @_rule("scaled_dot_product_attention_math", "native_multi_head_attention")
    def _attention(self, track: Track, shape: torch.Size) -> Track:
        return track if track.along < len(shape) - 2 else track.of_all()


# Operations that treat every place alike, though they are not tagged so.
_POINTWISE = {
    *("native_batch_norm", "native_batch_norm_legit", "native_batch_norm_legit_no_training", "cudnn_batch_norm"),
    *("batch_norm_with_update", "miopen_batch_norm", "clone", "copy", "to_copy", "contiguous", "alias", "detach"),
    *("lift_fresh", "dropout", "native_dropout", "gelu", "hardswish", "hardsigmoid", "silu", "mish", "prelu"),
    *("prelu_kernel", "leaky_relu", "elu", "relu6", "hardtanh", "nan_to_num", "where", "clamp", "pow"),
}


def _at(value: Any, place: int) -> int:
    """The value along an axis of an argument that is one number, one for all axes, or one for each."""
    if isinstance(value, int):
        return value
    number: int = value[place] if len(value) > place else value[0]
    return number


def _places(dims: int | Sequence[int] | None, rank: int) -> list[int]:
    """The dimensions, counted from 0, of an argument that is one, several, or None for all."""
    if dims is None:
        return list(range(rank))
    return [dim % rank for dim in ([dims] if isinstance(dims, int) else dims)]
