"""Events of masks that are drawn by hand: one row a call, whatever lies beside it."""

import csv
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from bench.count_calls import PAGE, matched
from whalefinder.calls.events import EventSettings, activity, find_events, lasting
from whalefinder.sound.spectrogram import FRAME_S, NUM_BINS

SETTINGS = EventSettings()


def mask(frames: int = 600) -> np.ndarray:
    return np.zeros((NUM_BINS, frames), np.float32)


def spans(share: np.ndarray) -> list[tuple[int, int]]:
    return [(event.begin, event.end) for event in find_events(share, SETTINGS)]


def test_events_of_a_drawn_mask():
    share = np.zeros((NUM_BINS, 400), np.float32)
    share[40:44, 50:100] = 0.9
    share[40:44, 110:150] = 0.9  # a gap of 0.1 s belongs to the same call
    share[100:103, 300:340] = 0.8
    events = find_events(share, SETTINGS)
    assert [(e.begin, e.end) for e in events] == [pytest.approx((50, 150), abs=3), pytest.approx((300, 340), abs=3)]
    assert events[0].low_hz == pytest.approx((40 + 8 - 0.5) * 46.875) and events[0].high_hz == pytest.approx(
        (43 + 8 + 0.5) * 46.875
    )
    assert find_events(np.zeros_like(share), SETTINGS) == []
    assert activity(share, SETTINGS)[75] == pytest.approx(3.6, abs=1e-4)


def test_calls_a_fifth_of_a_second_apart_are_two():
    share = mask()
    share[40:44, 50:100] = share[60:64, 120:170] = 0.9
    assert spans(share) == [pytest.approx((50, 100), abs=3), pytest.approx((120, 170), abs=3)]


def test_a_faint_part_of_a_call_does_not_cut_it():
    share = mask()
    share[40:48, 50:150] = 0.9
    share[43:48, 90:110] = 0.0  # three eighths of the activity are left
    assert len(spans(share)) == 1


@pytest.mark.parametrize(("short", "events"), [(6, 1), (10, 2)])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_valley_near_an_end_cuts_off_no_call(short, events, backwards):
    """A blip of 0.06 s is a part of the call that lies 0.13 s from it; one of 0.11 s is a call of its own."""
    share = mask(300)
    share[40:44, 50 : 50 + short] = share[40:44, 62 + short : 142 + short] = 0.9
    assert len(spans(share[:, ::-1].copy() if backwards else share)) == events


def test_an_event_ends_where_its_activity_is_a_small_part_of_its_peak():
    share = mask(300)
    share[40:60, 50:110] = 0.9
    share[40:42, 110:160] = 0.4  # 0.8 of 18 bins: more than `keep`, less than `tail` of the peak
    assert spans(share) == [pytest.approx((50, 110), abs=3)]
    share[42:46, 110:160] = 0.4  # 2.4 of 18
    assert spans(share) == [pytest.approx((50, 160), abs=3)]


@pytest.mark.parametrize(("frames", "count"), [(6, 0), (12, 1)])
def test_what_is_shorter_than_a_tenth_of_a_second_is_no_event(frames, count):
    share = mask(100)
    share[40, 50 : 50 + frames] = 0.7
    assert len(spans(share)) == count


@pytest.mark.parametrize(("level", "count"), [(0.55, 0), (0.65, 1)])
def test_an_event_reaches_six_tenths_of_a_bin(level, count):
    share = mask(200)
    share[40, 50:110] = level
    assert len(spans(share)) == count


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_clicks_are_no_events_and_join_none(width):
    share = mask()
    for first in range(20, 580, 12):
        share[:, first : first + width] = 0.95
    assert spans(share) == []
    calls = [(100, 160), (300, 360), (500, 560)]
    for begin, end in calls:
        share[40:46, begin:end] = 0.95
    assert spans(share) == [pytest.approx(call, abs=8) for call in calls]


@pytest.mark.parametrize("slope", [0.5, 1.0, -1.0])  # bins a frame, 4.4 kHz a second
def test_a_tone_that_rises_or_falls_lasts(slope):
    share = mask()
    for frame in range(100, 160):
        at = 100 + round(slope * (frame - 100))
        share[at : at + 3, frame] = 0.9
    assert lasting(share, SETTINGS).sum() > 0.9 * (share > 0).sum()
    assert spans(share) == [pytest.approx((100, 160), abs=4)]


@pytest.mark.parametrize("frames", [1, 5, 6, 7])
def test_lasting_is_the_opening_of_mathematical_morphology(frames):
    share = np.random.default_rng(frames).random((NUM_BINS, 300)).astype(np.float32)
    share[50:53, 100:200] = 0.99
    settings = EventSettings(share=0.95, least_s=frames * FRAME_S)
    wide = ndimage.binary_dilation(share >= 0.95, np.ones((5, 1)))
    assert (lasting(share, settings) == (share >= 0.95) & ndimage.binary_opening(wide, np.ones((1, frames)))).all()


def test_a_steep_sweep_does_not_cut_its_call():
    """27 kHz in a second, as a whistle of an orca may fall: no bin lasts, and yet there is sound all along."""
    share = mask()
    share[160:164, 100:150] = share[40:44, 170:220] = 0.9
    for frame in range(150, 170):
        top = 164 - 6 * (frame - 150)
        share[max(40, top - 8) : top, frame] = 0.9
    assert spans(share) == [pytest.approx((100, 220), abs=3)]


def test_a_chorus_is_a_row_a_call():
    """Twelve calls in six seconds over clicks and a hum: no box is longer than its call by a tenth of a second."""
    share, rng = mask(720), np.random.default_rng(4)
    share[3, ::2] = 0.4
    calls = []
    for first in range(20, 700, 58):
        length, at = int(rng.integers(20, 42)), int(rng.integers(20, 200))
        share[at : at + 5, first : first + length] = 0.9
        share[:, first + 48] = 0.95  # a click between two calls
        calls.append((first, first + length))
    found = spans(share)
    assert found == [pytest.approx(call, abs=5) for call in calls]
    assert all(a[1] <= b[0] for a, b in pairwise(found))


def test_a_mask_that_is_longer_before_and_after_gives_the_same_events():
    share = mask()
    share[40:44, 150:200] = share[60:64, 215:260] = 0.9
    longer = np.pad(share, ((0, 0), (77, 133)))
    assert [(b + 77, e + 77) for b, e in spans(share)] == spans(longer)


def test_the_table_of_calls_by_eye_is_in_order():
    rows = list(csv.DictReader(PAGE.read_text().splitlines()))
    assert len(rows) > 70 and {row["seen"] for row in rows} == {"clear", "faint"}
    for a, b in pairwise(rows):
        assert a["recording"] != b["recording"] or float(a["begin_s"]) < float(b["begin_s"])
    for row in rows:
        seconds = float(row["end_s"]) - float(row["begin_s"])
        assert 10 * FRAME_S < seconds < 2.0 and 375 <= float(row["low_hz"]) < float(row["high_hz"]) <= 12_300


def test_a_row_goes_to_the_call_that_leaves_the_other_call_a_row():
    assert matched([(0.0, 1.0), (0.9, 2.0)], [(0.7, 2.0), (0.0, 0.2)]) == [(0, 1), (1, 0)]
    assert matched([(0.0, 1.0), (0.1, 1.0)], [(0.0, 1.0)]) == [(0, 0)]  # one row over two calls is of one
    assert matched([], [(0.0, 1.0)]) == matched([(0.0, 1.0)], []) == []


@pytest.mark.parametrize(("overlap_s", "pairs"), [(0.31, [(0, 0)]), (0.29, [])])
def test_a_row_is_of_a_call_where_they_overlap_by_three_tenths_of_the_shorter(overlap_s, pairs):
    assert matched([(0.0, 5.0)], [(5.0 - overlap_s, 6.0 - overlap_s)]) == pairs
    assert matched([(5.0 - overlap_s, 6.0 - overlap_s)], [(0.0, 5.0)]) == pairs
