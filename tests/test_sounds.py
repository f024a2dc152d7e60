"""What recipes do to a sound before they mix it, against closed forms."""

import numpy as np
import pytest
import torch

from whalefinder.sea.signals import band_power
from whalefinder.sound.spectrogram import BAND_HZ, NUM_BINS, RATE_HZ, frequencies_hz, in_band, power
from whalefinder.training import sounds


def tone(hz, seconds=1.0):
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)


def test_a_levelled_sound_has_power_one_in_band_and_silence_stays_silent():
    spectrum = sounds.levelled(sounds.mono_spectrum(30 * tone(3000)))
    assert float(sounds.band_power(spectrum)) == pytest.approx(1.0, rel=1e-5)
    assert not sounds.levelled(torch.zeros(NUM_BINS, 4, dtype=torch.complex64)).abs().any()


def test_the_band_of_spectra_is_the_band_of_samples():
    """Two routes to one ratio of powers: over spectra, and over samples."""
    one, two = (np.random.default_rng(k).standard_normal(RATE_HZ) * (1 + k) + tone(200) * 5 for k in range(2))
    by_spectra = sounds.band_power(sounds.mono_spectrum(two)) / sounds.band_power(sounds.mono_spectrum(one))
    assert float(by_spectra) == pytest.approx(band_power(two) / band_power(one), rel=0.02)
    hz = frequencies_hz()[in_band(4000.0)]
    assert hz.min() >= BAND_HZ[0] and hz.max() <= 4000.0


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_a_sound_played_faster_is_higher_and_shorter(speed):
    as_it_is, changed = sounds.played(tone(2000), np.array([speed]))
    peaks = [frequencies_hz()[int(power(sounds.mono_spectrum(x)).mean(-1).argmax())] for x in (as_it_is, changed)]
    assert float(peaks[1] / peaks[0]) == pytest.approx(speed, rel=0.03)
    assert len(changed) == pytest.approx(len(as_it_is) / speed, abs=1)


def test_wind_falls_by_17_db_per_decade_and_a_tilt_by_so_many_db_per_octave():
    at = [int((frequencies_hz() - hz).abs().argmin()) for hz in (1000.0, 10_000.0)]
    slopes = torch.stack([sounds.wind_slope(np.random.default_rng(k)) for k in range(400)]).log10() * 20
    assert float((slopes[:, at[1]] - slopes[:, at[0]]).mean()) == pytest.approx(-17.0, abs=1.0)
    tilts = torch.stack([sounds.tilt(np.random.default_rng(k), 2.0)[:, 0] for k in range(400)]).log10() * 20
    steepness = (tilts[:, at[1]] - tilts[:, at[0]]) / np.log2(10)
    assert float(steepness.abs().max()) <= 2.05 and float(steepness.std()) == pytest.approx(4 / 12**0.5, rel=0.1)


def test_a_short_sound_goes_to_and_fro():
    ramp = torch.arange(5.0)[None]
    long = sounds.cut(np.random.default_rng(0), ramp, 9)[0]
    assert len(long) == 9 and long.diff().abs().max() <= 1 and set(long.tolist()) == set(range(5))


# Power of noise is exponential: its quartile is -ln 0.75 of its mean, and 0.75^6 of it lies above six quartiles.
@pytest.mark.parametrize("clean, left", [(sounds.clean_call, 0.75**6), (sounds.without_noise, 0.002)])
def test_a_call_stays_and_its_noise_goes(clean, left):
    noise = 0.01 * np.random.default_rng(1).standard_normal(2 * RATE_HZ)
    call = np.zeros_like(noise)
    call[RATE_HZ // 2 : RATE_HZ] = tone(3000, 0.5)
    before, after = (sounds.mono_spectrum(noise + call), clean(sounds.mono_spectrum(noise + call)))
    assert power(after).sum() > 0.98 * power(before).sum()
    quiet = after[:150, -80:]  # neither the call's frames nor its harmonics
    assert float((quiet.abs() > 0).float().mean()) == pytest.approx(left, abs=0.02)
    assert not list(sounds.call_spectra(np.zeros(RATE_HZ), np.array([]), clean))
