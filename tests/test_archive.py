"""Archives: calls at the ends of files, damage, what changes under way, and results that are the same bytes."""

import csv
import errno
import os
import re
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import whalefinder
from tests.archives import RATE, found_in, make_archive, swim, tables, write
from tests.helpers import array, noise
from whalefinder.archive import plan, sources, store, work
from whalefinder.archive.merge import merged
from whalefinder.archive.run import Archive, merge
from whalefinder.array.array_file import save_array
from whalefinder.cli import app
from whalefinder.errors import OptionError, OutputError
from whalefinder.files import locked
from whalefinder.options import Crew, LocateOptions
from whalefinder.results.ambiguity import words
from whalefinder.sound.spectrogram import FRAME_S


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """An archive of three hours, and its tables."""
    sound = make_archive(tmp_path_factory.mktemp("three"), 3)
    summary = found_in(sound, sound.parent / "reference")
    assert summary.done == summary.units == 3 and summary.calls == 6 and summary.problems == []
    return sound, tables(sound.parent / "reference")


@pytest.fixture
def folder(tmp_path):
    save_array(array(), tmp_path / "array.toml")
    (tmp_path / "sound").mkdir()
    return tmp_path / "sound"


def rows(out, name="detections"):
    with (out / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


def test_three_files_give_what_the_whole_recording_gives(folder, tmp_path):
    whole = write(tmp_path / "whole_20260701_120000.wav", swim())
    for k in range(3):  # at 6 s the file ends in the midst of the second call
        write(folder / f"cut_20260701_12000{3 * k}.wav", swim()[3 * k * RATE : 3 * (k + 1) * RATE])
    found_in(folder, tmp_path / "out")
    expected = whalefinder.locate(whole, array())
    found = list(merged(tmp_path / "out"))
    assert [call.recording for call in found] == ["cut_20260701_120000.wav", "cut_20260701_120003.wav"]
    assert len(found) == len(expected) == 2
    for part, call, shift in zip(found, expected, (0.0, 3.0), strict=True):
        assert part.begin_s + shift == pytest.approx(call.begin_s, abs=1e-9)
        assert part.end_s + shift == pytest.approx(call.end_s, abs=1e-9)
        assert abs((part.start_utc - call.start_utc).total_seconds()) < 1e-5
        assert part.bearing == call.bearing and part.probability == call.probability


@pytest.mark.parametrize("unit_s", [15.0, 14.48])  # in the midst of a call; 13 ms after it begins
def test_borders_of_units_lose_nothing_and_count_nothing_twice(folder, tmp_path, monkeypatch, unit_s):
    write(folder / "long_20260701_120000.wav", np.concatenate([swim()] * 3))
    found_in(folder, tmp_path / "one")
    monkeypatch.setattr(plan, "UNIT_S", unit_s)
    summary = found_in(folder, tmp_path / "parts")
    assert summary.units == 2
    one, parts = (list(merged(tmp_path / name)) for name in ("one", "parts"))
    assert len(one) == len(parts) == 6
    for a, b in zip(one, parts, strict=True):
        assert abs(a.begin_s - b.begin_s) < 2.5 * FRAME_S and abs(a.azimuth_deg - b.azimuth_deg) < 0.1
    whole, cut = (rows(tmp_path / name, "tracks") for name in ("one", "parts"))
    assert [row["time_utc"] for row in whole] == [row["time_utc"] for row in cut] and len(whole) > 10
    assert float(whole[0]["time_s"]) == float(whole[0]["time_utc"][-7:-1])


def test_a_call_that_both_sides_of_a_border_find_is_kept_once():
    """By hand: the piece after sees the call begin 0.1 s later than the one before, on the other side of the border."""
    from dataclasses import replace

    from whalefinder.archive.merge import _once
    from whalefinder.archive.store import Result
    from whalefinder.archive.units import Entry, Piece, Unit

    entry = Entry(
        name="a.wav",
        files=(),
        rate_hz=100,
        frames=2000,
        columns=(0,),
        labels=(1,),
        start_utc=None,
        recorder="a",
        kin="a",
    )
    sides = (
        Piece((entry,), (0, 1000), (0, 1500), (False, True)),
        Piece((entry,), (1000, 2000), (500, 2000), (True, False)),
    )
    call = whalefinder.Detection(
        recording="a.wav",
        begin_s=9.95,
        end_s=10.6,
        start_utc=None,
        low_hz=0.0,
        high_hz=1.0,
        label="orca",
        probability=1.0,
        snr_db=0.0,
    )
    before = [call]
    after = [
        replace(call, begin_s=10.05),
        replace(call, begin_s=10.65, end_s=11.0),
        replace(call, begin_s=12.0, end_s=13.0),
    ]
    borders: dict[str, list[float]] = {}
    kept = list(_once(Unit("1", sides[:1]), Result([(0, d) for d in before]), borders))
    kept += list(_once(Unit("2", sides[1:]), Result([(0, d) for d in after]), borders))
    assert kept == before + after[1:] and borders == {}


def test_what_comes_before_and_after_a_file_cut_short_is_as_if_it_were_not_there(folder, tmp_path):
    for k in range(3):
        write(folder / f"cut_20260701_1200{9 * k:02d}.flac", swim(), subtype="PCM_16")
    middle = folder / "cut_20260701_120009.flac"
    middle.write_bytes(middle.read_bytes()[: middle.stat().st_size * 6 // 10])
    summary = found_in(folder, tmp_path / "out")
    calls = rows(tmp_path / "out")
    assert [row["recording"][-11:-5] for row in calls] == ["120000", "120000", "120009", "120018", "120018"]
    alone = whalefinder.locate(folder / "cut_20260701_120018.flac", array())
    assert [float(row["begin_s"]) for row in calls[3:]] == [round(call.begin_s, 3) for call in alone]
    assert [reason[0] for reason in summary.problems] == [middle.name] and summary.done == summary.units == 1


def test_damage_is_listed_and_ends_nothing(folder, tmp_path):
    write(folder / "good_20260701_120000.wav", swim())
    torn = folder / "torn_20260701_130000.flac"
    import soundfile

    soundfile.write(torn, noise(4, 8.0), RATE)
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    broken = noise(4, 2.0)
    broken[500, 2] = np.nan
    write(folder / "nan_20260701_140000.wav", broken)
    (folder / "empty_20260701_150000.wav").write_bytes(b"")
    write(folder / "three_20260701_160000.wav", noise(3, 2.0))
    for _ in range(2):  # and they are listed again by a run that has nothing to do
        summary = found_in(folder, tmp_path / "out")
        listed: dict[str, str] = {}
        for row in rows(tmp_path / "out", "problems"):
            listed.setdefault(row["recording"].split("_")[0], row["problem"])
        assert summary.done == summary.units == 3 and len(rows(tmp_path / "out")) == 2
        assert set(listed) == {"torn", "nan", "empty", "three"}
        assert "not a number at 0.010 s on channel 3" in listed["nan"] and "kept" in listed["torn"]
        assert listed["empty"].startswith("is empty") and "describes 4" in listed["three"]


def test_a_file_that_grows_or_vanishes_under_way_is_done_by_the_next_run(three, folder, tmp_path, monkeypatch):
    sound = make_archive(tmp_path / "own", 3)
    growing, vanishing = (sound / f"swim_20260701_1{h}0000.wav" for h in (1, 2))
    content = vanishing.read_bytes()
    run = Archive([str(sound)], tmp_path / "own" / "array.toml", tmp_path / "out", LocateOptions())
    vanishing.unlink()
    opened = sources.Cache.local

    def grow_while_read(cache, files):
        if files[0].name == growing.name:
            os.utime(growing)
        return opened(cache, files)

    monkeypatch.setattr(sources.Cache, "local", grow_while_read)
    summary = run.run(Crew())
    assert summary.done == 1 and summary.units == 3 and summary.calls == 2
    reasons = dict(summary.problems)
    assert "changed" in reasons[growing.name] and "disappeared" in reasons[vanishing.name]
    monkeypatch.undo()
    summary = merge(tmp_path / "out")  # of which shards did the work: the reasons are kept
    assert dict(summary.problems) == reasons
    vanishing.write_bytes(content)
    works = []
    monkeypatch.setattr("whalefinder.archive.crew.work", lambda *a, **k: works.append(1) or work.work(*a, **k))
    found_in(sound, tmp_path / "out")
    assert len(works) == 2
    assert {name: tables(tmp_path / "out")[name] for name in ("detections.csv", "tracks.csv", "problems.csv")} == {
        name: three[1][name] for name in ("detections.csv", "tracks.csv", "problems.csv")
    }


def test_a_run_that_has_nothing_to_do_writes_the_same_bytes(three, tmp_path, monkeypatch):
    sound, expected = three
    monkeypatch.setattr("whalefinder.archive.crew.work", lambda *a, **k: pytest.fail("everything is done"))
    found_in(sound, sound.parent / "reference")
    assert tables(sound.parent / "reference") == expected


def test_times_that_are_read_anew_and_arrays_left_out(three, tmp_path, monkeypatch):
    sound, _ = three
    found_in(sound, tmp_path)
    units = {path.name for path in (tmp_path / "units").iterdir()}
    monkeypatch.setattr("whalefinder.archive.crew.work", lambda *a, **k: pytest.fail("the sound is the same"))
    found_in(sound, tmp_path, time_format="%Y%d%m_%H%M%S")
    assert {path.name for path in (tmp_path / "units").iterdir()} == units
    assert "2026-01-07T10:00" in (tmp_path / "detections.csv").read_text()
    monkeypatch.undo()
    options = LocateOptions()
    Archive([str(sound / "swim_20260701_100000.wav")], None, tmp_path, options).run(Crew())
    assert not (tmp_path / "tracks.csv").exists()
    with pytest.raises(OptionError, match="the name of a folder"):
        Archive([str(sound)], None, tmp_path, options).run(Crew(), deployment="Lime Kiln")


def test_shards_are_parts_of_the_whole_and_merge_to_it(three, tmp_path):
    sound, expected = three
    out = tmp_path / "out"
    done = [found_in(sound, out, Crew(shard=f"{i}/2")).done for i in (1, 2)]
    assert sum(done) == 3 and not (out / "detections.csv").exists()
    summary = merge(out)
    assert summary.done == 3 and tables(out) == expected
    result = next((out / "units").glob("*.jsonl"))
    result.unlink()
    ((_, reason),) = merge(out).problems
    assert "no result yet" in reason and "no result yet" in (out / "problems.csv").read_text()
    for wrong in ("0/2", "3/2", "1", "a/b", "1/0"):
        with pytest.raises(OptionError, match="`shard`"):
            Crew(shard=wrong).part  # noqa: B018


def test_torn_results_and_leftovers_are_made_again(three, tmp_path):
    sound, expected = three
    found_in(sound, tmp_path)
    results = sorted((tmp_path / "units").iterdir())
    results[0].write_bytes(results[0].read_bytes()[:-20])
    results[1].write_bytes(b"")
    (tmp_path / "units" / f".{results[2].name}.123.part").write_text("half")
    found_in(sound, tmp_path)
    assert tables(tmp_path) == expected
    assert len(list((tmp_path / "units").iterdir())) == 3


def test_a_full_disk_stops_the_run_and_the_next_one_goes_on(three, tmp_path, monkeypatch):
    sound, expected = three
    save, saved = store.Store.save, []

    def filling(self, unit, result):
        saved.append(unit)
        if len(saved) == 2:
            real = os.fsync
            monkeypatch.setattr(
                os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left"))
            )
            try:
                return save(self, unit, result)
            finally:
                monkeypatch.setattr(os, "fsync", real)
        return save(self, unit, result)

    monkeypatch.setattr(store.Store, "save", filling)
    with pytest.raises(OutputError, match=r"No space left.*free space"):
        found_in(sound, tmp_path)
    assert len(list((tmp_path / "units").iterdir())) == 1  # whole, and no half one beside it
    found_in(sound, tmp_path)
    assert len(saved) == 4 and tables(tmp_path) == expected


def test_two_runs_in_one_folder(three, tmp_path):
    sound, _ = three
    with (
        locked(tmp_path),
        pytest.raises(OutputError, match=rf"another run works here \(process {os.getpid()} on"),
    ):
        found_in(sound, tmp_path)
    with locked(tmp_path, "1/2"):
        with locked(tmp_path, "2/2"):
            pass
        for shard in (None, "1/2"):
            with pytest.raises(OutputError, match="another run works here"), locked(tmp_path, shard):
                pass
    with locked(tmp_path):
        pass


def run(*arguments):
    result = CliRunner().invoke(app, ["archive", *map(str, arguments)])
    plain = re.sub(r"\x1b\[[0-9;]*m", "", result.output)
    assert "Traceback" not in plain
    return result.exit_code, plain.replace("\n", " ")


def test_the_command_plans_works_and_merges(three, tmp_path):
    sound, expected = three
    toml, out = sound.parent / "array.toml", tmp_path / "out"
    code, text = run(sound, "-a", toml, "-o", out, "--dry-run")
    assert code == 0 and "3 units, 0 done, 27 s to do" in text and not out.exists()
    code, text = run(sound, "-a", toml, "-o", out)
    assert code == 0 and "3 of 3 units, 27 s: 6 calls, " in text
    assert tables(out) == expected
    code, text = run("--merge", "-o", out)
    assert code == 0 and tables(out) == expected


def test_the_command_says_what_is_wrong_in_one_line(three, folder, tmp_path, monkeypatch):
    sound, _ = three
    assert run("-o", tmp_path)[0] == 1 and "no FOLDER" in run("-o", tmp_path)[1]
    assert "no such folder" in run(tmp_path / "none", "-o", tmp_path)[1]
    assert "no readable plan" in run("--merge", "-o", tmp_path)[1]
    assert "--shard 9: write i/n" in run(sound, "-o", tmp_path, "--shard", "9")[1]
    code, text = run(sound, "-o", tmp_path, "--segmenter", tmp_path / "none.safetensors")
    assert code == 1 and "none.safetensors: cannot be read" in text
    (folder / "empty.wav").write_bytes(b"")
    code, text = run(folder, "-o", tmp_path / "out")
    assert code == 1 and "1 problem, see" in text and "empty.wav: is empty" in text
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, text = run(sound, "-o", tmp_path / "dask", "--workers", 2)
    assert code == 1 and "pip install 'whalefinder[archive]'" in text
    monkeypatch.setitem(sys.modules, "fsspec", None)
    code, text = run("s3://bucket/x", "-o", tmp_path / "s3")
    assert code == 1 and "pip install 'whalefinder[archive]'" in text


def test_the_health_of_the_array_and_every_kind_of_ambiguity(tmp_path):
    """Three hydrophones in a plane: every bearing has a mirror image. One channel is inverted."""
    plane = array().of([0, 1, 2])
    save_array(plane, tmp_path / "array.toml")
    (tmp_path / "sound").mkdir()
    write(tmp_path / "sound" / "a_20260701_120000.wav", swim()[:, :3])
    write(tmp_path / "sound" / "b_20260701_130000.wav", swim()[:, :3] * [1, 1, -1])
    out = tmp_path / "out"
    runner = CliRunner().invoke(
        app, ["archive", str(tmp_path / "sound"), "-a", str(tmp_path / "array.toml"), "-o", str(out)]
    )
    assert runner.exit_code == 0, runner.output
    expected = whalefinder.locate(tmp_path / "sound" / "a_20260701_120000.wav", plane)
    found = [row for row in rows(out) if row["recording"].startswith("a_")]
    assert [row["ambiguity"] for row in found] == [words(call.bearing.ambiguity) for call in expected]
    assert any(row["ambiguity"].startswith("plane") for row in found)
    findings = rows(out, "health")
    assert [(row["recording"], row["kind"], row["channels"]) for row in findings] == [
        ("b_20260701_130000.wav", "polarity", "3")
    ]
    assert "channel 3 is inverted" in " ".join(runner.output.split())
