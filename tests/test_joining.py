"""Parts of one call become one row where the beam hears the call between them; two calls stay two."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soundfile

from tests.plane_waves import RATE, made
from whalefinder.array.geometry import direction, tetrahedron
from whalefinder.bearings.joining import longest_pause_s
from whalefinder.calls.events import EventSettings, find_events
from whalefinder.calls.masks import CALL
from whalefinder.pipeline import Locator
from whalefinder.sound.recording import open_recording
from whalefinder.sound.spectrogram import FRAME_S

ARRAY = made(tetrahedron(0.5))
WHALE = direction(math.radians(60.0), math.radians(-10.0))
BOAT = direction(math.radians(250.0), math.radians(-3.0))
SECONDS, HISS = 6.0, 0.02


def voice(seconds: np.ndarray, length_s: float, softest: float) -> np.ndarray:
    """A call in closed form: eight harmonics of a pitch that bends. In its middle its amplitude is `softest`."""
    x = np.clip(seconds / length_s, 0, 1)
    phase = 2 * np.pi * 900 * (seconds + 0.05 * np.sin(2 * np.pi * 0.7 * seconds))
    harmonics = sum(np.cos(k * phase + k * k) / k**0.5 for k in range(1, 9))
    size = np.sin(np.pi * x) ** 0.3 * (1 - (1 - softest) * np.exp(-(((x - 0.5) / 0.16) ** 4)))
    return size * harmonics * ((seconds > 0) & (seconds < length_s))


def boat(level: float) -> np.ndarray:
    """Noise from one direction, louder at low frequencies, with exact delays. → `[channel, time]`."""
    hz = np.fft.rfftfreq(int(SECONDS * RATE), 1 / RATE)
    white = np.fft.rfft(np.random.default_rng(0).normal(size=int(SECONDS * RATE))) / (1 + hz / 1500)
    turned = white * np.exp(-2j * np.pi * hz * ARRAY.delays_s(BOAT)[:, None])
    sound = np.fft.irfft(turned, int(SECONDS * RATE))
    return level * sound / sound.std()


@pytest.mark.parametrize(
    ("begins_s", "length_s", "softest", "level", "rows"),
    [((2.0,), 1.3, 0.15, 4.0, 1), ((1.5, 2.4), 0.6, 1.0, 3.0, 2)],
    ids=["one call, soft in its middle", "two calls of one animal, 0.3 s apart"],
)
def test_rows_of_one_animal_in_the_noise_of_a_boat(begins_s, length_s, softest, level, rows, tmp_path):
    t = np.arange(int(SECONDS * RATE)) / RATE
    delays = ARRAY.delays_s(WHALE)
    calls = sum(np.stack([voice(t - begin - d, length_s, softest) for d in delays]) for begin in begins_s)
    sound = calls + boat(level) + np.random.default_rng(1).normal(0, HISS, calls.shape)
    soundfile.write(tmp_path / "boat.wav", 0.02 * sound.T, RATE, subtype="FLOAT")
    recording, locator = open_recording(tmp_path / "boat.wav", ARRAY), Locator(ARRAY)
    (stretch,) = locator.stream(recording)
    assert len(find_events(stretch.pieces[0].shares[CALL].numpy(), EventSettings())) == 2  # both times
    assert [d.azimuth_deg for d in stretch.detections] == pytest.approx([60.0] * rows, abs=0.5)
    assert stretch.detections[0].begin_s == pytest.approx(begins_s[0], abs=0.1)
    assert stretch.detections[-1].end_s == pytest.approx(begins_s[-1] + length_s, abs=0.1)


def test_the_longest_pause_by_hand():
    active = np.array([1, 0, 0, 1, 0, 0, 0, 1, 1, 0], bool)
    assert longest_pause_s(active) == pytest.approx(3 * FRAME_S)
    assert longest_pause_s(np.ones(4, bool)) == 0.0
    assert longest_pause_s(np.zeros(5, bool)) == pytest.approx(5 * FRAME_S)
