"""A clip of one short sound, such as a click, and its cells: a sound that is shorter than one frame of the spectrogram.

Click detectors store a few milliseconds of each click. One Fourier transform of the whole clip shows all of it. So a
cell is a single bin of one frame that shares no sample with another one (`Cells.overlap` is 1, `Cells.frame_s` the length
of the clip). `steering.find_direction`, `wavefront.find_wavefront` and `fit.goodness_of_fit` take these cells as they
take those of a call.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from whalefinder.array.cramer_rao import bearing_covariance, delay_information
from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.bearings.likelihood import Cells
from whalefinder.errors import OptionError

SMOOTHED = 5  # bins over which the power is averaged, since the spectrum of a short sound has no narrow lines
GATE = 1.0  # bins where the smoothed power of the sound is below that of the noise say little, and may be noise alone
PIECES = 2  # quiet pieces for each hydrophone, so that the covariance of the noise can be inverted


def cells_of_clip(
    clip: Floats,
    quiet: Floats,
    rate_hz: float,
    band_hz: tuple[float, float] = (0.0, math.inf),
    *,
    gate: float = GATE,
) -> Cells:
    """Cells of one clip, those with most information first. There are none where nothing is above the noise.

    The noise has the covariance Q(f) = N / L · mean of X Xᴴ, where X is the transform of a quiet piece of L samples at the
    frequencies of the clip's N samples. Neither has a window, so what leaks within the clip leaks within the pieces.

    Args:
        clip: `[channel, time]`; the sound lies inside it in all channels.
        quiet: `[piece, channel, time]`, sound without the click, no longer than the clip: for example the samples before
            the trigger of many clips.
        rate_hz: samples per second.
        band_hz: frequencies to use.
        gate: least power of the sound in a bin, as a share of the noise's.

    Raises:
        OptionError: too few quiet pieces, or pieces that do not fit the clip.
    """
    channels, samples = clip.shape
    pieces, quiet_channels, length = quiet.shape
    if quiet_channels != channels or length > samples:
        raise OptionError(
            f"quiet pieces of {quiet_channels} channels and {length} samples for a clip of {channels} and {samples}; "
            "give the same channels, and no more samples"
        )
    if pieces < PIECES * channels:
        raise OptionError(f"{pieces} quiet pieces for {channels} hydrophones; give at least {PIECES * channels}")
    hz = np.fft.rfftfreq(samples, 1 / rate_hz)
    inside = (hz >= max(band_hz[0], hz[1])) & (hz <= band_hz[1]) & (hz < rate_hz / 2)
    noise = np.fft.rfft(quiet - quiet.mean(-1, keepdims=True), samples)
    q = np.einsum("kmf,knf->fmn", noise, noise.conj()) / pieces * samples / length
    x = np.fft.rfft(clip - clip.mean(-1, keepdims=True)).T  # [frequency, channel]
    own = np.diagonal(q, axis1=1, axis2=2).real.mean(1)
    power = _smoothed((np.abs(x) ** 2).mean(1)) - own
    keep = inside & (power > gate * own)
    inverse, power, hz = np.linalg.inv(q[keep]), power[keep], hz[keep]
    inverse = (inverse + inverse.conj().swapaxes(1, 2)) / 2
    whitened = np.einsum("fmn,fn->fm", inverse, x[keep])
    beta = power * np.trace(inverse, axis1=1, axis2=2).real
    order = np.argsort(-(beta**2) / (1 + beta) * hz)
    return Cells(
        frequency_hz=torch.from_numpy(hz[order]).float(),
        inverse=torch.from_numpy(inverse[order]).to(torch.complex64),
        scatter=torch.from_numpy((whitened[:, :, None] * whitened[:, None].conj())[order]).to(torch.complex64),
        power=torch.from_numpy(power[order]).float(),
        count=torch.ones(len(order)),
        overlap=1.0,
        frame_s=samples / rate_hz,
    )


def _smoothed(power: Floats) -> Floats:
    """Power `[frequency]` averaged over `SMOOTHED` bins with the weights of Hann's window."""
    weights = np.hanning(SMOOTHED + 2)[1:-1]
    return np.convolve(np.pad(power, SMOOTHED // 2, mode="reflect"), weights / weights.sum(), mode="valid")


def bound_of_cells(cells: Cells, array: HydrophoneArray, u: Floats) -> Floats:
    """Smallest possible covariance of a bearing from these cells, if the power of the sound and the noise are known.

    With the errors that the array file states as nuisances (`array.cramer_rao`).

    Shape:
        unit vector `[3]` → `[2, 2]` rad², axes (level, up).
    """
    cells = cells.double()
    power, noise = (cells.count * cells.power).numpy(), torch.linalg.inv(cells.inverse).numpy()
    information = delay_information(power, noise, cells.frequency_hz.numpy(), array.delays_s(u))
    return bearing_covariance(array, u, information / cells.overlap)
