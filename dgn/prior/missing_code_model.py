"""What to do about a prior without a code model."""

from dgn.prior.generator_prior import Prior
from dgn.runs.programs import command, override


def no_code_model(prior: Prior) -> str:
    """Returns a message's words for a prior without a code model: what fits one, or why none can be fitted."""
    if prior.noise is not None:
        return f"{prior.source} has no code model, as its codes are noise and not those of images"
    arguments = ["task=code_prior", "kind=diffusion", override("prior", prior.source)]
    if prior.generator.own_code is not None:
        arguments += ["generator=custom", override("generator.model", prior.generator.own_code)]
    return f"{prior.source} has no code model; fit one with `{command('train', *arguments)}`"
