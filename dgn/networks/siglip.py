"""SigLIP2 as the encoder of an `AutoencoderRAE`, with versions of Transformers that Diffusers does not know yet.

Diffusers (0.39 to 0.42.1) sets `SiglipVisionModel(...).vision_model.post_layernorm`. From Transformers 5.6 on, a
`SiglipVisionModel` has no part `vision_model`: it is that part itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def known_to_diffusers() -> Iterator[None]:
    """While Diffusers builds or loads a model, a `SiglipVisionModel` without a part `vision_model` is its own."""
    kind = _vision_model()
    if kind is None or hasattr(kind, "vision_model"):  # the latter: within another such context
        yield
        return
    kind.vision_model = property(lambda self: self._modules.get("vision_model", self))
    try:
        yield
    finally:
        del kind.vision_model


def _vision_model() -> Any:
    """Transformers' class; None where a library is missing or does not fit, which is reported elsewhere."""
    try:
        return import_module("transformers").SiglipVisionModel
    except (ImportError, AttributeError, RuntimeError):
        return None
