"""Random numbers in double precision, and when two results are the same."""

import torch

EXACT = 1e-10
"""Double precision after a few hundred operations on numbers near 1."""


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def largest(x):
    return float(x.detach().abs().max())


def close(a, b):
    assert a.shape == b.shape
    return largest(a - b) < EXACT
