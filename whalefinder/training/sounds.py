"""Steps by which clips become spectra that can be mixed; all recipes use them.

A spectrum is complex, `[frequency, frame]`, with any leading dimensions. A clip is `[time]` at `RATE_HZ`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whalefinder.sound import spectrogram

REFERENCE_HZ = 2500.0  # slopes over frequency are 0 dB here
WIND_DB_PER_DECADE, WIND_SPREAD_DB = -17.0, 6.0
LEAST_SHARE = 0.002  # a call is too faint for training if a smaller share of its bins stands out


def mono_spectrum(samples: NDArray[np.floating]) -> Tensor:
    """The spectrum of a clip, `[time]` → complex `[frequency, frame]`."""
    return spectrogram.stft(torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None])[0]


def band_power(spectrum: Tensor) -> Tensor:
    """Mean power in the band of SNR. `[..., frequency, frame]` → scalar."""
    return spectrogram.power(spectrum[..., spectrogram.in_band(), :]).mean()


def sounding(spectrum: Tensor) -> Tensor:
    """Frames that are not silent. `[frequency, frame]` → `[frame]` bool."""
    return spectrogram.power(spectrum).sum(0) > 0


def levelled(spectrum: Tensor) -> Tensor:
    """The spectrum with power 1 in the band of SNR."""
    return spectrum / band_power(spectrum).clamp(min=spectrogram.FLOOR).sqrt()


def wind_slope(rng: np.random.Generator) -> Tensor:
    """A random slope of wind noise, about -17 dB per decade, as amplitude `[frequency]`."""
    decades = torch.log10(spectrogram.frequencies_hz() / REFERENCE_HZ)
    return 10 ** (rng.normal(WIND_DB_PER_DECADE, WIND_SPREAD_DB) * decades / 20)


def tilt(rng: np.random.Generator, most_db: float) -> Tensor:
    """A random slope of up to ± `most_db` per octave, as of hydrophone or path, as amplitude `[frequency, 1]`."""
    octaves = torch.log2(spectrogram.frequencies_hz() / REFERENCE_HZ)
    return 10 ** (rng.uniform(-most_db, most_db) * octaves / 20)[:, None]


def cut(rng: np.random.Generator, spectrum: Tensor, frames: int) -> Tensor:
    """A random part of `frames`. A spectrum that is too short is first continued by its mirror image."""
    while spectrum.shape[-1] < frames:
        spectrum = torch.cat([spectrum, spectrum.flip(-1)], -1)
    begin = int(rng.integers(0, spectrum.shape[-1] - frames + 1))
    return spectrum[..., begin : begin + frames]


def clean_call(spectrum: Tensor) -> Tensor:
    """Keep the bins with more than 6 times the lower quartile of their frequency: without the noise of the clip."""
    power = spectrogram.power(spectrum)
    quartile = torch.quantile(power, 0.25, dim=-1, keepdim=True)
    return spectrum * (power > 6.0 * quartile)


def without_noise(spectrum: Tensor) -> Tensor:
    """Keep only the bins that stand out clearly, so that neither the noise nor the edges of a clip are left.

    It is stricter than `clean_call`. A bin stays if the mean over it and its eight neighbours is more than 10 times the
    lower quartile of its frequency. Of noise, one bin in a thousand stays. Quartiles are averaged over neighbouring
    frequencies, since a short clip has few frames.
    """
    power = spectrogram.power(spectrum)
    around = torch.nn.functional.avg_pool2d(power[None, None], 3, stride=1, padding=1)[0, 0]
    quartile = torch.quantile(power, 0.25, dim=-1, keepdim=True)
    quartile = torch.nn.functional.avg_pool1d(quartile.T[None], 5, stride=1, padding=2, count_include_pad=False)[0].T
    return spectrum * (around > 10.0 * quartile)


def played(samples: NDArray[np.floating], speeds: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    """Yield a clip as it is, and then once at each of the `speeds`. A faster clip is higher and shorter.

    Interpolation is linear, because the shipped networks were trained with it. (`soxr` would keep more of the highest
    octave.)
    """
    for speed in (1.0, *speeds):
        yield np.interp(np.arange(0, len(samples), speed), np.arange(len(samples)), samples)


def call_spectra(
    samples: NDArray[np.floating], speeds: NDArray[np.floating], clean: Callable[[Tensor], Tensor]
) -> Iterator[Tensor]:
    """Spectra of a real call at its own and other speeds, cleaned by `clean`, with power 1. Faint ones are left out."""
    for sound in played(samples, speeds):
        spectrum = clean(mono_spectrum(sound))
        if (spectrum.abs() > 0).float().mean() > LEAST_SHARE:
            yield levelled(spectrum)
