"""Matching detections with the truth."""

from types import SimpleNamespace

import pytest

from whalefinder.metrics import bearing_error_deg, match


def span(begin, end):
    return SimpleNamespace(begin_s=begin, end_s=end)


def test_the_detection_that_shares_most_time_is_the_one():
    early, late = span(0.0, 1.2), span(1.2, 3.0)
    assert match(span(1.0, 2.0), [early, late]) is late
    assert match(span(3.0, 4.0), [early, late]) is None and match(span(0, 1), []) is None


def test_great_circles_by_hand():
    assert bearing_error_deg(0, 0, 90, 0) == pytest.approx(90.0)
    assert bearing_error_deg(0, -90, 180, -90) == pytest.approx(0.0, abs=1e-9)  # azimuth means nothing straight down
