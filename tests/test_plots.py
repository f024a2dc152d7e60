"""Pictures show what they should: measured on the figures, before they become pixels."""

import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
from matplotlib import dates

from whalefinder.array.geometry import HydrophoneArray
from whalefinder.pages import charts
from whalefinder.pages.plots import LEAST_ELEVATION_SPAN_DEG, Picture, array_figure
from whalefinder.results.records import Bearing, Detection


def call(begin_s, low_hz, elevation_deg):
    bearing = Bearing(azimuth_deg=10.0, azimuth_sd_deg=0.01, elevation_deg=elevation_deg, elevation_sd_deg=0.01)
    return Detection(
        recording="a.wav", begin_s=begin_s, end_s=begin_s + 1, start_utc=None, low_hz=low_hz, high_hz=2000.0,
        label="orca", probability=0.9, snr_db=3.0, bearing=bearing, evidence={},
    )  # fmt: skip


def figure(calls):
    return Picture(10.0).figure("a.wav", calls, with_bearing=True)


def test_a_box_does_not_stretch_the_spectrogram():
    top = figure([call(9.5, -500.0, -5.0)]).axes[0]
    bare = figure([]).axes[0]
    assert top.get_ylim() == bare.get_ylim() and top.get_ylim()[0] > 0
    assert top.get_xlim() == (0, 10)


@pytest.mark.parametrize("elevations", [[], [-5.0], [-5.0, -5.05], [-5.0, -50.0]])
def test_the_elevation_axis_does_not_zoom_in_on_rounding(elevations):
    axis = next(axis for axis in figure([call(k, 500.0, e) for k, e in enumerate(elevations)]).axes
                if axis.get_ylabel().startswith("elevation"))  # fmt: skip
    low, high = axis.get_ylim()
    assert high - low >= LEAST_ELEVATION_SPAN_DEG - 1e-9
    assert all(low < elevation < high for elevation in elevations)


def test_hydrophones_above_each_other_share_a_label():
    rod = np.array([[0, 0, 0], [0, 0, -1], [1, 0, 0], [1.01, 0, -1]], float)
    plan, side = array_figure(HydrophoneArray(name="rods", positions_m=rod, sound_speed_m_s=1480.0)).axes[:2]
    assert [text.get_text() for text in plan.texts] == ["1, 2", "3, 4"]
    assert [text.get_text() for text in side.texts] == ["1", "2", "3", "4"]


def test_bars_of_days_span_the_day_that_they_count(monkeypatch):
    monkeypatch.setattr(charts, "_svg", lambda figure, title: figure)
    bars = charts.calls_by_day(["2026-07-01", "2026-07-02"], [3, 5]).axes[0].patches
    spans = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    days = [dates.date2num(datetime(2026, 7, day)) for day in (1, 2)]
    for (begin, end), day in zip(spans, days, strict=True):
        assert day <= begin < day + 0.1 and day + 0.9 < end <= day + 1
    grid = charts.calls_by_hour(["2026-07-01", "2026-07-02"], np.ones((24, 2)), None).axes[0]
    assert grid.get_xlim() == (days[0], days[1] + 1)


def test_drawing_leaves_the_backend_of_a_notebook_alone():
    script = """
import sys, pkgutil, importlib, matplotlib
matplotlib.use("svg")
for package in ("pages", "evaluation", "explain"):
    room = importlib.import_module(f"whalefinder.{package}")
    for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
        importlib.import_module(module.name)
from matplotlib.figure import Figure
from whalefinder.pages.page import png_of
figure = Figure()
figure.subplots().plot([0, 1])
assert png_of(figure).startswith(b"\\x89PNG")
print(matplotlib.get_backend(), "matplotlib.pyplot" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["svg", "False"], done.stderr[-500:]


def test_holes_are_hatched():
    """What is drawn in a hole is not the sea, and a reader must see that."""
    picture = Picture(10.0)
    picture.holes_s = [(2.0, 4.5), (7.0, 7.0)]
    spans = [patch for patch in picture.figure("a.wav", [], with_bearing=False).axes[0].patches if patch.get_hatch()]
    assert [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in spans] == [(2.0, 4.5), (7.0, 7.0)]
