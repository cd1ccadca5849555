"""What a dictionary computes: the latents of a layer's activations, at every position by itself.

Latents of a vector (N, d) are (N, n), of a map (N, d, H, W) they are (N, n, H, W), and of tokens (N, T, d) they are
(N, T, n).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgn.networks.dictionaries.least_squares import non_negative
from dgn.networks.precision import full_precision


class Encoder(nn.Module):
    """A dictionary over a layer's units.

    Attributes:
        width: Number of units d of the layer that it reads.
        latents: Number of its own units n.
        labels: Names of these, if there are any.
    """

    def __init__(self, width: int, latents: int, labels: Sequence[str] = ()) -> None:
        super().__init__()
        self.width, self.latents, self.labels = width, latents, tuple(labels)

    @property
    def sparse(self) -> bool:
        """Whether an activation function follows `before` that sets most latents to 0, where they have no gradient."""
        return False

    def before(self, x: Tensor) -> Tensor:
        """Returns the latents (..., n) of activations (..., d) before that activation function."""
        raise NotImplementedError  # each kind of dictionary has its own

    def activation(self, before: Tensor) -> Tensor:
        """Returns the latents from what `before` returns."""
        return before

    @full_precision
    def forward(self, activations: Tensor, before: bool = False) -> Tensor:
        """Returns the latents of a layer's activations (N, ...); with `before`, those before `activation`."""
        is_map = activations.ndim == 4
        x = activations.movedim(1, -1) if is_map else activations
        latents = self.before(x)
        latents = latents if before else self.activation(latents)
        return latents.movedim(-1, 1) if is_map else latents

    def _keep(self, **tensors: Tensor | None) -> None:
        """Registers constants that move with the module and that its state dict does not contain."""
        for name, tensor in tensors.items():
            self.register_buffer(name, None if tensor is None else tensor.detach().float(), persistent=False)


@dataclass(frozen=True)
class Sparsity:
    """The activation function of a sparse autoencoder.

    Attributes:
        kind: "relu"; "tanhrelu", the hyperbolic tangent of it (Prisma); "topk", the k largest latents (Gao et al.
            2024, arXiv 2406.04093); or "jumprelu", those above a threshold (Rajamanoharan et al. 2024, arXiv
            2407.14435), as BatchTopK is evaluated too (Bussmann et al. 2024, arXiv 2412.06410).
        k: The number of latents of "topk".
        rectified: Whether the k largest are rectified; saev keeps negative ones.
    """

    kind: str
    k: int = 0
    rectified: bool = True


class SparseEncoder(Encoder):
    """The encoder of a sparse autoencoder: activation((norm(scale x) - center) W + b).

    Args:
        weight: (d, n).
        bias: (n,).
        sparsity: The activation function.
        center: (d,), what is subtracted from the input, b_dec of most autoencoders; None: nothing.
        threshold: (n,) or a number, for "jumprelu".
        norm: "none"; "layer_norm", zero mean and unit standard deviation over the units; or "constant_norm_rescale",
            a norm of sqrt(d) (SAELens and Prisma).
        scale: A factor of the input.
        latent_norm: (weight, bias), each (n,), of a layer norm of the latents (Overcomplete's mlp_ln_1).
        labels: Names of the latents.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        sparsity: Sparsity,
        center: Tensor | None = None,
        threshold: Tensor | None = None,
        norm: str = "none",
        scale: float = 1.0,
        latent_norm: tuple[Tensor, Tensor] | None = None,
        labels: Sequence[str] = (),
    ) -> None:
        super().__init__(weight.shape[0], weight.shape[1], labels)
        self.sparsity, self.norm, self.scale = sparsity, norm, scale
        gain, shift = latent_norm or (None, None)
        self._keep(weight=weight, bias=bias, center=center, threshold=threshold, gain=gain, shift=shift)

    weight: Tensor
    bias: Tensor
    center: Tensor | None
    threshold: Tensor | None
    gain: Tensor | None
    shift: Tensor | None

    @property
    def sparse(self) -> bool:
        return True

    def before(self, x: Tensor) -> Tensor:
        x = self._normalized(x * self.scale)
        if self.center is not None:
            x = x - self.center.to(x.dtype)
        latents = x @ self.weight.to(x.dtype) + self.bias.to(x.dtype)
        if self.gain is not None and self.shift is not None:
            latents = F.layer_norm(latents, (self.latents,), self.gain.to(x.dtype), self.shift.to(x.dtype))
        return latents

    def activation(self, before: Tensor) -> Tensor:
        if self.sparsity.kind == "topk":
            values, indices = before.topk(self.sparsity.k, dim=-1)
            values = values.relu() if self.sparsity.rectified else values
            return torch.zeros_like(before).scatter(-1, indices, values)
        if self.sparsity.kind == "tanhrelu":
            return before.relu().tanh()
        if self.threshold is not None:
            return before.relu() * (before > self.threshold.to(before.dtype))
        return before.relu()

    def _normalized(self, x: Tensor) -> Tensor:
        if self.norm == "layer_norm":  # SAELens and Prisma: the unbiased standard deviation, and 1e-5 added to it
            x = x - x.mean(-1, keepdim=True)
            return x / (x.std(-1, keepdim=True) + 1e-5)
        if self.norm == "constant_norm_rescale":
            return x * (self.width**0.5 / x.norm(dim=-1, keepdim=True).clamp_min(1e-12))  # of zeros, zeros
        return x


class Linear(Encoder):
    """Inner products with vectors: a linear probe's logits x w + b, or the projection of x - mean onto unit atoms.

    Args:
        vectors: (n, d).
        bias: (n,) that is added; None: nothing.
        mean: (d,) that is subtracted from the input; None: nothing.
        labels: Names of the vectors.
    """

    def __init__(
        self, vectors: Tensor, bias: Tensor | None = None, mean: Tensor | None = None, labels: Sequence[str] = ()
    ) -> None:
        super().__init__(vectors.shape[1], vectors.shape[0], labels)
        self._keep(vectors=vectors, bias=bias, mean=mean)

    vectors: Tensor
    bias: Tensor | None
    mean: Tensor | None

    def before(self, x: Tensor) -> Tensor:
        x = x if self.mean is None else x - self.mean.to(x.dtype)
        latents = x @ self.vectors.T.to(x.dtype)
        return latents if self.bias is None else latents + self.bias.to(x.dtype)


class NonNegative(Encoder):
    """Non-negative coefficients of atoms: h = argmin |x - h D| with h >= 0, the codes of NMF for new inputs.

    The gradient is that of the least squares on the atoms with h > 0 (implicit differentiation, as in CRAFT: Fel et al.
    2023).

    Before the activation function, a rectifier, an atom's coefficient is h + (x - h D) d / |d|^2: h itself where h > 0,
    and a number that is not positive where h = 0 (the conditions of the minimum).

    Args:
        atoms: (n, d), none of them zero.
        labels: Names of the atoms.
    """

    def __init__(self, atoms: Tensor, labels: Sequence[str] = ()) -> None:
        super().__init__(atoms.shape[1], atoms.shape[0], labels)
        lengths = atoms.float().norm(dim=1)
        self._keep(units=atoms / lengths[:, None], lengths=lengths)

    units: Tensor
    lengths: Tensor

    @property
    def sparse(self) -> bool:
        return True

    def before(self, x: Tensor) -> Tensor:
        exact = torch.float32 if x.device.type == "mps" else torch.float64  # which MPS lacks
        units = self.units.to(exact)
        gram = units @ units.T
        gram = gram + 1e-6 * torch.eye(len(gram), dtype=exact, device=gram.device)  # atoms may be dependent
        products = x.to(exact) @ units.T
        flat = products.reshape(-1, self.latents)
        coefficients = non_negative(gram, flat)
        before = coefficients + (flat - coefficients @ gram) / gram.diagonal()
        return (before.view(products.shape) / self.lengths.to(exact)).to(x.dtype)

    def activation(self, before: Tensor) -> Tensor:
        return before.relu()
