"""Mixtures and the training loop: right labels, right order of steps, exact resumption."""

import numpy as np
import pytest
import torch

from tests.helpers import needs_data
from whalefinder.errors import ModelError
from whalefinder.networks.segmentation import SegmentationNetwork
from whalefinder.sound import spectrogram
from whalefinder.training import clips, mixtures, segmenter

pytestmark = pytest.mark.networks


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHALEFINDER_DATA", str(tmp_path_factory.mktemp("none")))
        return mixtures.build_pool(7, 12, 4)


def test_shares_are_a_split_and_the_same_seed_draws_the_same(pool):
    one, two = (mixtures.draw(pool, (7, 3, 5), 3) for _ in range(2))
    assert torch.equal(one.spectra, two.spectra) and torch.equal(one.shares, two.shares)
    assert torch.allclose(one.shares.sum(1), torch.ones(()), atol=1e-4) and (one.shares >= 0).all()
    assert not torch.equal(one.shares, mixtures.draw(pool, (7, 3, 6), 3).shares)


def test_steering_of_mixtures_against_geometry():
    """Two routes: the phases of training, and a sound delayed by geometry."""
    from whalefinder.array.geometry import direction, plane_wave_delays, tetrahedron

    positions, u = tetrahedron(0.5), direction(1.0, -0.2)
    ours = mixtures.phases(torch.from_numpy(positions)[None].float(), torch.from_numpy(u)[None, None].float())
    delays = plane_wave_delays(positions, u, mixtures.SOUND_SPEED_M_S)
    expected = np.exp(-2j * np.pi * spectrogram.frequencies_hz().numpy() * delays[:, None])
    assert np.allclose(ours[0, :, :, 0].numpy(), expected, atol=2e-3)


def test_divergence_is_the_kl_of_three_classes_split_in_two():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, 7, generator=generator)
    shares = torch.rand(2, 3, 5, 7, generator=generator).softmax(1)
    valid = torch.ones(2, 5, dtype=torch.bool)
    whether, which = segmenter.divergence(logits, shares, valid)
    expected = torch.nn.functional.kl_div(logits.log_softmax(1), shares, reduction="none").sum(1).mean()
    assert torch.allclose(whether + which, expected, atol=1e-6)
    perfect = segmenter.divergence(shares.log(), shares, valid)
    assert all(abs(float(part)) < 1e-6 for part in perfect)


def _fit(zero_between_backward_and_step: bool) -> float:
    torch.manual_seed(0)
    network = SegmentationNetwork(1, 6, 3)
    x = torch.randn(4, 1, 4, 4).repeat_interleave(4, -1).repeat_interleave(4, -2)
    target = (x[:, 0] > 0).long()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.02)
    for _ in range(80):
        loss = torch.nn.functional.cross_entropy(network(x), target)
        optimiser.zero_grad()
        loss.backward()
        if zero_between_backward_and_step:
            optimiser.zero_grad()
        optimiser.step()
    return float(loss.detach())


def test_zeroing_gradients_between_backward_and_step_never_learns():
    torch.manual_seed(0)
    assert _fit(False) < 0.5 < 0.9 < _fit(True)


def test_a_run_that_was_stopped_resumes_exactly(tmp_path, monkeypatch):
    monkeypatch.setenv("WHALEFINDER_DATA", str(tmp_path / "none"))
    settings = segmenter.Settings(
        steps=4,
        batch=1,
        hidden_channels=4,
        pool_calls=4,
        pool_boats=2,
        validate_every=2,
        validation_batches=1,
        threads=1,
    )
    segmenter.train(tmp_path / "whole", settings)

    class Stop(KeyboardInterrupt):
        pass

    def stop(step, loss, scores):
        if step == 3:
            raise Stop

    with pytest.raises(Stop):
        segmenter.train(tmp_path / "parts", settings, report=stop)
    segmenter.train(tmp_path / "parts", settings, resume=True)
    read = [torch.load(tmp_path / name / "last.pt", weights_only=True)["network"] for name in ("whole", "parts")]
    for name in read[0]:
        assert torch.allclose(read[0][name].float(), read[1][name].float(), atol=1e-6), name
    assert (tmp_path / "whole" / "curve.csv").read_text().count("\n") == 3
    with pytest.raises(ModelError, match="no checkpoint to resume"):
        segmenter.train(tmp_path / "new", settings, resume=True)


def test_rules_of_the_real_recordings():
    needs_data("manifest.csv")
    training = clips.training_calls()
    assert len(training) > 90
    assert all(c.split == "train" and c.use == "train" for c in training)
    assert not {c.sublabel for c in training} & {"S04", "S09", "S16", "S33", "S42"}
    assert clips.find_clips("boats", "train") == []
