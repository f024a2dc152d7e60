"""From a file to bearings: the pipeline on simulated sound, by two routes, and on real recordings."""

import csv
import importlib
import math

import numpy as np
import pytest
import soundfile

import whalefinder
from tests.helpers import RATE, array, needs_data, write
from whalefinder.array.geometry import HydrophoneArray, direction, great_circle_rad
from whalefinder.bearings.event_bearing import to_bearing
from whalefinder.bearings.steering import Fix
from whalefinder.errors import OptionError, RecordingError
from whalefinder.results.ambiguity import Cone, Mirror
from whalefinder.sea.calls import random_call
from whalefinder.sea.propagation import Path
from whalefinder.sea.scene import Call, Scene, simulate
from whalefinder.sound import covariance
from whalefinder.sound.recording import open_recording
from whalefinder.sound.spectrogram import FRAME_S, NUM_BINS, RATE_HZ


@pytest.fixture(scope="module")
def swim(tmp_path_factory):
    """Two calls from 45° and 50° at SNR 15 dB; → (path of the WAV, simulated recording)."""
    calls = []
    for k, azimuth in enumerate((45.0, 50.0)):
        u = direction(math.radians(azimuth), math.radians(-5.0))
        calls.append(
            Call(
                sound=random_call(np.random.default_rng(k), "pulsed")[1],
                path=Path(tuple(150 * u)),
                begin_s=1.5 + 4 * k,
                snr_db=15.0,
            )
        )
    sea = simulate(Scene(array=array(), seconds=9.0, calls=tuple(calls)), 3)
    path = tmp_path_factory.mktemp("swim") / "swim_20260701_120000.wav"
    soundfile.write(path, sea.samples.T / np.abs(sea.samples).max() / 2, RATE, subtype="FLOAT")
    return path, sea


def test_calls_are_found_where_and_when_they_were(swim):
    path, sea = swim
    found = whalefinder.locate(path, array())
    assert len(found) == len(sea.truth)
    for call, truth in zip(found, sea.truth, strict=True):
        assert call.label == "orca" and call.probability > 0.5
        assert min(call.end_s, truth.end_s) - max(call.begin_s, truth.begin_s) > 0.5 * (truth.end_s - truth.begin_s)
        true_u = direction(math.radians(truth.azimuth_deg), math.radians(truth.elevation_deg))
        found_u = direction(math.radians(call.azimuth_deg), math.radians(call.elevation_deg))
        assert np.degrees(great_circle_rad(true_u, found_u)) < 0.3
        assert call.start_utc.isoformat().startswith("2026-07-01T12:00:0")


def test_segments_do_not_change_the_answer(swim, monkeypatch):
    whole = whalefinder.locate(swim[0], array())
    # 2.05-s cores with the full margins: calls fall into other segments than before.
    monkeypatch.setattr(importlib.import_module("whalefinder.pipeline"), "CORE_CELLS", 24)
    parts = whalefinder.locate(swim[0], array())
    assert len(whole) == len(parts)
    for a, b in zip(whole, parts, strict=True):
        assert abs(a.begin_s - b.begin_s) < 2.5 * FRAME_S
        assert abs(a.azimuth_deg - b.azimuth_deg) < 0.1


def test_one_channel_and_unknown_geometry_give_detections_without_bearings(swim, tmp_path):
    path, sea = swim
    mono = write(tmp_path / "mono.wav", sea.samples[0] / np.abs(sea.samples).max() / 2, subtype="FLOAT")
    for found in (whalefinder.locate(mono), whalefinder.locate(mono, array()), whalefinder.locate(path)):
        assert len(found) == 2 and all(call.bearing is None for call in found)
    assert all(call.channel in range(4) for call in found)


def test_a_dead_hydrophone_is_left_out(swim, tmp_path):
    path, _ = swim
    samples, _ = soundfile.read(path)
    samples[:, 1] = 0.0
    with pytest.warns(UserWarning, match="channel 2 is constant"):
        found = whalefinder.locate(write(tmp_path / "dead.wav", samples, subtype="FLOAT"), array())
    assert found and all(call.bearing is not None for call in found)


def fix(u):
    return Fix(u=np.asarray(u, float), covariance=np.eye(2) * 1e-6, log_likelihood=100.0, margin=math.inf)


def test_a_line_reports_its_cone():
    line = HydrophoneArray(name="line", positions_m=[[0, -0.5, 0], [0, 0, 0], [0, 0.5, 0]], sound_speed_m_s=1490.0)
    bearing = to_bearing(fix(direction(math.radians(60.0), 0.0)), line)
    assert isinstance(bearing.ambiguity, Cone) and bearing.ambiguity.azimuths_deg == pytest.approx((60.0, 300.0))
    apart = bearing.ambiguity.axis_azimuth_deg - 60.0  # the axis lies at elevation 0, as both azimuths do
    assert math.cos(math.radians(bearing.ambiguity.angle_deg)) == pytest.approx(math.cos(math.radians(apart)))
    assert bearing.elevation_deg is None and bearing.azimuth_deg == pytest.approx(60.0, abs=0.1)


def test_planes_mirror_unless_the_surface_settles_it():
    level = HydrophoneArray(
        name="level", positions_m=[[0, 0, 0], [1, 0, 0], [0, 1, 0]], sound_speed_m_s=1490.0, depth_m=0.0
    )
    assert to_bearing(fix(direction(1.0, -0.5)), level).ambiguity is None
    upright = HydrophoneArray(
        name="upright", positions_m=[[0, 0, 0], [1, 0, 0], [0, 0, 1]], sound_speed_m_s=1490.0, depth_m=0.0
    )
    bearing = to_bearing(fix(direction(math.radians(30.0), math.radians(-10.0))), upright)
    assert isinstance(bearing.ambiguity, Mirror)
    assert (bearing.ambiguity.azimuth_deg, bearing.ambiguity.elevation_deg) == pytest.approx((150.0, -10.0))


def test_azimuth_error_grows_towards_the_vertical():
    steep = to_bearing(fix(direction(1.0, math.radians(-60.0))), array())
    assert steep.azimuth_sd_deg == pytest.approx(2 * steep.elevation_sd_deg, rel=1e-3)


def test_real_field_recordings_have_their_calls_found():
    found = 0
    for name in ("someCalls", "20181202_25sec", "call-examples"):
        path = needs_data("field", "orcasound_misc", f"{name}.flac")
        found += len(whalefinder.locate(path)) > 0
    assert found == 3


def test_the_real_array_gives_bearings_that_its_delays_confirm():
    """XAV array: the loudest event's bearing against GCC delays of the same sound (near-field fish)."""
    folder = needs_data("arrays", "xav_hydrophone_array_6ch")
    from dataclasses import replace

    import torch

    from whalefinder.array.geometry import direction_from_tdoa
    from whalefinder.array.hydrophone_table import import_table
    from whalefinder.bearings import likelihood, steering
    from whalefinder.sound import spectrogram
    from whalefinder.sound.recording import open_recording

    xav = replace(
        import_table(folder / "large-array__hydrophones_config_07-HI.csv", 1484.0), file_pattern="AMAR*.{channel}.*.wav"
    )
    recording = open_recording(sorted(folder.glob("*.wav"))[0], xav)
    samples = np.concatenate(list(recording.blocks()), axis=1)
    with (folder / "detections_blob_from_notebook.csv").open() as file:
        spans = [(float(r["time_min_offset"]), float(r["time_max_offset"])) for r in csv.DictReader(file)]
    assert len(spans) >= 5
    x = spectrogram.stft(torch.from_numpy(samples))
    q = covariance.noise_covariance(x, None, 40.0)
    residuals = []
    for begin, end in spans:
        a, b = int(begin / FRAME_S), int(end / FRAME_S) + 1
        share = torch.zeros(NUM_BINS, b - a)
        share[:14] = 1.0  # fish below 1 kHz
        estimate = steering.find_direction(likelihood.gather_cells(x[..., a:b], share, q, a), xav)
        pairs = [(i, j) for i in range(6) for j in range(i + 1, 6)]
        cross = np.stack([(x[i, :14, a:b] * x[j, :14, a:b].conj()).sum(-1).numpy() for i, j in pairs])
        hz = spectrogram.frequencies_hz().numpy()[:14]
        lags = np.linspace(-1.9e-3, 1.9e-3, 761)
        tdoa = -lags[np.real(cross @ np.exp(-2j * np.pi * np.multiply.outer(hz, lags))).argmax(1)]
        u = direction_from_tdoa(xav.positions_m, pairs, tdoa)
        residuals.append(float(np.degrees(great_circle_rad(estimate.u, u))))
    assert np.median(residuals) < 15.0, residuals  # 7° when written; the fish are metres away


def test_a_large_array_of_many_channels(tmp_path):
    """24 hydrophones: the most spread 16 are used, the bearing is right."""
    positions = np.random.default_rng(0).uniform(-1, 1, (24, 3))
    many = HydrophoneArray(name="many", positions_m=positions, sound_speed_m_s=1490.0, depth_m=3.0)
    u = direction(math.radians(200.0), math.radians(-10.0))
    sound = random_call(np.random.default_rng(1), "pulsed")[1]
    sea = simulate(
        Scene(array=many, seconds=4.0, calls=(Call(sound=sound, path=Path(tuple(200 * u)), begin_s=1.2, snr_db=10.0),)),
        3,
    )
    path = write(tmp_path / "many.wav", sea.samples.T / np.abs(sea.samples).max() / 2, subtype="FLOAT")
    (call,) = whalefinder.locate(path, many)
    assert call.azimuth_deg == pytest.approx(200.0, abs=0.3) and call.elevation_deg == pytest.approx(-10.0, abs=0.3)


def test_a_hanging_string_gives_the_elevation():
    string = HydrophoneArray(name="string", positions_m=[[0, 0, -1.0], [0, 0, 0], [0, 0, 1.0]], sound_speed_m_s=1490.0)
    bearing = to_bearing(fix(direction(2.0, math.radians(-25.0))), string)
    assert bearing.azimuth_deg is None and bearing.elevation_deg == pytest.approx(-25.0, abs=1e-6)
    assert bearing.elevation_sd_deg == pytest.approx(math.degrees(1e-3), rel=1e-3)


def test_sensitivities_and_deaf_hydrophones():
    from whalefinder.calls.hydrophones import hearing

    uneven = HydrophoneArray(
        name="a", positions_m=[[0, 0, 0], [1, 0, 0]], sound_speed_m_s=1480.0, sensitivity_db=(-170.0, -164.0)
    )
    assert np.allclose(20 * np.log10(uneven.relative_gain()), [3.0, -3.0])
    samples = np.random.default_rng(0).standard_normal((4, 1000)).astype(np.float32)
    samples[1] *= 1e-3
    samples[2] = 0.5
    assert hearing(samples).tolist() == [0, 3]


def test_a_part_of_a_recording_has_the_times_of_the_whole(swim):
    path, _ = swim
    whole = whalefinder.locate(path, array())
    part = whalefinder.locate(path, array(), begin_s=4.3, end_s=60.0)
    assert len(whole) == 2 and len(part) == 1
    assert part[0].begin_s == pytest.approx(whole[1].begin_s, abs=0.05)
    assert part[0].end_s == pytest.approx(whole[1].end_s, abs=0.05)
    assert part[0].azimuth_deg == pytest.approx(whole[1].azimuth_deg, abs=0.5)
    assert abs((part[0].start_utc - whole[1].start_utc).total_seconds()) < 0.05
    assert [round(d.begin_s, 1) for d in whalefinder.locate(path, array(), end_s=4.3)] == [round(whole[0].begin_s, 1)]


@pytest.mark.parametrize(
    "begin_s, end_s, error, words",
    [
        (9.5, None, RecordingError, "lasts 9 s, which leaves nothing to hear from 9.5 s on"),
        (3.0, 2.0, OptionError, "a part from 3 s to 2 s"),
        (-1.0, None, OptionError, "begin at 0 s or later"),
    ],
)
def test_parts_that_are_none_are_refused(swim, begin_s, end_s, error, words):
    with pytest.raises(error, match=words):
        whalefinder.locate(swim[0], begin_s=begin_s, end_s=end_s)


def test_a_part_reads_the_samples_of_the_file_and_no_others(swim):
    path, _ = swim
    whole = np.concatenate(list(open_recording(path).checked_blocks()))
    samples = np.concatenate([block.T for block in open_recording(path).part(2.0, 5.5).blocks()])
    assert RATE == RATE_HZ and np.array_equal(samples, whole[2 * RATE : round(5.5 * RATE)])
