"""Pre-training of the trunk without labels: what is covered, what counts, and what the classifier takes over."""

import dataclasses
import shutil

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from bench import pretraining as benchmark
from tests.helpers import RATE
from whalefinder.cli import app
from whalefinder.errors import ModelError, OptionError
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.inpainting import CELL, Inpainter
from whalefinder.networks.weights import shipped_weights, take_all, take_trunk
from whalefinder.training import classifier, labelled, pretraining
from whalefinder.training.classifier import Settings as ClassifierSettings
from whalefinder.training.pretraining import BLOCK, Recording, Settings, covers, painting_loss

SMALL = Settings(steps=4, batch=4, widths=(4, 8), validate_every=2, validation_windows=4)


@pytest.fixture(scope="module")
def sources():
    return labelled.build_sources(3, real_split=None, num_calls=6, num_boats=2, num_nuisances=4)


@pytest.fixture(scope="module")
def trunk(sources, tmp_path_factory):
    return pretraining.train(tmp_path_factory.mktemp("trunk"), SMALL, sources=sources, real=[])


def _windows(frames: int = 141) -> torch.Tensor:
    return torch.randn(3, 3, 256, frames, generator=torch.Generator().manual_seed(0))


def _cells(planes: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(planes, CELL, ceil_mode=True)


# What is covered and what counts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [48, 141])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_whole_blocks_are_covered(frames, share):
    covered = covers(np.random.default_rng(1), torch.zeros(60, 3, 256, frames), share)
    assert covered.shape == (60, 1, 64, -(-frames // 4))
    assert float(covered.float().mean()) == pytest.approx(share, abs=0.05)
    block = covered[..., : BLOCK[0], : BLOCK[1]]
    assert torch.equal(block, block[..., :1, :1].expand_as(block))
    assert covered[:, 0, 0, 0].any() and (covered[:, 0, 0, 0] != covered[:, 0, 0, BLOCK[1]]).any()


def test_what_is_covered_is_hidden_and_all_else_is_shown():
    planes = _windows()
    covered = covers(np.random.default_rng(2), planes, 0.5)
    shown = []
    painting_loss(lambda given: shown.append(given) or _cells(given), planes, covered)
    hidden = covered.repeat_interleave(4, 2).repeat_interleave(4, 3)[..., :141].expand_as(planes)
    assert not shown[0][hidden].any() and torch.equal(shown[0][~hidden], planes[~hidden])


def test_only_covered_cells_count():
    """Whoever paints these rightly has loss 0, whoever paints their mean has loss 1, whatever he paints elsewhere."""
    planes = 3.0 * _windows() + 1.0
    covered = covers(np.random.default_rng(2), planes, 0.5)
    true = _cells(planes)
    right = torch.where(covered, true, 99.0)
    assert float(painting_loss(lambda given: right, planes, covered)) == 0.0
    mean = torch.stack([true[:, plane][covered[:, 0]].mean() for plane in range(3)])[:, None, None].expand_as(true)
    assert float(painting_loss(lambda given: mean, planes, covered)) == pytest.approx(1.0, abs=1e-5)
    assert float(painting_loss(lambda given: true + ~covered, planes, covered)) == 0.0


def test_nothing_is_to_be_painted_above_the_recorders_band():
    planes = _windows()
    planes[..., 100:, :] = 0.0
    covered = covers(np.random.default_rng(2), planes, 0.5)
    nonsense = _cells(planes)
    nonsense[..., 25:, :] = 99.0
    assert float(painting_loss(lambda given: nonsense, planes, covered)) == 0.0


def test_windows_are_of_recordings_and_of_mixtures(sources):
    """A recorder of half the band is known by its planes, which are 0 above it."""
    tone = torch.randn(256, 400, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    recorder = Recording(tone, torch.arange(256) < 128)
    with_real, without = (pretraining.windows(sources, real, 1, 0, 8) for real in ([recorder], []))
    assert with_real.shape == without.shape == (8, 3, 256, 141)
    assert not with_real[4:, :, 128:].any() and with_real[4:, :, :128].any()
    assert torch.equal(with_real[:4], labelled.draw(sources, 1, [0, 1, 2, 3], augment=0).planes)


def test_only_permitted_recordings_are_heard(tmp_path, monkeypatch):
    rows = ["path,kind,label,sublabel,split,use,rate_hz"]
    for split, use in (("train", "train"), ("train", "evaluate"), ("dev", "train"), ("test", "evaluate")):
        for kind in ("ambient", "calls", "boats"):
            name = f"{split}_{use}_{kind}.wav"
            soundfile.write(tmp_path / name, np.random.default_rng(0).standard_normal(RATE // 4) / 9, RATE)
            rows.append(f"{name},{kind},x,,{split},{use},{RATE // 2}")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    monkeypatch.setenv("WHALEFINDER_DATA", str(tmp_path))
    heard = pretraining.recordings()
    assert len(heard) == 3  # every kind that is permitted
    assert all(not each.valid.all() and each.valid.any() for each in heard)  # the recorder's band is known
    monkeypatch.setenv("WHALEFINDER_DATA", str(tmp_path / "nowhere"))
    assert pretraining.recordings() == []


# The run -------------------------------------------------------------------------------------------------------------


def test_it_learns_to_paint(sources, tmp_path):
    seen = []
    settings = dataclasses.replace(SMALL, steps=30, batch=4, peak_rate=2e-2, validate_every=10, validation_windows=8)
    pretraining.train(
        tmp_path, settings, sources=sources, real=[], report=lambda step, loss, scores: seen.append(scores)
    )
    losses = [scores["unexplained"] for scores in seen if scores]
    assert losses[-1] < 0.9 and losses[-1] < losses[0]  # new mixtures; 1 is what the mean alone reaches


def test_a_stopped_run_goes_on_exactly(sources, trunk, tmp_path):
    def stop(step: int, loss: float, scores: dict[str, float] | None) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretraining.train(tmp_path, SMALL, sources=sources, real=[], report=stop)
    parts = pretraining.train(tmp_path, SMALL, sources=sources, real=[], resume=True)
    one, two = load_file(trunk), load_file(parts)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


# What the classifier takes over --------------------------------------------------------------------------------------


def test_the_classifier_begins_with_the_trunk(trunk):
    settings = ClassifierSettings(widths=SMALL.widths, trunk=str(trunk))
    torch.manual_seed(5)
    new = classifier._network(dataclasses.replace(settings, trunk=None)).eval()
    torch.manual_seed(5)
    begun = classifier._network(settings).eval()
    painter = Inpainter(widths=SMALL.widths, marks=True).eval()
    painter.load_state_dict(load_file(trunk))
    planes = _windows()
    assert torch.equal(begun.features(planes), painter.features(planes))  # normalisations too
    assert not torch.allclose(begun.features(planes), new.features(planes))
    assert torch.equal(begun.head.weight, new.head.weight)  # it has never named anything


def test_its_normalisation_is_that_of_sound_of_which_nothing_is_covered(sources, trunk):
    """Half of every window of training is 0, so its activations are other than those that the classifier will see."""
    painter = Inpainter(widths=SMALL.widths, marks=True).eval()
    painter.load_state_dict(load_file(trunk))
    seen = []
    painter.stem.register_forward_hook(lambda module, given, out: seen.append(out))
    whole = pretraining.windows(sources, [], SMALL.seed + 1_000_000, 0, SMALL.validation_windows)
    painter.features(whole)
    assert torch.allclose(painter.stem_norm.running_mean, seen[0].mean((0, 2, 3)), atol=1e-5)


def test_a_classifier_gives_its_trunk_too():
    """So the shipped one can be trained further."""
    given = load_file(shipped_weights("classifier"))
    network = Classifier(widths=ClassifierSettings().widths, marks=True)
    head = network.head.weight.detach().clone()
    take_trunk(network, shipped_weights("classifier"))
    assert torch.equal(network.stages[4].second.weight, given["stages.4.second.weight"])
    assert torch.equal(network.head.weight, head) and float(network.temperature) == 1.0


def test_a_classifier_goes_on_from_another_with_its_head(trunk, tmp_path):
    given = load_file(shipped_weights("classifier"))
    began = classifier._network(ClassifierSettings(start=str(shipped_weights("classifier")))).state_dict()
    assert began.keys() == given.keys() and all(torch.equal(began[name], given[name]) for name in given)
    with pytest.raises(ModelError, match="Unexpected key"):  # a trunk paints and names nothing
        take_all(Classifier(widths=SMALL.widths, marks=True), trunk)
    with pytest.raises(OptionError, match="contradict"):
        ClassifierSettings(start="a", trunk="b")


def _copy(trunk, file, change):
    file.parent.mkdir()
    shutil.copy(trunk.with_suffix(".json"), file.with_suffix(".json"))
    weights = load_file(trunk)
    change(weights)
    save_file(weights, file)


def test_weights_that_do_not_fit_are_refused_in_one_line(trunk, tmp_path):
    wide = Classifier(widths=(4, 16), marks=True)
    fitting = Classifier(widths=SMALL.widths, marks=True)
    lacking, narrow = (tmp_path / name / "trunk.safetensors" for name in ("lacking", "narrow"))
    _copy(trunk, lacking, lambda weights: weights.pop("stem.weight"))
    _copy(trunk, narrow, lambda weights: weights.update({"stem.weight": torch.zeros(2, 5, 5, 5)}))
    cut, no_card = (shutil.copytree(lacking.parent, tmp_path / name) / lacking.name for name in ("cut", "no_card"))
    cut.write_bytes(trunk.read_bytes()[:1000])
    no_card.with_suffix(".json").write_text("[1]")
    for network, file, words in (
        (wide, trunk, r"widths \[4, 8\], but this classifier has widths \[4, 16\]; give weights of a trunk"),
        (Classifier(widths=SMALL.widths), trunk, "marks True, but this classifier has marks False"),
        (fitting, shipped_weights("segmenter"), "holds the weights of a segmenter"),
        (fitting, tmp_path / "absent.safetensors", "no such file"),
        (fitting, lacking, "'stem.weight'"),
        (fitting, narrow, "size mismatch for stem.weight"),
        (fitting, cut, "is no file of weights"),
        (fitting, no_card, "do not fit their card"),
    ):
        before = network.stem.weight.detach().clone()
        with pytest.raises(ModelError, match=words) as refused:
            take_trunk(network, file)
        assert "\n" not in str(refused.value) and torch.equal(network.stem.weight, before)


def test_a_trunk_that_is_absent_is_said_before_anything_is_drawn(tmp_path):
    arguments = ["train", "classifier", "--trunk", str(tmp_path / "no.safetensors"), "--out", str(tmp_path / "out")]
    said = CliRunner().invoke(app, arguments)
    (line,) = said.output.strip().splitlines()
    assert said.exit_code == 1 and "no such file" in line


def test_so_many_labels_are_so_many_examples(tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "train", lambda out, settings, **others: asked.append(settings) or 1 / 0)
    asked: list[ClassifierSettings] = []
    CliRunner().invoke(app, ["train", "classifier", "--labels", "32", "--trunk", "a/b", "--out", str(tmp_path)])
    CliRunner().invoke(app, ["train", "classifier", "--start", "c/d", "--out", str(tmp_path)])
    found = [(settings.examples, settings.trunk, settings.start) for settings in asked]
    assert found == [(32, "a/b", None), (None, None, "c/d")]


# The benchmark -------------------------------------------------------------------------------------------------------


def test_both_arms_get_the_same_batches_and_differ_in_the_trunk_alone(sources, trunk, monkeypatch):
    """With the trunk of a new network of the same seed, both arms are the same network to the end."""
    few = benchmark.Judged(_windows(), np.array([True, False, False]), ["a", "b", "c"])
    monkeypatch.setattr(benchmark, "judged", lambda split: few)
    settings = ClassifierSettings(steps=2, batch=4, widths=SMALL.widths, examples=6)
    scratch, begun = benchmark.pair(trunk, sources, settings)["test"]
    assert not np.allclose(scratch, begun)
    monkeypatch.setattr(benchmark, "take_trunk", lambda network, path: None)
    scratch, begun = benchmark.pair(trunk, sources, settings)["test"]
    assert np.array_equal(scratch, begun)


def test_recall_lets_two_in_a_hundred_others_pass():
    others, calls = np.arange(100.0), np.array([97.5, 98.5, 200.0])
    orca = np.arange(103) >= 100
    assert benchmark.recall(orca, np.concatenate([others, calls])) == pytest.approx(2 / 3)
