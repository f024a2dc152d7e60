"""The command line: every kind of bad input gives one clear line, a non-zero exit, and keeps the rest."""

import csv
import errno
import math
import os
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.helpers import array, noise, write
from tests.outputs import sweep
from whalefinder.array.array_file import load_array, save_array
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.cli import app
from whalefinder.cli.common import seconds_of
from whalefinder.errors import ArrayError, OptionError
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.weights import save_network
from whalefinder.pages.report import read_results
from whalefinder.results import tables
from whalefinder.results.formats import read_rows
from whalefinder.results.records import Bearing, Detection
from whalefinder.results.schema import DETECTIONS, RECORDINGS
from whalefinder.words import rounded

runner = CliRunner()


def run(*arguments):
    result = runner.invoke(app, [str(a) for a in arguments])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", result.output)
    assert "Traceback" not in plain
    return result.exit_code, plain


@pytest.fixture
def toml(tmp_path):
    save_array(array(), tmp_path / "array.toml")
    return tmp_path / "array.toml"


def test_help_has_examples_for_every_command():
    for command in (
        ["locate"],
        ["check"],
        ["plan"],
        ["place-array"],
        ["simulate"],
        ["demo"],
        ["import-array"],
        ["calibrate"],
        ["train", "segmenter"],
        ["train", "regressor"],
        ["train", "tracker"],
        ["train", "classifier"],
        ["train", "trunk"],
    ):
        code, text = run(*command, "--help")
        assert code == 0 and "Example" in text and f"whalefinder {' '.join(command)}" in text


def test_check_draws_and_says(toml):
    code, text = run("check", toml)
    assert code == 0 and "unique: azimuth and elevation" in text and "1490 Hz" in text
    assert toml.with_suffix(".png").stat().st_size > 10_000


def test_simulate_then_locate(tmp_path):
    sea, out = tmp_path / "sea", tmp_path / "out"
    code, text = run("simulate", "--out", sea, "--seconds", 8, "--calls", 1, "--boats", 0, "--snr", 20, "--seed", 3)
    assert code == 0 and "1 call, 0 boats, 8 s" in text
    code, text = run(
        "locate",
        sea / "simulated.wav",
        "--array",
        sea / "array.toml",
        "--out",
        out,
        "--format",
        "csv,json,raven,parquet,dcase",
    )
    assert code == 0 and "1 call in 8 s of 1 recording →" in text
    with (out / "detections.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (sea / "truth.csv").open() as file:
        truth = next(csv.DictReader(file))
    assert len(rows) == 1 and abs(float(rows[0]["azimuth_deg"]) - float(truth["azimuth_deg"])) < 1.0
    assert {p.name for p in out.iterdir()} == {
        "detections.csv", "tracks.csv", "recordings.csv", "detections.json", "detections.parquet", "health.csv", "health.parquet",
        "simulated.png", "simulated.selections.txt", "simulated.dcase.csv",
    }  # fmt: skip


def test_one_bad_file_does_not_end_the_batch(tmp_path, toml):
    good = write(tmp_path / "good_20260701_120000.wav", noise(4, 2.0), subtype="FLOAT")
    (tmp_path / "empty.wav").write_bytes(b"")
    code, text = run(
        "locate", tmp_path / "empty.wav", good, tmp_path / "missing.wav", "-a", toml, "-o", tmp_path / "out"
    )
    assert code == 1
    assert "empty.wav: is empty (0 bytes)" in text and "missing.wav: no such file" in text and "2 problems" in text
    assert (tmp_path / "out" / "good_20260701_120000.png").exists()


def test_locate_takes_another_classifier(tmp_path, toml):
    """One whose weights are all nought is sure of nothing: with --all the event has a probability of a quarter."""
    network = Classifier(widths=(4, 8))
    for weights in network.parameters():
        torch.nn.init.zeros_(weights)
    save_network(network, tmp_path / "own.safetensors", {})
    sound = sweep(8.0, [3.0])
    path = write(tmp_path / "a_20260701_120000.wav", sound[:, None], 16_000)
    out = tmp_path / "out"
    code, text = run("locate", path, "-o", out, "--all", "--no-pictures", "--classifier", tmp_path / "own.safetensors")
    assert code == 0, text
    rows = read_rows(out / "detections.csv", DETECTIONS)
    assert rows and all(row["probability"] == pytest.approx(0.25, abs=0.01) for row in rows)
    code, text = run("locate", path, "-o", out, "--classifier", tmp_path / "none.safetensors")
    assert code == 1 and "none.safetensors: no such file" in text


def test_the_demo_has_one_line_a_call_at_eighty_columns(tmp_path, monkeypatch):
    truth, found = [], []
    for k, azimuth in enumerate((359.99, 180.0, 5.0)):
        common = {"begin_s": 10.0 * k, "end_s": 10.0 * k + 1}
        truth.append(SimpleNamespace(**common, sir_db=-12.0, azimuth_deg=azimuth, elevation_deg=-80.0))
        bearing = Bearing(azimuth_deg=azimuth, azimuth_sd_deg=10.0, elevation_deg=-80.0, elevation_sd_deg=10.0)
        found.append(
            Detection(
                recording="a.wav", **common, start_utc=None, low_hz=1e3, high_hz=2e3, label="orca", probability=0.9,
                snr_db=0.0, bearing=bearing,
            )
        )  # fmt: skip
    monkeypatch.setattr("whalefinder.demo.run", lambda out: (truth, found[:2]))
    code, text = run("demo", "--out", tmp_path)
    lines = [line for line in text.splitlines() if line.startswith("│")]
    assert code == 0 and len(lines) == 3 and max(map(len, text.splitlines())) <= 80
    assert "359.99 ± 10.00" in lines[0] and "0.00" in lines[1] and "missed" in lines[2]


@pytest.mark.parametrize(
    "text, seconds", [("90", 90), ("1.5", 1.5), ("1:30", 90), ("1:02:03.5", 3723.5), ("100:00:00", 360_000)]
)
def test_times_are_seconds_or_clock(text, seconds):
    assert seconds_of(text, "--start") == seconds


@pytest.mark.parametrize("text", ["", "abc", "-3", "1:60", "1:75:00", "1:2:3:4", "1h"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(OptionError, match="give seconds, mm:ss or hh:mm:ss"):
        seconds_of(text, "--start")


def test_a_part_of_a_recording(tmp_path):
    """Tables, picture and page: everything has the times of the whole, and counts the part alone."""
    sea, out = tmp_path / "sea", tmp_path / "out"
    run("simulate", "--out", sea, "--seconds", 16, "--calls", 2, "--boats", 0, "--snr", 20, "--seed", 3)
    (sea / "simulated.wav").rename(sea / "s_20260701_120000.wav")
    with (sea / "truth.csv").open() as file:
        truth = [float(row["begin_s"]) for row in csv.DictReader(file)]
    begin = (truth[0] + truth[1]) / 2
    code, text = run("locate", sea / "s_20260701_120000.wav", "-a", sea / "array.toml", "-o", out, "--start", begin)
    assert code == 0 and f"1 call in {rounded(16 - begin)} s of 1 recording" in text
    (row,) = read_rows(out / "detections.csv", DETECTIONS)
    assert row["begin_s"] == pytest.approx(truth[1], abs=0.3)
    assert row["start_utc"].startswith(f"2026-07-01T12:00:{math.floor(row['begin_s']):02d}.")
    (heard,) = read_rows(out / "recordings.csv", RECORDINGS)
    assert (heard["duration_s"], heard["heard_from_s"], heard["heard_to_s"]) == (16, pytest.approx(begin), 16)
    assert (out / "s_20260701_120000.png").exists()
    assert read_results(out).hours == pytest.approx((16 - begin) / 3600)
    code, text = run("locate", sea / "s_20260701_120000.wav", "-o", out, "--start", "2:00", "--end", "3:00")
    assert code == 1 and "lasts 16 s, which leaves nothing to hear from 120 s on" in text
    code, text = run("locate", sea / "s_20260701_120000.wav", "-o", out, "--end", "noon")
    assert code == 1 and "--end 'noon' is no time" in text


def test_names_without_a_time_are_said_once(tmp_path, toml):
    files = [write(tmp_path / f"night{k}.wav", noise(4, 1.0), subtype="FLOAT") for k in range(3)]
    dated = write(tmp_path / "a_20260701_120000.wav", noise(4, 1.0), subtype="FLOAT")
    code, text = run("locate", *files, dated, "-a", toml, "-o", tmp_path / "out", "--no-pictures")
    assert code == 0 and text.count("no start time") == 1
    assert "3 recordings have no start time in the name, for example night0.wav" in text
    assert "unless you give --time-format" in text.replace("\n", " ")
    assert "no start time" not in run("locate", dated, "-a", toml, "-o", tmp_path / "out", "--no-pictures")[1]


def bad_samples(kind):
    samples = noise(4, 2.0)
    if kind == "silent":
        samples[:] = 0
    elif kind == "nan":
        samples[5000, 1] = np.nan
    elif kind == "clipped":
        samples = np.clip(samples * 500, -1, 1)
    elif kind == "constant":
        samples[:, 2] = 0.1
    elif kind == "three channels":
        samples = samples[:, :3]
    return samples


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("silent", "silent, every sample is 0; check"),
        ("nan", "not a number at 0.104 s on channel 2"),
        ("clipped", "is clipped in"),
        ("constant", "channel 3 is constant"),
        (
            "three channels",
            "3 channels, but array 'tetrahedron' describes 4 (4 hydrophones, 0 unused); is it the right array?",
        ),
    ],
)
def test_bad_sound_is_named_and_the_exit_is_not_zero(tmp_path, toml, kind, message):
    path = write(tmp_path / "bad_20260701_120000.wav", bad_samples(kind), subtype="FLOAT")
    code, text = run("locate", path, "-a", toml, "-o", tmp_path / "out")
    assert code == 1 and message in text.replace("\n", " ")
    # What cannot be opened leaves nothing behind, so that the corrected command finds no results of its own mistake.
    assert (tmp_path / "out" / "detections.csv").exists() == (kind != "three channels")


def test_a_truncated_file_keeps_what_was_read(tmp_path, toml):
    path = write(tmp_path / "cut_20260701_120000.flac", noise(4, 8.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, text = run("locate", path, "-a", toml, "-o", tmp_path / "out")
    assert code == 1 and "kept" in text and (tmp_path / "out" / "cut_20260701_120000.png").exists()


def test_bad_options_and_array_files(tmp_path, toml):
    path = write(tmp_path / "a.wav", noise(4, 1.0), subtype="FLOAT")
    assert "not a TOML file" in run("locate", path, "-a", path, "-o", tmp_path / "o")[1]
    assert run("locate", path, "--format", "xml", "-o", tmp_path / "o")[0] == 1
    assert "'xml' is unknown" in run("locate", path, "--format", "xml", "-o", tmp_path / "o")[1]
    code, text = run("locate", path, "--segmenter", tmp_path / "none.safetensors", "-o", tmp_path / "o")
    assert code == 1 and "none.safetensors: no such file" in text


def test_a_channel_map_that_skips_a_phone(tmp_path):
    skipping = HydrophoneArray(
        name="skip", positions_m=[[0, 0, 0], [1, 0, 0], [0, 1, 0]], sound_speed_m_s=1480.0, channels=(0, 1, 3)
    )
    with pytest.raises(ArrayError, match="no hydrophone for channel 3"):  # no file is written that cannot be read
        save_array(skipping, tmp_path / "skip.toml")
    save_array(replace(skipping, unused_channels=(2,)), tmp_path / "skip.toml")
    text = (tmp_path / "skip.toml").read_text()
    (tmp_path / "skip.toml").write_text(text.replace("unused_channels = [3]\n", ""))
    code, text = run("check", tmp_path / "skip.toml")
    assert code == 1 and "no hydrophone for channel 3" in text and "unused_channels = [3]" in text


def test_no_permission_and_full_disk(tmp_path, toml, monkeypatch):
    path = write(tmp_path / "a_20260701_120000.wav", noise(4, 1.0), subtype="FLOAT")
    (tmp_path / "file").write_text("not a folder")
    code, text = run("locate", path, "-a", toml, "-o", tmp_path / "file")
    assert code == 1 and "cannot write" in text and "--out" in text

    def full(self, detections):
        with tables.writing(self.path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tables.CsvWriter, "write", full)
    code, text = run("locate", path, "-a", toml, "-o", tmp_path / "out")
    assert code == 1 and "No space left on device" in text and "kept" in text


def test_ctrl_c_keeps_what_was_found(tmp_path, toml, monkeypatch):
    from whalefinder import run as module

    path = write(tmp_path / "a_20260701_120000.wav", noise(4, 1.0), subtype="FLOAT")
    real = module._one

    def interrupted(recording, *rest):
        if recording.name.startswith("b"):
            raise KeyboardInterrupt
        return real(recording, *rest)

    monkeypatch.setattr(module, "_one", interrupted)
    other = write(tmp_path / "b_20260701_120000.wav", noise(4, 1.0), subtype="FLOAT")
    code, text = run("locate", path, other, "-a", toml, "-o", tmp_path / "out")
    assert code == 130 and "the results so far are written" in text
    assert (tmp_path / "out" / "detections.csv").exists() and (tmp_path / "out" / "a_20260701_120000.png").exists()


def test_ctrl_c_inside_a_recording_keeps_the_calls_that_wait_for_their_context(tmp_path, monkeypatch):
    from whalefinder.pages.plots import Picture

    path = write(tmp_path / "a_20260701_120000.wav", sweep(150.0, [5.0, 80.0]), 16_000, subtype="FLOAT")
    monkeypatch.setattr(Picture, "add", interrupted_picture(after=1))
    code, text = run("locate", path, "-o", tmp_path / "out", "--all")
    assert code == 130 and "the results so far are written" in text
    begins = [row["begin_s"] for row in read_rows(tmp_path / "out" / "detections.csv", DETECTIONS)]
    for call_s in (5.0, 80.0):  # the second one waits for the minute after it
        assert any(abs(begin - call_s) < 0.3 for begin in begins)
    assert begins == sorted(begins) and len(set(begins)) == len(begins)


def interrupted_picture(after):
    """`Picture.add` that is stopped as by Ctrl-C at the stretch number `after`."""
    from whalefinder.pages.plots import Picture

    real, stretches = Picture.add, []

    def add(self, *stretch):
        stretches.append(stretch)
        if len(stretches) > after:
            raise KeyboardInterrupt
        return real(self, *stretch)

    return add


def test_import_array(tmp_path):
    (tmp_path / "h.csv").write_text("name,x,y,z\nA,0,0,0\nB,1,0,0\n")
    code, _ = run("import-array", tmp_path / "h.csv", "--sound-speed", 1484, "--file", tmp_path / "a.toml")
    assert code == 0 and run("check", tmp_path / "a.toml")[0] == 0
    turned = ("import-array", tmp_path / "h.csv", "--sound-speed", 1484, "--file", tmp_path / "b.toml", "--heading", 90)
    assert run(*turned, "--depth", 3, "--position-error", 0.01)[0] == 0
    second = load_array(tmp_path / "b.toml")
    assert np.allclose(second.positions_m[1], [0, -1, 0])  # starboard of an array that heads east is south
    assert (second.depth_m, second.position_error_m) == (3.0, 0.01)


def test_what_is_odd_about_an_array_is_said(tmp_path, toml):
    path = write(tmp_path / "a_20260701_120000.wav", noise(4, 1.0), subtype="FLOAT")
    toml.write_text(toml.read_text().replace("1490.0", "1200.0"))
    for command in (["check", toml], ["locate", path, "-a", toml, "-o", tmp_path / "out", "--no-pictures"]):
        code, text = run(*command)
        assert code == 0 and "warning: sound_speed_m_s = 1200 is neither air nor water" in text


def test_recordings_of_the_same_name_do_not_overwrite_each_other(tmp_path, toml):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "a_20260701_120000.wav", noise(4, 1.0), subtype="FLOAT")
    code, _ = run("locate", *sorted(tmp_path.glob("*/*.wav")), "-a", toml, "-o", tmp_path / "out")
    assert code == 0 and len(list((tmp_path / "out").glob("*.png"))) == 2


def test_a_truncated_wav_is_noticed_too(tmp_path, toml):
    path = write(tmp_path / "cut_20260701_120000.wav", noise(4, 4.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, text = run("locate", path, "-a", toml, "-o", tmp_path / "out")
    assert code == 1 and "truncated, 2.0 s of the 4.0 s" in text.replace("\n", " ")


def test_an_earlier_table_survives_a_mistyped_name(tmp_path, toml):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "detections.csv").write_text("kept")
    code, _ = run("locate", tmp_path / "typo.wav", "-a", toml, "-o", tmp_path / "out")
    assert code == 1 and (tmp_path / "out" / "detections.csv").read_text() == "kept"
