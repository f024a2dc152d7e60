"""Received levels: a sound of known pressure, as the recorder would hold it, has that level."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.helpers import RATE, array, write
from whalefinder.array.array_file import load_array, save_array
from whalefinder.array.geometry import direction
from whalefinder.calls.events import Event
from whalefinder.calls.levels import received_level_db
from whalefinder.calls.masks import CALL, Masks
from whalefinder.errors import ArrayError
from whalefinder.pipeline import locate
from whalefinder.results.tables import row_of
from whalefinder.sound import spectrogram

SENSITIVITY_DB = (-170.0, -173.0, -168.0, -171.0)
FULL_SCALE_V = 2.5
CALIBRATED = replace(array(), sensitivity_db=SENSITIVITY_DB, full_scale_v=FULL_SCALE_V)


def test_full_scale_by_hand():
    # 1 V at -170 dB re 1 V/µPa is 170 dB re 1 µPa; 10 V is 20 dB more.
    even = replace(array(), sensitivity_db=(-170.0,) * 4, full_scale_v=10.0)
    assert even.full_scale_db == pytest.approx(190.0)
    # An end-to-end figure (a sine of 176 dB re 1 µPa peak just clips) goes in as a sensitivity of -176 dB at 1 V.
    assert replace(even, sensitivity_db=(-176.0,) * 4, full_scale_v=1.0).full_scale_db == pytest.approx(176.0)
    assert replace(even, full_scale_v=None).full_scale_db is None


@pytest.mark.parametrize("hz", [1000.0, 3010.0, 7777.0])
def test_a_sine_has_its_closed_form_level(hz):
    samples = 0.02 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)
    spectra = spectrogram.stft(torch.from_numpy(np.tile(samples, (4, 1))).float())
    shares = torch.zeros(3, *spectra.shape[1:])
    shares[CALL] = 1.0
    masks = Masks(spectra=spectra, shares=shares, valid=torch.ones(len(spectra[0]), dtype=torch.bool))
    level = received_level_db(
        masks, Event(begin=10, end=80, low_hz=hz - 400, high_hz=hz + 400, evidence={}), CALIBRATED
    )
    wanted = 20 * np.log10(0.02 / np.sqrt(2)) + 20 * np.log10(FULL_SCALE_V) - np.mean(SENSITIVITY_DB)
    assert level == pytest.approx(wanted, abs=0.02)
    assert (
        received_level_db(masks, Event(begin=10, end=80, low_hz=hz + 800, high_hz=hz + 900, evidence={}), CALIBRATED)
        < wanted - 60
    )
    assert (
        received_level_db(masks, Event(begin=10, end=80, low_hz=hz - 400, high_hz=hz + 400, evidence={}), array())
        is None
    )


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    """1.5 s of a 3-kHz sine of 1e5 µPa r.m.s. (100 dB re 1 µPa) from 70°, as four unequal hydrophones record it."""
    count, rng = 8 * RATE, np.random.default_rng(1)
    pressure = np.zeros(count)
    t = np.arange(round(1.5 * RATE)) / RATE
    pressure[: len(t)] = 1e5 * np.sqrt(2) * np.sin(2 * np.pi * 3000 * t)
    delays = 3.0 + CALIBRATED.delays_s(direction(np.radians(70.0), np.radians(-10.0)))
    turn = np.exp(-2j * np.pi * np.fft.rfftfreq(count, 1 / RATE) * delays[:, None])
    heard = np.fft.irfft(np.fft.rfft(pressure) * turn, count)
    volts = heard * 10 ** (np.array(SENSITIVITY_DB)[:, None] / 20)
    samples = volts / FULL_SCALE_V + 1e-5 * rng.standard_normal(volts.shape)
    return write(tmp_path_factory.mktemp("tone") / "tone.wav", samples.T, subtype="FLOAT")


def test_a_sine_of_known_pressure_through_the_whole_pipeline(tone):
    # 0.2 dB go to the frames half in, half out of the call, and the mask gives a little of it to the noise.
    call = max(locate(tone, CALIBRATED, all_events=True), key=lambda call: call.end_s - call.begin_s)
    assert call.level_db == pytest.approx(100.0, abs=1.0)
    assert call.low_hz < 3000 < call.high_hz and row_of(call)["level_db"] == round(call.level_db, 2)
    louder = replace(CALIBRATED, full_scale_v=10 * FULL_SCALE_V)
    (twin,) = [c for c in locate(tone, louder, all_events=True) if c.begin_s == call.begin_s]
    assert twin.level_db == pytest.approx(call.level_db + 20.0, abs=1e-6)


def test_without_calibration_there_is_no_level(tone):
    for uncalibrated in (replace(CALIBRATED, full_scale_v=None), replace(CALIBRATED, sensitivity_db=None), None):
        found = locate(tone, uncalibrated, all_events=True)
        assert found and all(call.level_db is None and row_of(call)["level_db"] is None for call in found)


def test_full_scale_goes_through_the_array_file(tmp_path):
    save_array(CALIBRATED, tmp_path / "a.toml")
    assert load_array(tmp_path / "a.toml").full_scale_db == pytest.approx(CALIBRATED.full_scale_db)
    for old, new, words in (
        ("full_scale_v = 2.5", "full_scale_v = 0.0", "full_scale_v = 0.0"),
        ("full_scale_v = 2.5", "full_scale_v = inf", "full_scale_v = inf"),
        ("sensitivity_db", "# sensitivity_db", "full_scale_v = 2.5 without sensitivity_db"),
    ):
        save_array(CALIBRATED, tmp_path / "b.toml")
        (tmp_path / "b.toml").write_text((tmp_path / "b.toml").read_text().replace(old, new))
        with pytest.raises(ArrayError, match=words):
            load_array(tmp_path / "b.toml")
