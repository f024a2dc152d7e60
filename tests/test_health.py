"""The health of an array: every kind of fault is found in sound that is made here with exact delays, and none in a good array."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from tests.helpers import RATE
from tests.plane_waves import sweep
from whalefinder.array.array_file import save_array
from whalefinder.array.geometry import HydrophoneArray, direction, great_circle_rad, tetrahedron
from whalefinder.calls.hydrophones import hearing
from whalefinder.cli import app
from whalefinder.health.correct import corrected
from whalefinder.health.findings import HOLES, REMEDIES, Finding
from whalefinder.health.monitor import Monitor, listen
from whalefinder.health.report import HealthLog, row_of_finding
from whalefinder.health.timing import Delays
from whalefinder.pipeline import locate
from whalefinder.results.tables import HEALTH_COLUMNS
from whalefinder.sound.recording import open_recording

C, SECONDS = 1490.0, 36
FIVE = np.array([[0.3, 0.1, -0.2], [-0.25, 0.2, 0.1], [0.0, -0.35, 0.15], [0.2, -0.1, 0.4], [-0.15, -0.2, -0.3]])
ARRAYS = {
    "four": HydrophoneArray(name="four", positions_m=tetrahedron(0.5), sound_speed_m_s=C),
    "five": HydrophoneArray(name="five", positions_m=FIVE, sound_speed_m_s=C),
}


def passing(array: HydrophoneArray, late_s: np.ndarray | None = None, drift: np.ndarray | None = None) -> np.ndarray:
    """Two boats that pass one after the other: noise below 4 kHz from moving directions, at exact delays, in white noise.

    Every second is made of whole spectra, with the delay of its middle; neighbouring seconds overlap by Hann's window.
    """
    rng = np.random.default_rng(11)
    late = np.zeros(array.num_channels) if late_s is None else late_s
    drift = np.zeros(array.num_channels) if drift is None else drift
    size, hop = RATE, RATE // 2
    x = rng.normal(0, 1e-3, (array.num_channels, SECONDS * RATE + size))
    hz = np.fft.rfftfreq(size, 1 / RATE)
    loud = (hz > 300) & (hz < 4000)
    for k in range(2 * SECONDS):
        t = (k + 1) / 2
        begin = 40.0 if t < SECONDS / 2 else 250.0
        u = direction(math.radians(begin + 3 * t), math.radians(-3 - t / 4))
        spectrum = np.where(loud, rng.normal(size=len(hz)) + 1j * rng.normal(size=len(hz)), 0)
        delays = array.delays_s(u) + late + drift * t
        piece = np.fft.irfft(spectrum * np.exp(-2j * np.pi * hz * delays[:, None]), size) * np.hanning(size)
        x[:, k * hop : k * hop + size] += piece * 0.01 / piece.std()
    return x[:, : SECONDS * RATE].T.copy()


@pytest.fixture(scope="module")
def good() -> tuple[HydrophoneArray, np.ndarray]:
    return ARRAYS["five"], passing(ARRAYS["five"])


def found(samples: np.ndarray, array: HydrophoneArray, tmp_path) -> list[Finding]:
    path = tmp_path / "boats.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return listen(open_recording(path, array), array).findings()


def one(found: list[Finding], kind: str) -> Finding:
    assert [finding.kind for finding in found] == [kind]
    return found[0]


def test_nothing_is_wrong_with_a_good_array(good, tmp_path):
    array, x = good
    assert found(x, array, tmp_path) == []


def test_an_inverted_hydrophone(good, tmp_path):
    array, x = good
    finding = one(found(x * [1, -1, *[1] * (array.num_channels - 2)], array, tmp_path), "polarity")
    assert finding.channels == (2,) and "channel 2 is inverted" in finding.words


@pytest.mark.parametrize("db", [-20.0, 12.0])
def test_a_gain(good, tmp_path, db):
    array, x = good
    finding = one(found(x * [10 ** (db / 20), *[1] * (array.num_channels - 1)], array, tmp_path), "gain")
    assert finding.channels == (1,) and finding.value == pytest.approx(db, abs=0.5) and finding.unit == "dB"


@pytest.mark.parametrize(("name", "samples"), [("five", -37.5), ("four", 5.0)])
def test_a_late_hydrophone(tmp_path, name, samples):
    array = ARRAYS[name]
    late = samples / RATE * (np.arange(array.num_channels) == 2)
    finding = one(found(passing(array, late), array, tmp_path), "delay")
    assert finding.channels == (3,) and finding.value == pytest.approx(samples / RATE * 1e6, abs=3.0)


@pytest.mark.parametrize(("name", "ppm"), [("four", 20.0), ("five", -50.0)])
def test_a_clock_of_its_own(tmp_path, name, ppm):
    array = ARRAYS[name]
    drift = ppm * 1e-6 * (np.arange(array.num_channels) == 1)
    finding = one(found(passing(array, drift=drift), array, tmp_path), "drift")
    assert finding.channels == (2,) and finding.value == pytest.approx(ppm, abs=2.0) and finding.unit == "ppm"


def test_swapped_channels(tmp_path):
    array = ARRAYS["five"]
    finding = one(found(passing(array)[:, [1, 0, 2, 3, 4]], array, tmp_path), "order")
    assert finding.channels == (1, 2)


def test_copies_of_one_channel(good, tmp_path):
    array, x = good
    x = x.copy()
    x[:, 3] = 0.5 * x[:, 0]
    finding = one(found(x, array, tmp_path), "copy")
    assert finding.channels == (1, 4)


@pytest.mark.filterwarnings("error")
def test_one_channel_in_all_places_leaves_nothing_to_compare(good, tmp_path):
    array, x = good
    assert [each.kind for each in found(np.repeat(x[:, :1], x.shape[1], axis=1), array, tmp_path)] == ["copy"]


@pytest.mark.parametrize("from_s", [0, 24])
def test_a_channel_that_is_or_falls_silent(good, tmp_path, from_s):
    array, x = good
    x = x.copy()
    x[from_s * RATE :, 2] = 0
    finding = one(found(x, array, tmp_path), "silent")
    assert finding.channels == (3,) and finding.from_s == pytest.approx(from_s, abs=2.0)


def test_a_channel_that_only_hisses(good, tmp_path):
    array, x = good
    x = x.copy()
    x[:, 1] = np.random.default_rng(2).normal(0, x[:, 0].std(), len(x))
    finding = one(found(x, array, tmp_path), "deaf")
    assert finding.channels == (2,)


def test_samples_that_are_lost(good, tmp_path):
    array, x = good
    x = x.copy()
    x[20 * RATE : -100, 1] = x[20 * RATE + 100 :, 1]
    finding = found(x, array, tmp_path)[0]
    assert finding.kind in ("delay", "slip") and finding.from_s == pytest.approx(20.0, abs=5.0)
    if finding.kind == "delay":
        assert finding.channels == (2,) and finding.value == pytest.approx(-100 / RATE * 1e6, abs=5.0)


def test_a_gain_that_steps(good, tmp_path):
    array, x = good
    x = x.copy()
    x[25 * RATE :, 0] *= 0.25
    findings = found(x, array, tmp_path)
    assert not any(each.always for each in findings if each.kind == "gain"), "what changed is not mended"
    finding = one([each for each in findings if each.kind != "gain"], "step")
    assert finding.channels == (1,) and finding.value == pytest.approx(-12.0, abs=1.0)
    assert finding.from_s == pytest.approx(25.0, abs=2.0)


def test_pieces_do_not_matter_much(good, tmp_path):
    """Windows are those of the clearest sound of each piece, so other pieces give other windows, and the same finding."""
    import torch

    from whalefinder.sound import spectrogram

    array, x = good
    spectra = spectrogram.stft(torch.from_numpy((x * [1, 1, -1, *[1] * (array.num_channels - 3)]).T.astype(np.float32)))
    whole, parts = Monitor(array), Monitor(array)
    whole.add(spectra, 0)
    for begin in range(0, spectra.shape[-1], 960):
        parts.add(spectra[..., begin : begin + 960], begin)
    assert [(f.kind, f.channels) for f in whole.findings()] == [(f.kind, f.channels) for f in parts.findings()]
    assert whole.time_s == pytest.approx(parts.time_s)


def test_ambient_alone_accuses_nobody(tmp_path):
    rng = np.random.default_rng(4)
    assert found(rng.normal(0, 0.01, (30 * RATE, 4)), ARRAYS["four"], tmp_path) == []


def test_late_by_gives_the_delay_of_a_plane_wave_in_closed_form():
    """A tetrahedron has no spare hydrophone: the apparent speed of sound is the only witness."""
    array = ARRAYS["four"]
    rng = np.random.default_rng(0)
    us = direction(rng.uniform(0, 2 * np.pi, 20), rng.uniform(-1, 0, 20))
    late = 70e-6 * np.eye(4)[1]
    delays = us @ -array.positions_m.T / C + late
    delays -= delays.mean(1, keepdims=True)
    made = Delays(array=array, time_s=np.arange(20.0), delays_s=delays, weight=np.tile(np.eye(4) * 1e12, (20, 1, 1)))
    roots = made.late_by(1)
    assert np.abs(roots - 70e-6).min(axis=1).max() < 1e-9
    assert made.distance(delays - late).max() < 1e-3 < made.distance(delays).max()


def test_every_kind_has_words_and_a_remedy():
    for kind in REMEDIES:
        finding = Finding(kind=kind, channels=(1, 2), from_s=1.0, to_s=9.0, value=3.0, unit="dB", seen=4, of=5)
        where = ["in 4 places from 1.0 to 9.0 s"] if kind in HOLES else ["channels 1 and 2", "4 of 5"]
        assert all(words in finding.words for words in where) and finding.remedy
        assert tuple(row_of_finding("a.wav", finding)) == HEALTH_COLUMNS


def test_a_finding_is_said_once():
    finding = Finding(kind="polarity", channels=(2,), from_s=0, to_s=9, seen=4, of=5)
    log = HealthLog()
    assert len(log.add("a.wav", [finding])) == 1 and log.add("b.wav", [finding]) == []
    assert [row["recording"] for row in log.rows] == ["a.wav", "b.wav"], "the table has both"


@pytest.fixture
def folder(tmp_path):
    array = ARRAYS["four"]
    save_array(array, tmp_path / "array.toml")
    x = passing(array)[: 20 * RATE]
    soundfile.write(tmp_path / "good.wav", x, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "bad.wav", x * [1, 1, 1, -1], RATE, subtype="FLOAT")
    (tmp_path / "empty.wav").write_bytes(b"")
    return tmp_path


def test_check_reports_recordings(folder):
    out = folder / "out"
    names = [str(folder / name) for name in ("good.wav", "bad.wav", "empty.wav")]
    run = CliRunner().invoke(app, ["check", *names, "--array", str(folder / "array.toml"), "--out", str(out)])
    assert run.exit_code == 1, "one file is empty"
    with (out / "health.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["recording"], row["kind"], row["channels"]) for row in rows] == [("bad.wav", "polarity", "4")]
    assert (out / "good-health.png").exists() and (out / "bad-health.png").exists()
    assert "channel 4" in " ".join(run.output.split())


def test_check_of_a_recording_without_array_says_what_is_missing(folder):
    run = CliRunner().invoke(app, ["check", str(folder / "good.wav")])
    assert run.exit_code == 1 and "--array" in run.output


def test_locate_warns_and_writes_the_health(folder):
    out = folder / "found"
    line = ["locate", str(folder / "bad.wav"), "-a", str(folder / "array.toml"), "-o", str(out), "--no-pictures"]
    run = CliRunner().invoke(app, [*line, "--format", "parquet"])
    assert run.exit_code == 0, run.output
    assert "channel 4 is inverted" in " ".join(run.output.split())
    with (out / "detections.csv").open(encoding="utf-8") as file:
        assert all("channel 4" in row["remark"] for row in csv.DictReader(file) if row["azimuth_deg"])
    assert (out / "health.parquet").exists() and "polarity" in (out / "health.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("fault", ["polarity", "gain", "delay", "order"])
def test_what_is_mended_is_found_in_order_afterwards(fault, tmp_path):
    array = ARRAYS["five"]
    late = 5 / RATE * (np.arange(5) == 2)
    x = passing(array, late if fault == "delay" else None)
    x = {"polarity": x * [1, 1, -1, 1, 1], "gain": x * [1, 1, 0.2, 1, 1], "order": x[:, [2, 1, 0, 3, 4]]}.get(fault, x)
    path = tmp_path / "boats.wav"
    soundfile.write(path, x, RATE, subtype="FLOAT")
    recording = open_recording(path, array)
    findings = listen(recording, array).findings()
    better, used, mended = corrected(recording, array, findings)
    assert [finding.kind for finding in mended] == [fault]
    assert listen(better, used).findings() == []


def test_what_changes_in_the_middle_is_not_mended(tmp_path):
    array = ARRAYS["five"]
    finding = Finding(kind="delay", channels=(2,), from_s=20, to_s=40, value=100.0, unit="µs", always=False)
    path = tmp_path / "boats.wav"
    soundfile.write(path, np.zeros((RATE, 5)) + 0.1, RATE)
    recording = open_recording(path, array)
    assert corrected(recording, array, [finding]) == (recording, array, [])


def test_locate_corrects_when_asked(folder):
    line = [
        "locate",
        str(folder / "bad.wav"),
        "-a",
        str(folder / "array.toml"),
        "-o",
        str(folder / "right"),
        "--correct",
    ]
    run = CliRunner().invoke(app, [*line, "--no-pictures"])
    assert run.exit_code == 0 and "corrected: bad.wav: channel 4 is inverted" in " ".join(run.output.split())
    assert len((folder / "right" / "health.csv").read_text(encoding="utf-8").splitlines()) == 1, "in order now"


def test_gain_and_order_are_mended_together(tmp_path):
    """The channels of hydrophones 1 and 2 are swapped, and that of hydrophone 2, now first, is inverted."""
    array = ARRAYS["five"]
    path = tmp_path / "boats.wav"
    soundfile.write(path, passing(array)[:, [1, 0, 2, 3, 4]] * [-1, 1, 1, 1, 1], RATE, subtype="FLOAT")
    recording = open_recording(path, array)
    better, used, mended = corrected(recording, array, listen(recording, array).findings())
    assert {finding.kind for finding in mended} == {"polarity", "order"} and better.labels == (2, 1, 3, 4, 5)
    assert listen(better, used).findings() == []


def test_sensitivities_are_no_fault(good, tmp_path):
    array, x = good
    known = replace(array, sensitivity_db=(-170.0, -180.0, -170.0, -170.0, -170.0))
    assert found(x * [1, 10**-0.5, 1, 1, 1], known, tmp_path) == []


def test_an_inverted_channel_that_is_silent_for_some_seconds(good, tmp_path):
    array, x = good
    x = x * [1, 1, -1, 1, 1]
    x[10 * RATE : 14 * RATE, 2] = 0
    assert {finding.kind for finding in found(x, array, tmp_path)} == {"silent", "polarity"}


def test_times_count_from_the_start_of_the_recording(folder):
    out = folder / "part"
    line = ["locate", str(folder / "bad.wav"), "-a", str(folder / "array.toml"), "-o", str(out), "--start", "6"]
    run = CliRunner().invoke(app, [*line, "--no-pictures"])
    assert run.exit_code == 0, run.output
    with (out / "health.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["from_s"]) >= 6 and f"from {float(row['from_s']):.0f} to" in row["finding"]


@pytest.mark.parametrize(("array", "left"), [(True, [2]), (False, [0, 2, 3])])
def test_copies_over_a_minute(array, left):
    """Rounding of 3 million samples is no difference, and two groups of copies are not one."""
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(0, 0.1, (3, 70 * RATE)).astype(np.float32)
    assert hearing(np.stack([a, 0.37 * a, b, c, -c]), array=array).tolist() == left


@pytest.mark.parametrize("fault", ["inverted", "late", "drifting"])
def test_bearings_go_on_without_a_channel_that_is_not_in_order(fault, tmp_path):
    """A call while boats pass: with the faulty channel the bearing is wrong, without it right."""
    array, u = ARRAYS["five"], direction(math.radians(130.0), math.radians(-12.0))
    own = np.arange(5) == 2
    late = {"late": 9 / RATE * own}.get(fault)
    drift = {"drifting": 40e-6 * own}.get(fault)
    x = passing(array, late, drift)
    at_s = 31.0
    delays = array.delays_s(u) + (0 if late is None else late) + (0 if drift is None else drift * at_s)
    t = np.arange(len(x)) / RATE
    x = x + 0.05 * np.stack([sweep(t - at_s - d) for d in delays], axis=1)
    x = x * np.where(own, -1.0, 1.0) if fault == "inverted" else x
    path = tmp_path / "call.wav"
    soundfile.write(path, x, RATE, subtype="FLOAT")
    call = max(locate(path, array, all_events=True), key=lambda row: min(row.end_s, 31.8) - max(row.begin_s, 31.0))
    v = direction(math.radians(call.azimuth_deg), math.radians(call.elevation_deg))
    assert math.degrees(great_circle_rad(u, v)) < 1.0
    assert "channel 3" in call.bearing.remark
