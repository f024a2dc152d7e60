"""The plan of an archive: which files count, which follow each other, what is said before weeks of work."""

import os
import shutil
import time
from datetime import UTC, datetime

import numpy as np
import pytest

from tests.archives import write
from tests.helpers import array, noise
from whalefinder.archive.describe import complaints, describe
from whalefinder.archive.job import make_job
from whalefinder.archive.plan import chains, make_plan, recorders, seams
from whalefinder.archive.planfile import load_plan, save_plan
from whalefinder.archive.sources import find_files
from whalefinder.array.array_file import save_array
from whalefinder.array.geometry import HydrophoneArray
from whalefinder.errors import RecordingError
from whalefinder.networks.weights import shipped_weights
from whalefinder.options import LocateOptions

RATE = 8000


def plan_of(folder, **options):
    return make_plan([str(folder)], make_job(None, LocateOptions(**options)))


def record(folder, names, seconds=60.0):
    """Silence under many names; only headers are read."""
    first = write(folder / names[0], np.zeros((round(seconds * RATE), 1)), RATE)
    for name in names[1:]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(first, folder / name)


def chained(plan):
    return sorted([entry.name for entry in chain] for chain in chains(plan.entries))


def test_hidden_and_temporary_files_and_the_results_are_left_out(tmp_path):
    record(
        tmp_path, ["a.wav", "b.WAV", "deep/er/c.flac", ".hidden.wav", "~d.wav", ".git/e.wav", "out/f.wav", "x.wav.part"]
    )
    (tmp_path / "notes.txt").write_text("no sound")
    assert [file.name for file in find_files(str(tmp_path), tmp_path / "out")] == ["a.wav", "b.WAV", "deep/er/c.flac"]
    assert [file.name for file in find_files(str(tmp_path / "a.wav"))] == ["a.wav"]
    with pytest.raises(RecordingError, match="no such folder"):
        find_files(str(tmp_path / "nowhere"))


def test_links_are_followed_once_and_what_cannot_be_read_is_listed(tmp_path):
    record(tmp_path / "disk2", ["leg1/a_20260701_120000.wav"])
    summer = tmp_path / "summer"
    summer.mkdir()
    (summer / "leg1").symlink_to(tmp_path / "disk2" / "leg1")
    (tmp_path / "disk2" / "leg1" / "round").symlink_to(summer)  # and back
    (summer / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (summer / "folder.wav").mkdir()
    with open(os.fsencode(summer) + b"/\xe9t\xe9_20260701_120000.wav", "wb") as file:  # noqa: PTH123 (no UTF-8)
        file.write(b"RIFF")
    plan = plan_of(summer)
    assert [entry.name for entry in plan.entries] == ["leg1/a_20260701_120000.wav"]
    assert {name for name, _ in plan.unreadable} == {"gone.wav", "\ufffdt\ufffd_20260701_120000.wav"}
    assert all(reason.isprintable() for _, reason in plan.unreadable)


def test_a_folder_without_recordings_is_an_error(tmp_path):
    (tmp_path / "lost+found").mkdir()
    record(tmp_path / "lost+found", ["a.wav"])
    with pytest.raises(RecordingError, match="is the disk mounted"):
        plan_of(tmp_path)


def test_a_name_in_two_folders_and_a_folder_given_twice(tmp_path):
    record(tmp_path, ["one/a.wav", "two/a.wav", "two/b.wav"])
    folders = [str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "two")]
    names = [entry.name for entry in make_plan(folders, make_job(None, LocateOptions())).entries]
    assert names == ["one/a.wav", "two/a.wav", "two/b.wav"]


def test_recordings_that_abut_are_chained_and_others_are_not(tmp_path):
    record(tmp_path, [f"rec_20260701_12{m:02d}00.wav" for m in (0, 1, 2, 10, 11)])
    plan = plan_of(tmp_path)
    assert [len(chain) for chain in chained(plan)] == [3, 2]
    (gap,) = seams(plan.entries)
    assert gap.seconds == pytest.approx(7 * 60) and gap.after.name == "rec_20260701_121000.wav"


def test_whole_seconds_in_names_hide_gaps_below_one_second_and_fractions_do_not(tmp_path):
    record(tmp_path / "whole", ["a_20260701_120000.wav", "a_20260701_120100.wav"], seconds=59.4)
    record(tmp_path / "fine", ["a_20260701_120000_000.wav", "a_20260701_120059_900.wav"], seconds=59.4)
    assert len(chained(plan_of(tmp_path / "whole"))) == 1
    assert len(chained(plan_of(tmp_path / "fine"))) == 2


def test_other_rates_or_recorders_are_never_joined(tmp_path):
    record(tmp_path, ["a_20260701_120000.wav", "b_20260701_120100.wav"])
    write(tmp_path / "a_20260701_120100.wav", np.zeros((16_000, 1)), 16_000)
    assert len(chained(plan_of(tmp_path))) == 3


def test_folders_of_dates_and_counters_do_not_cut_a_recorder_in_two(tmp_path):
    record(tmp_path, ["2026-07-01/a_20260701_235900.001.wav", "2026-07-02/a_20260702_000000.002.wav"])
    assert len(chained(plan_of(tmp_path))) == 1


def test_stations_that_run_at_once_are_not_mixed(tmp_path):
    names = [f"{station}/20260701_12{m:02d}00.wav" for station in ("1", "2") for m in range(3)]
    record(tmp_path, [*names, "2/20260701_120300.wav", "3/20260701_120300.wav"])
    plan = plan_of(tmp_path)
    found = {tuple(chain) for chain in chained(plan)}
    assert tuple(names[:3]) in {chain[:3] for chain in found}
    assert (*names[3:], "2/20260701_120300.wav") in found
    assert len(recorders(plan.entries)) == 3 and seams(plan.entries) == []


def test_overlaps_rates_unreadable_and_times_are_said_first(tmp_path):
    record(tmp_path, ["a_20260701_120000.wav", "a_20260701_120030.wav", "nameless.wav"])
    write(tmp_path / "a_20260702_000000.wav", np.zeros((16_000, 1)), 16_000)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "torn.flac").write_bytes(b"fLaC and then nothing")
    plan = plan_of(tmp_path)
    said = dict(describe(plan, set()))
    assert said["recordings"].startswith("4 in 4 files, 3.02 min")
    assert said["time"] == "2026-07-01 12:00:00 to 2026-07-02 00:00:01 UTC"
    assert said["overlaps"].startswith("1, 30 s in all") and said["gaps"].startswith("1, 12 h in all")
    assert said["sample rates"] == "8000 Hz (3), 16000 Hz (1)" and said["unreadable"] == "2"
    assert said["without a time"].startswith("1, for example nameless.wav")
    reasons = "\n".join(complaints(plan))
    assert "empty.wav: is empty (0 bytes)" in reasons and "torn.flac: unreadable header" in reasons


def test_the_time_format_is_used_and_what_it_does_not_fit_is_listed(tmp_path):
    record(tmp_path, ["s_01.07.2026-12h30.wav", "other.wav"])
    plan = plan_of(tmp_path, time_format="%d.%m.%Y-%Hh%M")
    assert plan.entries[0].start_utc == datetime(2026, 7, 1, 12, 30, tzinfo=UTC)
    assert plan.unreadable[0][0] == "other.wav" and "`time_format`" in plan.unreadable[0][1]


def test_one_mono_file_per_channel_is_one_recording(tmp_path):
    record(tmp_path, [f"AMAR9.{c}.20260701T12{m:02d}00Z.wav" for c in (1, 2, 3) for m in (0, 1)])
    three = HydrophoneArray(
        name="a",
        positions_m=[[0, 0, 0], [1, 0, 0], [0, 1, 0]],
        sound_speed_m_s=1480.0,
        file_pattern="AMAR*.{channel}.*.wav",
    )
    save_array(three, tmp_path / "array.toml")
    plan = make_plan([str(tmp_path)], make_job(tmp_path / "array.toml", LocateOptions()))
    assert [len(entry.files) for entry in plan.entries] == [3, 3]
    assert len(chained(plan)) == 1 and plan.unreadable == ()


def test_units_are_an_hour_and_change_only_near_what_changes(tmp_path):
    names = [f"rec_20260701_{h:02d}{m:02d}00.wav" for h in range(5) for m in range(0, 60, 20)]
    record(tmp_path, names, seconds=1200.0)
    before = plan_of(tmp_path).units
    assert [round(unit.seconds) for unit in before] == [3600] * 5
    (tmp_path / names[7]).unlink()  # in the third hour
    after = plan_of(tmp_path).units
    kept = {unit.id for unit in before} & {unit.id for unit in after}
    assert len(after) == 5 and kept == {before[k].id for k in (0, 1, 3, 4)}


def test_long_recordings_are_cut_with_what_is_needed_on_either_side(tmp_path):
    record(tmp_path, ["long_20260701_000000.wav"], seconds=3 * 3600.0)
    units = plan_of(tmp_path).units
    assert [unit.pieces[0].own for unit in units] == [(h * 3600 * RATE, (h + 1) * 3600 * RATE) for h in range(3)]
    middle = units[1].pieces[0]
    assert middle.joined == (True, True)
    assert 66 < (middle.own[0] - middle.read[0]) / RATE < 68 and 76 < (middle.read[1] - middle.own[1]) / RATE < 80


def test_options_change_the_units_and_the_place_of_the_files_does_not(tmp_path):
    record(tmp_path / "here", ["a_20260701_120000.wav"])
    (unit,) = plan_of(tmp_path / "here").units
    assert plan_of(tmp_path / "here", min_probability=0.9).units[0].id != unit.id
    assert plan_of(tmp_path / "here", time_format="%Y%m%d_%H%M%S").units[0].id == unit.id
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert plan_of(tmp_path / "there").units[0].id == unit.id
    save_array(array(), tmp_path / "array.toml")
    four = write(tmp_path / "four" / "a_20260701_120000.wav", noise(4, 2.0)).parent
    jobs = [make_job(toml, LocateOptions()) for toml in (None, tmp_path / "array.toml")]
    assert len({make_plan([str(four)], job).units[0].id for job in jobs}) == 2


def test_files_that_look_alike_but_hold_other_sound_are_other_units(tmp_path):
    """Two recorders that were started together: names, sizes and (on their cards) times of change are the same."""
    for name, seed in (("a", 1), ("b", 2)):
        path = write(tmp_path / name / "20260701_120000.wav", noise(1, 2.0, seed=seed))
        os.utime(path, (0, 0))
    a, b = (plan_of(tmp_path / name).units[0].id for name in "ab")
    assert a != b
    together = make_plan([str(tmp_path / name) for name in "ab"], make_job(None, LocateOptions()))
    assert [entry.name for entry in together.entries] == ["a/20260701_120000.wav", "b/20260701_120000.wav"]
    assert {unit.id for unit in together.units} == {a, b}


@pytest.mark.parametrize("options", [{}, {"time_format": "%Y%m%d_%H%M%S"}])
def test_a_thousand_files_are_planned_in_seconds(tmp_path, options):
    record(
        tmp_path,
        [f"rec_2026{d // 24 % 12 + 1:02d}01_{d % 24:02d}{m:02d}00.wav" for d in range(100) for m in range(10)],
        1.0,
    )
    began = time.process_time()
    plan = plan_of(tmp_path, **options)
    assert len(plan.entries) == 1000 and time.process_time() - began < 5.0


def test_a_plan_file_keeps_what_was_asked(tmp_path):
    record(tmp_path, ["a_20260701_120000.wav"])
    asked = LocateOptions(min_probability=0.25, all_events=True, segmenter=shipped_weights())
    plan = make_plan([str(tmp_path)], make_job(None, asked))
    save_plan(plan, tmp_path)
    assert load_plan(tmp_path) == plan and load_plan(tmp_path).options == asked
    assert "all_events True" in dict(describe(plan, set()))["options"]
