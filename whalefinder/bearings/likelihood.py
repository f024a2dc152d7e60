"""The whitened likelihood: how well every direction explains the bins of a call.

The model of one bin is x = s a(u) + n: a call of unknown complex amplitude s, power σ², in noise (boats,
wind) of covariance Q, both Gaussian. With β = σ² aᴴQ⁻¹a the log likelihood ratio against "noise alone" is

    log L(u) = β / (1 + β) · |aᴴQ⁻¹x|² / (aᴴQ⁻¹a) - log(1 + β)            (docs/how-it-works.md)

This is summed over bins, weighted by their call share r. Q comes from the bins that are not call and follows changes
over time (`covariance.noise_covariance`). Bins with the same Q and frequency are summed in one matrix, the scatter
S = Σ r Q⁻¹x xᴴQ⁻¹, since |aᴴQ⁻¹x|² sums to aᴴSa. Every operation works on all directions at once and is
differentiable in the shares.

a_m = exp(-j2πf τ_m(u)) uses the exact delay, which is never rounded to samples. If the depth of the array is known, a
second ray from the surface is added (`surface.surface_steering`). All delays come from `geometry`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from whalefinder.array.geometry import Floats
from whalefinder.sound import spectrogram

MIN_SHARE = 0.05  # cells with less call than this (in frames) are left out
FINE_CELLS = 1500  # the cells with most information that are kept
CHUNK = 2_000_000  # elements of one block of directions x pairs x cells


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The bins of a call, summed in cells of one frequency and `CELL_FRAMES` frames. A bearing needs nothing else.

    The cells are sorted, those with most information about the direction first.

    Shape:
        `frequency_hz`, `power` σ² (call power of a bin), `count` (sum of call shares): `[cell]`; `inverse` Q⁻¹ and
        `scatter` S: complex `[cell, channel, channel]`; `place` (frequency bin, group of frames) `[cell, 2]`, or None.

    Args:
        overlap: in how many frames each sample lies. Log L counts every sample so often, and stated variances take it back.
        frame_s: length of the frames in seconds. Their frequencies tell delays between hydrophones only up to half of it.
    """

    frequency_hz: Tensor
    inverse: Tensor
    scatter: Tensor
    power: Tensor
    count: Tensor
    place: Tensor | None = None
    overlap: float = spectrogram.OVERLAP
    frame_s: float = 1 / spectrogram.BIN_HZ

    def best(self, count: int) -> Cells:
        """The first `count` cells, which have most information."""
        return self.chosen(slice(count))

    def chosen(self, which: slice | Tensor) -> Cells:
        """Some of the cells."""
        parts: dict[str, Any] = {name: part[which] for name, part in vars(self).items() if isinstance(part, Tensor)}
        return replace(self, **parts)

    def double(self) -> Cells:
        """The same cells in double precision, for derivatives by differences."""
        return replace(
            self,
            frequency_hz=self.frequency_hz.double(),
            inverse=self.inverse.to(torch.complex128),
            scatter=self.scatter.to(torch.complex128),
            power=self.power.double(),
            count=self.count.double(),
        )


def gather_cells(
    spectra: Tensor, call_share: Tensor, noise: Tensor, first_frame: int = 0, *, power: Tensor | None = None
) -> Cells:
    """Sum the bins of one event in cells.

    Args:
        spectra: complex `[channel, frequency, frame]` of the event alone.
        call_share: `[frequency, frame]`, zero outside the event's mask.
        noise: covariance `[channel, channel, frequency, cell]` of the whole segment.
        first_frame: frame of the segment at which `spectra` begins.
        power: power of the call `[frequency, frame]`, or None for share times mean power.
    """
    frames = spectra.shape[-1]
    lead = first_frame % spectrogram.CELL_FRAMES
    first_cell = first_frame // spectrogram.CELL_FRAMES
    tail = -(lead + frames) % spectrogram.CELL_FRAMES
    if power is None:
        power = call_share * spectrogram.power(spectra).mean(0)
    x, r, p = (
        torch.nn.functional.pad(part, (lead, tail)).unflatten(-1, (-1, spectrogram.CELL_FRAMES))
        for part in (spectra, call_share, power)
    )
    q = noise[..., first_cell : first_cell + r.shape[1]]
    count = r.sum(-1)
    keep = count > MIN_SHARE
    x = x.permute(1, 2, 3, 0)[keep]  # [cell, frame, channel]
    q = q.permute(2, 3, 0, 1)[keep]
    r = r[keep]
    inverse = torch.linalg.inv(q)
    inverse = (inverse + inverse.mH) / 2
    whitened = x @ inverse.mT  # rows are (Q⁻¹x)ᵀ
    scatter = torch.einsum("kt,ktm,ktn->kmn", r.to(x.dtype), whitened, whitened.conj())
    count = count[keep]
    power = (r * p[keep]).sum(-1) / count
    # Information about the direction grows as β² / (1 + β) per bin, and with the frequency.
    beta = power * torch.diagonal(inverse, dim1=-2, dim2=-1).real.sum(-1)
    hz = spectrogram.frequencies_hz().to(power.device)[:, None].expand(keep.shape)[keep]
    order = (count * beta.square() / (1 + beta) * hz).argsort(descending=True)[:FINE_CELLS]
    cells = Cells(frequency_hz=hz, inverse=inverse, scatter=scatter, power=power, count=count, place=keep.nonzero())
    return cells.chosen(order)


def plane_wave_likelihood(cells: Cells, delays_s: Tensor) -> Tensor:
    """Log L of plane waves. Delays `[direction, channel]` s → `[direction]`."""
    return torch.cat([block.sum(-1) for block in _plane_waves(cells, delays_s)])


def likelihood_of_cells(cells: Cells, delays_s: Tensor) -> Tensor:
    """Log L of plane waves, cell by cell. Delays `[direction, channel]` s → `[direction, cell]`."""
    return torch.cat(list(_plane_waves(cells, delays_s)))


def _plane_waves(cells: Cells, delays_s: Tensor) -> Iterator[Tensor]:
    """Log L of every cell, in blocks of directions that fit into memory. → `[direction, cell]` each.

    a_m* a_n = exp(j2πf(τ_m - τ_n)), so aᴴSa and aᴴQ⁻¹a are sums over pairs of hydrophones,
    aᴴSa = Σ_m S_mm + 2 Σ_{m<n} Re[S_mn exp(j2πf(τ_m - τ_n))]. Both use the same table of sines and cosines.
    """
    channels = delays_s.shape[-1]
    m, n = torch.triu_indices(channels, channels, 1)
    rows = max(1, CHUNK // (max(1, len(m)) * max(1, len(cells.frequency_hz))))
    forms = torch.stack([cells.scatter, cells.inverse], dim=1)  # [cell, form, channel, channel]
    own = torch.diagonal(forms, dim1=-2, dim2=-1).real.sum(-1)[..., None]
    across = 2.0 * forms[..., m, n]
    factors = torch.cat([across.real, -across.imag], dim=-1)  # [cell, form, 2 · pair]
    turn = (2 * math.pi * cells.frequency_hz)[:, None, None]
    for block in delays_s.split(rows):
        angle = turn * (block[:, m] - block[:, n]).mT  # [cell, pair, direction]
        form = own + factors @ _cosine_and_sine(angle)
        yield _of_each_cell(cells, form[:, 0].mT, form[:, 1].mT)


def _cosine_and_sine(angle: Tensor) -> Tensor:
    """`[cell, pair, direction]` → `[cell, 2 · pair, direction]`. Writing in place is six times as fast as joining."""
    if angle.requires_grad:  # writing in place has no gradient
        return torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)
    pairs = angle.shape[1]
    both = angle.new_empty(angle.shape[0], 2 * pairs, angle.shape[2])
    torch.cos(angle, out=both[:, :pairs])
    torch.sin(angle, out=both[:, pairs:])
    return both


def steered_likelihood(cells: Cells, steering: Tensor) -> Tensor:
    """Log L of any steering vectors a, complex `[hypothesis, cell, channel]` → `[hypothesis]`."""
    return steered_likelihood_of_cells(cells, steering).sum(-1)


def steered_likelihood_of_cells(cells: Cells, steering: Tensor) -> Tensor:
    """Log L of any steering vectors a, cell by cell. Complex `[hypothesis, cell, channel]` → `[hypothesis, cell]`."""
    numerator = torch.einsum("gkm,kmn,gkn->gk", steering.conj(), cells.scatter, steering).real
    denominator = torch.einsum("gkm,kmn,gkn->gk", steering.conj(), cells.inverse, steering).real
    return _of_each_cell(cells, numerator, denominator)


@dataclass(frozen=True, kw_only=True)
class Derivatives:
    """Log L of one set of delays, its gradient `[channel]` (1/s) and its second derivatives `[channel, channel]` (1/s²)."""

    value: float
    gradient: Floats
    second: Floats


def derivatives(cells: Cells, delays_s: Floats, gains: Floats | None = None) -> Derivatives:
    """Log L and its exact derivatives with respect to the delay of every hydrophone.

    Of one cell it is f(N, D) = σ²N / (1 + σ²D) - n log(1 + σ²D), with the forms N = aᴴSa and D = aᴴQ⁻¹a. With
    a_m = g_m exp(-jωτ_m) and F = N or D, where F_mn = a_m* K_mn a_n is a part of the form:

        ∂F/∂τ_m = -2ω Im Σ_n F_mn,    ∂²F/∂τ_m∂τ_n = 2ω² Re F_mn - 2ω² δ_mn Re Σ_k F_mk

    and the chain rule does the rest.

    Args:
        cells: from `gather_cells`.
        delays_s: delay of each hydrophone `[channel]`, in seconds.
        gains: amplitude of each hydrophone `[channel]`, negative where its polarity is inverted. None: 1.
    """
    omega = 2 * math.pi * cells.frequency_hz.double()
    a = spectrogram.phasor(-omega[:, None] * torch.from_numpy(delays_s))
    if gains is not None:
        a = a * torch.from_numpy(gains)
    n, n1, n2 = _form(cells.scatter, a, omega)
    d, d1, d2 = _form(cells.inverse, a, omega)
    power, count = cells.power.double(), cells.count.double()
    rest = 1 + power * d
    by_n = power / rest
    by_d = -by_n.square() * n - count * by_n
    by_nd, by_dd = -by_n.square(), 2 * by_n**3 * n + count * by_n.square()
    across = torch.einsum("k,km,kn->mn", by_nd, n1, d1)
    second = torch.einsum("k,kmn->mn", by_n, n2) + torch.einsum("k,kmn->mn", by_d, d2)
    second += across + across.T + torch.einsum("k,km,kn->mn", by_dd, d1, d1)
    return Derivatives(
        value=float((by_n * n - count * torch.log(rest)).sum()),
        gradient=(by_n @ n1 + by_d @ d1).numpy(),
        second=second.numpy(),
    )


def forms(cells: Cells, delays_s: Floats, gains: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """The parts of log L that gains enter, at given delays.

    Returns:
        Re of S and of Q⁻¹, turned by the delays, `[cell, channel, channel]`; ∂f/∂N and ∂f/∂D of every cell at these gains
        (`derivatives`), `[cell]`.
    """
    a = spectrogram.phasor(-2 * math.pi * cells.frequency_hz.double()[:, None] * torch.from_numpy(delays_s))
    b, c = ((a.conj()[:, :, None] * k.to(a.dtype) * a[:, None, :]).real for k in (cells.scatter, cells.inverse))
    g = torch.from_numpy(gains)
    n, d = ((k * g[:, None] * g).sum((1, 2)) for k in (b, c))
    by_n = cells.power.double() / (1 + cells.power.double() * d)
    by_d = -by_n.square() * n - cells.count.double() * by_n
    return b.numpy(), c.numpy(), by_n.numpy(), by_d.numpy()


def _form(matrix: Tensor, a: Tensor, omega: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """aᴴKa `[cell]` and its derivatives with respect to the delays, `[cell, channel]` and `[cell, channel, channel]`."""
    parts = a.conj()[:, :, None] * matrix.to(a.dtype) * a[:, None, :]
    rows = parts.sum(-1)
    second = 2 * omega.square()[:, None, None] * (parts.real - torch.diag_embed(rows.real))
    return rows.real.sum(-1), -2 * omega[:, None] * rows.imag, second


def _of_each_cell(cells: Cells, numerator: Tensor, denominator: Tensor) -> Tensor:
    denominator = denominator.clamp(min=1e-12 * float(cells.inverse.detach().abs().max()))
    beta = cells.power * denominator
    return beta / (1 + beta) * numerator / denominator - cells.count * torch.log1p(beta)
