"""How far apart two directions are in the likelihood: D of docs/how-it-works.md, "False lobes", in any noise.

For n snapshots of a bin, D = Σ c (1 - |b₀ᴴb|²) with c = ½ n β² / (1 + β) and β = |S|² a₀ᴴQ⁻¹a₀. Here b = Wa / |Wa| is
the whitened steering vector, WᴴW = Q⁻¹. The likelihood prefers u to the true u₀ with the probability Q(√D).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.planning.conditions import Conditions

Singles = NDArray[np.complex64]
BLOCK = 3_000_000
"""Entries that are held at once."""


class Separation:
    """D between directions, for one array under some conditions.

    Args:
        array: the geometry.
        conditions: call, ambient and boats.
    """

    def __init__(self, array: HydrophoneArray, conditions: Conditions) -> None:
        self.array, self.conditions = array, conditions
        self.frequencies_hz = conditions.frequencies_hz(array.aperture_m, array.sound_speed_m_s)
        noise = conditions.noise(array, self.frequencies_hz)
        self.whitening = np.linalg.inv(np.linalg.cholesky(noise)).astype(np.complex64)

    def from_each(self, u0: Floats, u: Floats) -> Iterator[tuple[slice, Floats, Floats]]:
        """D from true directions `[n, 3]` to all directions `[m, 3]`, in pieces of `u0`.

        Yields:
            The piece as a slice of `u0`; D `[piece, m]`; and Σ c `[piece]`, which D has where nothing is alike.
        """
        weighted, most = self._weighted(u0)
        _, unit = self._unit(u)
        rows = max(1, BLOCK // len(u))
        for begin in range(0, len(u0), rows):
            span = slice(begin, begin + rows)
            alike = np.zeros((len(u0[span]), len(u)), np.float32)
            for one, each in zip(weighted[:, span], unit, strict=True):
                match = one @ each.conj().T
                alike += match.real**2 + match.imag**2
            yield span, np.maximum(most[span, None] - alike, 0.0), most[span]

    def of_pairs(self, u0: Floats, u: Floats) -> Floats:
        """D from each true direction `[n, 3]` to directions of its own `[n, k, 3]`. → `[n, k]`."""
        weighted, most = self._weighted(u0)
        d = np.empty(u.shape[:2])
        rows = max(1, BLOCK // (weighted.shape[0] * u.shape[1] * weighted.shape[-1]))
        for begin in range(0, len(u0), rows):
            span = slice(begin, begin + rows)
            _, unit = self._unit(u[span].reshape(-1, 3))
            unit = unit.reshape(len(unit), -1, u.shape[1], unit.shape[-1])
            match = np.einsum("fnm,fnkm->fnk", weighted[:, span], unit.conj())
            d[span] = most[span, None] - (match.real**2 + match.imag**2).sum(0)
        return np.maximum(d, 0.0)

    def _weighted(self, u0: Floats) -> tuple[Singles, Floats]:
        """√c b₀ `[frequency, n, channel]`, and Σ c `[n]`."""
        power, unit = self._unit(u0)
        beta = self.conditions.snr * power
        c = 0.5 * self.conditions.snapshots / len(power) * beta**2 / (1 + beta)
        return (unit * np.sqrt(c)[..., None]).astype(np.complex64), c.sum(0)

    def _unit(self, u: Floats) -> tuple[Floats, Singles]:
        """aᴴQ⁻¹a `[frequency, n]` and b `[frequency, n, channel]`."""
        f, delays = self.frequencies_hz, self.array.delays_s(u)
        a = np.empty((len(f), *delays.shape), np.complex64)
        a[0] = np.exp(-2j * np.pi * f[0] * delays)
        # Frequencies are even, so each steering vector is the one before it times the same factor.
        turn = np.exp(-2j * np.pi * (f[1] - f[0]) * delays).astype(np.complex64)
        for k in range(1, len(f)):
            np.multiply(a[k - 1], turn, out=a[k])
        b = a @ self.whitening.swapaxes(-1, -2)
        power = (b.real**2 + b.imag**2).sum(-1, dtype=np.float64)
        return power, b / np.sqrt(power, dtype=np.float32)[..., None]
