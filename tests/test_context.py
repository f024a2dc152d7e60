"""What goes on like a clock is a machine; whales that repeat a call are none."""

import importlib
import math

import numpy as np
import pytest
import torch

import whalefinder
from tests.helpers import RATE, array, write
from whalefinder.array.geometry import direction
from whalefinder.calls.classification import without_whales
from whalefinder.calls.context import BANDS, REACH_S, Context, Signature, evenness, machines, signature_of
from whalefinder.calls.events import Event
from whalefinder.calls.masks import Masks
from whalefinder.explain.decisions import explain_classifier
from whalefinder.explain.excerpt import in_context, listen
from whalefinder.explain.occlusion import Occluder
from whalefinder.networks.classifier import Classifier
from whalefinder.pipeline import Locator
from whalefinder.results.records import LABELS
from whalefinder.sea.calls import random_call
from whalefinder.sound.recording import open_recording
from whalefinder.sound.spectrogram import FRAME_S, NUM_BINS

SQUEAK, CALL = np.eye(len(BANDS))[3], np.eye(len(BANDS))[9]


class Saying(Classifier):
    """A classifier that says the same of everything."""

    def __init__(self, said: np.ndarray) -> None:
        super().__init__(widths=(4,))
        self.said = torch.from_numpy(said)

    def probabilities(self, planes: torch.Tensor) -> torch.Tensor:
        return self.said.expand(len(planes), -1)


def train(times, shape=SQUEAK, length_s=0.5, group=0, azimuths=None, sd_deg=0.5):
    u = [None] * len(times) if azimuths is None else direction(np.radians(azimuths), np.full(len(times), -0.2))
    sd = math.radians(sd_deg)
    return [
        Signature(begin_s=float(t), length_s=length_s, shape=shape, group=group, u=v, sd_rad=sd)
        for t, v in zip(times, u, strict=True)
    ]


def said(signatures):
    return machines(signatures, signatures)


def clock(period_s, count, jitter_s=0.0, seed=0):
    return period_s * np.arange(count) + np.random.default_rng(seed).uniform(-jitter_s, jitter_s, count)


def test_evenness_by_hand():
    assert evenness(np.array([0.0, 2.0, 4.0, 6.0])) == (3, pytest.approx(0.0))
    # One missed at 4, one double at 8.3: five intervals of one, two, one, one and one period.
    assert evenness(np.array([0.0, 2.0, 6.0, 8.0, 8.3, 10.0, 12.0])) == (5, pytest.approx(0.0))
    # Intervals 1.8, 2.2, 1.8, 2.2: the period is 2, each is off by a tenth of it.
    assert evenness(np.array([0.0, 1.8, 4.0, 5.8, 8.0])) == (4, pytest.approx(0.1))
    # Three of five intervals are one period: a few calls at random can be that even.
    assert evenness(np.array([0.0, 2.0, 4.0, 6.0, 10.0, 14.0])) == (5, math.inf)
    assert evenness(np.array([1.0])) == (0, math.inf)


@pytest.mark.parametrize("period_s, jitter_s", [(1.6, 0.2), (4.0, 0.0), (9.0, 0.1), (2.5, 0.25)])
def test_machines_that_squeak_ping_and_sweep(period_s, jitter_s):
    assert all(said(train(clock(period_s, int(60 / period_s), jitter_s))))


def test_a_machine_may_miss_and_be_counted_twice():
    times = clock(2.0, 40, 0.1)
    times = np.sort(np.append(np.delete(times, [4, 11, 12, 25]), times[[7, 30]] + 0.3))
    assert all(said(train(times)))


def test_whales_that_repeat_one_call_are_no_machines():
    """The worst case: all calls alike, every 3 to 8 s, drawn evenly. A bout of a minute, and five minutes."""
    named = total = 0
    for seed in range(200):
        intervals = np.random.default_rng(seed).uniform(3, 8, 54 if seed % 10 == 0 else 11)
        bout = said(train(np.cumsum(intervals)))
        named, total = named + sum(bout), total + len(bout)
    assert named / total < 0.002, (named, total)


def test_a_call_amid_a_machine_is_kept_and_so_are_short_and_few_beeps():
    calls = train([10.3, 31.0, 44.4], CALL)
    assert said(train(clock(1.6, 40)) + calls) == [True] * 40 + [False] * 3
    assert not any(said(train(clock(1.0, 20))))  # 19 s
    assert not any(said(train(clock(12.0, 5))))  # five events
    longer = train([20.1], length_s=1.2)
    assert said(train(clock(1.6, 40)) + longer) == [True] * 40 + [False]
    assert not any(said(train(clock(9.0, 6)[::2]) + train(clock(9.0, 6)[1::2], group=1)))


def test_a_call_like_the_machine_from_elsewhere_is_kept():
    pump = train(clock(2.0, 40, 0.1), azimuths=np.random.default_rng(0).normal(70, 0.5, 40))
    whale = train([20.4, 33.3, 51.0], azimuths=[190, 192, 194])
    assert said(pump + whale) == [True] * 40 + [False] * 3


def test_directions_may_scatter_over_a_few_lobes():
    lobes = np.random.default_rng(1).choice([90.0, 207.0, 332.0], 15)
    assert all(said(train(clock(4.0, 15), azimuths=lobes)))


def test_two_machines_alike_in_two_directions():
    first, second = clock(3.0, 20, 0.1), 0.7 + clock(3.7, 16, 0.1)
    assert not any(said(train(first) + train(second)))  # one hydrophone cannot tell
    there = np.repeat([70.0, 200.0], [20, 16])
    assert all(said(train(np.append(first, second), azimuths=there)))


def test_a_minute_away_does_not_count():
    early, late = clock(6.0, 8), 200 + clock(6.0, 3)
    assert said(train(np.append(early, late))) == [True] * 8 + [False] * 3


def test_the_mark_of_an_event():
    shares = torch.zeros(3, NUM_BINS, 60)
    shares[0, 4, 10:30] = 0.8  # the bands of the lowest bins are one bin wide
    masks = Masks(
        spectra=torch.zeros(1, NUM_BINS, 60), shares=shares, valid=torch.ones(NUM_BINS, dtype=bool), first_frame=100
    )
    signature = signature_of(masks, Event(begin=10, end=30, low_hz=0, high_hz=0, evidence={}), 2)
    assert (signature.begin_s, signature.length_s, signature.group) == (
        pytest.approx(110 * FRAME_S),
        pytest.approx(20 * FRAME_S),
        2,
    )
    assert signature.shape[list(BANDS).index(4)] == pytest.approx(1.0) and np.linalg.norm(
        signature.shape
    ) == pytest.approx(1.0)


def fed(signatures, step_s):
    """What `Context` says of signatures that come in steps, in the order in which it says it; the most that it kept."""
    context, heard, kept, now, end = Context(), [], 0, 0.0, max(signature.begin_s for signature in signatures) + 1
    while now < end:
        context.add([(m, m.begin_s) for m in signatures if now <= m.begin_s < now + step_s], now + step_s)
        now += step_s
        kept = max(kept, len(context._signatures))
        heard += [each for batch in context.settled(math.inf if now >= end else now) for each in batch]
    return heard, kept


def test_steps_do_not_change_the_answer_and_memory_is_bounded():
    rng = np.random.default_rng(3)
    whale = train(np.cumsum(rng.uniform(1, 30, 100)), CALL)
    signatures = sorted(train(300 + clock(1.6, 200, 0.2)) + whale, key=lambda signature: signature.begin_s)
    right = [(signature.begin_s, machine) for signature, machine in zip(signatures, said(signatures), strict=True)]
    assert sum(machine for _, machine in right) == 200
    for step_s in (0.7, 13.0, 61.4, 1e4):
        heard, kept = fed(signatures, step_s)
        assert heard == right
        assert step_s > 100 or kept < (2 * REACH_S + 2 * step_s) * (1 / 1.6 + 1 / 5)


def test_what_is_not_yet_known_is_not_judged():
    context = Context()
    context.add([(None, "early")], 10.0)
    context.add([(None, "late")], 20.0)
    assert list(context.settled(69.9)) == []
    assert list(context.settled(70.0)) == [[("early", False)]]
    assert list(context.settled(math.inf)) == [[("late", False)]]


def test_probabilities_without_whales_sum_to_one():
    assert without_whales(np.array([0.5, 0.1, 0.3, 0.1])) == pytest.approx([0, 0, 0.75, 0.25])
    assert without_whales(np.array([1.0, 0.0, 0.0, 0.0])) == pytest.approx([0, 0, 0.5, 0.5])


@pytest.fixture
def pump(tmp_path, monkeypatch):
    """A two-tone beep every 2.4 s for 76 s with two calls amid, one hydrophone; a classifier that says orca of all."""
    t = np.arange(round(0.45 * RATE)) / RATE
    beep = np.hanning(len(t)) * sum(np.sin(2 * np.pi * k * (1500 * t + 400 * t**2)) / k for k in (1, 2, 3))
    sound = 0.003 * np.random.default_rng(0).standard_normal(76 * RATE)
    for begin in 1.0 + clock(2.4, 30, 0.1):
        sound[round(begin * RATE) :][: len(beep)] += 0.05 * beep
    for begin, seed in ((27.0, 1), (51.1, 2)):
        call = random_call(np.random.default_rng(seed), "pulsed")[1]
        sound[round(begin * RATE) :][: len(call)] += 0.15 * call / np.abs(call).max()
    said = np.array([0.9, 0.02, 0.06, 0.02])
    monkeypatch.setattr(importlib.import_module("whalefinder.bearings.judge"), "classify_event", lambda *_: said)
    return write(tmp_path / "pump.wav", sound, subtype="FLOAT")


def test_a_pump_gets_no_whales_label_in_pieces_of_any_length(pump, monkeypatch):
    everything = whalefinder.locate(pump, all_events=True)
    beeps = [d for d in everything if not d.is_call]
    assert len(beeps) >= 26 and {d.label for d in beeps} == {"boat"}
    assert all(d.probability == pytest.approx(0.75) for d in beeps)
    whales = whalefinder.locate(pump)
    assert whales == [d for d in everything if d.is_call] and len(whales) <= 4
    for begin_s in (27.0, 51.1):
        assert any(d.begin_s < begin_s + 0.3 < d.end_s for d in whales)
    assert [d.begin_s for d in everything] == sorted(d.begin_s for d in everything)
    monkeypatch.setattr(importlib.import_module("whalefinder.pipeline"), "CORE_CELLS", 24)
    pieces = whalefinder.locate(pump, all_events=True)
    assert [(d.label, round(d.probability, 3)) for d in pieces] == [
        (d.label, round(d.probability, 3)) for d in everything
    ]
    assert [d.begin_s for d in pieces] == pytest.approx([d.begin_s for d in everything], abs=2.5 * FRAME_S)
    assert all(label in LABELS for label in {d.label for d in pieces})


def test_explain_says_what_locate_says_of_a_pump_and_of_a_whale(pump):
    locator = Locator(all_events=True)
    recording = open_recording(pump)
    rows = [row for row in whalefinder.locate(pump, all_events=True) if 15.0 < row.begin_s < 52.0]
    for row in [*[row for row in rows if not row.is_call][:2], *[row for row in rows if row.is_call][:2]]:
        at_s = (row.begin_s + row.end_s) / 2
        alone = listen(recording, at_s, locator.judge)
        known = in_context(alone, recording, locator)
        assert alone.judgement.is_call and known.judgement.is_call == row.is_call
        assert (known.judgement.label, known.judgement.no_whale) == (row.label, not row.is_call)
        assert known.judgement.probability == pytest.approx(row.probability, abs=1e-4)


def test_pickup_in_all_channels_gets_no_whales_label(tmp_path, monkeypatch):
    """Three calls as electronics would bring them, the same in all four channels, and then the same ones from the sea."""
    said = np.array([0.96, 0.02, 0.01, 0.01])
    monkeypatch.setattr(importlib.import_module("whalefinder.bearings.judge"), "classify_event", lambda *_: said)
    sound = 0.003 * np.random.default_rng(0).standard_normal((18 * RATE, 4))
    delays = array().delays_s(direction(math.radians(70.0), -0.2))
    for k in range(3):
        call = random_call(np.random.default_rng(k), "pulsed")[1]
        spectrum = np.fft.rfft(0.1 * call / np.abs(call).max(), len(call) + 100)
        hz = np.fft.rfftfreq(len(call) + 100, 1 / RATE)
        for begin_s, later in ((1.0 + 3 * k, np.zeros(4)), (10.0 + 2.5 * k, delays)):
            piece = np.fft.irfft(spectrum[:, None] * np.exp(-2j * np.pi * hz[:, None] * (later + 1e-3)), axis=0)
            sound[round(begin_s * RATE) :][: len(piece)] += piece
    found = whalefinder.locate(write(tmp_path / "pickup.wav", sound, subtype="FLOAT"), array(), all_events=True)
    judge = Locator(array(), all_events=True).judge
    early = [d for d in found if d.end_s < 9.5]
    assert len(early) >= 3 and {d.label for d in early} <= {"boat", "ambient"}
    for row in (early[0], next(d for d in found if d.is_call)):
        excerpt = listen(open_recording(tmp_path / "pickup.wav", array()), (row.begin_s + row.end_s) / 2, judge)
        window = Occluder(bins=256, frames=400, stride_bins=256, stride_frames=400)
        named = explain_classifier(excerpt, Saying(said), occluder=window)
        assert (named.name, named.heat.confidence) == (row.label, pytest.approx(row.probability, abs=1e-4))
    whales = [d for d in found if d.is_call]
    assert len(whales) >= 3 and all(d.azimuth_deg == pytest.approx(70.0, abs=1.0) for d in whales)
