"""Bearings from sound that we know: closed forms, pyroomacoustics, real arrays, and the bound."""

import csv
import json

import numpy as np
import pytest
import torch

from tests.helpers import RATE, array, needs_data
from whalefinder.array import geometry as g
from whalefinder.array import limit
from whalefinder.bearings import likelihood, steering, surface
from whalefinder.sound import covariance, spectrogram


def plane_wave_spectra(positions, u, speed, *, seconds=1.0, snr_db=20.0, seed=0, low=1000, high=6000):
    """Band-limited noise from `u`, delayed in the frequency domain of the whole recording: no STFT assumption."""
    rng = np.random.default_rng(seed)
    samples = int(seconds * RATE)
    hz = np.fft.rfftfreq(samples, 1 / RATE)
    source = np.fft.rfft(rng.standard_normal(samples)) * ((hz > low) & (hz < high))
    delays = -(np.asarray(positions) @ u) / speed  # written out here: not through the code under test
    clean = np.fft.irfft(source * np.exp(-2j * np.pi * hz * delays[:, None]), samples)
    noise = rng.standard_normal(clean.shape) * np.sqrt((high - low) / (RATE / 2)) * 10 ** (-snr_db / 20)
    noise *= np.std(clean) / np.sqrt((high - low) / (RATE / 2))
    return clean, noise


def fix_of(clean, noise, hydrophones, surface=False):
    def stft(x):
        return spectrogram.stft(torch.from_numpy(x).float())

    call, both = stft(clean), stft(clean + noise)
    share = spectrogram.power(call).mean(0) / (spectrogram.power(call).mean(0) + spectrogram.power(stft(noise)).mean(0))
    q = covariance.noise_covariance(stft(noise), None, covariance.LONG_CELLS)
    cells = likelihood.gather_cells(both, share * (share > 0.3), q)
    return steering.find_direction(cells, hydrophones, surface=surface), cells


@pytest.mark.parametrize("azimuth", [3.0, 95.0, 181.0, 277.0, 359.5])
@pytest.mark.parametrize("elevation", [-2.0, -35.0, -80.0])
def test_a_plane_wave_is_found(azimuth, elevation):
    hydrophones = array()
    u = g.direction(np.radians(azimuth), np.radians(elevation))
    fix, _ = fix_of(*plane_wave_spectra(hydrophones.positions_m, u, 1490.0), hydrophones)
    assert np.degrees(g.great_circle_rad(fix.u, u)) < 0.05


def test_moving_the_array_moves_nothing_and_turning_it_turns_the_bearing():
    u = g.direction(1.0, -0.3)
    clean, noise = plane_wave_spectra(g.tetrahedron(0.5), u, 1490.0)
    here, _ = fix_of(clean, noise, array())
    moved = g.HydrophoneArray(name="moved", positions_m=g.tetrahedron(0.5) + [3.0, -2.0, 1.0], sound_speed_m_s=1490.0)
    there, _ = fix_of(clean, noise, moved)
    assert g.great_circle_rad(here.u, there.u) < 1e-4
    turn = g.attitude(90.0, 0, 0)
    turned = g.HydrophoneArray(name="turned", positions_m=g.tetrahedron(0.5) @ turn.T, sound_speed_m_s=1490.0)
    east, _ = fix_of(clean, noise, turned)
    assert g.great_circle_rad(turn @ here.u, east.u) < 1e-3


def test_against_pyroomacoustics_on_the_same_sound():
    import pyroomacoustics as pra

    hydrophones, u = array(), g.direction(np.radians(60.0), np.radians(-20.0))
    clean, noise = plane_wave_spectra(hydrophones.positions_m, u, 1490.0)
    x = pra.transform.stft.analysis((clean + noise).T, 1024, 512, win=pra.hann(1024)).transpose(2, 1, 0)
    doa = pra.doa.algorithms["MUSIC"](
        hydrophones.positions_m.T, RATE, 1024, c=1490.0, num_src=1, dim=3,
        azimuth=np.radians(np.arange(0, 360, 2.0)), colatitude=np.radians(np.arange(90, 181, 2.0)),
    )  # fmt: skip
    doa.locate_sources(x, freq_range=[1000, 6000])
    theirs = g.direction(g.azimuth_from_anticlockwise_east(doa.azimuth_recon[0]), np.pi / 2 - doa.colatitude_recon[0])
    fix, _ = fix_of(clean, noise, hydrophones)
    assert np.degrees(g.great_circle_rad(fix.u, theirs)) < 1.5  # their grid is 2°


def test_the_pair_sum_is_the_steered_form():
    """Two routes to log L: sums over pairs, and explicit steering vectors."""
    hydrophones, u = array(), g.direction(2.0, -0.2)
    _, cells = fix_of(*plane_wave_spectra(hydrophones.positions_m, u, 1490.0), hydrophones)
    cells = cells.best(200).double()
    grid = g.equal_area_grid(0.4, 0.0)
    delays = torch.from_numpy(hydrophones.delays_s(grid))
    steering_vectors = torch.polar(
        torch.ones(1, dtype=torch.float64), -2 * np.pi * cells.frequency_hz[None, :, None] * delays[:, None, :]
    )
    by_pairs = likelihood.plane_wave_likelihood(cells, delays)
    by_vectors = likelihood.steered_likelihood(cells, steering_vectors)
    assert torch.allclose(by_pairs, by_vectors, rtol=1e-6)


def test_the_likelihood_is_differentiable_in_the_shares():
    hydrophones, u = array(), g.direction(2.0, -0.2)
    clean, noise = plane_wave_spectra(hydrophones.positions_m, u, 1490.0, seconds=0.2)
    x = spectrogram.stft(torch.from_numpy(clean + noise).float())
    share = torch.full(x.shape[1:], 0.5, requires_grad=True)
    q = covariance.noise_covariance(x, (1 - share).square(), covariance.SHORT_CELLS)
    cells = likelihood.gather_cells(x, share, q)
    value = likelihood.plane_wave_likelihood(cells, torch.from_numpy(hydrophones.delays_s(u[None])).float()).sum()
    value.backward()
    assert torch.isfinite(share.grad).all() and share.grad.abs().sum() > 0


def test_errors_stay_near_the_bound_and_the_stated_uncertainty_covers_them():
    hydrophones = array()
    ratios, normalised = [], []
    for seed in range(24):
        rng = np.random.default_rng(seed)
        u = g.direction(rng.uniform(0, 6.28), rng.uniform(-0.6, -0.05))
        clean, noise = plane_wave_spectra(hydrophones.positions_m, u, 1490.0, seconds=0.5, snr_db=0.0, seed=seed)
        fix, _ = fix_of(clean, noise, hydrophones)
        call = limit.TypicalCall(1000, 6000, 0.5, 0.0)
        bound = limit.expected_covariance(hydrophones, u, call)
        error = g.great_circle_rad(fix.u, u)
        ratios.append(error / (1.177 * np.sqrt(np.trace(bound) / 2)))
        offset = fix.u - u
        normalised.append(np.array([offset @ t for t in g.tangents(fix.u)]) / np.sqrt(np.diag(fix.covariance)))
    assert np.median(ratios) < 1.5
    assert 0.6 < np.sqrt(np.mean(np.square(normalised))) < 1.6


def test_the_bound_in_closed_form():
    # docs/how-it-works.md: d = 0.5 m, 4-8 kHz, T = 0.5 s, 0 dB → σ = c √2 / (d √κ) = 0.0988° for c = 1480 m/s or near.
    hydrophones = g.HydrophoneArray(name="t", positions_m=g.tetrahedron(0.5), sound_speed_m_s=1490.0)
    call = limit.TypicalCall(4000, 8000, 0.5, 0.0)
    covariance = limit.expected_covariance(hydrophones, g.direction(0.3, -0.4), call)
    closed = 1490.0 * np.sqrt(2) / (0.5 * np.sqrt(call.sharpness))
    assert np.allclose(np.sqrt(np.diag(covariance)), closed, rtol=1e-9)
    assert np.degrees(closed) == pytest.approx(0.0988, rel=0.03)


def test_position_errors_floor_the_uncertainty():
    # docs/how-it-works.md: great-circle r.m.s. 2 σ_r / d = 1.15° for 5 mm; timing 2 c σ_t / d = 3.4° for 10 µs.
    def rms(**errors):
        hydrophones = g.HydrophoneArray(name="t", positions_m=g.tetrahedron(0.5), sound_speed_m_s=1490.0, **errors)
        return np.degrees(np.sqrt(abs(np.trace(limit.geometry_covariance(hydrophones, g.direction(0.3, -0.4))))))

    assert rms(position_error_m=0.005) == pytest.approx(1.146, abs=0.01)
    assert rms(timing_error_s=1e-5) == pytest.approx(3.41, abs=0.02)
    assert rms(sound_speed_error_m_s=15.0) < 0.01  # radial for a volumetric isotropic array


def test_surface_image_geometry_by_hand():
    # Array 4 m deep, whale 12 m deep at 100 m slant range: direct path 100, image path √(100² + 4·4·12).
    hydrophones = array(4.0)
    z = -(12.0 - 4.0) / 100.0
    u = np.array([np.sqrt(1 - z**2), 0.0, z])
    hz = torch.tensor([1000.0, 3000.0], dtype=torch.float64)
    a = surface.surface_steering(hydrophones, hz, np.array([[*u, 1 / 100.0, -0.8]]))[0].numpy()
    source, image = 100 * u, 100 * u * [1, 1, -1] + [0, 0, 8.0]
    assert image[2] == pytest.approx(16.0)
    # The reference is the direct ray at the origin; wavefronts are plane.
    path = np.linalg.norm(image) - np.linalg.norm(source)
    for k, f in enumerate(hz.numpy()):
        direct = np.exp(2j * np.pi * f * (hydrophones.positions_m @ u) / 1490.0)
        other = np.exp(2j * np.pi * f * (hydrophones.positions_m @ (image / np.linalg.norm(image)) - path) / 1490.0)
        expected = direct - 0.8 * 100 / np.linalg.norm(image) * other
        assert np.allclose(a[k], expected, atol=1e-9)
    assert path == pytest.approx(np.sqrt(100**2 + 4 * 4 * 12) - 100, abs=1e-9)


def test_a_mirrored_call_keeps_its_elevation():
    """Sound through the exact spherical simulator, bearing with and without the image in the model."""
    from whalefinder.sea.calls import random_call
    from whalefinder.sea.propagation import Path
    from whalefinder.sea.scene import Call, Scene, simulate

    below, errors = array(4.0), {True: [], False: []}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        distance, azimuth = rng.uniform(90, 300), rng.uniform(0, 6.28)
        place = (distance * np.sin(azimuth), distance * np.cos(azimuth), 4.0 - rng.uniform(8, 30))
        sea = simulate(
            Scene(
                array=below,
                seconds=3.0,
                calls=(Call(sound=random_call(rng, "pulsed")[1], path=Path(place), begin_s=0.7, snr_db=15.0),),
                surface_coefficient=-0.8,
            ),
            seed,
        )
        u = np.array(place) / np.linalg.norm(place)
        for mirrored in (True, False):
            fix, _ = fix_of(sea.calls, sea.ambient, below, mirrored)
            errors[mirrored].append(float(np.degrees(g.great_circle_rad(fix.u, u))))
    assert np.median(errors[True]) < 0.5 < np.median(errors[False])


def test_nothing_in_the_mask_gives_no_fix():
    x = torch.zeros(4, spectrogram.NUM_BINS, 16, dtype=torch.complex64)
    q = covariance.noise_covariance(torch.randn(4, spectrogram.NUM_BINS, 16, dtype=torch.complex64), None, 1.5)
    assert steering.find_direction(likelihood.gather_cells(x, torch.zeros(x.shape[1:]), q), array()) is None


def test_whaledo_delays_give_back_their_directions():
    """Measured delays of a real beaked whale, through our geometry; proves axes and signs, no more."""
    folder = needs_data("arrays", "whaledo_tetra_hydrophones")
    geometry = json.loads((folder / "geometry.json").read_text())
    pairs = [[int(part) - 1 for part in pair.split("-")] for pair in geometry["pair_order"]]
    for name in ("EE", "EW"):
        phones = geometry["arrays"][f"SOCAL_E_63_{name}"]["hydrophones_xyz_m_east_north_up"]
        with (folder / f"track389_cleaned_{name}.csv").open() as file:
            rows = list(csv.DictReader(file))
        tdoa = np.array([[float(row[f"TDOA_{k}"]) for k in range(1, 7)] for row in rows])
        stored = np.array([[float(row[f"DOA_{k}"]) for k in (1, 2, 3)] for row in rows])
        good = np.isfinite(tdoa).all(1) & np.isfinite(stored).all(1)
        ours = g.direction_from_tdoa(phones, pairs, tdoa[good])
        assert good.sum() > 1000
        errors = np.degrees(g.great_circle_rad(ours, stored[good]))
        assert np.quantile(errors, 0.99) < 0.1, np.quantile(errors, [0.5, 0.99])
        # Their azimuth runs anticlockwise from east.
        azimuth, elevation = g.angles(stored[good])
        theirs = np.radians([float(row["azimuth_deg"]) for row in rows])[good]
        wrapped = np.angle(np.exp(1j * (g.azimuth_from_anticlockwise_east(theirs) - azimuth)))
        assert np.abs(wrapped).max() < 1e-3
        assert np.allclose(np.degrees(elevation), np.array([float(r["elevation_deg"]) for r in rows])[good], atol=1e-3)


def test_speech_from_a_known_direction_in_air():
    """An outside check of axes and signs: 4 microphones, c = 343 m/s, label in the file's name."""
    import soundfile

    folder = needs_data("arrays", "speechbrain_multimic_4ch")
    microphones = g.HydrophoneArray(
        name="square",
        positions_m=[[-0.05, -0.05, 0], [-0.05, 0.05, 0], [0.05, -0.05, 0], [0.05, 0.05, 0]],
        sound_speed_m_s=343.0,
    )
    found = 0
    for path in sorted(folder.glob("speech_*.flac")) + sorted(folder.glob("noise_0*.flac")):
        truth = np.array([float(part) for part in path.stem.split("_")[1:]])
        samples, rate = soundfile.read(path, dtype="float32")
        import soxr

        x = spectrogram.stft(torch.from_numpy(soxr.resample(samples, rate, RATE).T.copy()))
        share = (spectrogram.power(x).mean(0) > 3 * spectrogram.power(x).mean()).float()
        q = torch.eye(4, dtype=torch.complex64)[:, :, None, None] * 1e-9
        q = q.expand(4, 4, spectrogram.NUM_BINS, -(-x.shape[-1] // spectrogram.CELL_FRAMES))
        fix = steering.find_direction(
            likelihood.gather_cells(x, share * (spectrogram.frequencies_hz() < 6000)[:, None], q), microphones
        )
        # A level plane has no elevation to speak of near 0°; the azimuth is what it knows.
        difference = np.angle(np.exp(1j * (g.angles(fix.u)[0] - g.angles(truth)[0])))
        assert abs(np.degrees(difference)) < 3.0, path.name
        found += 1
    assert found == 3


def equal_in_all(clean):
    return np.repeat(clean[:1], len(clean), axis=0)


@pytest.mark.parametrize("snr_db", [25.0, 5.0, -5.0])
def test_the_same_sound_in_all_channels_has_no_direction(snr_db):
    hydrophones = array()
    clean, noise = plane_wave_spectra(hydrophones.positions_m, g.direction(0.3, -0.4), 1490.0, snr_db=snr_db)
    fix, cells = fix_of(equal_in_all(clean), noise, hydrophones)
    assert steering.arrives_at_once(cells, hydrophones, fix.u)
    for azimuth in range(0, 360, 30):
        for elevation in (-5, -40, -85):
            u = g.direction(np.radians(azimuth), np.radians(elevation))
            fix, cells = fix_of(
                *plane_wave_spectra(hydrophones.positions_m, u, 1490.0, snr_db=snr_db, seconds=0.3), hydrophones
            )
            assert not steering.arrives_at_once(cells, hydrophones, fix.u)


@pytest.mark.parametrize(
    "positions, u",
    [
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], (0, 0, -1)),  # a level plane, and a whale straight below
        ([[0, -0.5, 0], [0, 0, 0], [0, 0.5, 0]], (1, 0, 0)),  # a line, and a whale abeam
    ],
)
def test_without_delays_from_a_direction_across_the_array(positions, u):
    hydrophones = g.HydrophoneArray(name="flat", positions_m=positions, sound_speed_m_s=1490.0)
    fix, cells = fix_of(*plane_wave_spectra(hydrophones.positions_m, np.array(u, float), 1490.0), hydrophones)
    assert not steering.arrives_at_once(cells, hydrophones, fix.u)
