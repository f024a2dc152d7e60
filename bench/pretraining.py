"""`python -m bench.pretraining`: the classifier with a trunk that painted covered sound before, and without.

Every pair of runs has the same labelled windows, steps and dropout; one begins with a trunk of `train trunk`, one from
scratch. What is finished is kept in the folder `--out`, so a run that was stopped continues.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from bench.results import put
from whalefinder.evaluation.metrics import bootstrap, precision_recall, roc
from whalefinder.networks.classifier import Classifier
from whalefinder.networks.weights import take_trunk
from whalefinder.results.records import LABELS, ORCA
from whalefinder.training import labelled, pretraining
from whalefinder.training.calibration import logits_of
from whalefinder.training.classifier import Batches, clip_planes
from whalefinder.training.loop import descents
from whalefinder.training.objective import Settings, make_optimiser, make_schedule, training_loss

BUDGETS = ("32", "64", "128", "all")
ARMS = ("from scratch", "pre-trained")
SPLITS = ("dev", "test")
FALSE_ALARMS = 0.02
BATCH = 16
# Fewer simulated sounds than the shipped weights have heard: this is a comparison, and no weights are kept.
POOL = {"pool_calls": 300, "pool_boats": 60, "pool_nuisances": 220}
PRE_TRAINING = pretraining.Settings(steps=2_000, batch=BATCH, validate_every=200, **POOL)
PROBE_LABELS, PROBE_SEEDS = (32, 64, 128, 1024), 3
STRENGTHS = (0.0003, 0.003, 0.03, 0.3)
Scores = dict[str, np.ndarray]
"""Log odds of an orca by split, `[arm, window]`, if nothing else is said."""


@dataclass(frozen=True)
class Judged:
    """Windows of 3 s that no run learns from: planes, whether an orca calls, and the clip that a bootstrap draws."""

    planes: Tensor
    orca: np.ndarray
    sources: list[str]


@lru_cache
def judged(split: str) -> Judged:
    """Calls of the split in its ships (−10 to 10 dB) against its ships, its stations and its kinds of nuisance."""
    clips = [*labelled.evaluation_mixtures(split), *labelled.station_windows(split), *labelled.nuisance_windows(split)]
    planes = torch.stack([clip_planes(clip) for clip in clips])
    orca = np.array([clip.label == LABELS[ORCA] for clip in clips])
    return Judged(planes, orca, [clip.source for clip in clips])


def fit(networks: Sequence[Classifier], sources: labelled.Sources, settings: Settings) -> None:
    """Train networks side by side on the same batches, as `train classifier` does, to the last step."""
    batches = Batches(sources, settings)
    batch_of = lru_cache(maxsize=1)(batches.__getitem__)

    def loss_at(network: Classifier, step: int) -> Tensor:
        planes, labels = batch_of(step)
        torch.manual_seed(settings.seed * 1_000_003 + step)
        return training_loss(network, planes, labels, settings)

    runs = []
    for network in networks:
        optimiser = make_optimiser(network, settings)
        schedule = make_schedule(optimiser, settings)
        runs.append(descents(network, optimiser, schedule, partial(loss_at, network), range(settings.steps)))
    for taken in zip(*runs, strict=True):
        if taken[0][0] % 50 == 0:
            sys.stderr.write(f"step {taken[0][0]}: " + ", ".join(f"{loss:.3f}" for _, loss in taken) + "\n")


def pair(trunk: Path, sources: labelled.Sources, settings: Settings) -> Scores:
    """Train both arms and judge them."""
    networks = []
    for _ in ARMS:
        torch.manual_seed(settings.seed)  # the same head, and what is not taken over
        network = Classifier(widths=settings.widths, dropout=settings.dropout, marks=settings.marks)
        networks.append(network.to(memory_format=torch.channels_last))
    take_trunk(networks[1], trunk)
    fit(networks, sources, settings)
    return {
        split: np.stack([log_odds(logits_of(network, judged(split).planes)) for network in networks])
        for split in SPLITS
    }


def log_odds(logits: Tensor) -> np.ndarray:
    """`[window, class]` → log odds of an orca, `[window]`."""
    others = [index for index in range(logits.shape[1]) if index != ORCA]
    return (logits[:, ORCA] - logits[:, others].logsumexp(1)).numpy()


# Frozen trunks -------------------------------------------------------------------------------------------------------


def probe(trunk: Path | None, sources: labelled.Sources, seed: int) -> Scores:
    """Judge a logistic regression on the features of a trunk that learns nothing from labels.

    Args:
        trunk: its weights, or None for a new one.
        sources: the sounds from which labelled windows are mixed.
        seed: of the windows and of a new trunk.

    Returns:
        By number of labels and split, such as `32 dev`: `[strength, window]`.
    """
    torch.manual_seed(seed)
    network = Classifier(widths=PRE_TRAINING.widths, marks=True).eval()
    if trunk is not None:
        take_trunk(network, trunk)
    parts = (labelled.draw(sources, seed, list(range(k, k + 64))) for k in range(0, PROBE_LABELS[-1], 64))
    learned = [(features_of(network, part.planes), part.labels.numpy() == ORCA) for part in parts]
    features, orca = (np.concatenate(each) for each in zip(*learned, strict=True))
    heard = {
        split: np.concatenate([features_of(network, part) for part in judged(split).planes.split(64)])
        for split in SPLITS
    }
    found = {}
    for labels in PROBE_LABELS:
        models = [make_pipeline(StandardScaler(), LogisticRegression(C=each, max_iter=2000)) for each in STRENGTHS]
        for model in models:
            model.fit(features[:labels], orca[:labels])
        for split in SPLITS:
            found[f"{labels} {split}"] = np.stack([model.decision_function(heard[split]) for model in models])
    return found


@torch.no_grad()
def features_of(network: Classifier, planes: Tensor) -> np.ndarray:
    """Planes → last features, `[window, feature]`."""
    return network.features(planes).numpy()


def chosen(probes: Sequence[Scores], labels: int) -> list[Scores]:
    """Each arm with the strength of regularisation that has the largest area on dev, for each seed.

    `[arm, strength, window]` → `[arm, window]`.
    """
    orca = judged("dev").orca
    areas = np.mean([[[roc(orca, s).area for s in arm] for arm in found[f"{labels} dev"]] for found in probes], axis=0)
    best = areas.argmax(1)
    return [{split: found[f"{labels} {split}"][[0, 1], best] for split in SPLITS} for found in probes]


# The table -----------------------------------------------------------------------------------------------------------


def recall(orca: np.ndarray, score: np.ndarray) -> float:
    """Share of the calls above a threshold that at most `FALSE_ALARMS` of the other windows pass."""
    return float((score[orca] > np.quantile(score[~orca], 1 - FALSE_ALARMS, method="higher")).mean())


MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "area under ROC": lambda orca, score: roc(orca, score).area,
    "average precision": lambda orca, score: precision_recall(orca, score).area,
    f"recall at {100 * FALSE_ALARMS:g} % false alarms": recall,
}


def row(name: str, split: str, runs: Sequence[Scores]) -> str:
    """Both arms, means over the runs, and their difference with its interval."""
    windows = judged(split)

    def mean(arm: int, index: np.ndarray) -> float:
        orca = windows.orca[index]
        if orca.all() or not orca.any():
            return float("nan")
        return float(np.mean([MEASURES[name](orca, run[split][arm][index]) for run in runs]))

    whole = np.arange(len(windows.orca))
    gain = bootstrap(lambda index: mean(1, index) - mean(0, index), windows.sources, repeats=300)
    return f"{mean(0, whole):.3f} | {mean(1, whole):.3f} | {gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f}) |"


def rows(found: dict[str, list[Scores]], splits: Sequence[str]) -> list[str]:
    """A row for each number of labels, split and measure."""
    lines = ["| labels | seeds | split | measure | from scratch | pre-trained | difference |", "|" + " --- |" * 7]
    for labels, runs in found.items():
        for split in splits:
            lines += [f"| {labels} | {len(runs)} | {split} | {name} | " + row(name, split, runs) for name in MEASURES]
    return lines


def table(found: dict[str, list[Scores]], probes: Sequence[Scores], command: str, steps: int) -> str:
    """The section of the page: what `pair` gave for each budget and seed, and what `probe` gave for each seed."""
    sizes = "; ".join(
        f"{split}: {judged(split).orca.sum()} calls, {(~judged(split).orca).sum()} others" for split in SPLITS
    )
    return "\n".join(
        [
            "## Pre-training",
            "",
            f"Command: `{command}`. *Pre-trained*: the trunk first painted covered blocks of unlabelled sound "
            f"({PRE_TRAINING.steps:,} steps of {BATCH} windows). Both arms then learn from so many labelled windows (*all*: "
            f"new mixtures in every step) in {steps} steps of {BATCH}, with the same windows, dropout and learning rates; "
            "the weights of the last step count. Means over the seeds. *Difference*: with its 95 % bootstrap interval over "
            "source clips, which knows nothing of the scatter between seeds. Judged by calls of the split in its ships "
            "(−10 to 10 dB) against its ships, stations without orcas, and kinds of nuisances that training never draws "
            f"({sizes}).",
            "",
            *rows(found, SPLITS),
            "",
            "*Frozen*: no label reaches the trunk, new or pre-trained. A logistic regression on its features learns from the "
            f"labelled windows; its regularisation (of {len(STRENGTHS)} strengths) is chosen on dev.",
            "",
            *rows({str(labels): chosen(probes, labels) for labels in PROBE_LABELS}, ("test",)),
        ]
    )


def main() -> None:
    """Train what is not yet trained, and write the table."""
    options = _options()
    torch.set_num_threads(1)
    sources = labelled.build_sources(1, **{name.replace("pool", "num"): count for name, count in POOL.items()})
    folder = options.out / "trunk"
    trunk = pretraining.train(folder, PRE_TRAINING, sources=sources, resume=(folder / "last.pt").exists())

    def probes_of(seed: int) -> Scores:
        new, trained = (probe(weights, sources, seed) for weights in (None, trunk))
        return {name: np.stack([new[name], trained[name]]) for name in new}

    def pair_of(labels: str, seed: int) -> Scores:
        examples = None if labels == "all" else int(labels)
        return pair(trunk, sources, Settings(steps=options.steps, batch=BATCH, examples=examples, seed=seed, **POOL))

    probes = [kept(options.out / f"probe-{seed}.npz", partial(probes_of, seed)) for seed in range(1, PROBE_SEEDS + 1)]
    found: dict[str, list[Scores]] = {labels: [] for labels in BUDGETS}
    for seed in range(1, options.seeds + 1):
        for labels in BUDGETS:
            path = options.out / f"{labels}-{options.steps}-{seed}.npz"
            found[labels].append(kept(path, partial(pair_of, labels, seed)))
    command = f"python -m bench.pretraining --steps {options.steps} --seeds {options.seeds}"
    text = table(found, probes, command, options.steps)
    sys.stdout.write(text + "\n") if options.print else put(text)


def kept(path: Path, make: Callable[[], Scores]) -> Scores:
    """What `make` gives, from the file where it has been made before."""
    if not path.exists():
        np.savez(path, **make())
    return dict(np.load(path))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.pretraining", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/pretraining"), help="folder for what is finished")
    parser.add_argument("--steps", type=int, default=300, help="of each run of the classifier")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--print", action="store_true", help="do not touch RESULTS.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
