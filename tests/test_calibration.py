"""Calibration by boats: exact delays give the true array back, posteriors cover, and what cannot be known is said."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import soundfile
from scipy import optimize, stats
from typer.testing import CliRunner

from tests.helpers import RATE, array, noise, write
from whalefinder.array.array_file import load_array, save_array
from whalefinder.array.geometry import attitude, direction, great_circle_rad, plane_wave_delays
from whalefinder.calibration.boats import Boat, load_boats, metres_from, place_of
from whalefinder.calibration.calibrate import calibrate
from whalefinder.calibration.model import Model, State
from whalefinder.calibration.observed import bearing_error_deg
from whalefinder.calibration.priors import Errors, surface_aims, surface_elevation
from whalefinder.calibration.run import calibrate_recordings
from whalefinder.calibration.solve import best_directions, first_directions, solve
from whalefinder.calibration.sounds import Sounds
from whalefinder.cli import app
from whalefinder.errors import ArrayError, OptionError, RecordingError
from whalefinder.health.correct import corrected
from whalefinder.health.findings import Finding
from whalefinder.sound.recording import open_recording

STATED = replace(array(), position_error_m=5e-3, timing_error_s=5e-6, sound_speed_error_m_s=5.0)
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def sounds_of(delays, noise_s=1e-6, time_s=None):
    """Sounds with these delays `[sound, channel]`, whose information is that of independent errors."""
    count, channels = delays.shape
    time_s = np.arange(count) * 1e4 if time_s is None else time_s  # so far apart that every boat is another one
    return Sounds(
        time_s=time_s, own_s=time_s, utc=tuple(NOON + timedelta(seconds=float(s)) for s in time_s),
        recording=("boats.wav",) * count, delays_s=delays - delays.mean(1, keepdims=True),
        information=np.repeat((np.eye(channels) - 1 / channels)[None] / noise_s**2, count, axis=0),
        gains=np.ones_like(delays), coherence=np.ones(count),
    )  # fmt: skip


def drawn(rng, file=STATED, count=30, noise_s=1e-6):
    """A true array near its file, and sounds of boats drawn from the priors. → places, late, sound speed, u, sounds."""
    places = file.positions_m + file.position_error_m * rng.standard_normal(file.positions_m.shape)
    late = file.timing_error_s * rng.standard_normal(file.num_channels)
    speed = file.sound_speed_m_s + file.sound_speed_error_m_s * rng.standard_normal()
    mean, sd = surface_elevation(file)
    u = direction(rng.uniform(0, 2 * np.pi, count), rng.normal(mean, sd, count))
    delays = plane_wave_delays(places, u, speed) + late
    return places, late, speed, u, sounds_of(delays + noise_s * rng.standard_normal(delays.shape), noise_s)


def test_the_derivatives_are_those_of_the_residuals():
    rng = np.random.default_rng(1)
    *_, u, sounds = drawn(rng, count=6)
    aims = replace(surface_aims(STATED, sounds.time_s, u), azimuth_sd_rad=np.full(6, 0.1))
    root = np.tile(np.eye(4) * 1e5, (6, 1, 1))
    model = Model(
        array=STATED, errors=Errors.of(STATED), aims=aims, delays_s=sounds.delays_s, root=root, with_heading=True
    )
    aims.azimuth_rad[:] = np.arctan2(u[:, 0], u[:, 1])
    at = State(shift_m=rng.normal(0, 0.01, (4, 3)), late_s=rng.normal(0, 1e-5, 4), log_speed=0.01, heading_rad=0.3, u=u)
    x = model.vector(at)
    x[model.shared :] = rng.normal(0, 1e-6, 12)  # the azimuth's factor cos(elevation) is taken as constant
    scale = np.concatenate([model.prior_sd, np.full(12, 1e-2)])
    slope = optimize.approx_fprime(x / scale, lambda y: model.residuals(y * scale, at), 1e-7)
    assert np.allclose(slope, model.jacobian(x, at) * scale, atol=1e-4 * np.abs(slope).max())


def test_posterior_errors_cover_the_truth():
    """(x - x̂)ᵀ P⁻¹ (x - x̂) is χ² with as many degrees of freedom as unknowns, if truth and sounds follow the priors."""
    rng = np.random.default_rng(2)
    distance, inside = [], []
    for _ in range(12):
        places, late, speed, _, sounds = drawn(rng)
        u = first_directions(sounds, STATED, surface_elevation(STATED))
        found = solve(sounds, STATED, Errors.of(STATED), surface_aims(STATED, sounds.time_s, u), u, noise_s=1e-9)
        true = np.concatenate([(places - STATED.positions_m).ravel(), late, [np.log(speed / STATED.sound_speed_m_s)]])
        off = true - found.model.vector(found.state)[: len(true)]
        distance.append(off @ np.linalg.solve(found.covariance, off))
        inside.append(np.abs(off) < np.sqrt(np.diag(found.covariance)))
    low, high = stats.chi2.interval(0.998, 12 * len(true))
    assert low < sum(distance) < high
    assert 0.6 < np.mean(inside) < 0.76  # 0.683 for a normal distribution


def test_bearings_become_as_good_as_stated():
    rng = np.random.default_rng(3)
    before, after, stated = [], [], []
    for _ in range(7):
        places, late, speed, _, sounds = drawn(rng)
        found = calibrate(sounds, STATED)
        u = direction(rng.uniform(0, 2 * np.pi, 40), rng.uniform(-0.4, 0.0, 40))
        calls = sounds_of(plane_wave_delays(places, u, speed) + late)
        for errors, each in ((before, STATED), (after, found.after)):
            errors.append(np.degrees(great_circle_rad(u, best_directions(calls, each, 1e-7, u)[0])))
        stated.append(bearing_error_deg(found.solution)[1])
        assert found.after.position_error_m < 5e-3 and found.after.timing_error_s < 4e-6
    assert np.median(after) < 0.5 * np.median(before)
    each = np.sqrt(np.mean(np.square(after), axis=1))
    assert np.median(each) == pytest.approx(np.mean(stated), rel=0.4)


def observed(found):
    return {each.name: each.observed for each in found.quantities}


def test_what_cannot_be_observed_is_said():
    rng = np.random.default_rng(4)
    *_, sounds = drawn(rng, count=60, noise_s=2e-7)
    seen = observed(calibrate(sounds, STATED))
    assert not any(seen[name] for name in ("heading", "origin", "delay of all channels"))
    assert seen["places, level"] and seen["size / sound speed"] and seen["tilt"]
    assert not observed(calibrate(sounds, replace(STATED, depth_m=None)))["tilt"]
    # Places times k and sound speed times k give the same delays: the less certain of the two takes up the difference.
    vague = replace(STATED, sound_speed_error_m_s=40.0)
    found = {each.name: each for each in calibrate(drawn(rng, vague, 60, 2e-7)[-1], vague).quantities}
    assert found["sound speed"].observed and not found["size"].observed


def test_boats_on_one_side_leave_the_rest_open():
    rng = np.random.default_rng(5)
    u = direction(rng.uniform(0.0, np.radians(40), 40), rng.normal(0.01, 0.01, 40))
    found = calibrate(sounds_of(STATED.delays_s(u)), STATED)
    round_ = calibrate(drawn(rng, count=40)[-1], STATED)
    assert found.combinations[0] < round_.combinations[0]
    assert bearing_error_deg(found.solution)[1] > 1.3 * bearing_error_deg(round_.solution)[1]


def crossing(rng, count=3):
    """Boats that pass in ten minutes: tracks without error."""
    fixes = NOON.timestamp() + np.arange(-60.0, 660.0, 10.0)
    boats = []
    for number in range(count):
        turn, nearest = rng.uniform(0, 2 * np.pi), rng.uniform(60, 200)
        along, across = np.array([np.cos(turn), -np.sin(turn)]), np.array([np.sin(turn), np.cos(turn)])
        away = 5.0 * (fixes - NOON.timestamp() - 100 - 200 * number)
        boats.append(Boat(name=f"boat {number}", time_s=fixes, place_m=away[:, None] * along + nearest * across))
    return boats


def test_a_track_shows_the_heading():
    rng = np.random.default_rng(6)
    boats = crossing(rng)
    time_s = np.linspace(5, 595, 60)
    where = np.stack([boat.heard_at(NOON.timestamp() + time_s, 1490.0) for boat in boats], axis=1)
    pick = np.linalg.norm(where, axis=2).argmin(1)  # the nearest is the loudest
    places = where[np.arange(60), pick]
    u = np.concatenate([places, np.full((60, 1), 0.7)], axis=1)
    u = np.array(u) / np.linalg.norm(u, axis=1, keepdims=True)
    turned = replace(STATED, positions_m=STATED.positions_m @ attitude(-23.0, 0.0, 0.0).T)
    found = calibrate(sounds_of(STATED.delays_s(u), 1e-6, time_s), turned, boats)
    heading = next(each for each in found.quantities if each.name == "heading")
    assert heading.observed and heading.after < 2.0
    assert found.heading_deg == pytest.approx(23.0, abs=1.0)
    assert np.abs(found.after.positions_m - STATED.positions_m).max() < 3e-3
    assert [name for name in found.boat if name] == [
        boats[b].name for b, name in zip(pick, found.boat, strict=True) if name
    ]
    assert np.mean([bool(name) for name in found.boat]) > 0.6
    with pytest.raises(RecordingError, match="start is unknown"):
        calibrate(replace(sounds_of(STATED.delays_s(u)), utc=(None,) * 60), STATED, boats)
    with pytest.raises(OptionError, match="check the dates"):
        calibrate(sounds_of(STATED.delays_s(u), time_s=time_s + 1e6), STATED, boats)


def recording(folder, places, late, speed, gain_db=(0.0,) * 4):
    """Half seconds of noise from all round, with delays that are exact in the frequency domain, as a file."""
    rng = np.random.default_rng(7)
    hz = np.fft.rfftfreq(48 * 512, 1 / RATE)
    pieces = []
    for azimuth in np.arange(0.0, 2 * np.pi, 2 * np.pi / 24):
        delays = plane_wave_delays(places, direction(azimuth, float(rng.normal(0.01, 0.005))), speed) + late
        spectrum = np.fft.rfft(rng.standard_normal(48 * 512)) * np.exp(-2j * np.pi * hz * delays[:, None])
        heard = np.fft.irfft(spectrum) * 10 ** (np.array(gain_db)[:, None] / 20)
        pieces.append(heard + 0.1 * rng.standard_normal(heard.shape))
    samples = 0.1 * np.concatenate(pieces, axis=1)
    return write(folder / "boats.wav", samples.T, subtype="FLOAT")


def test_sound_with_exact_delays_gives_the_array_back(tmp_path):
    rng = np.random.default_rng(8)
    places, late, speed, _, _ = drawn(rng)
    gain_db = np.array([0.6, -0.4, -0.3, 0.1])
    path = recording(tmp_path, places, late, speed, gain_db)
    save_array(STATED, tmp_path / "array.toml")
    text = (tmp_path / "array.toml").read_text()
    code = CliRunner().invoke(
        app, ["calibrate", str(path), "-a", str(tmp_path / "array.toml"), "-o", str(tmp_path / "new")]
    )
    assert code.exit_code == 0, code.output
    said = " ".join(code.output.split())
    assert "heading │ not observed" in said and "without a track" in said and "new array file" in said
    assert (tmp_path / "array.toml").read_text() == text
    new = load_array(tmp_path / "new" / "array.toml")
    assert new.gain_db == pytest.approx(gain_db, abs=0.05)
    assert new.lead_s is not None and new.timing_error_s < 5e-6 and new.position_error_m < 5e-3
    # Turned by what no sound can tell, the places are the true ones.
    u = direction(np.radians(np.arange(0, 360, 15)), np.zeros(24))
    calls = sounds_of(plane_wave_delays(places, u, speed) + late)
    found, left = best_directions(calls, new, 1e-7, u)
    azimuth = np.degrees(np.arctan2(found[:, 0], found[:, 1]) - np.arctan2(u[:, 0], u[:, 1]))
    azimuth = (azimuth + 180) % 360 - 180
    assert np.std(azimuth) < 0.1 and np.abs(left).max() < 1e-6
    again = CliRunner().invoke(
        app, ["calibrate", str(path), "-a", str(tmp_path / "array.toml"), "-o", str(tmp_path / "new")]
    )
    assert again.exit_code == 1 and "exists already" in again.output
    header, *rows = (tmp_path / "new" / "calibration.csv").read_text().splitlines()
    assert header.startswith("recording,time_s,boat,azimuth_deg") and len(rows) >= 20


def test_sounds_that_fit_nothing_are_left_out():
    rng = np.random.default_rng(9)
    *_, sounds = drawn(rng, count=40)
    spoilt = sounds.delays_s.copy()
    spoilt[::8] += 5e-5 * rng.standard_normal((5, 4))
    found = calibrate(replace(sounds, delays_s=spoilt - spoilt.mean(1, keepdims=True)), STATED)
    assert (found.solution.weight[::8] == 0).sum() >= 4
    clean = calibrate(sounds, STATED)
    assert np.abs(found.after.positions_m - clean.after.positions_m).max() < 2e-3


def test_what_cannot_be_calibrated_is_refused(tmp_path):
    *_, u, sounds = drawn(np.random.default_rng(10))
    with pytest.raises(RecordingError, match="record while boats pass"):
        calibrate(sounds.chosen(np.arange(5)), STATED)
    with pytest.raises(RecordingError, match="one direction"):
        calibrate(sounds_of(STATED.delays_s(direction(np.radians(40 + np.arange(30) / 10), np.zeros(30)))), STATED)
    with pytest.raises(ArrayError, match="3 are needed"):
        calibrate(sounds, STATED.of([0, 1]))
    with pytest.raises(ArrayError, match="can be calibrated"):
        calibrate(sounds, replace(STATED, positions_m=20 * STATED.positions_m))
    late = np.zeros((30, 4))
    late[::2, 1] = 1e-4  # half of the time: no array explains it
    with pytest.raises(ArrayError, match="hear it with"):
        calibrate(sounds_of(STATED.delays_s(u) + late, 1e-7), STATED)
    save_array(STATED, tmp_path / "array.toml")
    silent = write(tmp_path / "wind.wav", noise(4, 4.0))
    with pytest.raises(RecordingError, match="0 clear sounds"):
        calibrate_recordings([silent], tmp_path / "array.toml", tmp_path / "out")
    mono = tmp_path / "mono.wav"
    soundfile.write(mono, noise(1, 4.0)[:, 0], RATE)
    with pytest.raises(RecordingError, match="1 channel"):
        calibrate_recordings([mono], tmp_path / "array.toml", tmp_path / "out")
    with pytest.raises(OptionError, match="give a folder"):
        calibrate_recordings([silent], tmp_path / "array.toml", tmp_path / "new.toml")
    with pytest.raises(OptionError, match="holds the array file itself"):
        calibrate_recordings([silent], tmp_path / "array.toml", tmp_path)


TRACK = "time,boat,east_m,north_m\n2026-07-01T12:00:00Z,A,100,200\n2026-07-01T12:01:00Z,A,160,200\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column time"),
        (TRACK.replace("time", "when"), "no column time; the columns are when, boat"),
        (TRACK.replace("north_m", "n"), "no places"),
        (TRACK.replace("160", "far"), "line 3: east_m = 'far'"),
        (TRACK.replace("12:01:00", "12:61:00"), "line 3: '2026-07-01T12:61:00Z' is no time"),
        (TRACK.splitlines()[0], "holds no fixes"),
        (TRACK.replace("12:01", "12:00"), "A is at two places at 2026-07-01T12:00:00Z"),
        ("time,lat,lon\n2026-07-01T12:00:00Z,48.5,-123\n", "give those of the array with `place`"),
    ],
)
def test_broken_tracks_are_told_in_one_line(tmp_path, text, message):
    path = tmp_path / "track.csv"
    path.write_text(text)
    with pytest.raises(OptionError) as said:
        load_boats(path)
    assert message in str(said.value) and "\n" not in str(said.value)


def test_tracks_are_read_in_metres_and_in_degrees(tmp_path):
    path = tmp_path / "track.csv"
    path.write_text(TRACK.replace(",", ";"))
    (boat,) = load_boats(path)
    assert boat.at(NOON.timestamp() + np.array([30.0, -1.0]))[0] == pytest.approx([130.0, 200.0])
    assert np.isnan(boat.at(NOON.timestamp() + np.array([-1.0]))).all()
    # A minute of latitude on the ellipsoid is 1842.9 m at the equator and 1861.6 m at 90° (Bowditch, tables).
    assert metres_from((0.0, 10.0), (1 / 60, 10.0)) == pytest.approx((0.0, 1842.9), abs=0.1)
    assert metres_from((89.99, 0.0), (89.99 + 1 / 60, 0.0))[1] == pytest.approx(1861.6, abs=0.1)
    path.write_text(
        "utc;lat;lon;mmsi\n2026-07-01 12:00:00;48.5158;-123.1528;1\n2026-07-01 12:00:10;48.5158;-123.1514;1\n"
    )
    (boat,) = load_boats(path, place_of("48.5158,-123.1528"))
    # A degree of longitude at 48.5158° is 73,887 m: 111,320 m · cos φ, and 0.19 % more for the flattening.
    assert boat.place_m[1] == pytest.approx([0.0014 * 111_320 * np.cos(np.radians(48.5158)) * 1.0019, 0.0], abs=0.05)
    with pytest.raises(OptionError, match="latitude and longitude"):
        place_of("48.5 N")


def test_delays_of_the_array_file_add_to_those_that_are_mended(tmp_path):
    file = replace(STATED, lead_s=(-2e-6, 0.0, 0.0, 0.0))
    heard = open_recording(write(tmp_path / "a.wav", noise(4, 0.5)), file)
    late = Finding(kind="delay", channels=(2,), from_s=0.0, to_s=1.0, value=10.0, unit="µs")
    assert corrected(heard, file, [late])[1].lead_s == pytest.approx((-2e-6, -1e-5, 0.0, 0.0))
    order = Finding(kind="order", channels=(1, 3), from_s=0.0, to_s=1.0, order=(3, 2, 1, 4))
    assert corrected(heard, file, [order])[1].lead_s == pytest.approx(
        (0.0, 0.0, -2e-6, 0.0)
    )  # it moves with its channel


def test_the_array_file_keeps_delays_and_gains(tmp_path):
    file = replace(STATED, lead_s=(-2e-6, 0.0, 1e-6, 1e-6), gain_db=(1.0, -1.0, 0.5, -0.5))
    save_array(file, tmp_path / "array.toml")
    assert "delay_s = 2e-06" in (tmp_path / "array.toml").read_text()
    read = load_array(tmp_path / "array.toml")
    assert read.lead_s == file.lead_s and read.gain_db == file.gain_db
    u = direction(1.0, -0.2)
    assert read.delays_s(u) - array().delays_s(u) == pytest.approx([2e-6, 0.0, -1e-6, -1e-6])  # late by δ
    assert 20 * np.log10(read.relative_gain()) == pytest.approx([-1.0, 1.0, -0.5, 0.5], abs=1e-5)
    assert read.of([2, 0]).gain_db == (0.5, 1.0)
    (tmp_path / "bad.toml").write_text((tmp_path / "array.toml").read_text().replace("2e-06", "2.0"))
    with pytest.raises(ArrayError, match=r"delay_s = 2\.0"):
        load_array(tmp_path / "bad.toml")
