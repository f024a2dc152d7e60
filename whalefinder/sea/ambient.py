"""Wind noise: -17 dB per decade of frequency, independent at each hydrophone or diffuse (from all directions)."""

from __future__ import annotations

import numpy as np

from whalefinder.array.geometry import distances_m
from whalefinder.sea.signals import Floats, band_power
from whalefinder.sound.spectrogram import RATE_HZ

DB_PER_DECADE = -17.0
BLOCK_S = 10.0


def wind_noise(
    rng: np.random.Generator, samples: int, positions_m: Floats, sound_speed_m_s: float, *, diffuse: bool = False
) -> Floats:
    """Ambient noise `[channel, samples]` at `RATE_HZ`, with power 1 in the band in which SNR is measured.

    Args:
        rng: source of the random numbers.
        samples: length.
        positions_m: hydrophones `[channel, 3]`, metres.
        sound_speed_m_s: metres per second.
        diffuse: True for noise from all directions, False for independent noise at each hydrophone.
    """
    blocks, left = [], samples
    while left > 0:
        length = min(left, int(BLOCK_S * RATE_HZ))
        blocks.append(_block(rng, length, positions_m, sound_speed_m_s, diffuse))
        left -= length
    noise = np.concatenate(blocks, axis=1)
    return noise / np.sqrt(band_power(noise))


def _block(
    rng: np.random.Generator, samples: int, positions_m: Floats, sound_speed_m_s: float, diffuse: bool
) -> Floats:
    channels = len(positions_m)
    spectrum = np.fft.rfft(rng.standard_normal((channels, samples)))
    hz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    if diffuse:
        distance = distances_m(positions_m)
        # The coherence of isotropic noise at two hydrophones is sin(kd) / kd; np.sinc(x) is sin(πx) / πx.
        coherence = np.sinc(2 * hz[:, None, None] * distance / sound_speed_m_s) + 1e-6 * np.eye(channels)
        spectrum = np.einsum("fmn,nf->mf", np.linalg.cholesky(coherence), spectrum)
    return np.fft.irfft(spectrum * 10 ** (DB_PER_DECADE * np.log10(np.maximum(hz, 20.0) / 1000.0) / 20), samples)
