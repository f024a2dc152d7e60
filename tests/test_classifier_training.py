"""Training of the classifier: what it learns by, what it learns from, and runs that were stopped."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.helpers import RATE
from whalefinder.errors import ModelError, OptionError
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.weights import load_classifier
from whalefinder.results.records import AMBIENT, ORCA, OTHER_CETACEAN
from whalefinder.sea.calls import pulsed_call
from whalefinder.sound import spectrogram
from whalefinder.training import calibration, classifier, framing, labelled, objective, stations
from whalefinder.training import sources as sources_of
from whalefinder.training.classifier import Settings
from whalefinder.training.clips import find_clips
from whalefinder.training.nuisances import kinds_of
from whalefinder.training.sounds import mono_spectrum, without_noise

SMALL = Settings(steps=4, batch=4, widths=(4, 8), validate_every=2, validation_clips=8, patience=9)


@pytest.fixture(scope="module")
def sources():
    return labelled.build_sources(3, real_split=None, num_calls=6, num_boats=2, num_nuisances=4)


@pytest.fixture(scope="module")
def judge():
    few = labelled.build_sources(9, real_split=None, num_calls=3, num_boats=1, num_nuisances=2)
    drawn = labelled.draw(few, 9, list(range(6)))
    return classifier.HeldOut(drawn.planes, drawn.labels, torch.zeros(6, dtype=torch.bool))


# What it learns by ---------------------------------------------------------------------------------------------------


def _one_step(
    optimiser_name: str, decay: float = 0.0, l2: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights before and after one step on a loss with gradient g; → (before, after, g)."""
    torch.manual_seed(1)
    network = torch.nn.Linear(3, 2, bias=False)
    settings = dataclasses.replace(SMALL, optimiser=optimiser_name, peak_rate=0.1, weight_decay=decay, l2=l2)
    optimiser = objective.make_optimiser(network, settings)
    before = network.weight.detach().clone()
    g = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
    loss = (network.weight * g).sum() + objective.l2_penalty(network, l2)
    loss.backward()
    optimiser.step()
    return before, network.weight.detach(), g


def test_l2_is_the_papers_update():
    """w ← (1 - 2ηλ) w - η ∂L/∂w, and PyTorch's `weight_decay` of SGD is 2λ."""
    before, after, g = _one_step("sgd", l2=0.3)
    assert torch.allclose(after, (1 - 2 * 0.1 * 0.3) * before - 0.1 * g, atol=1e-6)
    weight = torch.nn.Parameter(before.clone())
    (weight * g).sum().backward()
    torch.optim.SGD([weight], 0.1, weight_decay=2 * 0.3).step()
    assert torch.allclose(after, weight.detach(), atol=1e-6)


def test_adamw_decays_apart_from_the_gradient():
    before, plain, _ = _one_step("adamw")
    decayed = _one_step("adamw", decay=0.6)[1]
    assert torch.allclose(decayed, plain - 0.1 * 0.6 * before, atol=1e-6)  # whatever the gradient is
    assert not torch.allclose(decayed, _one_step("adamw", l2=0.3)[1], atol=1e-3)


def test_settings_that_contradict_each_other_are_refused():
    with pytest.raises(OptionError, match="imbalance 'luck' is unknown; choose from none, weights"):
        Settings(imbalance="luck")
    with pytest.raises(OptionError, match="no decoupled decay"):
        Settings(optimiser="sgd")


def test_imbalance_weights_give_both_sides_half_of_the_loss():
    settings = dataclasses.replace(SMALL, imbalance="weights", boat_ratio=20.0)
    weights = objective.class_weights(settings)
    assert float(weights[0] / weights[2]) == pytest.approx(20.0)
    labels = torch.tensor([0] + [2] * 20)
    logits = torch.zeros(21, 4)
    assert float(objective.classification_loss(logits, labels, settings)) == pytest.approx(np.log(4), rel=1e-5)
    logits[0, 0] = 9.0  # the one orca right, all boats still at chance: half of the loss is left
    assert float(objective.classification_loss(logits, labels, settings)) == pytest.approx(np.log(4) / 2, rel=1e-2)


def test_focal_loss_forgets_the_easy_ones():
    focal = dataclasses.replace(SMALL, imbalance="focal")
    easy, hard = torch.tensor([[4.0, 0, 0, 0]]), torch.tensor([[-1.0, 0, 0, 0]])
    label = torch.tensor([0])
    ratios = [
        float(objective.classification_loss(x, label, focal) / objective.classification_loss(x, label, SMALL))
        for x in (easy, hard)
    ]
    p = float(easy.softmax(1)[0, 0])
    assert ratios[0] == pytest.approx((1 - p) ** 2, rel=1e-3) and ratios[0] < 0.01 < 0.5 < ratios[1]


def test_sampler_draws_orcas_as_often_as_all_else():
    for examples in (None, 500):
        settings = dataclasses.replace(SMALL, batch=16, imbalance="sampler", boat_ratio=20.0, examples=examples)
        found = [
            labelled.class_of(settings.seed, index, 20.0) == ORCA
            for step in range(4)
            for index in classifier.indices_of(settings, step)
        ]
        assert sum(found) == len(found) / 2
    natural = [labelled.class_of(1, index, 20.0) == ORCA for index in range(3000)]
    assert np.mean(natural) == pytest.approx(1 / 21, abs=0.012)


def test_a_finite_set_is_seen_once_an_epoch():
    settings = dataclasses.replace(SMALL, batch=5, examples=10)
    first, second = ([*classifier.indices_of(settings, k), *classifier.indices_of(settings, k + 1)] for k in (0, 2))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second


def test_temperature_makes_probabilities_likelier_and_keeps_the_order():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (400,), generator=generator)
    logits = torch.randn(400, 4, generator=generator) * 2
    logits[torch.arange(400), labels] += 2.0
    logits *= 4.0  # far too sure
    temperature = calibration.fit_temperature(logits, labels)
    loss = torch.nn.functional.cross_entropy
    assert temperature > 2 and loss(logits / temperature, labels) < loss(logits, labels)
    assert torch.equal((logits / temperature).argmax(1), logits.argmax(1))


def test_temperature_and_offset_give_orcas_back_what_shyness_took():
    generator = torch.Generator().manual_seed(0)
    true = 2 * torch.randn(3000, 4, generator=generator)
    labels = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]
    shy = 1.5 * true
    shy[:, 0] -= 1.5
    assert calibration.fit_orca(shy, labels) == pytest.approx((1.5, 1.5), abs=0.25)
    network = Classifier(widths=(4, 8)).eval()
    planes, before = torch.randn(8, 3, 64, 40, generator=generator), network.head.bias.detach().clone()
    calibration.calibrate(
        network, calibration.HeldOut(planes, torch.tensor([0, 2] * 4), torch.ones(8, dtype=torch.bool))
    )
    assert torch.equal(network.head.bias.detach()[1:], before[1:]) and float(network.temperature) != 1.0


def test_without_recordings_nothing_is_called_real(monkeypatch, tmp_path):
    """Nuisances alone would calibrate every orca away."""
    monkeypatch.setenv("WHALEFINDER_DATA", str(tmp_path / "nowhere"))
    judge = classifier.held_out(SMALL)
    assert not judge.real.any() and len(judge.labels) == SMALL.validation_clips


def test_nuisances_for_dev_are_of_kinds_that_training_never_draws():
    windows = labelled.nuisance_windows("dev", each=2)
    assert {w.group for w in windows} == set(kinds_of("dev")) and not {w.group for w in windows} & set(
        kinds_of("train")
    )
    assert all(len(w.samples) == 3 * RATE and np.isfinite(w.samples).all() and w.samples.any() for w in windows)
    again = labelled.nuisance_windows("dev", each=2)
    assert all(np.array_equal(one.samples, two.samples) for one, two in zip(windows, again, strict=True))


# What it learns from -------------------------------------------------------------------------------------------------


def test_the_same_number_is_the_same_example(sources):
    one = labelled.draw(sources, 5, [0, 1, 2], augment=7)
    again = labelled.draw(sources, 5, [0, 1, 2], augment=7)
    alone = labelled.draw(sources, 5, [2])
    assert torch.equal(one.planes, again.planes) and one.info == again.info
    assert torch.equal(alone.planes[0], labelled.draw(sources, 5, [1, 2]).planes[1])
    assert not torch.equal(one.planes[2], alone.planes[0])  # varied
    assert not torch.equal(alone.planes, labelled.draw(sources, 6, [2]).planes)


@pytest.mark.parametrize("augment", [None, 3])
def test_with_and_without_a_call_share_the_background_to_the_bin(sources, monkeypatch, augment):
    """So no source, band, edge or noise floor gives the class away."""
    monkeypatch.setattr(labelled, "planes_of", lambda x, valid: x[:, 0].abs()[:, None])
    monkeypatch.setattr(labelled, "_masked", lambda rng, planes: planes)
    drawn = labelled.draw(sources, 5, list(range(12)), augment=augment)
    for k in range(0, 12, 2):
        called, plain = drawn.planes[k, 0], drawn.planes[k + 1, 0]
        assert drawn.info[k].call and not drawn.info[k + 1].call
        assert drawn.info[k].boats == drawn.info[k + 1].boats
        differs = ((called - plain).abs() > 1e-6 * plain.mean()).any(0)
        assert differs.any() and not differs.all()
        assert int(drawn.labels[k]) in (0, 1) and int(drawn.labels[k + 1]) in (1, 2, 3)


def test_what_is_marked_is_the_call_or_has_none(sources, monkeypatch):
    """Both of a pair are marked alike, or the one without a call is marked where the call is not, or where an event is."""
    monkeypatch.setattr(labelled, "planes_of", lambda x, valid: x[:, 0, :, ::2].abs()[:, None])
    plain = labelled.draw(sources, 5, list(range(80)))
    marked = labelled.draw(sources, 5, list(range(80)), marks=True)
    assert torch.equal(marked.labels, plain.labels)
    beside = neighbours = on_event = 0
    for k in range(0, 80, 2):
        (called, mark), (other, other_mark) = marked.planes[k], marked.planes[k + 1]
        assert set(mark[0].unique().tolist()) <= {0.0, 1.0} and mark.any() and other_mark.any()
        if torch.equal(mark, other_mark):
            new = [(marked.planes[i, 0] - plain.planes[i, 0]).abs() > 1e-6 for i in (k, k + 1)]
            assert bool(new[0].any()) == bool(new[1].any())  # a neighbour has no part in the label
            neighbours += bool(new[0].any())
            assert not any((changed & (mark > 0))[:, 1:-1].any() for changed in new)
        elif torch.equal(other, plain.planes[k + 1, 0]):
            on_event += 1
            assert torch.equal(called, plain.planes[k, 0]) and not plain.info[k + 1].call
        else:
            beside += 1
            assert torch.equal(other, called)  # the call is there, and is not what is to be named
    assert 1 <= beside <= 20  # 0.65 × 0.3 of 40, less those without room
    assert 2 <= neighbours <= 22  # half of the others that are not marked whole
    assert 3 <= on_event <= 26  # of 0.65 x 40, half of those that have an event, and all with a whale


def _sea_with(rows: slice, *spans: tuple[int, int]) -> torch.Tensor:
    """Noise of 282 frames with a sound of +26 dB in the rows and in each of the spans [begin, end)."""
    sea = torch.randn(spectrogram.NUM_BINS, 282, dtype=torch.complex64, generator=torch.Generator().manual_seed(4))
    for begin, end in spans:
        sea[rows, begin:end] *= 20.0
    return sea


def test_events_of_a_background_are_where_something_stands_out():
    found = framing.events_in(_sea_with(slice(40, 70), (50, 90), (93, 120), (200, 230), (250, 256)))
    assert np.abs(np.array(found) - [(50, 120), (200, 230)]).max() <= 2  # a pause of 3 frames joins, 6 frames are none
    assert framing.events_in(_sea_with(slice(0, 0))) == framing.events_in(_sea_with(slice(40, 70), (0, 282))) == []


def test_marks_without_a_call_touch_an_event_where_there_is_one():
    """If only marks on calls fitted a sound, the fit would tell the class."""
    sea = _sea_with(slice(40, 70), (80, 140))
    for always, least, most in ((True, 1.0, 1.0), (False, 0.35, 0.65)):
        marks = [labelled._on_event(np.random.default_rng(k), sea, always=always) for k in range(120)]
        there = [mark for mark in marks if mark is not None]
        assert least <= len(there) / len(marks) <= most
        assert all(mark[78:142].sum() >= 8 for mark in there)
    marks = [labelled._mark_on(np.random.default_rng(k), (80, 140), 282, labelled.MARKED_EDGE) for k in range(200)]
    outside = [float(mark.sum() - mark[80:140].sum()) for mark in marks]
    on_edges = [bool(mark[80:140].sum() <= 20) and beside >= 10 for mark, beside in zip(marks, outside, strict=True)]
    assert 0.08 < np.mean(on_edges) < 0.25  # MARKED_EDGE, and short parts with 10 frames more
    assert labelled._on_event(np.random.default_rng(0), _sea_with(slice(0, 0)), always=True) is None


def test_a_call_among_other_whales_is_labelled_orca_and_the_whale_beside_it_other(sources, monkeypatch):
    """So neither the recording nor the song gives the class away."""
    monkeypatch.setattr(labelled, "SUNG", 1.0)
    monkeypatch.setattr(labelled, "RECORDED", 1.0)
    song = sources_of.Source(_sea_with(slice(40, 70), (40, 100), (150, 210)), "song", "one recording")
    seas = dataclasses.replace(sources, songs={"one recording": [song]})
    drawn = labelled.draw(seas, 5, list(range(24)), marks=True)
    without = [index for index in range(24) if not drawn.info[index].call]
    assert {int(drawn.labels[k]) for k in without} == {OTHER_CETACEAN} and int((drawn.labels == ORCA).sum()) > 3
    assert all(drawn.info[k].snr_db >= labelled.SIR_IN_SONG_DB[0] for k in range(24) if drawn.info[k].call)
    silent = dataclasses.replace(song, spectrum=_sea_with(slice(0, 0)))
    assert labelled._background(dataclasses.replace(seas, songs={"a": [silent]}), [3], 282, whales=True)[-1] == AMBIENT
    assert labelled._background(seas, [3], 282)[-1] != OTHER_CETACEAN  # none in a study of orca against boat


def test_units_come_again_with_pauses(sources, monkeypatch):
    monkeypatch.setattr(labelled, "_varied", lambda rng, spectrum, pool: spectrum)
    repeated = labelled._repeated(np.random.default_rng(1), _tone(92)[:, 20:40], [sources.other[0]], 282)
    loud = (repeated[92].abs() > 0).numpy()
    begins = np.flatnonzero(np.diff(loud.astype(int)) == 1)
    assert repeated.shape == (spectrogram.NUM_BINS, 282) and len(begins) >= 2
    assert np.ptp(np.diff(begins)) == 0 and not loud.all()


def test_short_marks_do_not_tell_that_there_is_no_call():
    """So the network cannot learn that an event that is shorter than its call is none."""
    lengths = [
        [float(each.sum()) for each in labelled._marks(np.random.default_rng(k), (60, 180), 282) if each is not None]
        for k in range(400)
    ]
    of_calls = np.array([pair[0] for pair in lengths])
    assert 0.14 < np.mean([len(pair) == 2 for pair in lengths]) < 0.25  # 0.65 x 0.3 lie beside the call
    assert 0.15 < np.mean(of_calls < 60) < 0.45 and np.mean(of_calls == 282) > 0.25


@pytest.mark.parametrize("span", [(0, 40), (100, 150), (200, 282), (0, 282)])
def test_a_mark_covers_the_call_and_the_one_beside_it_does_not(span):
    begin, end = span
    for seed in range(40):
        mark, beside = labelled._marks(np.random.default_rng(seed), span, 282)
        assert mark[begin:end].sum() >= min(labelled.LEAST_MARK, end - begin) - 5  # all of the call, or a part of it
        assert bool(mark.all()) or span == (0, 282) or mark.sum() <= end - begin + 80
        assert beside is None or (not beside[begin:end].any() and beside.sum() >= labelled.LEAST_MARK)


def test_stations_are_sorted_by_what_their_spectrograms_show():
    if not find_clips("ambient", "train"):
        pytest.skip("real recordings are absent (set WHALEFINDER_DATA)")
    sorts = [list(sort("train")) for sort in (stations.backgrounds, stations.ships, stations.other_cetaceans)]
    names = [{clip.path for _, clip in sort} for sort in sorts]
    assert all(names) and not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    assert all(clip.use == "train" and clip.label != "orca_call" for sort in sorts for _, clip in sort)
    assert max(len(samples) for samples, _ in sorts[0]) <= stations.PIECE_S * RATE
    whole = sum(len(clip.read()) for clip in {clip.path: clip for _, clip in sorts[0]}.values())
    assert sum(len(samples) for samples, _ in sorts[0]) == whole  # nothing is lost, nothing stands twice
    windows = labelled.station_windows("dev")
    assert {w.label for w in windows} == {"ambient", "other_cetacean"}
    # Whatever is on a list is in that sort, and what is too faint is in none.
    stems = [{path.stem.lower() for path in sort} for sort in names]
    for name in stations.WHALES_IN_AMBIENT:
        assert not any(name in stem for stem in stems[0]), name
    for name in stations.FAINT:
        assert not any(name in stem for sort in stems for stem in sort), name
    assert {"hi01", "sb03"} <= {stem[:4] for stem in stems[2]} and all("vessel" in s or "boat" in s for s in stems[1])
    assert all(len(w.samples) == 3 * RATE for w in windows) and not {w.group for w in windows} & {
        p.stem for p in names[0]
    }


def test_a_calls_own_noise_and_edges_stay_behind():
    rng = np.random.default_rng(0)
    clip = 0.02 * rng.standard_normal(2 * RATE)
    call = pulsed_call(np.random.default_rng(2))[:RATE]
    clip[RATE // 2 : RATE // 2 + len(call)] += call / np.abs(call).max()
    cleaned = without_noise(mono_spectrum(clip))
    kept = (cleaned.abs() > 0).float().mean(0)
    assert kept[:40].mean() < 0.01 and kept[60:90].mean() > 0.05


def test_sir_of_examples_and_of_clips_is_what_they_say(sources):
    background = labelled._background(sources, [1, 2], 282)[0]
    mixed, name, snr_db, (begin, end) = labelled._with_call(np.random.default_rng(4), sources.orca, background)
    added, band = mixed - background, spectrogram.in_band()
    power = spectrogram.power(added)[band]
    sounding = power.sum(0) > 0
    ratio = power[:, sounding].mean() / spectrogram.power(background)[band][:, sounding].mean()
    assert name and 10 * np.log10(float(ratio)) == pytest.approx(snr_db, abs=0.1)
    assert 0 <= begin < end <= 282 and not sounding[:begin].any() and not sounding[end:].any()


def _tone(row: int, frames: int = 60) -> torch.Tensor:
    """A spectrum with a tone of constant power in one row, in its middle third."""
    spectrum = torch.zeros(spectrogram.NUM_BINS, frames, dtype=torch.complex64)
    spectrum[row, frames // 3 : 2 * frames // 3] = 1.0
    return spectrum


@pytest.mark.parametrize("pitch, pace", [(1.0, 1.0), (1.2, 0.8), (0.85, 1.25)])
def test_pitch_and_pace_change_by_themselves(pitch, pace):
    warped = labelled._warped(_tone(92), pitch, pace)
    rows, frames = (torch.nonzero(warped.abs().sum(axis) > 0)[:, 0] for axis in (1, 0))
    hz = spectrogram.frequencies_hz()
    assert abs(hz[rows].mean() / hz[92] - pitch) < 0.5 * spectrogram.BIN_HZ / hz[92]
    assert len(frames) == pytest.approx(20 * pace, abs=1) and frames[0] == pytest.approx(20 * pace, abs=1)
    assert warped.shape[1] == round(60 * pace)
    assert torch.equal(labelled._warped(_tone(250), 1.2, 1.0).abs().sum(), torch.tensor(0.0))  # above what is analysed


def test_reverberation_is_late_weaker_and_keeps_the_call():
    call = torch.zeros(spectrogram.NUM_BINS, 60, dtype=torch.complex64)
    call[92, 20:] = 1.0  # to its last frame, so that the last frame of all is the last copy alone
    for seed in range(20):
        whole = labelled._reverberant(np.random.default_rng(seed), call)
        last_db = 10 * float(spectrogram.power(whole[92, -1]).log10())
        assert whole.shape[1] > 60 and not whole[:92].any() and not whole[93:].any()
        assert torch.equal(whole[:, :20].abs(), call[:, :20].abs())  # nothing before the call
        assert -51 < last_db < 3.1  # -20 to -3 dB, less 30 dB at most; two copies may come at once, 6 dB


def test_a_second_animal_is_not_louder_than_the_first(sources):
    changed = 0
    for seed in range(60):
        one = labelled._varied(np.random.default_rng(seed), _tone(92), [sources.orca[0]])
        others = torch.cat([one[:70], one[120:]]).abs().sum() > 0
        changed += int(others)
    assert 2 <= changed <= 20  # 15 % of 60


def test_only_permitted_rows_are_trained_on():
    if not find_clips("calls", "train"):
        pytest.skip("real recordings are absent (set WHALEFINDER_DATA)")
    rows = {
        clip.path.stem: clip
        for kind in ("field", "calls", "other_species")
        for clip in find_clips(kind, "train", "train")
    }
    assert set(sources_of.FIELD_CALLS_S) <= set(rows) and set(sources_of.FIELD_QUIET_S) <= set(rows)
    assert not {clip.path.stem for clip in sources_of.catalogue_calls("test")} & set(rows)


# The loop ------------------------------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_exactly(sources, judge, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "held_out", lambda settings: judge)
    whole = classifier.train(tmp_path / "whole", SMALL, sources=sources)

    def stop(step: int, loss: float, scores: dict[str, float] | None) -> None:
        if step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        classifier.train(tmp_path / "parts", SMALL, sources=sources, report=stop)
    parts = classifier.train(tmp_path / "parts", SMALL, sources=sources, resume=True)
    one, two = load_classifier(whole).state_dict(), load_classifier(parts).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (tmp_path / "whole" / "curve.csv").read_text() == (tmp_path / "parts" / "curve.csv").read_text()
    with pytest.raises(ModelError, match=r"settings differ \(dropout was 0.3, now 0.1"):
        other = dataclasses.replace(SMALL, dropout=0.1)
        classifier.train(tmp_path / "parts", other, sources=sources, resume=True)
    with pytest.raises(ModelError, match="no checkpoint"):
        classifier.train(tmp_path / "nothing", SMALL, sources=sources, resume=True)


def test_examples_that_another_process_draws_are_the_same(sources, judge, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "held_out", lambda settings: judge)
    here, ahead = (
        load_classifier(classifier.train(tmp_path / str(workers), SMALL, sources=sources, workers=workers)).state_dict()
        for workers in (0, 1)
    )
    assert all(torch.equal(here[name], ahead[name]) for name in here)


def test_it_learns_to_tell_calls_from_none(sources, judge, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "held_out", lambda settings: judge)
    losses = []
    settings = dataclasses.replace(SMALL, steps=30, batch=8, validate_every=30, examples=16, augment=False, dropout=0.0)
    classifier.train(tmp_path, settings, sources=sources, report=lambda step, loss, scores: losses.append(loss))
    assert np.mean(losses[-6:-1]) < 0.7 * np.mean(losses[:5])
