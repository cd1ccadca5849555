"""Names of the weights in Transformers' vision encoders, which its versions give differently.

Diffusers builds the encoder of an `AutoencoderRAE` by the installed Transformers, and reads a release's weights by
name. Where a version of Transformers has renamed the parts of DINOv2, MAE or SigLIP since a release was written (all
three were renamed between 5.5 and 5.24), Diffusers leaves the encoder's weights random. Here, the names of all versions
have one form.
"""

import re
from collections.abc import Iterable

_RENAMED = (
    (r"^(.*\b)?encoder\.vision_model\.", r"\1encoder."),  # SigLIP
    (r"\bencoder\.(encoder\.)?layers?\.(?=\d+\.)", "encoder.layers."),
    (r"\battention\.attention\.(q)uery\.|\battention\.attention\.(k)ey\.|\battention\.attention\.(v)alue\.",
     r"attention.\1\2\3_proj."),
    (r"\battention\.output\.dense\.", "attention.o_proj."),
    (r"(\.layers\.\d+)\.intermediate\.dense\.", r"\1.mlp.fc1."),  # MAE
    (r"(\.layers\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
)  # fmt: skip
_PATTERNS = tuple((re.compile(pattern), new) for pattern, new in _RENAMED)


def common_name(name: str) -> str:
    """Returns the one name here of a weight of a vision encoder, from its name in any version of Transformers."""
    for pattern, new in _PATTERNS:
        name = pattern.sub(new, name)
    return name


def paired(wanted: Iterable[str], given: Iterable[str]) -> dict[str, str]:
    """Returns {wanted name: given name} of the names that mean the same weight."""
    by_name = {common_name(name): name for name in given}
    return {name: by_name[common_name(name)] for name in wanted if common_name(name) in by_name}
