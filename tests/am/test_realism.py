import numpy as np
import pytest
import torch

from dgn.am.maximize import Stage, maximize
from dgn.am.objectives.language import parse_units
from dgn.am.objectives.surrogates import log_probability
from dgn.am.parametrizations.code import Code
from dgn.am.parametrizations.pixels import Pixels
from dgn.am.regularizers.parameters import Clip
from dgn.am.regularizers.realism import autoencoder_realism, encoder_realism
from dgn.am.setting import Setting
from dgn.am.updates import NormalizedAscent
from dgn.errors import UserError
from dgn.prior.code_prior import CodeAutoencoder, CodePrior, about_codes


@pytest.fixture
def code_prior(prior):
    torch.manual_seed(3)
    autoencoder = CodeAutoencoder(prior.code_shape).requires_grad_(False)
    autoencoder.set_statistics(prior.statistics.mean, prior.statistics.std)
    return CodePrior(autoencoder, about_codes(prior))


@pytest.mark.parametrize("variant", ["encoder", "autoencoder"])
def test_a_ppgn_step_is_the_papers_in_numpy(setting, prior, target, code_prior, variant):
    """dy = e1 R(y) + e2 d log p / dy, y <- clip(y + dy / mean|dy|), on the scale of CaffeNet's fc6; the gradient by
    finite differences."""
    (objective,) = parse_units("4:2", target)
    epsilon1 = 0.3
    if variant == "encoder":
        realism = encoder_realism(setting, epsilon1=epsilon1)
    else:
        realism = autoencoder_realism(Setting(target, prior, code_prior=lambda: code_prior), epsilon1=epsilon1)
    code = Code(setting)
    stage = Stage(code, lambda: NormalizedAscent(1, 1), [realism, Clip(high=30)], 1, log_probability)
    found = maximize(target, [objective], stage, [7])
    unit, y = code.unit, code.start([7])[0].double()
    prior.generator.double()
    target.double()

    def log_p(y):
        return float(target(prior.decode(y[None]), ["4"])["4"].log_softmax(1)[0, 2])

    eps = 1e-6
    gradient = np.array([(log_p(y + eps * e) - log_p(y - eps * e)) / (2 * eps) for e in torch.eye(5)])
    if variant == "encoder":
        likelier = target(prior.decode(y[None]), ["3"])["3"][0]
    else:
        likelier = code_prior.autoencoder.double()(y[None])[0]
    towards = (likelier - y).detach().numpy()
    # In units of fc6: codes are y / unit, gradients are unit * d/dy.
    dy = epsilon1 * towards / unit + gradient * unit
    expected = np.clip(y.numpy() / unit + dy / np.abs(dy).mean(), 0, 30) * unit
    image = prior.decode(torch.tensor(expected)[None]).float()
    torch.testing.assert_close(found.images, image, atol=2e-4, rtol=0)
    assert found.curve[0, 0].item() == pytest.approx(log_p(y), abs=1e-4)


def test_realism_needs_codes_and_the_right_ones(setting, prior, target, code_prior, tmp_path):
    stage = Stage(Pixels(setting), NormalizedAscent, [encoder_realism(setting)], 1)
    with pytest.raises(UserError, match="optimizes no codes"):
        maximize(target, parse_units("5:1", target), stage)
    with pytest.raises(UserError, match="task=code_prior"):
        autoencoder_realism(setting)
    code_prior.about["layer"] = "fc7"
    with pytest.raises(UserError, match="other codes"):
        autoencoder_realism(Setting(target, prior, code_prior=lambda: code_prior))
