"""How a sparse autoencoder computes, as the configurations of saev, SAELens, Prisma and Overcomplete say it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dgn.errors import UserError
from dgn.networks.dictionaries.name import DictionaryName
from dgn.networks.weights.text import short

ACTIVATIONS = {
    "relu": "relu",
    "standard": "relu",
    "topk": "topk",
    "batchtopk": "batchtopk",
    "jumprelu": "jumprelu",
    "gated": "gated",
    "tanhrelu": "tanhrelu",
}
"""Names of activation functions and architectures, in lower case without - and _."""
NORMS = ("none", "layer_norm", "constant_norm_rescale")


@dataclass(frozen=True)
class Settings:
    """How a sparse autoencoder computes; None: nothing says it.

    Attributes:
        activation: "relu", "topk", "jumprelu", "tanhrelu", "gated" or "batchtopk", which is "jumprelu" if there are
            thresholds, else "topk".
        top_k: The number of latents that "topk" keeps.
        rectified: Whether these are rectified.
        threshold: A threshold that the user gives.
        center: Whether b_dec is subtracted from the input.
        norm: One of `NORMS`.
        scale: A factor of the input.
        by_decoder_norm: Whether latents are multiplied by the norm of their atoms (SAELens'
            rescale_acts_by_decoder_norm).
        layer: The layer that it reads: a name, or the number of a block.
        class_token: Whether it was trained on the class token alone.
    """

    activation: str | None = None
    top_k: int | None = None
    rectified: bool = True
    threshold: float | None = None
    center: bool | None = None
    norm: str = "none"
    scale: float | None = None
    by_decoder_norm: bool = False
    layer: str | int | None = None
    class_token: bool = False


def read_settings(config: Mapping[str, Any], name: DictionaryName) -> Settings:
    """Returns the settings of a configuration, replaced by the options in the dictionary's name.

    Raises:
        UserError: For options that cannot be read, and for a configuration that says what is not computed here.
    """
    is_saev = "schema" in config or "d_vit" in config
    settings = _of_saev(config, name) if is_saev else _of_config(config, name)
    settings = replace(settings, **_options(name))
    activation = settings.activation
    if activation is not None and activation not in set(ACTIVATIONS.values()):
        known = ", ".join(ACTIVATIONS)
        raise UserError(f"{name.file} is a sparse autoencoder of kind {activation!r}; those that are computed: {known}")
    if settings.norm == "expected_average_only_in" and settings.scale is not None:
        settings = replace(settings, norm="none")
    if settings.norm == "expected_average_only_in":
        raise UserError(
            f"{name.file} was trained on activations multiplied by a factor that its configuration does not hold "
            "(expected_average_only_in): give it, as in " + name.with_option("scale", "0.2")
        )
    if settings.norm not in NORMS:
        raise UserError(f"{name.file} normalizes its input by {settings.norm!r}; computed are {', '.join(NORMS)}")
    return settings


def _of_saev(header: Mapping[str, Any], name: DictionaryName) -> Settings:
    """The header of saev (OSU NLP): its first form, which has no schema, and schemas 1 to 5.

    Its first schemas subtract b_dec from the input; from schema 2 on, it does not. The k largest are not rectified.
    """
    schema = header.get("schema", 0)
    if _count(schema) is None:
        raise _unreadable("schema", schema, "a number", name)
    config = header.get("cfg", header)
    if not isinstance(config, Mapping):
        raise _unreadable("cfg", config, "an object", name)
    activation, cls, parameters = config.get("activation"), header.get("cls"), config
    if activation is not None:
        if not isinstance(activation, Mapping):
            raise _unreadable("activation", activation, "an object with cls and params", name)
        cls, parameters = activation.get("cls"), activation.get("params") or {}
        if not isinstance(cls, str):
            raise _unreadable("activation.cls", cls, "a name such as TopK", name)
        if not isinstance(parameters, Mapping):
            raise _unreadable("activation.params", parameters, "an object", name)
    kind = _activation(cls) if cls not in (None, "SparseAutoencoderConfig") else "relu"
    layer = config.get("layer")
    return Settings(kind, _count(parameters.get("top_k")), rectified=False, center=schema < 2, layer=_layer(layer))


def _of_config(config: Mapping[str, Any], name: DictionaryName) -> Settings:
    """The cfg.json of SAELens, the config.json of Prisma, and others with such names."""
    metadata = config.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    arguments = config.get("activation_fn_kwargs")
    arguments = arguments if isinstance(arguments, Mapping) else {}
    counts = [config.get("k"), config.get("top_k"), arguments.get("k"), arguments.get("top_k")]
    top_k = next((_count(count) for count in counts if count is not None), None)
    keys = ("architecture", "activation_fn_str", "activation_fn", "activation")
    names = {key: config[key] for key in keys if config.get(key) is not None}
    kinds = [_activation(text) for text in names.values() if isinstance(text, str)]
    if names and not kinds:
        key, value = next(iter(names.items()))
        raise _unreadable(key, value, "a name such as relu", name)
    special = [kind for kind in kinds if kind != "relu"]  # architecture "standard" with activation "topk", as in Prisma
    center = config.get("apply_b_dec_to_input")
    layers = [config.get("layer"), metadata.get("hook_name"), config.get("hook_name"), config.get("hook_point")]
    layer = next((value for value in layers if value not in (None, "")), None)
    if layer is None and config.get("hook_point_layer") is not None:
        layer = f"blocks.{config['hook_point_layer']}.{config.get('layer_subtype', 'hook_resid_post')}"
    return Settings(
        activation=next(iter(special or kinds), "topk" if top_k else None),
        top_k=top_k,
        center=center if isinstance(center, bool) else None,
        norm=str(config.get("normalize_activations") or "none"),
        by_decoder_norm=config.get("rescale_acts_by_decoder_norm") is True,
        layer=_layer(layer),
        class_token=config.get("cls_token_only") is True,
    )


def _activation(name: Any) -> str:
    """Returns the activation function of a name; the name itself if it is unknown."""
    return ACTIVATIONS.get(str(name).lower().replace("-", "").replace("_", ""), str(name))


def _unreadable(key: str, value: Any, expected: str, name: DictionaryName) -> UserError:
    return UserError(f"{name.file}: its configuration has {key} {short(repr(value))}; {expected} is expected")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _layer(value: Any) -> str | int | None:
    return value if isinstance(value, str | int) and not isinstance(value, bool) else None


def _options(name: DictionaryName) -> dict[str, Any]:
    """Returns the settings that the name's options give."""
    settings: dict[str, Any] = {}
    if (top_k := name.option("top_k")) is not None:
        if not top_k.isdecimal() or int(top_k) < 1:
            raise UserError(f"top_k={top_k}: give the number of latents that are kept, at least 1")
        settings |= {"activation": "topk", "top_k": int(top_k)}
    if (threshold := name.option("threshold")) is not None:
        settings |= {"activation": "jumprelu", "threshold": _number("threshold", threshold)}
    if (activation := name.option("activation")) is not None:
        kind = _activation(activation)
        if kind not in ACTIVATIONS.values():
            raise UserError(f"activation={activation}: give {', '.join(ACTIVATIONS)}")
        settings.setdefault("activation", kind)
        if kind not in (settings["activation"], "batchtopk"):
            raise UserError(f"activation={activation} has no {'top_k' if top_k else 'threshold'}=; leave one out")
    if top_k is not None and threshold is not None:
        raise UserError(f"top_k={top_k} threshold={threshold}: an autoencoder has one of them; leave one out")
    if (center := name.option("center")) is not None:
        if center.lower() not in ("true", "false"):
            raise UserError(f"center={center}: give true, to subtract b_dec from the input, or false")
        settings["center"] = center.lower() == "true"
    if (norm := name.option("norm")) is not None:
        if norm not in NORMS:
            raise UserError(f"norm={norm}: give {', '.join(NORMS)}")
        settings["norm"] = norm
    if (scale := name.option("scale")) is not None:
        settings["scale"] = _number("scale", scale)
    return settings


def _number(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise UserError(f"{key}={text}: give a number above 0")
    return value
