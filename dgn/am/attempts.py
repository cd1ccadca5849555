"""Seeds of searches that are begun again: a search's seed names the attempt too."""

_ATTEMPT = 2**40  # seeds of attempt k lie around k * 2^40


def seed_of_attempt(seed: int, attempt: int) -> int:
    """Returns the seed of a search that is begun again: attempt 0 is the first, with the seed itself."""
    return seed + attempt * _ATTEMPT


def attempt_of(seed: int) -> tuple[int, int]:
    """Returns the attempt and the own seed of what `seed_of_attempt` returns."""
    attempt = (seed + _ATTEMPT // 2) // _ATTEMPT
    return attempt, seed - attempt * _ATTEMPT
