"""Names of vision encoders' weights: those of Transformers 5.5 and 5.24 for the same weight have one form."""

import pytest

from dgn.networks.encoder_names import common_name, paired

SAME = [  # (Transformers 5.5.4, 5.24.0), as Diffusers 0.42.1 names them
    ("encoder.encoder.layer.11.attention.attention.query.weight", "encoder.encoder.layer.11.attention.q_proj.weight"),
    ("encoder.encoder.layer.0.attention.attention.key.bias", "encoder.layers.0.attention.k_proj.bias"),
    ("encoder.encoder.layer.0.attention.attention.value.bias", "encoder.layers.0.attention.v_proj.bias"),
    ("encoder.encoder.layer.3.attention.output.dense.weight", "encoder.encoder.layer.3.attention.o_proj.weight"),
    ("encoder.encoder.layer.3.intermediate.dense.weight", "encoder.layers.3.mlp.fc1.weight"),
    ("encoder.encoder.layer.3.output.dense.weight", "encoder.layers.3.mlp.fc2.weight"),
    ("encoder.encoder.layer.3.layernorm_after.bias", "encoder.layers.3.layernorm_after.bias"),
    (
        "encoder.vision_model.encoder.layers.0.self_attn.out_proj.weight",
        "encoder.encoder.layers.0.self_attn.out_proj.weight",
    ),
    ("encoder.vision_model.embeddings.patch_embedding.bias", "encoder.embeddings.patch_embedding.bias"),
]
KEPT = [
    "encoder.encoder.layer.0.mlp.fc1.weight",
    "encoder.embeddings.register_tokens",
    "encoder.embeddings.patch_embeddings.projection.weight",
]


@pytest.mark.parametrize(("older", "newer"), SAME)
def test_both_names_of_a_weight_have_one_form(older, newer):
    assert common_name(older) == common_name(newer)
    assert common_name(f"model.{older}") == f"model.{common_name(newer)}"
    assert common_name(common_name(older)) == common_name(older)


def test_names_of_other_weights_stay_apart():
    names = {name for pair in SAME for name in pair} | set(KEPT)
    forms = {common_name(name) for name in names}
    assert len(forms) == len(SAME) + len(KEPT)


def test_only_names_of_the_same_weight_are_paired():
    older, newer = SAME[0]
    assert paired([newer, "encoder.absent"], [older, "encoder.left"]) == {newer: older}
