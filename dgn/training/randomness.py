"""Random numbers of a training step as a function of (seed, step, rank)."""

import numpy as np
import torch


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seeds torch's generators for one step.

    A resumed run then draws the same random numbers as an uninterrupted one.
    """
    state = np.random.SeedSequence((seed, step, rank)).generate_state(2, np.uint32)
    torch.manual_seed(int(state[0]) << 32 | int(state[1]))
