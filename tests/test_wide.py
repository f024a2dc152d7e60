"""Wide arrays, from 0.2 to 200 m: sound made here in time with exact delays comes out at its direction."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soundfile
import torch

from tests.plane_waves import RATE, heard, made
from whalefinder.array.describe import describe
from whalefinder.array.geometry import direction, great_circle_rad, tetrahedron
from whalefinder.errors import ArrayError
from whalefinder.pipeline import Locator, locate
from whalefinder.sound import spectrogram

U = direction(math.radians(250.0), math.radians(-30.0))


def located(array, tmp_path, u=U):
    path = tmp_path / "call.wav"
    soundfile.write(path, 0.05 * heard(array.delays_s(u), snr_db=15.0)[0].T, RATE, subtype="FLOAT")
    rows = locate(path, array, all_events=True)
    assert len(rows) == 1
    return rows[0].bearing


@pytest.mark.parametrize("edge_m", [0.2, 1.0, 4.0, 10.0, 28.0, 50.0, 100.0, 200.0])
def test_a_tetrahedron_of_any_size(edge_m, tmp_path):
    found = located(made(tetrahedron(edge_m)), tmp_path)
    u = direction(math.radians(found.azimuth_deg), math.radians(found.elevation_deg))
    assert math.degrees(great_circle_rad(u, U)) < 0.1 / max(edge_m, 1.0) + 1e-4
    assert found.fit > 1e-3


@pytest.mark.parametrize("hydrophones", [2, 5])
def test_a_line_of_100_m(hydrophones, tmp_path):
    line = made(np.outer(np.linspace(-50, 50, hydrophones), [0.0, 1.0, 0.0]))
    found = located(line, tmp_path)
    assert found.ambiguity.angle_deg == pytest.approx(math.degrees(math.acos(U[1])), abs=0.01)


def test_a_level_plane_of_60_m(tmp_path):
    plane = made(np.array([[30.0, 0, 0], [-20, 25, 0], [-20, -25, 0], [5, 5, 0]]), depth_m=20.0)
    found = located(plane, tmp_path)
    assert found.azimuth_deg == pytest.approx(250.0, abs=0.01)
    assert found.elevation_deg == pytest.approx(-30.0, abs=0.02)


def test_samples_come_back_from_their_spectra():
    t = np.arange(RATE) / RATE
    sound = np.sin(2 * np.pi * (1000 * t + 1500 * t**2))  # all of it inside the analysed band
    back = spectrogram.samples_of(spectrogram.stft(torch.from_numpy(sound[None])))[0].numpy()
    middle = slice(RATE // 10, RATE * 8 // 10)
    assert np.abs(back[middle] - sound[: len(back)][middle]).max() < 1e-3


def test_check_says_how_wide_arrays_are_heard():
    words = dict(describe(made(tetrahedron(50.0))))
    assert "aligned" in words["shape"] and "aligned" not in dict(describe(made()))["shape"]


@pytest.mark.parametrize(("edge_m", "range_m"), [(28.0, 120.0), (60.0, 400.0), (150.0, 600.0)])
def test_an_animal_near_a_wide_array_is_at_a_place(edge_m, range_m, tmp_path):
    """Five hydrophones, so that one delay is left to judge by."""
    positions = np.concatenate([tetrahedron(edge_m), [[0.4 * edge_m, 0.1 * edge_m, 0.2 * edge_m]]])
    array, x = made(positions), U * range_m
    delays = (np.linalg.norm(x - positions, axis=1) - range_m) / array.sound_speed_m_s
    path = tmp_path / "near.wav"
    soundfile.write(path, 0.05 * heard(delays, snr_db=15.0)[0].T, RATE, subtype="FLOAT")
    (row,) = locate(path, array, all_events=True)
    u = direction(math.radians(row.azimuth_deg), math.radians(row.elevation_deg))
    assert math.degrees(great_circle_rad(u, U)) < 0.1
    assert row.bearing.range_m == pytest.approx(range_m, rel=0.05) and row.bearing.fit > 1e-3


def test_an_array_that_is_too_wide_is_refused_with_the_limit():
    with pytest.raises(ArrayError, match=r"500 m wide, more than 250 m"):
        Locator(made(tetrahedron(500.0)))


def test_a_channel_that_only_hisses_does_not_spoil_the_alignment(tmp_path):
    array = made(np.concatenate([tetrahedron(28.0), [[3.0, 9.0, -4.0]]]))
    sound, _ = heard(array.delays_s(U), [0, 1, 1, 1, 1], snr_db=15.0)
    path = tmp_path / "deaf.wav"
    soundfile.write(path, 0.05 * sound.T, RATE, subtype="FLOAT")
    (row,) = locate(path, array, all_events=True)
    u = direction(math.radians(row.azimuth_deg), math.radians(row.elevation_deg))
    assert math.degrees(great_circle_rad(u, U)) < 0.1 and "channel 1" in row.bearing.remark
