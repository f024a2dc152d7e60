"""Planning: predictions against simulated maximum likelihood, and places against the known best."""

import numpy as np
import pytest
from typer.testing import CliRunner

from whalefinder.array.array_file import load_array
from whalefinder.array.geometry import HydrophoneArray, direction, equal_area_grid, great_circle_rad, tetrahedron
from whalefinder.array.limit import TypicalCall
from whalefinder.cli import app
from whalefinder.errors import ArrayError, OptionError
from whalefinder.pages.plan_picture import plan_figure
from whalefinder.planning.conditions import Conditions, boats_round, read_boats
from whalefinder.planning.place import Frame, place, read_frame
from whalefinder.planning.predict import predict
from whalefinder.planning.separation import Separation
from whalefinder.planning.sky import at_elevations, sky_map, threshold_db

C = 1484.0
SQUARE = np.array([[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]]) * 0.25


def array(positions=None, **more):
    positions = tetrahedron(0.5) if positions is None else positions
    return HydrophoneArray(name="a", positions_m=positions, sound_speed_m_s=C, **{"depth_m": 0.0, **more})


def simulated_errors(hydrophones, conditions, u0, trials, bins=12, step_rad=0.035, seed=1):
    """Errors in degrees of the best beam of a grid, weighted by β / (1 + β), for calls of random phases."""
    rng, call = np.random.default_rng(seed), conditions.call
    f = call.low_hz + (call.high_hz - call.low_hz) * (np.arange(bins) + 0.5) / bins
    whitening = np.linalg.inv(np.linalg.cholesky(conditions.noise(hydrophones, f)))
    grid = equal_area_grid(step_rad, hydrophones.max_elevation_rad())

    def beams(u):
        wave = np.exp(2j * np.pi * f[:, None, None] * (u @ hydrophones.positions_m.T) / C)
        b = np.einsum("fmn,fgn->fgm", whitening, wave)
        power = (abs(b) ** 2).sum(-1)
        return power, b / np.sqrt(power)[..., None]

    gain, b0 = beams(u0[None])
    beta = conditions.snr * gain[:, 0]
    _, b = beams(grid)
    projections = np.einsum("f,fgm,fgn->gfmn", beta / (1 + beta), b.conj(), b).reshape(len(grid), -1)
    snapshots = round(conditions.snapshots / bins)
    best = []
    for _ in range(trials):
        s = np.sqrt(beta)[:, None] * np.exp(2j * np.pi * rng.random((bins, snapshots)))
        noise = (rng.standard_normal((bins, b.shape[-1], snapshots, 2)) @ [1, 1j]) / np.sqrt(2)
        x = b0[:, 0, :, None] * s[:, None] + noise
        best.append((projections @ np.einsum("fmk,fnk->fmn", x, x.conj()).reshape(-1)).real.argmax())
    return np.degrees(great_circle_rad(grid[best], u0))


@pytest.mark.parametrize("boats", [(), ((60.0, 0.0), (200.0, 0.0))])
def test_outliers_begin_where_maximum_likelihood_begins_to_fail(boats):
    hydrophones, u0 = array(), direction(np.radians(20.0), np.radians(-15.0))
    shares = {}
    for snr_db in (-7.0, -1.0) if boats else (-9.0, -4.0):
        conditions = Conditions(call=TypicalCall(4000, 5500, 0.08, snr_db), boats_deg=boats)
        errors = simulated_errors(hydrophones, conditions, u0, trials=120)
        found = predict(hydrophones, conditions, u0[None])
        shares[snr_db] = (errors > 10).mean(), found.beyond[0]
        near = np.sqrt(np.mean(errors[errors < 10] ** 2))
        assert near == pytest.approx(found.error_deg[0], rel=0.35)
    (few, stated_few), (many, stated_many) = shares[max(shares)], shares[min(shares)]
    assert many > 0.15 and many < stated_many < 2.2 * many  # an upper bound, and not a loose one
    assert few < 0.06 and stated_few < 0.06


@pytest.mark.parametrize("elevation_deg", [-4.0, -15.0, -35.0])
def test_a_level_square_is_vague_near_its_plane(elevation_deg):
    """Near its plane the error is that of two directions that run together: no bound describes it."""
    hydrophones, u0 = array(SQUARE, depth_m=8.0), direction(np.radians(20.0), np.radians(elevation_deg))
    conditions = Conditions(call=TypicalCall(2000, 6000, 0.03, 0.0))
    errors = simulated_errors(hydrophones, conditions, u0, trials=120, step_rad=0.02)
    found = predict(hydrophones, conditions, u0[None])
    assert np.degrees(found.rms_rad[0]) == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.3)
    assert found.beyond[0] == pytest.approx((errors > 10).mean(), abs=0.15)


def test_the_separation_of_directions_in_closed_form():
    """White noise and a flat band: the mean of cos ωτ over the band, for each pair of hydrophones, is a difference of sinc."""
    hydrophones, conditions = array(), Conditions(call=TypicalCall(2000, 6000, 0.5, -3.0))
    u0, u = direction(0.2, -0.1), direction(2.9, -0.8)
    tau = hydrophones.delays_s(u) - hydrophones.delays_s(u0)
    lag = tau[:, None] - tau[None]
    alike = np.mean((6000 * np.sinc(2 * 6000 * lag) - 2000 * np.sinc(2 * 2000 * lag)) / 4000)
    beta = 4 * 10**-0.3
    closed = 0.5 * 2000 * beta**2 / (1 + beta) * (1 - alike)
    separation = Separation(hydrophones, conditions)
    assert separation.of_pairs(u0[None], u[None, None])[0, 0] == pytest.approx(closed, rel=0.01)
    (_, d, most), *_ = separation.from_each(u0[None], np.stack([u0, u]))
    assert d[0] == pytest.approx([0.0, closed], rel=0.01, abs=1e-3 * most[0])


def test_the_threshold_lies_between_no_outliers_and_many():
    call = TypicalCall(4000, 6000, 0.3, 0.0)
    begins = threshold_db(array(), Conditions(call=call))  # about -9 dB
    for snr_db, low, high in ((begins + 3, 0.0, 0.005), (begins - 3, 0.03, 1.0)):
        u = np.concatenate(list(at_elevations(array(), 30.0).values()))
        conditions = Conditions(call=TypicalCall(4000, 6000, 0.3, snr_db))
        assert low <= predict(array(), conditions, u).beyond.mean() <= high
    # A level square hears two directions alike, unless the water ends between them.
    assert threshold_db(array(SQUARE, depth_m=None), Conditions(call=call)) == np.inf
    assert threshold_db(array(SQUARE), Conditions(call=call)) < 10


def test_a_wide_array_has_no_lobes_to_predict():
    found = predict(array(tetrahedron(20.0)), Conditions(call=TypicalCall(snr_db=-10.0)), direction(0.1, -0.2)[None])
    assert 0 < found.error_deg[0] < 0.1 and found.beyond[0] < 1e-6


def test_a_line_is_named():
    with pytest.raises(ArrayError, match="on one line"):
        predict(array(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0.0]])), Conditions(), direction(0.1, -0.2)[None])


def test_four_hydrophones_in_a_cube_are_the_tetrahedron_of_its_corners(monkeypatch):
    """Its spread is the largest in every axis at once, half of the hydrophones at each wall: nothing can be better."""
    monkeypatch.setattr("whalefinder.planning.place.LOOKS", 35)
    call = Conditions(call=TypicalCall(1000, 2500, 0.7, 10.0))
    placed = place(Frame(size_m=(0.4, 0.4, 0.4), number=4), array(depth_m=8.0), call, generations=4)
    assert np.abs(placed.positions_m).max() <= 0.2
    u = equal_area_grid(0.5, placed.max_elevation_rad())
    errors = [
        np.sqrt(np.mean(predict(each, call, u).rms_rad ** 2))
        for each in (placed, array(tetrahedron(0.4 * np.sqrt(2)), depth_m=8.0))
    ]
    assert errors[1] * 0.999 < errors[0] < errors[1] * 1.05


def test_a_flat_frame_keeps_its_spacing_and_the_seed_its_array(monkeypatch):
    monkeypatch.setattr("whalefinder.planning.place.LOOKS", 5)
    frame, call = Frame(size_m=(0.5, 0.3, 0.0), number=3, spacing_m=0.28), Conditions(call=TypicalCall(1000, 2500))
    first, again = (place(frame, array(depth_m=8.0), call, generations=2, seed=3) for _ in range(2))
    assert np.array_equal(first.positions_m, again.positions_m)
    apart = np.linalg.norm(first.positions_m[:, None] - first.positions_m[None], axis=-1)
    assert apart[apart > 0].min() >= 0.28 and np.all(first.positions_m[:, 2] == 0)
    assert np.all(np.abs(first.positions_m) <= [0.25, 0.15, 0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: read_boats(["north"]), "`boat` 'north' is no direction"),
        (lambda: read_boats(["40,100"]), "`boat` '40,100' is no direction"),
        (lambda: read_frame("1,1"), "`frame` '1,1' is no extent"),
        (lambda: Frame(size_m=(1.0, 0.0, 0.0), number=3), "above 0 along two axes or three"),
        (lambda: Frame(size_m=(1.0, 1.0, 0.0), number=3, spacing_m=2.0), "diagonal of the frame, which is 1.41 m"),
        (lambda: Frame(size_m=(0.1, 0.1, 0.0), number=12, spacing_m=0.06), "`phones` 12 do not fit"),
        (lambda: Conditions(call=TypicalCall(low_hz=6000, high_hz=5000)), "`low` 6000 Hz is not below `high`"),
        (
            lambda: place(Frame(size_m=(1.0, 1.0, 4.0), number=4), array(depth_m=1.0), Conditions()),
            "rises above the water",
        ),
        (
            lambda: place(Frame(size_m=(1.0, 1.0, 1.0), number=4, lowest_deg=60.0), array(depth_m=3.0), Conditions()),
            "leaves no direction",
        ),
    ],
)
def test_what_cannot_be_planned_is_said(make, words):
    with pytest.raises(OptionError) as said:
        make()
    assert words in str(said.value)


def test_the_command_writes_an_array_that_can_be_planned(tmp_path, monkeypatch):
    monkeypatch.setattr("whalefinder.planning.place.LOOKS", 5)
    sea = ["--low", "1000", "--high", "2000", "--boats", "1", "-q"]
    file, picture = tmp_path / "three.toml", tmp_path / "three.png"
    frame = ["--phones", "3", "--frame", "0.5,0.4,0", "--sound-speed", "1484", "--depth", "8", "--generations", "1"]
    done = CliRunner().invoke(app, ["place-array", *frame, *sea, "--file", str(file)])
    assert done.exit_code == 0 and load_array(file).num_channels == 3, done.output
    again = CliRunner().invoke(app, ["place-array", *frame, *sea, "--file", str(file)])
    assert again.exit_code == 1 and "exists already" in again.output
    done = CliRunner().invoke(app, ["plan", str(file), *sea, "--file", str(picture)])
    assert done.exit_code == 0 and picture.read_bytes().startswith(b"\x89PNG"), done.output
    assert "three" in done.output and "1 boat, SIR −10 dB" in done.output


def test_boats_are_where_they_were_asked_for():
    assert boats_round(3) == ((0.0, 0.0), (120.0, 0.0), (240.0, 0.0)) and boats_round(0) == ()
    assert read_boats(["-40", "10,-5"]) == ((320.0, 0.0), (10.0, -5.0))


def test_the_picture_shows_the_error_at_its_place():
    """Middle of the map: straight down. North is up and azimuths run clockwise; boats are triangles at their place."""
    sky = sky_map(array(), Conditions(call=TypicalCall(1000, 2000, 0.5, 0.0), boats_deg=((90.0, 0.0),)))
    assert sky.azimuth_deg[[0, -1]].tolist() == [0, 360] and sky.elevation_deg[0] == -90
    assert np.array_equal(sky.error_deg[:, 0], sky.error_deg[:, -1])
    east, west = (sky.error_deg[sky.elevation_deg == -3, sky.azimuth_deg == az] for az in (90, 270))
    assert east > west  # the boat is in the east
    _, error, _ = plan_figure([sky]).axes[:3]
    assert error.get_theta_direction() == -1 and error.get_theta_offset() == pytest.approx(np.pi / 2)
    boat = next(line for line in error.lines if line.get_marker() == "^")
    assert boat.get_xdata()[0] == pytest.approx(np.pi / 2)
    assert boat.get_ydata()[0] == pytest.approx(1.0)  # stereographic: the horizon is tan 45°
