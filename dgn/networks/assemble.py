"""The assembly of a module and its weights into a FeatureNet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dgn.data.imagenet import readable
from dgn.errors import UserError
from dgn.networks.featurenet import FeatureNet
from dgn.networks.foreign_code import prepared
from dgn.networks.found_channels import with_found_channels
from dgn.networks.inputs import InputSpace
from dgn.networks.network_settings import NetworkSettings, State, labels_beside
from dgn.networks.weights.load import load_state_dict


def arguments(args: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns a builder's `args` as a dict. Raises UserError if it is not a mapping."""
    if not isinstance(args or {}, Mapping):
        raise UserError(f"args={args} must name what it gives: 'args={{depth: 3}}', or one by one +args.depth=3")
    return dict(args or {})


def assemble(
    builder: str,
    settings: NetworkSettings,
    make: Callable[[int], nn.Module],
    space: InputSpace,
    state: State | None = None,
    args: Mapping[str, Any] | None = None,
    published: Sequence[str] = (),
    published_classes: int = 0,
    aliases: Mapping[str, str] | None = None,
    adapt: Callable[[nn.Module, State], State] = lambda _, state: state,
    counts_classes: bool = True,
    headless: bool = False,
) -> FeatureNet:
    """Assembles the FeatureNet of a builder.

    Args:
        builder: Name of the builder, for the spec and messages.
        settings: The network's settings.
        make: Creates the module for a number of classes (0: the module's own number), drawing weights from torch's
            random state.
        space: The network's own input space.
        state: The weights, or None for random weights.
        args: The builder's own arguments, for the spec.
        published: Labels of the published network.
        published_classes: Number of classes of the published network.
        aliases: Aliases of layers, see `FeatureNet`.
        adapt: Adapts names and shapes of the weights to those of the module.
        counts_classes: Whether `make` needs the number of classes.
        headless: Whether the network was published without a class layer; it gets one only if classes or labels are
            given.

    Raises:
        UserError: If the number of classes is unknown or invalid, labels do not match it, or weights do not fit.
    """
    labels = settings.given_labels() or labels_beside(settings.weights)
    headless = settings.classes == 0 or (headless and settings.classes is None and not labels)
    classes = 0 if headless else settings.classes or len(labels) or published_classes
    if not isinstance(classes, int) or classes < 0:
        raise UserError(f"classes={classes!r}: give a number, auto, or data for as many as the data have")

    own_space = space.overridden(**settings.space)
    # Lazy modules get the number of channels of their first input.
    lazy_channels = own_space.channels if own_space.channels != 3 else settings.data_channels or 3

    def built(classes: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            return prepared(make(classes), own_space.size or (224, 224), lazy_channels)

    if counts_classes and not headless:
        module, classes, labels = _with_classes(builder, settings, state, built, classes, labels)
    else:
        module = built(classes)
    own_space = with_found_channels(own_space, module, settings.space, settings.data_channels)
    if own_space.channels != 3:
        settings = replace(settings, channels=own_space.channels)  # for the spec: nothing is to be found again
    labels = () if headless else _class_labels(builder, labels, published, classes)
    if state is not None:
        allowed = dict(allow_missing=settings.allow_missing, allow_unexpected=settings.allow_unexpected)
        load_state_dict(module, adapt(module, state), source=str(settings.weights), **allowed)
    labels = readable(labels)
    spec = _spec(builder, settings, labels, classes if counts_classes else None, args or {})
    module = module.to(memory_format=torch.channels_last)
    return FeatureNet(module, own_space, str((args or {}).get("name") or builder), labels, aliases, spec)


def _with_classes(
    builder: str,
    settings: NetworkSettings,
    state: State | None,
    built: Callable[[int], nn.Module],
    classes: int,
    labels: tuple[str, ...],
) -> tuple[nn.Module, int, tuple[str, ...]]:
    """Builds a module that needs the number of classes; returns it with that number and the labels.

    The number is that of the settings or the labels, else of the weights, else the published one (`classes`), else that
    of the data, whose labels it then has.
    """
    module = built(classes) if classes else None
    if not settings.classes and not labels and state is not None:
        stored_classes = _classes_in(state, module if module is not None else built(1))
        if stored_classes and stored_classes != classes:
            classes, module = stored_classes, None
    if not classes:
        labels = tuple(settings.data_classes)
        classes = len(labels)
    if not classes:
        raise UserError(f"{builder}: how many classes? give classes= or labels=; the weights do not say")
    return module if module is not None else built(classes), classes, labels


def _class_labels(builder: str, labels: tuple[str, ...], published: Sequence[str], classes: int) -> tuple[str, ...]:
    """Returns the labels, else the published ones if there are as many as classes."""
    if not labels and len(published) == classes:
        return tuple(published)
    if labels and classes and len(labels) != classes:
        raise UserError(f"{builder}: {len(labels)} labels for {classes} classes; there must be one for each")
    return labels


def _spec(
    builder: str, settings: NetworkSettings, labels: Sequence[str], classes: int | None, args: Mapping[str, Any]
) -> dict[str, Any]:
    """The plain values from which `dgn.networks.zoo.build` builds the network again."""
    given = {key: value for key, value in asdict(settings).items() if value not in (None, ())}
    spec = {"builder": builder, **args}
    spec |= {key: value for key, value in given.items() if not key.startswith("data_")}
    spec |= {"labels": list(labels), "seed": settings.seed, "weights": _findable(settings.weights)}
    if classes is not None:
        spec["classes"] = classes
    plain: dict[str, Any] = _plain(spec)
    return plain


def _classes_in(state: State, module: nn.Module) -> int:
    """Number of classes in the weights: rows of the weight of the module's last layer; 0 if unknown."""
    weighted = [name for name, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    heads = [value for key, value in state.items() if key.endswith(f"{weighted[-1]}.weight")] if weighted else []
    return len(heads[-1]) if heads and heads[-1].ndim else 0


def _findable(weights: str | None) -> str | None:
    """The absolute path of a weights file, valid from any working directory; a name is returned unchanged."""
    path = None if weights is None else Path(weights).expanduser()
    return str(path.absolute()) if path is not None and path.is_file() else weights


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
