"""Seeding of training steps: random numbers are a function of (seed, step, rank)."""

import numpy as np
import torch


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seeds torch's default generators for one step.

    A resumed run then draws the same random numbers as an uninterrupted one.

    Args:
        seed: The run's seed.
        step: The iteration.
        rank: The rank of the process, if processes draw different numbers.
    """
    state = np.random.SeedSequence((seed, step, rank)).generate_state(2, np.uint32)
    torch.manual_seed(int(state[0]) << 32 | int(state[1]))
