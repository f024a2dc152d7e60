"""Nuisances: every kind sounds, repeats, keeps its split; and each family against a closed form."""

from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from whalefinder.errors import OptionError
from whalefinder.sea import signals
from whalefinder.sound.spectrogram import RATE_HZ
from whalefinder.training import nuisances
from whalefinder.training.nuisances import animals, fish, impacts, machines, parts, recorder, sonar, tonals, voices
from whalefinder.training.nuisances import weather_and_ice as weather
from whalefinder.training.sources import build_sources

# Sum of |x| of the first ten kinds, as they were before there were more.
AS_EVER = {
    "lines": 58411.952,
    "wandering_whine": 67751.371,
    "knocks": 1618.122,
    "rattle": 1334.093,
    "clicks": 8.777,
    "burst": 22242.533,
    "beating_noise": 14732.289,
    "pings": 1525.901,
    "squeaks": 4752.224,
    "step": 28416.568,
}


def rng(seed=8):
    return np.random.default_rng(seed)


def spectrum(sound):
    """Frequencies and powers, Hann-windowed."""
    return np.fft.rfftfreq(len(sound), 1 / RATE_HZ), np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2


def peak_hz(sound):
    hz, power = spectrum(sound)
    return hz[power.argmax()]


def tracked_hz(sound):
    """Frequency of one tone at every sample but the last."""
    return np.diff(np.unwrap(np.angle(signal.hilbert(sound)))) * RATE_HZ / (2 * np.pi)


def onsets(sound, quiet_s):
    """Begins of events with at least `quiet_s` of silence before them, seconds."""
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    return loud[np.diff(loud, prepend=-RATE_HZ * 10) > quiet_s * RATE_HZ] / RATE_HZ


# All kinds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", nuisances.KINDS)
def test_every_kind_sounds_and_repeats(kind):
    for seed in (8, 9):
        named, one = nuisances.random_nuisance(rng(seed), kind)
        assert named == kind and one.shape == (nuisances.SAMPLES,) and np.isfinite(one).all()
        assert np.abs(one).max() == pytest.approx(1.0)
        hz, power = spectrum(one)
        assert power[(hz > 500) & (hz < 12_000)].sum() > 1e-6 * power.sum()  # what levels are told by
    assert np.array_equal(one, nuisances.random_nuisance(rng(9), kind)[1])


@pytest.mark.parametrize(("kind", "total"), AS_EVER.items())
def test_old_kinds_sound_as_ever(kind, total):
    assert np.abs(nuisances.random_nuisance(rng(), kind)[1]).sum() == pytest.approx(total, abs=0.01)


def test_splits_share_no_kind_and_leave_none_out():
    splits = [nuisances.kinds_of(split) for split in ("train", "dev", "test")]
    together = [kind for kinds in splits for kind in kinds]
    assert sorted(together) == sorted(nuisances.KINDS) and all(len(kinds) >= 5 for kinds in splits)
    assert len(nuisances.KINDS) == sum(map(len, nuisances.FAMILIES.values()))
    drawn = {nuisances.random_nuisance(rng(seed), split="dev")[0] for seed in range(30)}
    assert drawn == set(nuisances.kinds_of("dev"))
    with pytest.raises(OptionError, match="validation"):
        nuisances.kinds_of("validation")


def test_sources_hold_each_kind_for_training_in_turn():
    kinds = nuisances.kinds_of("train")
    sources = build_sources(3, real_split=None, num_calls=3, num_boats=1, num_nuisances=len(kinds) + 2)
    assert tuple(source.name.rsplit(" ", 1)[0] for source in sources.nuisances) == (*kinds, *kinds[:2])
    assert 900 // len(kinds) >= 15


def test_the_page_names_each_kind_under_its_split():
    page = (Path(__file__).parents[1] / "docs" / "nuisances.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")][1:]
    table = {row[0]: row[1:] for row in rows if len(row) == 4 and row[0] in nuisances.FAMILIES}
    for family, kinds in nuisances.FAMILIES.items():
        for column, split in enumerate(("train", "dev", "test")):
            named = {name.replace(" ", "_") for name in table[family][column].split(", ")} - {"–"}
            assert named == {kind.__name__ for kind in kinds} & set(nuisances.kinds_of(split)), (family, split)


# Closed forms --------------------------------------------------------------------------------------------------------


def test_a_struck_mode_rings_as_a_damped_sine():
    blow = np.zeros(4800)
    blow[0] = 1.0
    ring = signals.resonate(blow, np.array([1234.0]), np.array([0.02]), np.array([0.7]))
    t = np.arange(4800) / RATE_HZ
    assert ring == pytest.approx(0.7 * np.exp(-t / 0.02) * np.sin(2 * np.pi * 1234 * t), abs=1e-9)


def test_the_bars_modes_solve_its_equation():
    roots = np.sqrt(impacts.FREE_BAR) * 4.730041  # cos β · cosh β = 1 for free ends; frequency ~ β²
    assert np.cos(roots) * np.cosh(roots) == pytest.approx(1.0, abs=2e-3 * np.cosh(roots).max())
    assert np.cos(roots) == pytest.approx(1 / np.cosh(roots), abs=2e-3)


def test_a_clank_does_not_move_in_pitch():
    clank = impacts.clank(rng(3))
    early, late = (peak_hz(clank[at : at + 4800]) for at in np.abs(clank).argmax() + np.array([240, 2400]))
    assert early == pytest.approx(late, abs=RATE_HZ / 4800)


def test_harmonics_are_whole_multiples_and_stop_below_nyquist():
    hz, power = spectrum(signals.harmonics(np.full(RATE_HZ, 2000.0), np.ones(40, complex)))
    assert set(hz[power > 0.01 * power.max()].round(-3)) == {2000.0 * k for k in range(1, 12)}


def test_a_reverberant_tail_has_its_share_of_energy_and_its_decay():
    blow = np.zeros(2 * RATE_HZ)
    blow[0] = 1.0
    tail = parts.reverberant(rng(), blow, 0.2, 0.5) - blow
    assert (tail**2).sum() == pytest.approx(0.25, rel=0.02)
    tenth = int(0.1 * RATE_HZ)
    early, late = (tail[at : at + tenth].std() for at in (0, 2 * tenth))
    assert np.log(early / late) == pytest.approx(0.2 / 0.2, abs=0.1)


@pytest.mark.parametrize("hz", [50.0, 60.0])
def test_mains_lie_on_multiples_of_the_mains(hz):
    seed = next(s for s in range(50) if rng(s).choice([50.0, 60.0]) == hz)
    found, power = spectrum(tonals.mains_hum(rng(seed)))
    lines = found[power > 0.01 * power.max()]
    assert np.abs(lines / hz - np.round(lines / hz)).max() < 0.002 * (lines / hz).max() + 1 / hz


@pytest.mark.parametrize("seed", range(6))
def test_beeps_and_pings_come_in_even_time(seed):
    for kind in (sonar.net_pinger, sonar.echo_sounder_alias):
        steps = np.diff(onsets(kind(rng(seed)), 0.01))
        assert np.ptp(steps) < 0.004 if len(steps) else kind is sonar.net_pinger


@pytest.mark.parametrize(("hz", "rate_hz", "expected"), [(38e3, 32e3, 6e3), (50e3, 44.1e3, 5.9e3), (28e3, 48e3, 20e3)])
def test_an_alias_lies_where_sampling_puts_it(hz, rate_hz, expected):
    sampled = np.sin(2 * np.pi * hz * np.arange(int(rate_hz)) / rate_hz)
    there = np.abs(np.fft.rfft(sampled)).argmax()  # one second: bins of 1 Hz
    assert sonar.alias_hz(hz, rate_hz) == pytest.approx(expected) and there == round(expected)


def test_a_hyperbolic_sweep_has_a_straight_period():
    hz = tracked_hz(signals.tone_pulse(sonar.hyperbolic_hz(2000, 8000, 24_000), 0.005))[1000:-1000]
    period = 1 / hz
    assert np.polyval(np.polyfit(np.arange(len(hz)), period, 1), np.arange(len(hz))) == pytest.approx(period, rel=0.02)


def test_a_far_crack_falls_with_the_square_of_its_time():
    hz = weather.bending_hz(9000.0, 250.0, 5000)
    assert (hz[0], hz[-1]) == pytest.approx((9000, 250))
    since = 1 / np.sqrt(hz)  # group speed grows with √f, so 1 / √f is straight in time
    assert np.diff(since) == pytest.approx(np.diff(since)[0])


def test_a_bubble_rings_where_minnaert_says():
    assert weather.minnaert_hz(0.001) == pytest.approx(3260, rel=0.01)  # 3.26 m/s / radius
    assert weather.minnaert_hz(0.001, 10) / weather.minnaert_hz(0.001) == pytest.approx(np.sqrt(1.992), rel=0.001)
    assert peak_hz(np.pad(weather.bubble(rng(), 0.002), (RATE_HZ, RATE_HZ))) == pytest.approx(1630, rel=0.03)


def test_fringes_are_notches_of_the_surfaces_delay():
    noise, delay_s = rng().standard_normal(nuisances.SAMPLES), 0.002
    hz, power = spectrum(machines.mirrored(noise, np.full(nuisances.SAMPLES, delay_s), 0.9))
    heard = [power[np.abs(hz - f) < 20].mean() for f in (1000, 1250, 1500, 1750)]  # notches at k / delay
    loss = np.array([0.1, 1.9, 0.1, 1.9]) ** 2
    assert 10 * np.log10(heard[1] / heard[0]) == pytest.approx(10 * np.log10(loss[1] / loss[0]), abs=6)
    assert heard[1] > 50 * heard[2] and heard[3] > 50 * heard[2]


def test_squeaks_of_metal_never_come_alone():
    for seed in range(20):
        sound = machines.metal_squeaks(rng(seed))
        begins = onsets(sound / np.abs(sound).max(), 0.04)
        assert len(begins) >= 2 and np.diff(begins).max() < 2.2, seed


def test_midshipmen_hum_harmonics_of_one_pitch():
    hz, power = spectrum(fish.midshipman_hum(rng(2)))
    base = hz[(hz > 60) & (hz < 130)][power[(hz > 60) & (hz < 130)].argmax()]
    lines = hz[(power > 0.05 * power.max()) & (hz < 600)]
    assert 68 < base < 125 and np.abs(lines / base - np.round(lines / base)).max() < 0.15


@pytest.mark.parametrize("name", ["ɑ", "i", "æ"])
def test_vowels_have_their_formants(name):
    hz, power = spectrum(voices.vowel(rng(), name, np.full(2 * RATE_HZ, 100.0)))
    level = 10 * np.log10([power[(hz > 100 * k - 50) & (hz < 100 * k + 50)].sum() for k in range(1, 40)])
    peaks = 100 * (1 + signal.find_peaks(level)[0])
    for formant in voices.VOWELS_HZ[name][:2]:
        assert np.abs(peaks - formant).min() <= 75, (peaks, formant)


def test_trills_fall():
    for kind in (animals.weddell_trills, animals.bearded_trills):
        for seed in range(6):
            sound = kind(rng(seed))
            heard = np.flatnonzero(np.abs(sound) > 0.1 * np.abs(sound).max())
            first, last = sound[heard[0] :][: RATE_HZ // 4], sound[: heard[-1]][-RATE_HZ // 4 :]
            assert peak_hz(first) > 1.1 * peak_hz(last), (kind, seed)


def test_a_repeated_buffer_is_itself_again():
    sound = recorder.repeated_buffer(rng(1))
    assert len(np.unique(sound)) < 0.95 * len(sound)  # of noise, no sample equals another
    assert len(np.unique(recorder.water_noise(rng(1)))) == len(sound)


def test_gaps_are_zeros_and_dropouts_short():
    def longest(sound, same):
        runs = np.diff(np.flatnonzero(np.concatenate([[True], ~same, [True]])))
        return (runs.max() - 1) / RATE_HZ

    for seed in range(5):
        gap, drop = recorder.gaps(rng(seed)), recorder.dropouts(rng(seed))
        assert longest(gap, gap == 0) >= 0.004
        assert longest(drop, np.diff(drop, prepend=0) == 0) < 0.1


def test_clipped_sounds_have_flat_tops():
    sound = recorder.clipping(rng(3))
    assert (np.abs(sound) == np.abs(sound).max()).sum() > 100
