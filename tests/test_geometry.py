"""Axes, signs and delays against hand-worked numbers: `sea` and `steering` meet only here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whalefinder.array import geometry as g
from whalefinder.errors import ArrayError

DEGREE = np.pi / 180


def test_north_east_up_and_the_depths():
    assert np.allclose(g.direction(0.0, 0.0), [0, 1, 0])
    assert np.allclose(g.direction(90 * DEGREE, 0.0), [1, 0, 0])
    assert np.allclose(g.direction(123.0, -90 * DEGREE), [0, 0, -1], atol=1e-12)


def test_delays_worked_by_hand():
    # c = 1500 m/s; phones 3 m east, 1.5 m north, 0.75 m up of the origin; whale due east and level:
    # the eastern phone is 3 m nearer, 2 ms early; the others hear it with the origin.
    positions = [[3, 0, 0], [0, 1.5, 0], [0, 0, 0.75]]
    assert np.allclose(g.plane_wave_delays(positions, g.direction(90 * DEGREE, 0), 1500), [-2e-3, 0, 0], atol=1e-12)
    # Whale straight below: the phone that is 0.75 m higher hears it 0.5 ms late.
    assert np.allclose(g.plane_wave_delays(positions, [0, 0, -1], 1500), [0, 0, 5e-4], atol=1e-12)
    # North-west, level: u = (-1, 1, 0)/√2; east phone is 3/√2 m further.
    expected = [3 / np.sqrt(2) / 1500, -1.5 / np.sqrt(2) / 1500, 0]
    assert np.allclose(g.plane_wave_delays(positions, g.direction(315 * DEGREE, 0), 1500), expected, atol=1e-12)


def test_travel_times_become_plane_wave_delays_far_away():
    positions = g.tetrahedron(0.5)
    u = g.direction(1.0, -0.3)
    times = g.travel_times_s(positions, 1e5 * u, 1490.0)
    plane = g.plane_wave_delays(positions, u, 1490.0)
    # What is left is the curvature of the wavefront, r²/(2R c) = 0.3²/2e5/1490 s.
    assert np.allclose(times - times.mean(), plane - plane.mean(), atol=1e-9)


def test_attitude_turns_roll_then_pitch_then_heading():
    assert np.allclose(g.attitude(90, 0, 0) @ [0, 1, 0], [1, 0, 0])  # forward looks east
    assert np.allclose(g.attitude(0, 90, 0) @ [0, 1, 0], [0, 0, 1])  # bow up
    assert np.allclose(g.attitude(0, 0, 90) @ [1, 0, 0], [0, 0, -1])  # starboard down
    # Roll 90 then heading 90: starboard goes down and stays down; forward goes east.
    both = g.attitude(90, 0, 90)
    assert np.allclose(both @ [1, 0, 0], [0, 0, -1]) and np.allclose(both @ [0, 1, 0], [1, 0, 0])


@given(st.floats(0, 359.999), st.floats(-89.9, 89.9))
def test_angles_invert_directions(azimuth, elevation):
    az, el = g.angles(g.direction(azimuth * DEGREE, elevation * DEGREE))
    assert abs((az / DEGREE - azimuth + 180) % 360 - 180) < 1e-6 and abs(el / DEGREE - elevation) < 1e-6
    assert 0 <= az < 2 * np.pi


@given(st.floats(0, 6.28), st.floats(-1.5, 1.5))
def test_tangents_are_derivatives_of_the_direction(azimuth, elevation):
    level, up = g.tangents(g.direction(azimuth, elevation))
    h = 1e-6
    by_azimuth = (g.direction(azimuth + h, elevation) - g.direction(azimuth - h, elevation)) / (2 * h)
    by_elevation = (g.direction(azimuth, elevation + h) - g.direction(azimuth, elevation - h)) / (2 * h)
    assert np.allclose(by_azimuth, level * np.cos(elevation), atol=1e-6) and np.allclose(by_elevation, up, atol=1e-6)


def test_azimuth_converter_against_pyroomacoustics_and_itself():
    # pyroomacoustics: 0 = x (east), anticlockwise; north is 90.
    assert np.isclose(g.azimuth_from_anticlockwise_east(np.pi / 2), 0.0)
    assert np.isclose(g.azimuth_from_anticlockwise_east(0.0), np.pi / 2)
    twice = g.azimuth_from_anticlockwise_east(g.azimuth_from_anticlockwise_east(1.234))
    assert np.isclose(twice, 1.234)


def test_grid_has_equal_areas_and_the_asked_spacing():
    grid = g.equal_area_grid(np.radians(3.0))
    # Archimedes: equal areas mean sin(elevation) is uniform.
    assert np.allclose(np.quantile(grid[:, 2], [0.25, 0.5, 0.75]), [-0.5, 0, 0.5], atol=0.01)
    near = np.sort(np.linalg.norm(grid[:200, None] - grid[None], axis=-1), axis=1)[:, 1]
    assert np.degrees(np.median(near)) == pytest.approx(3.0, rel=0.25)
    assert g.equal_area_grid(0.05, 0.0)[:, 2].max() <= 1e-12


def test_shapes_and_aliasing():
    def array(positions):
        return g.HydrophoneArray(name="a", positions_m=positions, sound_speed_m_s=1480.0)

    assert array([[0, 0, 0], [0, 1, 0]]).shape == "line"
    assert array([[0, 0, 0], [0, 1, 0], [0, 2, 0], [0, 3.5, 0]]).shape == "line"
    assert array([[0, 0, 0], [0, 1, 0], [1, 0, 0]]).shape == "plane"
    assert array(g.tetrahedron(0.5)).shape == "volume"
    # docs/how-it-works.md: alias-free only below c / 2d = 1.48 kHz for 0.5 m.
    assert array(g.tetrahedron(0.5)).aliasing_hz == pytest.approx(1480.0)


def test_elevation_limit_follows_depth_and_range():
    def limit(depth):
        array = g.HydrophoneArray(
            name="a", positions_m=g.tetrahedron(), sound_speed_m_s=1480.0, depth_m=depth, min_range_m=20
        )
        return np.degrees(array.max_elevation_rad())

    assert limit(0.0) == 0.0
    assert limit(5.0) == pytest.approx(14.4775, abs=1e-3)  # asin(5 / 20)
    assert limit(50.0) == pytest.approx(90.0)


@pytest.mark.parametrize(
    ("positions", "speed", "message"),
    [
        ([[0, 0, 0]], 1480, "at least 2"),
        ([[0, 0, 0], [0, 0, 5e-4]], 1480, "0.5 mm apart"),
        ([[0, 0, 0], [0, 1, np.nan]], 1480, "not a finite number"),
        ([[0, 0, 0], [0, 1, 0]], 34.3, "sound_speed_m_s = 34.3"),
        ([0, 1, 2], 1480, "need \\[channel, 3\\]"),
    ],
)
def test_impossible_arrays_are_refused_by_name(positions, speed, message):
    with pytest.raises(ArrayError, match=message):
        g.HydrophoneArray(name="a", positions_m=positions, sound_speed_m_s=speed)


def test_direction_from_time_differences():
    positions = g.tetrahedron(0.5)
    u = g.direction(np.radians([10.0, 200.0]), np.radians([-5.0, -40.0]))
    delays = g.plane_wave_delays(positions, u, 1490.0)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    differences = np.stack([delays[:, i] - delays[:, j] for i, j in pairs], axis=1)
    assert np.allclose(g.direction_from_tdoa(positions, pairs, differences), u, atol=1e-9)


def test_a_large_array_is_thinned_to_its_most_spread_hydrophones():
    line = np.stack([np.zeros(9), np.arange(9.0), np.zeros(9)], axis=1)
    assert g.spread(line, 3).tolist() == [0, 4, 8]
    assert g.spread(line, 20).tolist() == list(range(9))
    few = g.HydrophoneArray(name="a", positions_m=line, sound_speed_m_s=1480.0).of([0, 4, 8])
    assert few.channels == (0, 4, 8) and few.num_channels == 3


def test_tangent_offset_is_as_long_as_the_arc():
    u = g.direction(0.3, -0.2)
    axes = np.stack(g.tangents(u))
    for arc in (0.01, 1.0, 2.5):
        other = np.cos(arc) * u + np.sin(arc) * (0.6 * axes[0] + 0.8 * axes[1])
        assert np.allclose(g.tangent_offset(axes, u, other), arc * np.array([0.6, 0.8]))
