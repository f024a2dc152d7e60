"""`python -m bench.lstm`: speed and memory of the LSTM's computations, and how long LSTM and Elman cells remember."""

from __future__ import annotations

import csv
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from whalefinder.networks.lstm import LSTM, Elman

DOCS = Path(__file__).parent.parent / "docs"
TIME, INPUT, HIDDEN = 100, 8, 32
SPEED_BATCH, REPEATS = 16, 15
BATCHES = (1, 4, 16, 64)
BYTES = 4  # bytes of a float32

GAPS = (20, 40, 60, 80, 100, 120)
BITS = (1, 4)
RATES = (0.01, 0.003)
SEEDS = (0, 1, 2)
STEPS, EVERY, LAST, TASK_BATCH, TEST_BATCH, CLIP = 800, 40, 5, 64, 256, 1.0
CELLS: dict[str, type[LSTM] | type[Elman]] = {"LSTM": LSTM, "Elman": Elman}
COLOURS = {"LSTM": "#0b6e99", "Elman": "#ff6b35"}


def main() -> None:
    """Print the tables, and write the figure and the numbers of the memory task into docs/."""
    torch.set_num_threads(1)
    sys.stdout.write(table() + "\n")


def table() -> str:
    """All three sections as Markdown. The memory task also writes docs/memory-task.png and .csv."""
    return "\n\n".join([speed_table(), memory_table(), task_table()])


# --- speed and memory of the routes -------------------------------------------------------------------------------


def routes(batch: int) -> dict[str, Callable[[], Tensor]]:
    """Three ways to compute the same h `[batch, time, hidden]`: explicit derivatives, autograd, PyTorch's kernel."""
    torch.manual_seed(0)
    lstm, x = LSTM(INPUT, HIDDEN, constant=False), torch.randn(batch, TIME, INPUT)

    def stepwise() -> Tensor:
        h = c = x.new_zeros(batch, HIDDEN)
        hs = []
        for now in x.unbind(dim=1):
            _, h, c = lstm.cell(now, h, c)
            hs.append(h)
        return torch.stack(hs, dim=1)

    return {
        "explicit derivatives": lambda: lstm.cell.sequence(x)[1],
        "autograd over steps": stepwise,
        "kernel": lambda: lstm(x)[0],
    }


def speed_table() -> str:
    """The table of median processor times on one thread. The ways take turns, so that all have the same load."""
    ways = routes(SPEED_BATCH)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(REPEATS + 1):
        for name, run in ways.items():
            seconds[name].append(_timed(run))
    medians = {name: [statistics.median(column) for column in zip(*s[1:], strict=True)] for name, s in seconds.items()}
    lines = [
        "### Speed",
        "",
        f"One thread, {SPEED_BATCH} sequences of {TIME} steps, {INPUT} inputs, {HIDDEN} hidden units, float32. "
        f"Processor time, median of {REPEATS}.",
        "",
        "| route | forward | × kernel | backward | × kernel |",
        "|" + " --- |" * 5,
    ]
    for name, (forward, backward) in medians.items():
        fastest_forward, fastest_backward = medians["kernel"]
        lines.append(
            f"| {name} | {1e3 * forward:.1f} ms | {forward / fastest_forward:.1f} "
            f"| {1e3 * backward:.1f} ms | {backward / fastest_backward:.1f} |"
        )
    return "\n".join(lines)


def _timed(run: Callable[[], Tensor]) -> tuple[float, float]:
    began = time.process_time()
    loss = run().sum()
    between = time.process_time()
    loss.backward()
    return between - began, time.process_time() - between


def saved_bytes(run: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass keeps for its backward pass, each storage counted once."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # kept, so that its address is not used again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = run()
    total = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    del result
    return total


def counted_bytes() -> dict[str, tuple[str, int | None]]:
    """Formula and bytes per sequence, counted from the equations."""
    # With explicit derivatives every Step is kept as a whole: b (H + I), then f, i, c̃, o, a, e, d, ŷ (8 H). Its
    # c_previous is the a of the step before, so only the first one (H) is new. Autograd keeps what its formulas need:
    # b, the results of four σ (f, i, o, ŷ) and two tanh (c̃, e), and c_previous, a factor of a product. It needs no d.
    explicit = BYTES * (TIME * (9 * HIDDEN + INPUT) + HIDDEN)
    stepwise = BYTES * TIME * (8 * HIDDEN + INPUT)
    return {
        "explicit derivatives": ("4 (T (9 H + I) + H)", explicit),
        "autograd over steps": ("4 T (8 H + I)", stepwise),
        "kernel": ("x, h and a workspace of its own", None),
    }


def memory_table() -> str:
    """The table of saved bytes by batch size, with the slope of the straight line, measured and counted."""
    saved = {name: [saved_bytes(routes(batch)[name]) for batch in BATCHES] for name in routes(1)}
    lines = [
        "### Memory of training",
        "",
        f"Memory that is kept for the backward pass: T = {TIME} steps, I = {INPUT} inputs, H = {HIDDEN} hidden units, float32.",
        "",
        "| route | "
        + " | ".join(f"batch {b}" for b in BATCHES)
        + " | bytes per sequence | counted | formula | off the line |",
        "|" + " --- |" * (len(BATCHES) + 5),
    ]
    for name, (formula, counted) in counted_bytes().items():
        slope, start = np.polyfit(BATCHES, saved[name], 1)
        off = max(abs(s - start - slope * b) / s for b, s in zip(BATCHES, saved[name], strict=True))
        entries = " | ".join(f"{s / 1e3:.0f} kB" for s in saved[name])
        expected = "–" if counted is None else f"{counted:,}"
        lines.append(f"| {name} | {entries} | {slope:,.0f} | {expected} | {formula} | {100 * off:.1f} % |")
    return "\n".join(lines)


# --- the memory task ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """One training run: accuracy `[evaluation, gap]` after each number of `steps`."""

    steps: tuple[int, ...]
    accuracy: np.ndarray


Curves = dict[tuple[int, str, float], list[Curve]]
"""The runs of all seeds, by (bits, cell, rate)."""


def recall(bits: int, gap: int, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences of the memory task: bits to remember, then `gap` steps of random bits that do not matter.

    The bits to remember are marked by a 1 in the last feature.

    Shape:
        → x `[batch, 1 + gap, bits + 1]`, the bits `[batch, bits]` as 0.0 and 1.0
    """
    values = torch.randint(0, 2, (batch, 1 + gap, bits), generator=generator).float()
    mark = torch.zeros(batch, 1 + gap, 1)
    mark[:, 0] = 1.0
    return torch.cat([2 * values - 1, mark], dim=2), values[:, 0]


def train(bits: int, cell: str, rate: float, seed: int) -> Curve:
    """Train on gaps of 1 to 120 steps, with the same batches for every cell. Test on `GAPS`."""
    torch.manual_seed(seed)
    network, readout = CELLS[cell](bits + 1, HIDDEN), nn.Linear(HIDDEN, bits)
    parameters = [*network.parameters(), *readout.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=rate)
    draws = torch.Generator().manual_seed(seed)

    def logits(x: Tensor) -> Tensor:
        return readout(network(x)[0][:, -1])

    steps, accuracies = [], []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            steps.append(step)
            accuracies.append(_accuracy(logits, bits))
        gap = int(torch.randint(1, max(GAPS) + 1, (), generator=draws))
        x, kept = recall(bits, gap, TASK_BATCH, draws)
        loss = nn.functional.binary_cross_entropy_with_logits(logits(x), kept)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimiser.step()
    return Curve(tuple(steps), np.array(accuracies))


@torch.no_grad()
def _accuracy(logits: Callable[[Tensor], Tensor], bits: int) -> list[float]:
    """Share of right bits for each of `GAPS`, on separate test sequences."""
    draws = torch.Generator().manual_seed(1_000_000)
    shares = []
    for gap in GAPS:
        x, kept = recall(bits, gap, TEST_BATCH, draws)
        shares.append(float(((logits(x) > 0) == (kept > 0.5)).float().mean()))
    return shares


def task_table() -> str:
    """The table of accuracy at the end of training. Each cell has the better of the learning rates."""
    curves: Curves = {}
    for bits, cell, rate in product(BITS, CELLS, RATES):
        curves[bits, cell, rate] = [train(bits, cell, rate, seed) for seed in SEEDS]
    best = {(bits, cell): _better_rate(curves, bits, cell) for bits, cell in product(BITS, CELLS)}
    _write_csv(curves, DOCS / "memory-task.csv")
    _draw({(bits, cell): curves[bits, cell, rate] for (bits, cell), rate in best.items()}, DOCS / "memory-task.png")
    lines = [
        "### Memory task",
        "",
        f"The network must remember bits over a gap of random bits, and then repeat them. 50 % is chance. It is trained for {STEPS} "
        f"steps of {TASK_BATCH} sequences, with {HIDDEN} hidden units. The table shows the share of right bits, as the mean of "
        f"{len(SEEDS)} seeds and of the last {LAST} evaluations. Each cell has the better of the learning rates "
        f"{' and '.join(map(str, RATES))}.",
        "",
        "| bits | cell | rate | " + " | ".join(f"gap {gap}" for gap in GAPS) + " | worst seed |",
        "|" + " --- |" * (len(GAPS) + 4),
    ]
    for (bits, cell), rate in best.items():
        final = _final(curves[bits, cell, rate])
        entries = " | ".join(f"{100 * share:.0f} %" for share in final.mean(axis=0))
        lines.append(f"| {bits} | {cell} | {rate:g} | {entries} | {100 * final.mean(axis=1).min():.0f} % |")
    return "\n".join(lines)


def _better_rate(curves: Curves, bits: int, cell: str) -> float:
    return max(RATES, key=lambda rate: float(_final(curves[bits, cell, rate]).mean()))


def _final(runs: list[Curve]) -> np.ndarray:
    """Accuracies `[seed, gap]`, as the mean of the `LAST` evaluations, since those of an Elman cell vary much."""
    return np.stack([run.accuracy[-LAST:].mean(axis=0) for run in runs])


def _write_csv(curves: Curves, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["bits", "cell", "rate", "step", "gap", "accuracy", "lowest_seed", "highest_seed"])
        for (bits, cell, rate), runs in curves.items():
            accuracy = np.stack([run.accuracy for run in runs])
            for (s, step), (g, gap) in product(enumerate(runs[0].steps), enumerate(GAPS)):
                seeds = accuracy[:, s, g]
                figures = (seeds.mean(), seeds.min(), seeds.max())
                writer.writerow([bits, cell, rate, step, gap, *(f"{value:.4f}" for value in figures)])


def _draw(curves: dict[tuple[int, str], list[Curve]], path: Path) -> None:
    """Draw the accuracy over training, mean of all gaps: lines for the mean of seeds, bands from worst to best seed."""
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    axes = figure.subplots(1, len(BITS), sharey=True)
    for (bits, cell), runs in curves.items():
        axis, seeds = axes[BITS.index(bits)], np.stack([run.accuracy.mean(axis=1) for run in runs])
        axis.plot(runs[0].steps, seeds.mean(axis=0), color=COLOURS[cell], label=cell)
        axis.fill_between(runs[0].steps, seeds.min(axis=0), seeds.max(axis=0), color=COLOURS[cell], alpha=0.15)
        axis.set(xlabel="training step", title=f"{bits} bit{'s' * (bits > 1)} kept for 20 to 120 steps")
    for axis in axes:
        axis.axhline(0.5, color="#8a97a6", linewidth=0.8, linestyle="--")
        axis.grid(alpha=0.25)
    axes[0].set(ylabel="right bits", ylim=(0.0, 1.03))
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
