"""The wavefront of an event as the hydrophones hear it: a delay and a gain of each, whatever the array file says.

A direction allows a hydrophone only one delay. Here every delay is free, and so is every gain with its sign. Where no
direction comes near this optimum, the array is not what its file says, or there is more than one sound (`fit`). Where
one hydrophone is odd, the wavefront shows which one and how: a negative gain is an inverted polarity, a small one a
hydrophone that does not hear the call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from whalefinder.array.geometry import Floats
from whalefinder.bearings.likelihood import Cells, Derivatives, derivatives, forms
from whalefinder.sound import spectrogram

SPAN_S = 8e-3
"""Delays between two hydrophones are looked for up to this. A frame of 21 ms tells them up to 10.7 ms."""
SPAN = SPAN_S * spectrogram.BIN_HZ  # the same as a share of a frame, for shorter frames
FFT = 8192  # points of a correlation: lags in steps of 2.6 µs
SWEEPS, ROUNDS = 4, 8
LONGEST_STEP_S = 2e-5
SHORTEST_STEP_S = 1e-9
CONVERGED = 1e-3  # log likelihood; the delays are then within 0.03 of their standard deviations
SILENT, CROSSTALK = 0.25, 0.03  # gains below which a hydrophone may be silent, and is
NOTHING = 0.02  # share of the usual evidence below which a hydrophone adds nothing
UNEVEN = math.log(1.4)  # hydrophones whose gains differ from 1 by more than 3 dB are made as loud as the others
COHERENT = 0.8  # a wavefront that explains less of the event is not believed
CLEAR = 40.0  # log likelihood that gains must add to be believed
FLAT = 1e-9  # share of the largest curvature below which nothing is known


@dataclass(frozen=True, kw_only=True)
class Wavefront:
    """Delays and gains of the hydrophones for one event.

    Args:
        delays_s: `[channel]` relative to their mean; positive is later.
        gains: `[channel]`; the median of their sizes is 1, and most are positive. A sound is never louder at one
            hydrophone of a small array than at the others, so gains tell of the hydrophone and its recorder.
        information: `[channel, channel]` in 1/s², minus the second derivatives of log L. The mean delay has none.
        log_likelihood: of this wavefront, against noise alone.
        gain_evidence: log likelihood that the gains add to that of delays and signs alone.
        coherence: share of the event's whitened power, above that of the noise, that the wavefront explains. Near 1 for
            one sound, less where boats are left in the cells.
        heard_evidence: log likelihood that each hydrophone adds to that of the others, `[channel]`.
        overlap: in how many frames each sample lies (`Cells.overlap`).
    """

    delays_s: Floats
    gains: Floats
    information: Floats
    log_likelihood: float
    gain_evidence: float
    coherence: float
    heard_evidence: Floats
    overlap: float = spectrogram.OVERLAP

    def silent(self) -> NDArray[np.bool_]:
        """Hydrophones that clearly do not hear the event, `[channel]`."""
        return silent(self.gains, self.heard_evidence) & self.gains_are_clear

    @property
    def uneven(self) -> bool:
        """Whether the hydrophones are not as loud as one another."""
        return float(np.abs(np.log(np.maximum(np.abs(self.gains), 1e-9))).max()) > UNEVEN

    @property
    def gains_are_clear(self) -> bool:
        """Whether the gains can be believed: they explain much, and the wavefront nearly all of the event."""
        return self.gain_evidence > CLEAR and self.coherence > COHERENT


def silent(gains: Floats, heard_evidence: Floats) -> NDArray[np.bool_]:
    """Hydrophones with a small gain that add next to nothing to what the others say, `[channel]`.

    One that is only soft adds much, since its own noise is as soft. But it may be no more than the crosstalk of another.
    """
    size, usual = np.abs(gains), float(np.median(heard_evidence))
    return (size < CROSSTALK) | (size < SILENT) & (heard_evidence < max(CLEAR, NOTHING * usual))


def find_wavefront(cells: Cells, start_s: Floats | None = None, *, signed: bool = True) -> Wavefront:
    """The most likely delays and gains.

    The correlation of each pair gives the first delays, so that no lobe is missed (`_first_delays`). Then Newton's
    steps follow the likelihood to its top, in turn with the gains.

    Args:
        cells: from `gather_cells`, at least one.
        start_s: begin at these delays `[channel]` with gains of 1, and stay at the top that is next to them.
        signed: gains may be negative.
    """
    cells = cells.double()
    if start_s is None:
        delays, gains = _first_delays(cells, signed)
    else:
        delays, gains = start_s - start_s.mean(), np.ones(len(start_s))
    delays, at = _climb(cells, delays, gains)
    plain = at.value
    if start_s is None:
        gains = _gains(cells, delays, gains)
        delays, at = _climb(cells, delays, gains)
    coherence, heard_evidence = _evidence(cells, delays, gains)
    return Wavefront(
        delays_s=delays,
        gains=gains,
        information=-at.second,
        log_likelihood=at.value,
        gain_evidence=at.value - plain,
        coherence=coherence,
        heard_evidence=heard_evidence,
        overlap=cells.overlap,
    )


def _evidence(cells: Cells, delays: Floats, gains: Floats) -> tuple[float, Floats]:
    """`Wavefront.coherence` and `Wavefront.heard_evidence`.

    The coherence is Σ (N / D - n) over Σ (tr SQ - n M): power in the beam, and in all hydrophones, less that of noise
    alone. Without hydrophone m, the forms lose its row and its column: N - 2 Σ_n N_mn + N_mm.
    """
    b, c, _, _ = forms(cells, delays, gains)
    b, c = (k * gains[:, None] * gains for k in (b, c))
    n, d = b.sum((1, 2)), c.sum((1, 2))
    count, power = cells.count.numpy(), cells.power.numpy()
    total = torch.einsum("kmn,knm->k", cells.scatter, torch.linalg.inv(cells.inverse)).real.numpy()
    coherence = np.sum(n / d - count) / max(np.sum(total - count * len(gains)), 1e-9)

    def value(n: Floats, d: Floats) -> Floats:
        return np.asarray((power * n / (1 + power * d) - count * np.log1p(power * d)).sum(-1))

    left = [(k.sum((1, 2)) - 2 * k.sum(2).T + np.diagonal(k, axis1=1, axis2=2).T) for k in (b, c)]  # [channel, cell]
    return float(coherence), value(n, d) - value(left[0], np.maximum(left[1], 0.0))


def _climb(cells: Cells, delays: Floats, gains: Floats) -> tuple[Floats, Derivatives]:
    """Newton's steps to the top; a step that leads down is shortened. → delays with mean 0, derivatives there."""
    at = derivatives(cells, delays, gains)
    for _ in range(ROUNDS):
        values, vectors = np.linalg.eigh(-at.second)
        known = np.abs(values) > FLAT * np.abs(values).max()
        along = np.where(known, vectors.T @ at.gradient / np.where(known, np.abs(values), 1.0), 0.0)
        step = vectors @ along
        if abs(float(at.gradient @ step)) < CONVERGED:  # twice what the step can still gain
            break
        step *= min(1.0, LONGEST_STEP_S / max(float(np.abs(step).max()), 1e-15))
        after = derivatives(cells, delays + step, gains)
        while after.value < at.value and np.abs(step).max() > SHORTEST_STEP_S:
            step = step / 4
            after = derivatives(cells, delays + step, gains)
        if after.value < at.value:
            break
        delays, at = delays + step, after
    return delays - delays.mean(), at


def _gains(cells: Cells, delays: Floats, gains: Floats) -> Floats:
    """Gains that make log L largest at given delays.

    The sum over cells of f(N, D) with N = gᵀBg and D = gᵀCg is stationary where Σ f_N B g = Σ (-f_D) C g: the
    eigenvector of the two matrices with the largest eigenvalue, which is then 1. B and C are the real parts of the
    forms, turned by the delays.
    """
    for _ in range(SWEEPS):
        b, c, by_n, by_d = forms(cells, delays, gains)
        hears, costs = np.einsum("k,kmn->mn", by_n, b), np.einsum("k,kmn->mn", -by_d, c)
        gains = _largest(hears, costs)
        gains = gains / max(float(np.median(np.abs(gains))), 1e-12)
        gains = gains * (-1.0 if gains.sum() < 0 else 1.0)
    return gains


def _largest(a: Floats, b: Floats) -> Floats:
    """The eigenvector of a g = λ b g with the largest λ; b is symmetric and, but for rounding, positive."""
    values, vectors = np.linalg.eigh(b)
    root = vectors / np.sqrt(np.maximum(values, max(FLAT * float(values.max()), 1e-300)))
    return np.asarray(root @ np.linalg.eigh(root.T @ a @ root)[1][:, -1])


def _first_delays(cells: Cells, signed: bool) -> tuple[Floats, Floats]:
    """Delays and signs of all hydrophones from the correlations of pairs, one after the other, the clearest first.

    For weak dependence of aᴴQ⁻¹a on the delays, log L is a sum over pairs of the correlation of their whitened spectra
    S - n Q⁻¹ (the power of the noise taken out) at the difference of their delays.
    """
    correlation, step = correlations(cells)
    channels, middle = correlation.shape[1], correlation.shape[0] // 2
    strength = np.abs if signed else np.asarray
    size = strength(correlation).max(axis=0)
    np.fill_diagonal(size, 0.0)
    shift, sign = np.zeros(channels, int), np.ones(channels)
    known = [int(size.sum(1).argmax())]

    def place(m: int, others: list[int]) -> None:
        total = sum(sign[n] * np.roll(correlation[:, m, n], shift[n]) for n in others)
        best = int(strength(total).argmax())
        shift[m], sign[m] = best - middle, (1.0 if total[best] >= 0 else -1.0)

    while len(known) < channels:
        m = max(set(range(channels)) - set(known), key=lambda m: size[m, known].max())
        place(m, known)
        known.append(m)
    for _ in range(SWEEPS):
        for m in range(channels):
            place(m, [n for n in range(channels) if n != m])
    sign *= -1.0 if sign.sum() < 0 else 1.0
    delays = shift * step
    return delays - delays.mean(), sign


def correlations(cells: Cells) -> tuple[Floats, float]:
    """Correlation of every pair of hydrophones, whitened, weighted as in log L. → `[lag, channel, channel]`, step in s.

    The lag, τ_m - τ_n, is 0 in the middle.
    """
    power = cells.power / (1 + cells.power * torch.diagonal(cells.inverse, dim1=1, dim2=2).real.sum(1))
    parts = (cells.scatter - cells.count[:, None, None] * cells.inverse) * power[:, None, None]
    index = (cells.frequency_hz * cells.frame_s).round().long()
    spectrum = torch.zeros(FFT // 2 + 1, *parts.shape[1:], dtype=parts.dtype).index_add_(0, index, parts)
    lags = torch.fft.irfft(spectrum, FFT, dim=0)
    step = cells.frame_s / FFT
    most = math.floor(SPAN * FFT)
    return torch.cat([lags[-most:], lags[: most + 1]]).numpy(), step
