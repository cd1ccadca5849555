"""Warm start: the weights of a prior's generator that fit another generator are its first weights."""

from torch import Tensor

from dgn.errors import UserError
from dgn.networks.generator_base import Generator
from dgn.prior.generator_prior import Prior

_OF_THE_CODES = ("code_mean", "code_scale")
_LISTED = 4


def start_from(generator: Generator, prior: Prior) -> str:
    """Copies the weights of the prior's generator whose names and shapes are those of `generator`.

    The two may invert other layers, make images of another size, or have been trained on other data. The statistics of
    the codes are not copied. The last layer is copied only if both convert its output to images in the same way.

    Returns:
        One line that says how many weights were copied and which parts were not.

    Raises:
        UserError: If no weights fit.
    """
    own, given = _weights(generator), _weights(prior.generator)
    fitting = {name for name in own if name in given and own[name].shape == given[name].shape}
    last = _module(next((name for name in reversed(own) if name.endswith(".weight")), ""))
    reasons = {}
    for name in own:
        if name not in given:
            reasons[_module(name)] = f"{_module(name)} (new)"
        elif name not in fitting:
            reasons[_module(name)] = f"{_module(name)} ({_shape(own[name])}, there {_shape(given[name])})"
    if prior.generator.output_space != generator.output_space and any(_module(name) == last for name in fitting):
        fitting = {name for name in fitting if _module(name) != last}
        reasons[last] = f"{last} (another output space)"
    if not any(name.endswith(".weight") for name in fitting):
        raise UserError(
            f"generator.init={prior.source}: none of its weights fit this generator; give a prior of the same kind "
            f"(its generator is {prior.generator.kind}, this one {generator.kind}) and width"
        )
    generator.load_state_dict({name: given[name] for name in fitting}, strict=False)
    copied, total = (sum(own[name].numel() for name in names) for names in (fitting, own))
    line = f"Starting from {prior.source}: {copied:,} of {total:,} weights"
    parts = list(reasons.values())
    if not parts:
        return line
    further = f" and {len(parts) - _LISTED} more" if len(parts) > _LISTED else ""
    return f"{line}; not taken: {', '.join(parts[:_LISTED])}{further}"


def _weights(generator: Generator) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in generator.state_dict().items() if name not in _OF_THE_CODES}


def _module(name: str) -> str:
    return name.rpartition(".")[0]


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
