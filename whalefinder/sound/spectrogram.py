"""Short-time spectra of an array.

All constants of the analysis are here. Spectra are complex `[channel, frequency, frame]` tensors (any
leading batch dimensions), time last, in the units of the samples.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

RATE_HZ = 48_000
WINDOW = 1024  # 21.3 ms
HOP = 512  # 10.7 ms
FIRST_BIN = 8  # the first bin that is analysed: 375 Hz
NUM_BINS = 256  # up to 12.3 kHz
BIN_HZ = RATE_HZ / WINDOW  # 46.875 Hz
FRAME_S = HOP / RATE_HZ
CELL_FRAMES = 8  # frames that share one noise covariance: 85 ms
FLOOR = 1e-20  # added to powers, so that silence has a logarithm
OVERLAP = WINDOW / HOP  # every sample lies in this number of frames
BAND_HZ = (500.0, 12_000.0)
"""The frequency band in which SNR and SIR are defined."""
USABLE_SHARE = 0.46
"""A recorder can record frequencies up to this share of its sample rate, a little below half of it."""
STFT_FRAMES = 256  # frames of one block: its samples stay in the processor's cache


def frequencies_hz() -> Tensor:
    """Centre of every analysed bin, `[frequency]` Hz."""
    return (torch.arange(NUM_BINS) + FIRST_BIN) * BIN_HZ


def in_band(bandwidth_hz: float = RATE_HZ / 2) -> Tensor:
    """True for the bins of `BAND_HZ` up to `bandwidth_hz`: SNR and SIR are measured in them. → `[frequency]` bool."""
    hz = frequencies_hz()
    return (hz >= BAND_HZ[0]) & (hz <= min(BAND_HZ[1], bandwidth_hz))


def power(x: Tensor) -> Tensor:
    """|x|² of a complex tensor, same shape. `abs().square()` takes a needless square root and is 5 times slower."""
    return x.real.square() + x.imag.square()


def phasor(angle: Tensor) -> Tensor:
    """exp(j angle) of real angles in radians. A delay τ turns a spectrum by the angle -2πfτ. Same shape, complex."""
    return torch.polar(torch.ones_like(angle), angle)


def level_db(power: Tensor) -> Tensor:
    """Levels of powers, in dB relative to full scale. Silence is -200 dB. The shape stays the same."""
    return 10 * (power + FLOOR).log10()


def window(dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """Hann's window, scaled so that |x|² of a spectrum is a mean square per bin. `[WINDOW]`."""
    shape = torch.hann_window(WINDOW, dtype=dtype, device=device)
    return shape / math.sqrt(WINDOW * float((shape**2).sum()))


def stft(samples: Tensor) -> Tensor:
    """Short-time spectra with a Hann window. |x|² of a bin is its share of the mean square of the samples.

    Args:
        samples: `[..., channel, time]` at `RATE_HZ`.

    Shape:
        → complex `[..., channel, NUM_BINS, frame]`, frame t centred on sample t · `HOP`; both ends are
        padded with zeros.
    """
    weights = window(samples.dtype, samples.device)
    rows = samples.reshape(-1, samples.shape[-1])
    frames = rows.shape[1] // HOP + 1
    spectra = torch.empty(len(rows), NUM_BINS, frames, dtype=weights.dtype.to_complex(), device=samples.device)
    # Blocks that stay in the processor's cache, transposed to `[frequency, frame]` at once: twice torch.stft's speed.
    for channel, row in enumerate(rows):
        for begin in range(0, frames, STFT_FRAMES):
            heard = _heard(row, begin, min(frames, begin + STFT_FRAMES))
            block = torch.fft.rfft(heard * weights)[:, FIRST_BIN : FIRST_BIN + NUM_BINS]
            # A copy between two dense matrices transposes in tiles. That is three times as fast as an assignment.
            turned = block.new_empty(NUM_BINS, len(block)).copy_(block.contiguous().T)
            spectra[channel, :, begin : begin + STFT_FRAMES] = turned
    return spectra.reshape(*samples.shape[:-1], NUM_BINS, -1)


def samples_of(spectra: Tensor) -> Tensor:
    """Samples whose spectra are nearest to these, with nothing outside the analysed bins.

    Shape:
        complex `[channel, NUM_BINS, frame]` → `[channel, time]`; the first sample is the centre of the first frame.
    """
    whole = torch.nn.functional.pad(spectra, (0, 0, FIRST_BIN, WINDOW // 2 + 1 - FIRST_BIN - NUM_BINS))
    weights = window(spectra.real.dtype, spectra.device)
    length = (spectra.shape[-1] - 1) * HOP
    return torch.istft(whole, WINDOW, HOP, window=weights, center=True, length=length)


def _heard(row: Tensor, begin: int, end: int) -> Tensor:
    """Samples `[frame, WINDOW]` of the frames [begin, end) of `row` `[time]`, with zeros beyond its ends."""
    first, last = begin * HOP - WINDOW // 2, (end - 1) * HOP + WINDOW // 2
    inside = row[max(0, first) : last]
    short = (max(0, -first), last - max(0, first) - len(inside))
    return (torch.nn.functional.pad(inside, short) if any(short) else inside).unfold(0, WINDOW, HOP)
