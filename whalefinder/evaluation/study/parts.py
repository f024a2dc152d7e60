"""The parts of the study as a list of runs. Each run has its training images, its settings and its test images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from whalefinder.evaluation.study.examples import (
    AS_HEARD,
    PER_RECORDING,
    Examples,
    Sources,
    draw,
    real_sources,
    simulated_boats,
    simulated_examples,
)
from whalefinder.evaluation.study.learn import Recipe
from whalefinder.evaluation.study.ledger import Ledger
from whalefinder.training.objective import IMBALANCE

TEST_SEED, TEST_IMAGES = 1_000_000_000, 600
LADDER_IMAGES, LADDER_SHARE = 240, 0.2
SEEDS = (1, 2, 3)
TWICE = SEEDS[:2]
CURVE_SEEDS, CAPACITY_SEEDS = range(1, 6), range(1, 11)
"""These two parts need more seeds, since results of single seeds differ by more than the effect that is measured."""
L2, DROPOUT = 2e-3, 0.3


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training run.

    Args:
        part, name, seed: the key of the run.
        recipe: makes its settings.
        train: makes its training images, from the seed.
        tests: makes its test sets by name. With `every` > 0 the first one is measured during training.
        validation: makes its validation set, or None. A threshold is chosen on it, and tests with this threshold are
            named `<test>, chosen threshold`. With `every` > 0 it is measured during training.
        every: steps between the points of a curve; 0 for no curve.
    """

    part: str
    name: str
    recipe: Callable[[], Recipe]
    train: Callable[[int], Examples]
    tests: Callable[[], dict[str, Examples]]
    seed: int = 1
    validation: Callable[[], Examples] | None = None
    every: int = 0


LADDER: tuple[tuple[str, Recipe], ...] = (
    ("baseline", Recipe()),
    ("+ L2", Recipe(l2=L2)),
    ("+ dropout", Recipe(l2=L2, dropout=DROPOUT)),
    ("+ augmentation", Recipe(l2=L2, dropout=DROPOUT, augment=True)),
    ("+ balance", Recipe(l2=L2, dropout=DROPOUT, augment=True, imbalance="sampler")),
)
SELECTED = "+ model selection by k-fold"
FOLDS = 3
CANDIDATES: dict[str, Recipe] = {
    f"{words}, λ = {l2:g}": replace(LADDER[-1][1], plane=plane, l2=l2)
    for words, plane in (("as heard", AS_HEARD), ("per recording", PER_RECORDING))
    for l2 in (L2, 5 * L2)
}
SIZES = (32, 128, 512, 2048)
SIMULATED_TEST = 600
WIDTHS: tuple[tuple[int, ...], ...] = ((2, 4), (4, 8), (8, 16, 32), (16, 32, 64), (32, 64, 128))
SAMPLES_WIDTHS = (4, 8)
EPOCH_IMAGES, EPOCH_STEPS, EPOCH_EVERY = 96, 300, 6
EPOCH_RATE = 0.004
"""With this small rate the test loss falls and rises over tens of epochs; with 0.03 it takes only ten noisy epochs."""
TREATMENTS: dict[str, Recipe] = {
    "as heard": Recipe(l2=L2),
    "as heard, augmented": Recipe(l2=L2, augment=True),
    "per recording": Recipe(l2=L2, plane=PER_RECORDING),
    "per recording, augmented": Recipe(l2=L2, augment=True, plane=PER_RECORDING),
}
BOATS = ("Passengership", "Tanker", "simulated")
RATIOS = (5, 20, 100)
IMBALANCE_IMAGES = 808
HELD_VESSELS = 2


class Material:
    """Sources and test sets. They are read or drawn when they are first needed; `say` gets messages about progress."""

    def __init__(self, say: Callable[[str], None] = lambda note: None) -> None:
        self.say = say

    @cached_property
    def train(self) -> Sources:
        """Calls of the training types, and ships of dev that are in no test recording."""
        return real_sources("train")

    @cached_property
    def test_sources(self) -> Sources:
        """Calls of the test types, and test ships."""
        return real_sources("test")

    @cached_property
    def test(self) -> Examples:
        """Test images, half of them with a call."""
        return draw(self.test_sources, TEST_IMAGES, seed=TEST_SEED)

    @cached_property
    def test_by_boat(self) -> dict[str, Examples]:
        """Test images for each kind of ship."""
        return {
            f"{kind}s": draw(self.test_sources.boats_from(kind), TEST_IMAGES // 2, seed=TEST_SEED) for kind in BOATS[:2]
        }

    @cached_property
    def simulated(self) -> Examples:
        """Independent simulated images for training."""
        return simulated_examples(SIZES[-1], 1, self._drawing(SIZES[-1]))

    @cached_property
    def simulated_test(self) -> Examples:
        """Independent simulated images for testing."""
        return simulated_examples(SIMULATED_TEST, 2, self._drawing(SIMULATED_TEST))

    def _drawing(self, count: int) -> Callable[[int], None]:
        return lambda done: self.say(f"drawing simulated sample {done} of {count}")

    @cached_property
    def with_simulated_boats(self) -> Sources:
        """Training calls with simulated boats."""
        return replace(self.train, boats=simulated_boats(60, 1))

    @cached_property
    def validation(self) -> Examples:
        """Validation images: calls of the dev types, in vessels that are not used for training in the same part."""
        held = Sources(real_sources("dev").calls, self.train.only(boats=self.held_vessels).boats)
        return draw(held, TEST_IMAGES // 2, seed=TEST_SEED + 1)

    @cached_property
    def held_vessels(self) -> list[str]:
        """Vessels for validation: one of each of two kinds."""
        by_kind: dict[str, str] = {}
        for boat in self.train.boats:
            by_kind.setdefault(boat.origin, boat.group)
        return list(by_kind.values())[:HELD_VESSELS]

    def fold(self, number: int) -> tuple[Sources, Sources]:
        """Sources for training and for validation of a fold. They share no call type and no vessel."""
        rng = np.random.default_rng(7)
        calls, boats = (
            [str(name) for name in rng.permutation(sorted({s.group for s in sources}))][number::FOLDS]
            for sources in (self.train.calls, self.train.boats)
        )
        return self.train.without(calls, boats), self.train.only(calls, boats)


def plan(material: Material, ledger: Ledger) -> list[Run]:
    """All runs in their order: first all parts with the first seed, then with the next seeds."""
    runs = [
        *_ladder(material, ledger),
        *_folds(material),
        *_samples(material),
        *_epochs(material),
        *_recorders(material),
        *_imbalance(material),
    ]
    # The last step of the ladder needs the folds, which are run with the first seed.
    return sorted(runs, key=lambda run: (run.seed, run.name == SELECTED))


def chosen(ledger: Ledger) -> str:
    """The candidate with the lowest mean loss over the folds."""
    losses = {
        name: [row["test_loss"] for row in ledger.of(part="folds") if str(row["run"]).startswith(name + ", fold")]
        for name in CANDIDATES
    }
    return min(losses, key=lambda name: float(np.mean(losses[name])) if losses[name] else np.inf)


def _ladder(material: Material, ledger: Ledger) -> list[Run]:
    @lru_cache(1)
    def train(seed: int) -> Examples:
        return draw(material.train, LADDER_IMAGES, orca_share=LADDER_SHARE, seed=seed)

    rungs: list[tuple[str, Callable[[], Recipe]]] = [(name, lambda recipe=recipe: recipe) for name, recipe in LADDER]  # type: ignore[misc]
    rungs.append((SELECTED, lambda: CANDIDATES[chosen(ledger)]))
    tests = lambda: {"test": material.test}  # noqa: E731
    return [
        Run(part="ladder", name=name, recipe=recipe, train=train, tests=tests, seed=seed)
        for seed in SEEDS
        for name, recipe in rungs
    ]


def _folds(material: Material) -> list[Run]:
    return [
        Run(
            part="folds",
            name=f"{name}, fold {k + 1}",
            recipe=lambda recipe=recipe: recipe,  # type: ignore[misc]
            train=lambda seed, k=k: draw(material.fold(k)[0], LADDER_IMAGES, orca_share=LADDER_SHARE, seed=seed),  # type: ignore[misc]
            tests=lambda k=k: {f"fold {k + 1}": draw(material.fold(k)[1], TEST_IMAGES // 2, seed=TEST_SEED + 2)},  # type: ignore[misc]
        )
        for name, recipe in CANDIDATES.items()
        for k in range(FOLDS)
    ]


def _samples(material: Material) -> list[Run]:
    def some(seed: int, size: int) -> Examples:
        # Images with and without a call alternate. Pairs are chosen, so half of the images keep a call.
        pairs = np.random.default_rng(seed).permutation(SIZES[-1] // 2)[: size // 2]
        return material.simulated.of(np.sort(np.concatenate([2 * pairs, 2 * pairs + 1])))

    return [
        Run(
            part="samples",
            name=f"{size} images",
            recipe=lambda: Recipe(steps=600, widths=SAMPLES_WIDTHS),
            train=lambda seed, size=size: some(seed, size),  # type: ignore[misc]
            tests=lambda: {"simulated": material.simulated_test, "test": material.test},
            seed=seed,
        )
        for seed in SEEDS
        for size in SIZES
    ]


def _epochs(material: Material) -> list[Run]:
    @lru_cache(1)
    def train(seed: int) -> Examples:
        return draw(material.train.without(boats=material.held_vessels), EPOCH_IMAGES, seed=seed)

    def tests() -> dict[str, Examples]:
        return {"test": material.test}

    long = [
        Run(
            part="epochs",
            name="training time",
            recipe=lambda: Recipe(steps=EPOCH_STEPS, rate=EPOCH_RATE),
            train=train,
            tests=tests,
            seed=seed,
            validation=lambda: material.validation,  # for early stopping, which never uses the test set
            every=EPOCH_EVERY,
        )
        for seed in CURVE_SEEDS
    ]
    return long + [
        Run(
            part="capacity",
            name="-".join(map(str, widths)),
            recipe=lambda w=widths: Recipe(widths=w),  # type: ignore[misc]
            train=train,
            tests=tests,
            seed=seed,
        )
        for seed in CAPACITY_SEEDS
        for widths in WIDTHS
    ]


def _recorders(material: Material) -> list[Run]:
    @lru_cache(1)
    def train(seed: int, boats: str) -> Examples:
        sources = material.with_simulated_boats if boats == "simulated" else material.train.boats_from(boats)
        return draw(sources, LADDER_IMAGES, seed=seed)

    return [
        Run(
            part="recorders",
            name=f"{boats}, {treatment}",
            recipe=lambda recipe=recipe: recipe,  # type: ignore[misc]
            train=lambda seed, boats=boats: train(seed, boats),  # type: ignore[misc]
            tests=lambda: material.test_by_boat,
            seed=seed,
        )
        for seed in TWICE
        for boats in BOATS
        for treatment, recipe in TREATMENTS.items()
    ]


def _imbalance(material: Material) -> list[Run]:
    @lru_cache(1)
    def train(seed: int, ratio: int) -> Examples:
        sources = material.train.without(boats=material.held_vessels)
        return draw(sources, IMBALANCE_IMAGES, orca_share=1 / (1 + ratio), seed=seed)

    return [
        Run(
            part="imbalance",
            name=f"1:{ratio}, {method}",
            recipe=lambda method=method: Recipe(l2=L2, plane=PER_RECORDING, imbalance=method),  # type: ignore[misc]
            train=lambda seed, ratio=ratio: train(seed, ratio),  # type: ignore[misc]
            tests=lambda: {"test": material.test},
            seed=seed,
            validation=lambda: material.validation,
        )
        for seed in TWICE
        for ratio in RATIOS
        for method in IMBALANCE
    ]
