"""The regressor: its features against geometry, its frame, the array it belongs to, its weights, its training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import whalefinder
from tests.helpers import array, write
from whalefinder.array.array_file import save_array
from whalefinder.array.geometry import (
    HydrophoneArray,
    attitude,
    direction,
    great_circle_rad,
    plane_wave_delays,
    tetrahedron,
)
from whalefinder.bearings.regression import load_regressor, turned_by
from whalefinder.cli import app
from whalefinder.errors import ArrayError, OptionError
from whalefinder.networks.regressor import MAX_CELLS, CallBins, Regressor, features, pair_indices
from whalefinder.sea.calls import random_call
from whalefinder.sea.propagation import Path
from whalefinder.sea.scene import Call, Scene, simulate
from whalefinder.sound import spectrogram
from whalefinder.training import directions, mixtures, regressor

pytestmark = pytest.mark.networks

REACH_M, PATHS = 0.55, 111


def plane_wave(u, frames=40, seed=0):
    """Spectra of white sound from `u` without noise, by the delays of geometry, and a share of 1 everywhere."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randn(spectrogram.NUM_BINS, frames, dtype=torch.complex64, generator=generator)
    delays = torch.from_numpy(plane_wave_delays(tetrahedron(0.5), u, 1490.0)).float()
    angle = -2 * math.pi * spectrogram.frequencies_hz() * delays[:, None]
    spectra = torch.polar(torch.ones_like(angle), angle)[..., None] * source
    return spectra, torch.ones(spectrogram.NUM_BINS, frames)


def planes_of(spectra, share):
    return features(CallBins.of(spectra, share), 1, REACH_M, PATHS, 1490.0)


def test_shapes_of_any_number_of_hydrophones_and_any_length():
    for channels, frames in ((3, 5), (4, 96), (6, 1000)):
        network = Regressor(channels, REACH_M, hidden=8)
        spectra = torch.randn(channels, spectrogram.NUM_BINS, frames, dtype=torch.complex64)
        bins = CallBins.of(spectra, torch.rand(spectrogram.NUM_BINS, frames))
        assert int(bins.cell.max()) < MAX_CELLS
        azimuth, elevation = network(network.features(bins, 1, 1490.0))
        assert azimuth.shape == elevation.shape == (1, 1)


def test_every_pair_peaks_at_its_path_difference():
    u = direction(math.radians(70.0), math.radians(-20.0))
    planes = planes_of(*plane_wave(u))
    pairs = len(pair_indices(4)[0])
    over_all_bands = planes[0, 3 * pairs : 4 * pairs, :, -1]
    found = torch.linspace(-REACH_M, REACH_M, PATHS)[over_all_bands.argmax(-1)]
    positions = tetrahedron(0.5)
    for distance, m, n in zip(found.tolist(), *(index.tolist() for index in pair_indices(4)), strict=True):
        # The sound reaches m later than n by as many metres as m lies further from the whale.
        assert distance == pytest.approx((positions[n] - positions[m]) @ u, abs=REACH_M / PATHS * 1.1)


def test_features_do_not_depend_on_gain():
    spectra, share = plane_wave(direction(1.0, -0.2))
    assert torch.allclose(planes_of(spectra, share), planes_of(1e-3 * spectra, share), atol=1e-4)


def test_path_differences_do_not_depend_on_sound_speed():
    """In faster water delays shrink and peaks widen, but stay where they are in metres."""
    u, hz = direction(1.0, -0.2), spectrogram.frequencies_hz()
    peaks = []
    for speed in (1450.0, 1540.0):
        angle = -2 * math.pi * hz * torch.from_numpy(plane_wave_delays(tetrahedron(0.5), u, speed)).float()[:, None]
        spectra = torch.polar(torch.ones_like(angle), angle)[..., None].expand(-1, -1, 40)
        planes = features(CallBins.of(spectra, torch.ones(spectra.shape[1:])), 1, REACH_M, PATHS, speed)
        peaks.append(planes[0, 18:24, :, -1].argmax(-1))
    assert torch.equal(*peaks)


def test_headings_are_clockwise():
    """An array turned clockwise by 30° hears a whale of azimuth 100° where it heard one of 70° before."""
    trained = tetrahedron(0.5)
    turned = trained @ attitude(30.0, 0.0, 0.0).T + [5.0, -3.0, 2.0]
    heading, distance = turned_by(turned, trained)
    assert math.degrees(heading) == pytest.approx(30.0, abs=1e-6) and distance < 1e-9
    before = plane_wave_delays(trained, direction(math.radians(70.0), -0.1), 1490.0)
    after = plane_wave_delays(turned, direction(math.radians(100.0), -0.1), 1490.0)
    assert np.allclose(np.diff(before), np.diff(after), atol=1e-9)
    assert turned_by(trained[[1, 0, 2, 3]], trained)[1] > 0.1


def test_noise_free_plane_waves_come_from_where_they_are():
    regression = load_regressor(array())
    errors = []
    for azimuth in range(5, 360, 30):
        u = direction(math.radians(azimuth), math.radians(-12.0))
        fix = regression.find_direction(*plane_wave(u, frames=90, seed=azimuth))
        errors.append(float(np.degrees(great_circle_rad(fix.u, u))))
    stated = float(np.degrees(regression.sd_rad).max())
    assert np.median(errors) < stated, errors
    assert sum(error < 3 * stated for error in errors) >= 10, errors


def test_the_seam_of_the_shipped_azimuth_node():
    """One linear node goes round once and must fall back by a turn somewhere: between 205° and 235°, nowhere else."""
    regression, turns = load_regressor(array()), {}
    for azimuth in range(5, 360, 10):
        bins = CallBins.of(*plane_wave(direction(math.radians(azimuth), math.radians(-12.0)), seed=azimuth))
        with torch.inference_mode():
            node, _ = regression.network(regression.network.features(bins, 1, 1490.0))
        turns[azimuth] = round(float(node) - azimuth / 360)  # the nearest whole number of turns
    assert {turns[azimuth] for azimuth in turns if azimuth <= 205} == {0}
    assert {turns[azimuth] for azimuth in turns if azimuth >= 235} == {-1}


def test_a_turned_array_is_the_same_array():
    turned = replace(array(), positions_m=tetrahedron(0.5) @ attitude(90.0, 0.0, 0.0).T)
    sound = plane_wave(direction(1.0, -0.2))
    fixes = [load_regressor(frame).find_direction(*sound) for frame in (array(), turned)]
    az, turned_az = (math.degrees(math.atan2(fix.u[0], fix.u[1])) for fix in fixes)
    assert (turned_az - az) % 360 == pytest.approx(90.0, abs=1e-3)


def test_another_array_is_refused():
    square = HydrophoneArray(
        name="square", positions_m=[[1, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]], sound_speed_m_s=1490.0, depth_m=1.5
    )
    with pytest.raises(
        ArrayError, match=r"a hydrophone lies .* more than 0.01 m; use `method` network.*train a regressor"
    ):
        load_regressor(square)
    with pytest.raises(ArrayError, match="3 hydrophones, the regressor was trained for the 4"):
        load_regressor(array().of([0, 1, 2]))
    with pytest.raises(ArrayError, match="elevations up to 90°"):
        load_regressor(array(depth_m=None))
    with pytest.raises(OptionError, match="'beams' is unknown; allowed are network, steering, regressor"):
        whalefinder.Locator(array(), method="beams")
    with pytest.raises(OptionError, match="needs the array"):
        whalefinder.Locator(method="regressor")


@pytest.fixture(scope="module")
def swim(tmp_path_factory):
    """A call from 250° at SNR 15 dB; → (path of the WAV, its azimuth, its elevation)."""
    u = direction(math.radians(250.0), math.radians(-8.0))
    call = Call(
        sound=random_call(np.random.default_rng(0), "pulsed")[1], path=Path(tuple(150 * u)), begin_s=1.5, snr_db=15.0
    )
    sea = simulate(Scene(array=array(), seconds=5.0, calls=(call,)), 3)
    path = tmp_path_factory.mktemp("swim") / "swim.wav"
    return write(path, sea.samples.T / np.abs(sea.samples).max() / 2, subtype="FLOAT"), 250.0, -8.0


def test_locate_by_network_from_file_to_bearing(swim):
    path, azimuth, elevation = swim
    (steered,) = whalefinder.locate(path, array())
    (found,) = whalefinder.locate(path, array(), method="regressor")
    assert (found.begin_s, found.end_s, found.low_hz) == (steered.begin_s, steered.end_s, steered.low_hz)
    wrong = great_circle_rad(
        direction(math.radians(azimuth), math.radians(elevation)),
        direction(math.radians(found.azimuth_deg), math.radians(found.elevation_deg)),
    )
    assert np.degrees(wrong) < 3 * max(found.azimuth_sd_deg, found.elevation_sd_deg)
    assert found.bearing.ambiguity is None


def test_locate_by_network_on_the_command_line(swim, tmp_path):
    save_array(array(), tmp_path / "array.toml")
    save_array(replace(array(), positions_m=1.5 * tetrahedron(0.5)), tmp_path / "large.toml")
    command = ["locate", str(swim[0]), "-o", str(tmp_path / "out"), "--method", "regressor", "-a"]
    result = CliRunner().invoke(app, [*command, str(tmp_path / "array.toml")])
    assert result.exit_code == 0 and "1 call in" in result.output
    result = CliRunner().invoke(app, [*command, str(tmp_path / "large.toml")])
    assert result.exit_code == 1 and "use --method network" in result.output.replace("\n", " ")


def tiny(**changes):
    return regressor.Settings(
        **{"steps": 4, "batch": 4, "hidden": 8, "pool_calls": 4, "pool_boats": 2, "validate_every": 2}
        | {"validation_batches": 1, **changes}
    )


def test_a_run_that_was_stopped_resumes_exactly_and_its_weights_can_be_used(tmp_path, monkeypatch):
    monkeypatch.setenv("WHALEFINDER_DATA", str(tmp_path / "none"))
    weights = regressor.train(tmp_path / "whole", array(), tiny())

    class Stop(KeyboardInterrupt):
        pass

    def stop(step, loss, scores):
        if step == 3:
            raise Stop

    with pytest.raises(Stop):
        regressor.train(tmp_path / "parts", array(), tiny(), report=stop)
    regressor.train(tmp_path / "parts", array(), tiny(), resume=True)
    read = [torch.load(tmp_path / name / "last.pt", weights_only=True)["network"] for name in ("whole", "parts")]
    for name in read[0]:
        assert torch.allclose(read[0][name], read[1][name], atol=1e-6), name
    assert (tmp_path / "whole" / "curve.csv").read_text().count("\n") == 3
    assert load_regressor(array(), weights).find_direction(*plane_wave(direction(1.0, -0.2))) is not None


def test_training_refuses_what_no_regression_can_choose(tmp_path):
    line = HydrophoneArray(name="line", positions_m=[[0, -0.5, 0], [0, 0, 0], [0, 0.5, 0]], sound_speed_m_s=1490.0)
    upright = HydrophoneArray(name="upright", positions_m=[[0, 0, 0], [1, 0, 0], [0, 0, 1]], sound_speed_m_s=1490.0)
    for one in (line, upright):
        with pytest.raises(ArrayError, match="leaves two directions open"):
            regressor.train(tmp_path, one, tiny())


def test_drawn_calls_have_the_delays_of_geometry(monkeypatch, tmp_path):
    """Two routes: the phases of training, and the delays of geometry for the label."""
    monkeypatch.setenv("WHALEFINDER_DATA", str(tmp_path / "none"))
    monkeypatch.setattr(directions, "SNR_DB", (90.0, 90.0))
    monkeypatch.setattr(directions, "_draw_boats", lambda rng, sources, boats: 0.0)
    sources = directions.powers_of(mixtures.build_pool(7, 6, 1))
    lessons = directions.draw(sources, array(), (7, 1), 3)
    x, example = lessons.bins.x, lessons.bins.cell // MAX_CELLS
    strong = lessons.bins.share > 0.99
    assert strong.sum() > 100 and example.max() == 2
    azimuth, elevation = 2 * np.pi * lessons.azimuth.numpy()[:, 0], np.pi * (lessons.elevation.numpy()[:, 0] - 0.5)
    delays = array().delays_s(direction(azimuth, elevation))[example.numpy()]
    hz = spectrogram.frequencies_hz().numpy()[lessons.bins.frequency.numpy()]
    expected = np.exp(-2j * np.pi * hz * (delays[:, 1] - delays[:, 0]))
    found = (x[:, 1] * x[:, 0].conj() / x[:, 0].abs().square()).numpy()
    assert np.abs(found - expected)[strong.numpy()].max() < 0.5
    assert np.abs(found - expected)[strong.numpy()].mean() < 0.05


def test_a_degree_costs_the_same_in_both_losses():
    horizon = torch.tensor([[0.5]])
    lessons = directions.Lessons(None, torch.tensor([[0.25]]), horizon)
    degree = 1.0 / 360
    level = regressor.loss_of((torch.tensor([[0.25 + degree]]), horizon), lessons, 1.0)
    up = regressor.loss_of((torch.tensor([[0.25]]), horizon - 2 * degree), lessons, 1.0)
    assert float(level) == pytest.approx(float(up), rel=1e-3)
    whole_turn = regressor.loss_of((torch.tensor([[3.25]]), horizon), lessons, 1.0)
    assert float(whole_turn) == pytest.approx(0.0, abs=1e-6)
