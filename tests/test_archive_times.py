"""The times of an archive: fractions, restarts, duty cycles, local time, copies, dropped samples."""

import shutil
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from tests.headers import harp, wav
from whalefinder.archive.describe import complaints, describe
from whalefinder.archive.doubts import doubts
from whalefinder.archive.job import make_job
from whalefinder.archive.merge import detections_of, write_tables
from whalefinder.archive.plan import chains, make_plan, recorders, seams
from whalefinder.archive.planfile import load_plan, save_plan
from whalefinder.archive.store import Result, Store
from whalefinder.archive.work import _chained
from whalefinder.options import LocateOptions
from whalefinder.results.records import Detection

NOON = datetime(2023, 4, 15, 12, tzinfo=UTC)


def plan_of(folder, **options):
    return make_plan([str(folder)], make_job(None, LocateOptions(**options)))


def record(folder, names, seconds=20.0):
    for name in names:
        wav(folder / name, seconds=seconds)


def gaps(plan):
    return [round(seam.seconds, 3) for seam in seams(plan.entries)]


def said(plan):
    return "\n".join(complaints(plan))


def test_milliseconds_show_gaps_and_numbers_of_files_do_not(tmp_path):
    record(tmp_path / "ms", [f"PAM_20230415_1200{t}.wav" for t in ("00.000", "20.300", "40.600")])
    record(tmp_path / "line", [f"PAM_20230415_1200{t}.wav" for t in ("00_050", "20_350", "40_650")])
    record(tmp_path / "number", [f"a_20230415_1200{t}.wav" for t in ("00_099", "20_100", "40_101")], 19.9)
    assert gaps(plan_of(tmp_path / "ms")) == gaps(plan_of(tmp_path / "line")) == [0.3, 0.3]
    numbered = plan_of(tmp_path / "number")
    assert gaps(numbered) == [] and [e.start_utc.microsecond for e in numbered.entries] == [0, 0, 0]
    assert len(recorders(numbered.entries)) == 1 and "behind the time" not in said(numbered)


def test_a_restart_within_a_second_is_an_overlap_of_one_recorder(tmp_path):
    record(tmp_path, [f"REC_20230415_12{t}.wav" for t in ("0000", "0020", "0048", "0048_1")])
    plan = plan_of(tmp_path)
    assert len(recorders(plan.entries)) == 1 and gaps(plan) == [8, -20]


def test_channels_that_are_numbered_behind_the_time_stay_apart(tmp_path):
    record(tmp_path, [f"REC_20230415_1200{t}_{k}.wav" for t in ("00", "20") for k in (1, 2)])
    plan = plan_of(tmp_path)
    assert len(recorders(plan.entries)) == 2 and gaps(plan) == []


def test_begin_and_end_in_the_name_make_one_recorder(tmp_path):
    times = [f"2023041{5 + (10 + h) // 24}T{(10 + h) % 24:02d}0000" for h in range(4)]
    record(tmp_path, [f"S{a}+1000_E{b}+1000_reef.wav" for a, b in pairwise(times)], 4.0)
    plan = plan_of(tmp_path)
    assert len(recorders(plan.entries)) == 1
    assert [entry.start_utc.hour for entry in plan.entries] == [0, 1, 2]
    assert "3600.0 s apart" in said(plan)


def test_offset_and_recorders_of_the_options_count(tmp_path):
    record(tmp_path / "buoy1", ["20230415_120000.wav"])
    record(tmp_path / "buoy2", ["20230415_120000.wav"], 10.0)
    (tmp_path / "recorders.toml").write_text('[[recorder]]\nnames = "buoy2/*"\nutc_offset = "-07:00"\n')
    plan = plan_of(tmp_path, utc_offset=2.0, recorders=tmp_path / "recorders.toml")
    assert {e.name[:5]: e.start_utc.hour for e in plan.entries} == {"buoy1": 10, "buoy2": 19}
    plain = {unit.id for unit in plan_of(tmp_path).units}
    assert plain == {unit.id for unit in plan.units}  # other times, the same results


def cycle(folder, name="SITE_230415_120000.x.wav", count=3):
    raws = [(NOON + timedelta(minutes=10 * k), 30.0) for k in range(count)]
    return wav(folder / name, harp(*raws), seconds=30.0 * count)


def test_a_duty_cycle_ends_when_its_last_stretch_ends(tmp_path):
    cycle(tmp_path)
    wav(tmp_path / "SITE_230415_123000.x.wav", harp((NOON + timedelta(minutes=20, seconds=30), 30.0)), seconds=30.0)
    plan = plan_of(tmp_path)
    assert plan.entries[0].end_utc == NOON + timedelta(minutes=20, seconds=30)
    assert [len(chain) for chain in chains(plan.entries)] == [2] and gaps(plan) == []
    assert dict(describe(plan, set()))["gaps inside"] == "2 in 1 file, 19 min in all"
    (unit,) = plan.units
    chain = _chained(unit.pieces[0], [], [])
    assert sum(block.shape[1] for block in chain.blocks()) == 120 * 48_000
    assert [hole.begin_s for hole in chain.holes] == [30.0, 60.0]  # and none where one file follows the other
    save_plan(plan, tmp_path)
    assert load_plan(tmp_path) == plan


def detection(name, begin_s):
    return Detection(
        recording=name, begin_s=begin_s, end_s=begin_s + 1.0, start_utc=None, low_hz=1e3, high_hz=2e3, label="orca",
        probability=0.9, snr_db=10.0, bearing=None, channel=None, evidence=None, level_db=None,
    )  # fmt: skip


def test_calls_behind_a_gap_inside_a_file_have_the_time_of_their_stretch(tmp_path):
    cycle(tmp_path / "sound")
    plan, store = plan_of(tmp_path / "sound"), Store(tmp_path / "out")
    (unit,) = plan.units
    store.save(unit, Result(detections=[(0, detection(plan.entries[0].name, at)) for at in (5.0, 35.0, 65.0)]))
    assert [d.start_utc - NOON for d in detections_of(plan, store)] == [
        timedelta(minutes=10 * k, seconds=5) for k in range(3)
    ]


def test_hours_of_a_duty_cycle_are_those_of_the_day(tmp_path):
    """Two hours of sound in the time of four: the second unit begins two hours later."""
    raws = [(NOON + timedelta(hours=2 * k), 3600.0) for k in range(2)]
    wav(tmp_path / "a.x.wav", harp(*raws), seconds=7200.0)
    assert [unit.start_utc for unit in plan_of(tmp_path).units] == [NOON, NOON + timedelta(hours=2)]


def test_copies_of_a_card_count_once_and_are_listed(tmp_path):
    names = [f"card/5147.2304151200{t}.wav" for t in ("00", "20")]
    record(tmp_path / "sound", names)
    shutil.copytree(tmp_path / "sound" / "card", tmp_path / "sound" / "backup" / "card")
    shutil.copy(tmp_path / "sound" / names[0], tmp_path / "sound" / names[0].replace(".wav", " (1).wav"))
    plan = plan_of(tmp_path / "sound")
    assert [entry.name for entry in plan.entries] == names
    assert {name for name, _ in plan.left_out} == {
        *(f"backup/{name}" for name in names),
        "card/5147.230415120000 (1).wav",
    }
    assert "left out: backup/card/5147.230415120020.wav: is a copy of card/5147.230415120020.wav" in said(plan)
    assert dict(describe(plan, set()))["left out"].startswith("3 files, for example")
    write_tables(plan, Store(tmp_path), [])
    assert (tmp_path / "left_out.csv").read_text().count("\n") == 4


COPIES = ("Copy of {}.wav", "{} - Copy (2).wav", "{}_copy2.wav", "{} - Copy - Copy.wav", "old/reef.wav", "old/{}_b.WAV")


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("stem", ["pi_20230415_120000", "night"])
def test_copies_with_other_names_count_once(tmp_path, name, stem):
    original = wav(tmp_path / f"{stem}.wav")
    copy = tmp_path / name.format(stem)
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(original, copy)
    plan = plan_of(tmp_path)
    assert [entry.name for entry in plan.entries] == [original.name]
    assert f"left out: {name.format(stem)}: is a copy of {original.name}" in said(plan)


def test_what_may_be_a_copy_is_said_and_recorders_of_one_kind_are_not(tmp_path):
    path = wav(tmp_path / "a" / "20230415_120000.wav")
    sound, rate = soundfile.read(path)
    soundfile.write(tmp_path / "a" / "20230415_120000.flac", sound[:-100], rate, subtype="PCM_16")
    (tmp_path / "b").mkdir()
    other = wav(tmp_path / "a" / "20230415_130000.wav", seconds=20.0)
    (tmp_path / "b" / "Copy of 20230415_130000.wav").write_bytes(other.read_bytes()[:200_000])
    text = "\n".join(doubts(plan_of(tmp_path).entries))
    assert "a/20230415_120000.flac: has the name and the start of a/20230415_120000.wav and other sound" in text
    assert "b/Copy of 20230415_130000.wav: has the name and the start of a/20230415_130000.wav" in text
    for moth in ("m1", "m2"):
        wav(tmp_path / "moths" / moth / "20230415_120000.WAV", (b"junk", moth.encode()))
    assert "has the name" not in said(plan_of(tmp_path / "moths"))


def test_files_of_the_same_name_that_differ_late_are_no_copies(tmp_path):
    for folder in ("a", "b"):
        path = wav(tmp_path / folder / "20230415_120000.wav", seconds=20.0)
    raw = bytearray(path.read_bytes())
    raw[-100] ^= 1
    path.write_bytes(raw)
    assert len(plan_of(tmp_path).entries) == 2


def test_a_wav_beside_its_flac_counts_once(tmp_path):
    path = wav(tmp_path / "wav" / "20230415_120000.wav")
    sound, rate = soundfile.read(path)
    (tmp_path / "flac").mkdir()
    soundfile.write(tmp_path / "flac" / "20230415_120000.flac", sound, rate, subtype="PCM_16")
    other = wav(tmp_path / "wav" / "20230415_130000.wav")
    soundfile.write(tmp_path / "flac" / "20230415_130000.flac", np.flip(soundfile.read(other)[0]), rate)
    plan = plan_of(tmp_path)
    assert [name for name, _ in plan.left_out] == ["flac/20230415_120000.flac"]
    assert {e.name for e in plan.entries} == {
        "wav/20230415_120000.wav", "wav/20230415_130000.wav", "flac/20230415_130000.flac",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        (("20231029_015920", "20231029_015940", "20231029_010000", "20231029_010020"), "no sound for 58.7 min"),
        (("20230326_015920", "20230326_015940", "20230326_030000"), "no sound for 60 min"),
        (("20231105_015940", "20231105_015950"), "two sounds at once"),
        (("20230402_015940", "20230402_030000"), "no sound for 60 min"),  # Australia
    ],
)
def test_a_missing_or_doubled_hour_when_clocks_change_is_said(tmp_path, names, doubt):
    record(tmp_path, [f"pi_{name}.wav" for name in names])
    assert doubt in said(plan_of(tmp_path)) and "clocks change" in said(plan_of(tmp_path))


@pytest.mark.parametrize("day", ["20261025", "20261101", "20270404"])
def test_a_doubled_hour_of_which_most_is_recorded_is_said(tmp_path, day):
    """The files of the second time, 02:00 and 02:10, lie before those of the first, 02:40 and 02:50."""
    record(tmp_path, [f"pi_{day}_{clock}00.wav" for clock in ("0240", "0250", "0200", "0210")], 600.0)
    assert "pi_" + day + "_021000.wav: then no sound for 20 min" in said(plan_of(tmp_path))


@pytest.mark.parametrize(
    ("day", "clocks"),
    [
        ("20261025", ("0000", "0015", "0030", "0045", "0100", "0115", "0130", "0145", "0200", "0215")),  # a duty cycle
        ("20260329", ("0200", "0240")),  # in spring no hour comes twice
        ("20261018", ("0200", "0240")),
        ("20261025", ("0400", "0440")),
    ],
)
def test_seams_that_are_no_doubled_hour(tmp_path, day, clocks):
    record(tmp_path, [f"pi_{day}_{clock}00.wav" for clock in clocks], 60.0)
    assert "clocks change" not in said(plan_of(tmp_path))


def test_other_nights_and_other_gaps_are_no_summer_time(tmp_path):
    record(tmp_path, [f"pi_{name}.wav" for name in ("20230415_015940", "20230415_030000", "20231029_130000")])
    assert "clocks change" not in said(plan_of(tmp_path))


def test_a_file_that_lacks_samples_inside_is_a_gap_and_is_said(tmp_path):
    for minute, seconds in enumerate((60.0, 52.0, 60.0)):
        wav(tmp_path / f"a_20230415_120{minute}00.wav", seconds=seconds)
    plan = plan_of(tmp_path)
    assert gaps(plan) == [8]
    assert "a_20230415_120100.wav: lasts 52 s, others 60 s" in said(plan) and "up to 8 s early" in said(plan)


def test_the_last_file_may_be_short(tmp_path):
    for minute, seconds in enumerate((60.0, 60.0, 60.0, 12.0)):
        wav(tmp_path / f"a_20230415_120{minute}00.wav", seconds=seconds)
    assert "lasts" not in said(plan_of(tmp_path))


def test_each_kind_of_warning_is_said_once(tmp_path):
    record(tmp_path, [f"5147.2304151200{t}.wav" for t in ("00", "20")])
    record(tmp_path, [f"z_20230415_12{t}00_CST.wav" for t in ("10", "20", "30")])
    text = said(plan_of(tmp_path))
    assert text.count("start read as") == 1 and "and 1 more warning of this kind" in text
    assert text.count("CST can mean") == 1 and "and 2 more warnings of this kind" in text
