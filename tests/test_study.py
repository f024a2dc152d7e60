"""The study: images at the ratio they state, groups kept apart, runs that go on where they stopped, a report that tells."""

import csv
import math
import re
from functools import cached_property

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import whalefinder.evaluation.study.run as runner
from tests.helpers import needs_data
from whalefinder.cli import app
from whalefinder.errors import OptionError, OutputError
from whalefinder.evaluation.study import examples, parts
from whalefinder.evaluation.study.examples import IMAGE, Source, Sources, draw, simulated_examples
from whalefinder.evaluation.study.learn import Recipe, fit, loss_on, probability_on, scores_on
from whalefinder.evaluation.study.ledger import Ledger
from whalefinder.evaluation.study.page import above_the_lowest, write_page
from whalefinder.evaluation.study.parts import Material, Run
from whalefinder.evaluation.study.pictures import stopping_point
from whalefinder.sound import spectrogram
from whalefinder.training import sounds


def spectrum(seed, frames):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(spectrogram.NUM_BINS, frames, dtype=torch.complex64, generator=generator)


def line(hz, frames=100):
    """A call of one steady line."""
    tone = torch.zeros(spectrogram.NUM_BINS, frames, dtype=torch.complex64)
    tone[round(hz / spectrogram.BIN_HZ) - spectrogram.FIRST_BIN] = 1.0
    return tone


@pytest.fixture
def sources():
    calls = [
        Source(line(hz), f"S{k}-1", f"S{k}", "44.1 kHz") for k, hz in enumerate((2000, 3000, 4000, 5000, 6000, 7000))
    ]
    kinds = ("Tanker", "Passengership")
    return Sources(calls, [Source(spectrum(k, 400), f"{k}.flac", f"ship {k}", kinds[k % 2]) for k in range(6)])


def test_the_same_seed_is_the_same_images_and_another_is_not(sources):
    one, same, other = (draw(sources, 10, orca_share=0.3, seed=s) for s in (1, 1, 2))
    assert torch.equal(one.images, same.images) and not torch.equal(one.images, other.images)
    assert one.images.shape == (10, 2, *IMAGE) and int(one.orca.sum()) == 3
    assert [bool(name) for name in one.calls] == one.orca.tolist() == (~one.sir_db.isnan()).tolist()


def test_a_call_has_the_ratio_that_is_stated(sources):
    rng, boat = np.random.default_rng(0), torch.ones(spectrogram.NUM_BINS, 300, dtype=torch.complex64)
    mixed = examples._mixture(rng, boat, line(3000) * 1e3, 7.0)
    call = (mixed - boat[:, : examples.FRAMES])[:, (mixed[56] - 1).abs() > 1e-3]
    assert call.shape[-1] == 100
    ratio = sounds.band_power(call) / sounds.band_power(boat[:, :100])
    assert 10 * math.log10(float(ratio)) == pytest.approx(7.0, abs=0.01)
    assert torch.equal(examples._mixture(rng, boat, None, 7.0), boat[:, : examples.FRAMES])


def test_every_simulated_sample_has_its_own_sources():
    found = simulated_examples(4, 1)
    assert found.orca.tolist() == [True, False, True, False]
    assert len(set(found.boats)) == 4 and found.calls[0] != found.calls[2]
    assert torch.equal(found.images[:2], simulated_examples(2, 1).images)  # more samples, the same first ones


def test_it_learns_and_l2_keeps_weights_small(sources):
    train = draw(sources, 48, seed=1)
    norms = {}
    for l2 in (0.0, 0.05):
        recipe = Recipe(l2=l2, steps=50, widths=(8, 16))
        network, curve = fit(recipe, train, {"test": train}, every=24)
        norms[l2] = sum(float(w.detach().square().sum()) for w in network.parameters() if w.dim() > 1)
        if not l2:
            assert [point["step"] for point in curve] == [1, 24, 48]
            assert loss_on(network, train, recipe) < 0.3 < curve[0]["training_loss"]
            scores = scores_on(network, train, recipe)
            assert scores["accuracy"] > 0.9 and scores["f1_low"] <= scores["f1"] <= scores["f1_high"]
            assert not network.training
    assert norms[0.05] < 0.9 * norms[0.0]


def test_the_same_recipe_gives_the_same_network(sources):
    train = draw(sources, 32, seed=1)
    recipe = Recipe(steps=3, widths=(4, 8), dropout=0.3, augment=True, imbalance="sampler")
    one, same = (probability_on(fit(recipe, train)[0], train, recipe) for _ in range(2))
    assert np.array_equal(one, same)


def test_the_sampler_shows_both_classes_alike(sources):
    from whalefinder.evaluation.study.learn import _order

    truth = draw(sources, 100, orca_share=0.05, seed=1).orca.numpy()
    rng = np.random.default_rng(0)
    assert truth[_order(rng, truth, Recipe(imbalance="sampler"))].mean() == pytest.approx(0.5, abs=0.02)
    plain = _order(rng, truth, Recipe(steps=100))
    assert truth[plain].mean() == pytest.approx(0.05, abs=0.001)
    assert sorted(plain[:100]) == list(range(100))  # an epoch shows everything once
    settings = Recipe().settings(torch.from_numpy(truth))
    assert settings.boat_ratio == pytest.approx(95 / 5) and settings.weight_decay == 0.0


def test_augmentation_leaves_shape_and_level_nearly_alone(sources):
    from whalefinder.evaluation.study.learn import _augmented

    images = draw(sources, 8, seed=1).images[:, :1]
    before = images.clone()
    varied = _augmented(np.random.default_rng(0), images)
    assert torch.equal(images, before) and varied.shape == images.shape and not torch.equal(varied, images)
    assert float((varied.mean((-2, -1)) - images.mean((-2, -1))).abs().max()) < 1.0


def test_finished_runs_are_kept(tmp_path):
    ledger = Ledger(tmp_path / "runs.csv")
    rows = ledger.once(("ladder", "+ L2, λ = 0.1", 1), lambda: [{"test": "a", "accuracy": 1 / 3}, {"test": "b"}])
    again = Ledger(tmp_path / "runs.csv")

    def never():
        raise AssertionError("trained again")

    assert again.once(("ladder", "+ L2, λ = 0.1", 1), never) == rows
    assert again.of(part="ladder", test="a")[0]["accuracy"] == pytest.approx(1 / 3, abs=1e-6)
    assert len(again.once(("ladder", "+ L2, λ = 0.1", 2), lambda: [{"test": "a"}])) == 1
    (tmp_path / "other.csv").write_text("x,y\n1,2\n")
    with pytest.raises(OutputError, match="another version"):
        Ledger(tmp_path / "other.csv")


@pytest.fixture
def small(sources, monkeypatch):
    """Two short runs over made-up sources; counts what is trained."""
    train, test = draw(sources, 32, seed=1), draw(sources, 24, seed=2)

    class Made(Material):
        @cached_property
        def train(self):
            return sources

    recipe = Recipe(steps=3, widths=(4, 8))
    runs = [
        Run(part="ladder", name="baseline", recipe=lambda: recipe, train=lambda seed: train, tests=lambda: {"test": test}),
        Run(
            part="imbalance", name="1:5, none", recipe=lambda: recipe, train=lambda seed: train, tests=lambda: {"test": test},
            validation=lambda: train, every=2,
        ),
    ]  # fmt: skip
    trained = []

    def counted(recipe, *rest):
        trained.append(recipe)
        return fit(recipe, *rest)

    monkeypatch.setattr(runner, "Material", Made)
    monkeypatch.setattr(runner, "plan", lambda material, ledger: runs)
    monkeypatch.setattr(runner, "fit", counted)
    return trained


def test_a_study_goes_on_where_it_stopped(small, tmp_path):
    threads = torch.get_num_threads()
    nothing = runner.study(tmp_path, minutes=1e-9)
    assert (nothing.runs, nothing.left_out) == (0, 2) and not small
    assert "2 runs are still missing" in nothing.page.read_text()
    heard = []
    done = runner.study(tmp_path, report=lambda k, total, note: heard.append((k, total)))
    assert (done.runs, done.left_out) == (2, 0) and len(small) == 2 and heard[-1] == (2, 2)
    runner.study(tmp_path)
    assert len(small) == 2 and torch.get_num_threads() == threads
    with (tmp_path / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["test"] for row in rows] == ["test", "test", "test, chosen threshold"]
    with (tmp_path / "curves.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2"]


def test_the_report_tells_every_part(tmp_path):
    """From made-up rows: figures come from the table and the paper's stand beside them."""
    ledger, curves = Ledger(tmp_path / "runs.csv"), Ledger(tmp_path / "curves.csv", runner.CURVE_COLUMNS)
    material = Material()
    runs = parts.plan(material, ledger)
    assert len({(run.part, run.name, run.seed) for run in runs}) == len(runs) > 80
    assert [run.name for run in runs if run.seed == 1][-1] == parts.SELECTED  # after the folds that it rests on
    scores = {"accuracy": 0.75, "recall": 0.7, "specificity": 0.8, "precision": 0.78, "f1": 0.74}
    for number, run in enumerate(runs):
        tests = {"samples": ("simulated", "test"), "recorders": ("Passengerships", "Tankers")}.get(run.part, ("test",))
        tests = (*tests, "test, chosen threshold") if run.validation else tests
        size = int(run.name.split()[0]) if run.part == "samples" else 240
        common = {"train_images": size, "train_orca": 48, "training_loss": 0.1, "average_precision": 0.9}
        loss = 0.2 if run.name.startswith("per recording, λ = 0.01") else 0.3 + 0.001 * (37 * number % 101)
        ledger.once(
            (run.part, run.name, run.seed),
            lambda: [{"test": t, "test_loss": loss, "threshold": 0.4, **common, **scores} for t in tests],  # noqa: B023
        )
    losses = [
        {"step": k, "epoch": k, "training_loss": 1 / k, "validation_loss": abs(k - 4), "test_loss": abs(k - 3) + 1.0}
        for k in range(1, 6)
    ]
    curves.once(("epochs", "training time", 1), lambda: losses)
    assert parts.chosen(ledger) == "per recording, λ = 0.01"
    page = write_page(tmp_path, ledger, curves, 0).read_text()
    for words in (
        "72%",
        "81%",
        "84%",
        "2.000 (4)</td><td>1.000 (3)</td><td>3.000 (5)</td>",  # stopped by validation, lowest, end
        "per recording, λ = 0.01",
        "1:100, focal",
    ):
        assert words in page
    assert "left out" not in page and 'src="http' not in page
    assert sorted(path.name for path in tmp_path.glob("*.png")) == [
        "epochs.png", "imbalance.png", "ladder.png", "samples.png",
    ]  # fmt: skip
    assert len(re.findall("data:image/png", page)) == 4


def test_widths_are_compared_seed_by_seed():
    """Differences 1 and 3: mean 2, standard error 1, and Student's t with one degree of freedom is tan(0.475 π) = 12.706."""
    losses = {"small": np.array([2.0, 5.0, 9.0]), "right": np.array([1.0, 2.0]), "once": np.array([4.0])}
    expected = f"+2.000 ({2 - math.tan(0.475 * math.pi):+.3f} to {2 + math.tan(0.475 * math.pi):+.3f})"
    assert above_the_lowest(losses) == {"small": expected, "right": "lowest", "once": "+3.000"}


def test_the_stopping_point_is_chosen_on_validation_alone():
    curve = [{"epoch": k, "validation_loss": v, "test_loss": t} for k, v, t in ((1, 3, 0.1), (2, 1, 0.9), (3, 2, 0.2))]
    assert stopping_point(curve)["epoch"] == 2


def test_the_curves_watch_vessels_that_are_not_trained_on(sources):
    class Made(Material):
        train = sources

    for run in parts.plan(Made(), None):
        if run.part in ("epochs", "capacity"):
            assert not {name.removesuffix(".flac") for name in run.train(run.seed).boats} & {
                held.removeprefix("ship ") for held in Made().held_vessels
            }


def test_folds_and_splits_share_neither_call_types_nor_vessels():
    needs_data("manifest.csv")
    material = Material()
    test = material.test_sources
    assert not {s.group for s in material.train.calls} & {s.group for s in test.calls}
    assert not {s.group for s in material.train.boats} & {
        s.group for s in test.boats
    }  # two ships were recorded in both
    seen = []
    for number in range(parts.FOLDS):
        learnt, held = material.fold(number)
        for kind in ("calls", "boats"):
            groups = [{s.group for s in getattr(part, kind)} for part in (learnt, held)]
            assert groups[0] and groups[1] and not groups[0] & groups[1]
        seen += [s.group for s in held.calls]
    assert sorted(seen) == sorted(s.group for s in material.train.calls)
    assert not {s.group for s in material.train.without(boats=material.held_vessels).boats} & set(material.held_vessels)


def test_study_without_recordings_says_so_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("WHALEFINDER_DATA", str(tmp_path))
    result = CliRunner().invoke(app, ["study", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1 and "set WHALEFINDER_DATA" in result.output and result.output.count("error:") == 1
    with pytest.raises(OptionError, match="must be above 0"):
        runner.study(tmp_path, minutes=0)
