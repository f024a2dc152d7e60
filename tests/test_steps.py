"""Steps of the level in noise with a known spectrum, and what looks a little like one."""

import numpy as np
import pytest
import torch

from whalefinder.sound import spectrogram
from whalefinder.sound.steps import level_steps

SECONDS = 6
VALID = torch.ones(spectrogram.NUM_BINS, dtype=torch.bool)


def sea(channels=2, seed=0):
    rng = np.random.default_rng(seed)
    n = SECONDS * spectrogram.RATE_HZ
    spectrum = (
        np.fft.rfft(rng.standard_normal((channels, n))) / np.maximum(np.fft.rfftfreq(n) * n / SECONDS, 100) ** 0.85
    )
    return np.fft.irfft(spectrum, n)


def steps_of(samples):
    return level_steps([spectrogram.stft(torch.from_numpy(samples.astype(np.float32)))], VALID)


@pytest.mark.parametrize("db", [-20, -6, 5, 12])
def test_a_switched_gain_is_found_where_it_is(db):
    samples = sea()
    samples[:, 3 * spectrogram.RATE_HZ :] *= 10 ** (db / 20)
    found = steps_of(samples)
    assert len(found) == 1 and abs(found[0] * spectrogram.FRAME_S - 3) < 0.03


def test_one_hydrophone_is_enough_and_one_channel_of_two_is_not():
    samples = sea(1)
    samples[:, 100_000:] *= 4
    assert len(steps_of(samples)) == 1
    pair = np.concatenate([samples, sea(1, 1)])
    assert steps_of(pair) == []


def test_no_other_sound_is_a_step():
    samples, time = sea(1), np.arange(SECONDS * spectrogram.RATE_HZ) / spectrogram.RATE_HZ
    loud = samples.std() * 8
    call = loud * sum(np.sin(2 * np.pi * k * 700 * time) / k for k in range(1, 15)) * ((time > 2) & (time < 4))
    rising = samples * 10 ** (np.clip(time - 2, 0, 1) * 12 / 20)  # 12 dB within a second
    burst = samples * (1 + 9 * ((time > 3) & (time < 3.1)))
    hiss = samples + 3 * samples.std() * np.random.default_rng(2).standard_normal(samples.shape) * (
        time > 3
    )  # high tones
    for sound in (samples, samples + call, rising, burst, hiss):
        assert steps_of(sound) == []


def test_calls_that_fill_half_of_the_time_are_no_steps():
    """Broadband calls of one second, each as sudden and as even as a switch: the sea between them is as loud as before."""
    samples, time = sea(1), np.arange(SECONDS * spectrogram.RATE_HZ) / spectrogram.RATE_HZ
    calls = samples * 3 * ((time % 2) > 1)
    assert steps_of(samples + calls) == []
