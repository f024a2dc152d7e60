"""Causal tracks: what is cut off at the end changes nothing before it, and no row is older than what makes it known."""

import csv
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from tests.test_tracks import detections, steady
from whalefinder import run
from whalefinder.array.geometry import angles
from whalefinder.results.tables import TRACK_COLUMNS, CsvWriter, rows_of
from whalefinder.tracks.find import MAX_SILENCE_S, find_tracks
from whalefinder.tracks.live import animals_so_far
from whalefinder.training.swims import draw_crossing


@pytest.fixture(scope="module")
def crossing():
    """Calls of two whales whose bearings cross, with false fixes."""
    swim = draw_crossing(np.random.default_rng(11))
    return swim, detections(swim.fixes)


def test_cutting_off_later_sound_does_not_change_a_causal_track(crossing):
    _, calls = crossing
    end_s = calls[-1].end_s
    whole = find_tracks(calls, causal=True, until_s=end_s)
    assert len(whole) >= 2
    for until_s in (40.3, 95.0, 151.7):
        early = find_tracks([call for call in calls if call.end_s <= until_s], causal=True, until_s=until_s)
        known = [track for track in whole if track.time_s[0] <= until_s]
        assert len(early) == len(known) > 0
        for one, other in zip(early, known, strict=True):
            same = other.time_s <= until_s
            assert np.array_equal(one.time_s, other.time_s[same])
            assert np.array_equal(one.calls, other.calls[same])
            for name in ("azimuth_deg", "elevation_deg", "azimuth_sd_deg", "elevation_sd_deg"):
                assert np.allclose(getattr(one, name), getattr(other, name)[same], atol=1e-4)


def test_the_smoother_does_change(crossing):
    """So the test above can fail."""
    _, calls = crossing
    early, whole = (find_tracks([c for c in calls if c.end_s <= until_s]) for until_s in (60.0, 95.0))
    same = np.isin(whole[0].time_s, early[0].time_s)
    assert not np.allclose(early[0].azimuth_deg[: same.sum()], whole[0].azimuth_deg[same], atol=1e-2)


def test_a_causal_track_begins_when_it_is_known_and_goes_on_in_silence():
    calls = detections(steady(5))
    (track,) = find_tracks(calls, causal=True, until_s=1000.0)
    (smoothed,) = find_tracks(calls)
    assert (track.tracker, smoothed.tracker) == ("causal", "smoother")
    # An animal needs three calls.
    assert track.time_s[0] == np.ceil(calls[2].end_s) > smoothed.time_s[0]
    assert track.time_s[-1] == np.floor(calls[-1].end_s + MAX_SILENCE_S)
    assert np.all(np.diff(track.time_s) == 1.0) and track.calls.sum() == 5
    assert track.elevation_sd_deg[-1] > 3 * track.elevation_sd_deg[int(calls[-1].end_s - track.time_s[0])]
    (cut,) = find_tracks(calls, causal=True)
    assert cut.time_s[-1] == np.floor(calls[-1].end_s)


def test_a_long_silence_begins_a_new_animal():
    early, late = steady(6), steady(6)
    late = dataclasses.replace(late, time_s=late.time_s + early.time_s[-1] + MAX_SILENCE_S + 1)
    both = [*detections(early), *detections(late)]
    assert [len(track.fixes) for track in find_tracks(both, causal=True)] == [6, 6]


def test_two_animals_are_kept_apart_as_they_call(crossing):
    swim, _ = crossing
    found = animals_so_far(swim.fixes, MAX_SILENCE_S)
    for animal in found:
        source = swim.source[animal.fixes]
        assert np.bincount(source[source >= 0]).max() > 0.7 * len(source)
    assert np.concatenate([animal.fixes for animal in found]).size > 0.85 * (swim.source >= 0).sum()


def test_no_fix_is_in_two_animals_and_none_is_known_before_its_third_call(crossing):
    swim, _ = crossing
    found = animals_so_far(swim.fixes, MAX_SILENCE_S)
    every = np.concatenate([animal.fixes for animal in found])
    assert len(np.unique(every)) == len(every)
    for animal in found:
        assert animal.since_s >= swim.fixes.time_s[animal.fixes[2]]
    assert [animal.since_s for animal in found] == sorted(animal.since_s for animal in found)


def test_locate_writes_causal_tracks_to_the_end_of_each_stretch(tmp_path):
    """A gap inside a recording ends a track, since the animals are elsewhere after it."""
    calls = detections(steady(12))
    recording = SimpleNamespace(
        clock=SimpleNamespace(jumps=[(calls[5].end_s + 2.5, 30.0)]), begin_s=0.0, duration_s=400.0
    )
    before, after = run._tracks(calls, recording, causal=True)
    assert before.time_s[-1] == np.floor(calls[5].end_s + 2.5)
    assert after.time_s[-1] == min(400.0, np.floor(calls[-1].end_s + MAX_SILENCE_S))
    table = CsvWriter(tmp_path / "tracks.csv", TRACK_COLUMNS)
    table.write(rows_of(after))
    table.close()
    with (tmp_path / "tracks.csv").open() as file:
        assert {row["tracker"] for row in csv.DictReader(file)} == {"causal"}


def test_a_causal_track_is_near_the_true_direction(crossing):
    swim, calls = crossing
    for track in find_tracks(calls, causal=True)[:2]:
        mine = swim.source[list(track.fixes)]
        animal = np.bincount(mine[mine >= 0]).argmax()
        at = np.isin(swim.grid_s, track.time_s)
        found = np.stack([track.azimuth_deg, track.elevation_deg])[:, np.isin(track.time_s, swim.grid_s)]
        truth = np.degrees(np.stack(angles(swim.truth[animal][at])))
        far = np.abs((found[0] - truth[0] + 180) % 360 - 180) * np.cos(np.radians(truth[1]))
        assert np.median(far) < 3.0
