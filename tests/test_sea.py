"""The simulated sea against closed forms and pyroomacoustics; never against steering."""

import numpy as np
import pyroomacoustics as pra
import pytest

from tests.helpers import RATE, array
from whalefinder.array.geometry import tetrahedron
from whalefinder.sea.ambient import wind_noise
from whalefinder.sea.boats import random_boat
from whalefinder.sea.calls import CALLS, random_call
from whalefinder.sea.propagation import Path, receive
from whalefinder.sea.scene import Boat, Call, Faults, Scene, simulate
from whalefinder.sea.signals import band_power
from whalefinder.sound.spectrogram import BAND_HZ

SPEED = 1490.0


def tone(hz, seconds=0.5):
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def test_a_still_tone_arrives_when_and_as_loud_as_it_should():
    # 149 m away, c = 1490: 0.1 s late and 149 times weaker.
    heard = receive(tone(1000), Path((149.0, 0, 0)), np.zeros((1, 3)), SPEED, emitted_s=0.0, samples=RATE)[0]
    t = np.arange(RATE) / RATE
    expected = np.sin(2 * np.pi * 1000 * (t - 0.1)) / 149
    inside = (t > 0.11) & (t < 0.59)
    assert np.abs(heard - expected)[inside].max() < 1e-3 / 149
    assert not heard[t < 0.099].any() and not heard[t > 0.602].any()


def test_interpolation_keeps_12_khz():
    heard = receive(tone(12_000), Path((100.3, 0, 0)), np.zeros((1, 3)), SPEED, emitted_s=0.0, samples=RATE)[0]
    t = np.arange(RATE) / RATE
    expected = np.sin(2 * np.pi * 12_000 * (t - 100.3 / SPEED)) / 100.3
    inside = (t > 0.1) & (t < 0.5)
    assert np.abs(heard - expected)[inside].max() * 100.3 < 10 ** (-60 / 20)


def test_doppler_shift_of_a_passing_boat():
    # Straight towards the array at 12 m/s: f' = f / (1 - v/c).
    heard = receive(
        tone(5000, 1.0), Path((0, 200, 0), (0, -12, 0)), np.zeros((1, 3)), SPEED, emitted_s=0.0, samples=2 * RATE
    )[0]
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)), 16 * len(heard)))
    peak = np.fft.rfftfreq(16 * len(heard), 1 / RATE)[spectrum.argmax()]
    assert peak == pytest.approx(5000 / (1 - 12 / SPEED), abs=0.3)


def test_delays_against_pyroomacoustics():
    """The same source in an open pyroomacoustics room: waveforms agree at every hydrophone."""
    positions = tetrahedron(0.5)
    source = np.array([30.0, 40.0, -12.0])
    sound = np.random.default_rng(0).standard_normal(4800) * np.hanning(4800)
    # Band-limit: the two programs interpolate differently near the Nyquist frequency.
    spectrum = np.fft.rfft(sound)
    spectrum[np.fft.rfftfreq(4800, 1 / RATE) > 8000] = 0
    sound = np.fft.irfft(spectrum, 4800)
    pra.constants.set("c", SPEED)
    pra.constants.set("frac_delay_length", 257)
    room = pra.AnechoicRoom(3, fs=RATE)
    room.add_source(source + 100, signal=sound)
    room.add_microphone_array(pra.MicrophoneArray((positions + 100).T, RATE))
    room.simulate()
    theirs = room.mic_array.signals
    pra.constants.set("frac_delay_length", 81)
    ours = receive(sound, Path(tuple(source)), positions, SPEED, emitted_s=0.0, samples=theirs.shape[1])
    for m in range(4):
        correlation = np.fft.irfft(
            np.fft.rfft(ours[m], 16 * RATE) * np.conj(np.fft.rfft(theirs[m], 16 * RATE)), 16 * RATE
        )
        lag = (int(correlation.argmax()) + 8 * RATE) % (16 * RATE) - 8 * RATE
        if m == 0:
            common = lag  # pyroomacoustics delays everything by half its filter
        assert lag == common
        shifted = np.roll(theirs[m], common)
        middle = slice(int(0.04 * RATE), int(0.13 * RATE))
        # pyroomacoustics tabulates fractional delays at 1/20 sample: 1 % to 5 % at these frequencies.
        assert np.linalg.norm(ours[m][middle] - shifted[middle]) < 0.06 * np.linalg.norm(shifted[middle])


def test_surface_image_makes_lloyd_nulls():
    # Array 5 m deep, source 15 m deep, 300 m off: nulls c R / (2 z_r z_s) = 3.0 kHz apart for coefficient -1
    # (docs/how-it-works.md, "The surface").
    below = array(5.0)
    click = np.zeros(4800)
    click[2400] = 1.0
    scene = Scene(
        array=below,
        seconds=1.0,
        calls=(Call(sound=click, path=Path((300.0, 0, 5.0 - 15.0)), begin_s=0.4, snr_db=40.0),),
        surface_coefficient=-1.0,
    )
    heard = simulate(scene, 0).calls[0]
    spectrum = np.abs(np.fft.rfft(heard))
    hz = np.fft.rfftfreq(len(heard), 1 / RATE)
    expected = SPEED * 300 / (2 * 5 * 15)
    near_null = spectrum[np.argmin(np.abs(hz - expected))]
    near_peak = spectrum[np.argmin(np.abs(hz - expected / 2))]
    assert near_null < 0.15 * near_peak


@pytest.mark.parametrize("diffuse", [False, True])
def test_wind_noise_falls_17_db_per_decade(diffuse):
    noise = wind_noise(np.random.default_rng(0), 10 * RATE, tetrahedron(0.5), SPEED, diffuse=diffuse)
    density = (np.abs(np.fft.rfft(noise)) ** 2).mean(0)
    hz = np.fft.rfftfreq(noise.shape[1], 1 / RATE)
    level = [10 * np.log10(density[(hz > f * 0.9) & (hz < f * 1.1)].mean()) for f in (1000, 10_000)]
    assert level[1] - level[0] == pytest.approx(-17, abs=0.5)
    assert band_power(noise) == pytest.approx(1.0, rel=1e-6)


def test_diffuse_noise_is_coherent_as_sinc():
    positions = np.array([[0, 0, 0], [0, 0, 0.3]])
    noise = wind_noise(np.random.default_rng(1), 30 * RATE, positions, SPEED, diffuse=True)
    import scipy.signal

    hz, coherence = scipy.signal.csd(noise[0], noise[1], RATE, nperseg=1024)
    _, power = scipy.signal.welch(noise[0], RATE, nperseg=1024)
    for f in (800, 2000, 4000):
        k = np.argmin(np.abs(hz - f))
        assert coherence[k].real / power[k] == pytest.approx(np.sinc(2 * hz[k] * 0.3 / SPEED), abs=0.06)


def test_snr_and_sir_are_what_was_asked():
    rng = np.random.default_rng(2)
    call = Call(sound=random_call(rng)[1], path=Path((100.0, 50, -10)), begin_s=1.0, snr_db=7.0)
    boats = tuple(Boat(random_boat(rng, 3.0), Path((50.0 * k, 60, 0.5), (5, 0, 0))) for k in (-1, 1))
    sea = simulate(Scene(array=array(), seconds=4.0, calls=(call,), boats=boats, sir_db=-13.0), 1)
    span = slice(RATE, RATE + len(call.sound))
    snr = 10 * np.log10(band_power(sea.calls[:, span]) / band_power(sea.ambient))
    sir = 10 * np.log10(band_power(sea.calls[:, span]) / band_power(sea.boats[:, span]))
    assert snr == pytest.approx(7.0, abs=0.01) and sir == pytest.approx(-13.0, abs=0.01)
    assert sea.truth[0].sir_db == pytest.approx(sir)
    assert np.allclose(sea.calls + sea.boats + sea.ambient, sea.samples)


def test_truth_points_at_the_whale():
    call = Call(sound=tone(3000), path=Path((100.0, 0, -20.0)), begin_s=0.5, snr_db=10.0)
    (truth,) = simulate(Scene(array=array(), seconds=2.0, calls=(call,)), 0).truth
    assert truth.azimuth_deg == pytest.approx(90.0)
    assert truth.elevation_deg == pytest.approx(-np.degrees(np.arctan(0.2)))
    assert truth.range_m == pytest.approx(np.hypot(100, 20))


def test_faults_change_the_sound_and_not_the_truth():
    call = Call(sound=tone(3000), path=Path((100.0, 0, -20.0)), begin_s=0.5, snr_db=10.0)
    plain = simulate(Scene(array=array(), seconds=2.0, calls=(call,)), 0)
    gains = simulate(Scene(array=array(), seconds=2.0, calls=(call,), faults=Faults(gain_db=3.0)), 0)
    ratio = np.std(gains.samples, axis=1) / np.std(plain.samples, axis=1)
    assert np.ptp(20 * np.log10(ratio)) > 0.5
    assert gains.truth[0].azimuth_deg == plain.truth[0].azimuth_deg
    late = simulate(Scene(array=array(), seconds=2.0, calls=(call,), faults=Faults(timing_s=1e-4)), 0)
    assert not np.allclose(late.samples, plain.samples)


@pytest.mark.parametrize("kind", list(CALLS))
def test_calls_are_finite_and_in_band(kind):
    rng = np.random.default_rng(4)
    for _ in range(5):
        name, call = random_call(rng, kind)
        assert name == kind and np.abs(call).max() == pytest.approx(1.0)
        assert band_power(call) > 0.5 * np.mean(call**2)  # most of it within 0.5-12 kHz
    assert BAND_HZ == (500.0, 12_000.0)


def test_boats_beat():
    """The envelope of cavitation carries a modulation that white noise does not."""
    strengths = []
    for seed in range(8):
        boat = random_boat(np.random.default_rng(seed), 6.0)
        envelope = np.square(boat).reshape(-1, 480).mean(1)
        strengths.append(np.std(envelope) / np.mean(envelope))
    white = np.square(np.random.default_rng(0).standard_normal(6 * RATE)).reshape(-1, 480).mean(1)
    assert np.median(strengths) > 3 * np.std(white) / np.mean(white)


def test_one_seed_one_sea():
    scene = Scene(
        array=array(),
        seconds=1.0,
        calls=(Call(sound=tone(3000, 0.2), path=Path((100.0, 0, -20)), begin_s=0.3, snr_db=3.0),),
    )
    assert np.array_equal(simulate(scene, 5).samples, simulate(scene, 5).samples)
    assert not np.array_equal(simulate(scene, 5).samples, simulate(scene, 6).samples)
