"""Small autoencoders of Diffusers with random weights, as a release's folder holds them."""

from pathlib import Path

import torch

from dgn.networks.siglip import known_to_diffusers

RAE = dict(
    encoder_hidden_size=64, encoder_num_hidden_layers=1, encoder_input_size=56, decoder_hidden_size=32,
    decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=64, patch_size=8,
)  # fmt: skip
"""Codes 64 x 4 x 4, images of 32 px; the encoder is a DINOv2 with registers."""
_SMALL = dict(block_out_channels=(8, 8), norm_num_groups=4, sample_size=16)
_TWO = dict(down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=1)


_DC_BLOCKS = ("ResBlock", "EfficientViTBlock")
_DC = dict(
    latent_channels=4, attention_head_dim=2, encoder_block_types=_DC_BLOCKS, decoder_block_types=_DC_BLOCKS,
    encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), encoder_qkv_multiscales=((), (5,)),
    decoder_qkv_multiscales=((), (5,)), encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1),
    downsample_block_type="conv", upsample_block_type="interpolate",
)  # fmt: skip


def save(name: str, folder: Path, encoder: str = "dinov2") -> Path:
    """Writes a small model of a class to a folder, with weights drawn from a fixed seed. encoder: of a RAE."""
    import diffusers

    torch.manual_seed(0)
    if name == "AutoencoderRAE":
        statistics = dict(latents_mean=torch.randn(64, 4, 4), latents_std=torch.rand(64, 4, 4) + 0.5)
        with known_to_diffusers():
            model = diffusers.AutoencoderRAE(
                encoder, encoder_patch_size=14, **RAE, **statistics, scaling_factor=1.5, reshape_to_2d=True
            )
        torch.nn.init.normal_(model.decoder.trainable_cls_token)
    elif name == "AutoencoderKL":
        model = diffusers.AutoencoderKL(**_SMALL, **_TWO, latent_channels=4, shift_factor=0.1)
    elif name == "VQModel":
        model = diffusers.VQModel(**_SMALL, **_TWO, latent_channels=3, num_vq_embeddings=16)
    elif name == "AutoencoderTiny":
        model = diffusers.AutoencoderTiny(
            encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
        )  # fmt: skip
    elif name == "AutoencoderDC":
        model = diffusers.AutoencoderDC(**_DC)
    elif name == "AsymmetricAutoencoderKL":
        model = diffusers.AsymmetricAutoencoderKL(
            down_block_types=_TWO["down_block_types"], up_block_types=_TWO["up_block_types"], norm_num_groups=4,
            down_block_out_channels=(8, 8), up_block_out_channels=(8, 8), sample_size=16,
        )  # fmt: skip
    model.save_pretrained(folder)
    return folder
