"""The shapes of the released representation autoencoders, on the device meta: no memory, no weights."""

import pytest
import torch

from dgn.networks.autoencoders import FAMILIES, empty_model
from dgn.networks.latent_decoder import LatentDecoder
from dgn.prior.decoders import RAE

pytest.importorskip("diffusers", reason="needs the extra rae: pip install 'dgn[rae]'")
pytest.importorskip("transformers", reason="needs the extra rae: pip install 'dgn[rae]'")
RELEASED = {  # {name: encoder, its width, blocks, patch and input side; side of the images}
    "dinov2-wReg-base-ViTXL-n08": ("dinov2", 768, 12, 14, 224, 256),
    "dinov2-wReg-base-ViTXL-n08-i512": ("dinov2", 768, 12, 14, 448, 512),
    "dinov2-wReg-small-ViTXL-n08": ("dinov2", 384, 12, 14, 224, 256),
    "dinov2-wReg-large-ViTXL-n08": ("dinov2", 1024, 24, 14, 224, 256),
    "siglip2-base-p16-i256-ViTXL-n08": ("siglip2", 768, 12, 16, 256, 256),
    "mae-base-p16-ViTXL-n08": ("mae", 768, 12, 16, 256, 256),
}

WHOLE = "dinov2-wReg-base-ViTXL-n08"


@pytest.mark.parametrize("released", RELEASED)
def test_a_released_rae_has_these_weights_codes_and_images(released):
    encoder, width, blocks, patch, side, size = RELEASED[released]
    decoder_blocks = 28 if released == WHOLE else 2  # all have 28; one test of them is enough
    config = dict(
        encoder_type=encoder, encoder_hidden_size=width, encoder_num_hidden_layers=blocks, encoder_patch_size=patch,
        encoder_input_size=side, decoder_hidden_size=1152, decoder_num_hidden_layers=decoder_blocks,
        decoder_num_attention_heads=16, decoder_intermediate_size=4096,
    )  # fmt: skip
    places = size // 16
    buffers = {name: [width, places, places] for name in ("_latents_mean", "_latents_std")}
    with torch.device("meta"):
        decoder = LatentDecoder((width, places, places), size, RAE, config, buffers)
    whole = empty_model(RAE, config, buffers)
    images = decoder(torch.zeros(2, width, places, places, device="meta"))
    codes = FAMILIES[RAE].encode(whole, torch.zeros(2, 3, size, size, device="meta"))
    assert images.shape == (2, 3, size, size)
    assert codes.shape == (2, width, places, places)
    shapes = {name: tuple(tensor.shape) for name, tensor in decoder.state_dict().items()}
    prefix = "network.decoder"
    assert shapes[f"{prefix}.decoder_embed.weight"] == (1152, width)
    assert shapes[f"{prefix}.decoder_pos_embed"] == (1, 1 + places**2, 1152)
    assert shapes[f"{prefix}.trainable_cls_token"] == (1, 1, 1152)
    assert shapes[f"{prefix}.decoder_layers.{decoder_blocks - 1}.intermediate.dense.weight"] == (4096, 1152)
    assert shapes[f"{prefix}.decoder_pred.weight"] == (3 * 16 * 16, 1152)
    assert shapes["network._latents_mean"] == (width, places, places)
    assert sum(1 for name in shapes if name.endswith("attention.to_q.weight")) == decoder_blocks
    assert not any(name.startswith("network.encoder.") for name in shapes)
