"""Commands that train the shipped networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from whalefinder.cli.common import Out, app, console, one_line_errors, progress_bar
from whalefinder.errors import OptionError
from whalefinder.optional import needs

train_app = typer.Typer(help="Train the networks that ship with whalefinder.", no_args_is_help=True)
app.add_typer(train_app, name="train")


@train_app.command("segmenter")
def train_segmenter(
    out: Out = Path("runs/segmenter"),
    steps: Annotated[int, typer.Option(min=1, help="Batches of 8 examples of 4 s.")] = 3800,
    hidden_channels: Annotated[int, typer.Option(min=4, help="Width of the first layer; 96 is the paper's.")] = 16,
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="Benchmark seeds start at 10^9.")] = 1,
    normalise: Annotated[
        bool, typer.Option(help="Batch normalisation; without it: the specification to the letter.")
    ] = True,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT/last.pt.")] = False,
) -> None:
    """Train the segmenter from simulation and, where the data folder is there, real calls of the train split.

    About an hour on two cores. Ctrl-C keeps a checkpoint.

    Example:
      whalefinder train segmenter --out runs/segmenter
    """
    from whalefinder.pages.plots import draw_curve
    from whalefinder.training.segmenter import Settings, train

    settings = Settings(steps=steps, hidden_channels=hidden_channels, normalise=normalise, seed=seed)
    with one_line_errors():
        with progress_bar() as progress:
            task = progress.add_task("train", total=steps, note="drawing calls and boats …")
            train(out, settings, resume=resume, report=training_report(progress, task))
        draw_curve(out / "curve.csv", out / "curve.png")
        console.print(f"weights → {out}/segmenter.safetensors, curve → {out}/curve.png")


@train_app.command("regressor")
def train_regressor(
    array: Annotated[Path, typer.Option("--array", "-a", help="Array file (TOML); the weights answer for it alone.")],
    out: Out = Path("runs/regressor"),
    minutes: Annotated[
        float, typer.Option(min=0.01, help="Nominal: 200 batches of 64 calls each, one core's work.")
    ] = 40,
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="Benchmark seeds start at 10^9.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT/last.pt.")] = False,
) -> None:
    """Train the network that answers with a direction at once, for one array, from simulation.

    About forty minutes on one core. Ctrl-C keeps a checkpoint. The array must be a volume or a level plane.

    Examples:
      whalefinder train regressor --array array.toml --out runs/regressor

      whalefinder locate night.wav -a array.toml --method network --regressor runs/regressor/regressor.safetensors
    """
    from whalefinder.array.array_file import load_array
    from whalefinder.pages.plots import draw_curve
    from whalefinder.training.regressor import STEPS_PER_MINUTE, Settings, train

    settings = Settings(steps=max(1, round(minutes * STEPS_PER_MINUTE)), seed=seed)
    with one_line_errors():
        loaded = load_array(array)
        with progress_bar() as progress:
            task = progress.add_task("train", total=settings.steps, note="drawing calls and boats …")
            train(out, loaded, settings, resume=resume, report=training_report(progress, task))
        draw_curve(out / "curve.csv", out / "curve.png", "loss, median error (°), share beyond 10°")
        console.print(f"weights → {out}/regressor.safetensors, curve → {out}/curve.png")


@train_app.command("tracker")
def train_tracker(
    out: Out = Path("runs/tracker"),
    smoother: Annotated[bool, typer.Option("--smoother", help="Uses what comes later too; else causal.")] = False,
    cell: Annotated[str, typer.Option(help="lstm, or elman for comparison.")] = "lstm",
    swims: Annotated[int, typer.Option(min=10, help="Simulated swims of 5 minutes.")] = 8000,
    steps: Annotated[int, typer.Option(min=1, help="Batches of 64 swims.")] = 1100,
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="Benchmark seeds start at 10^9.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT/last.pt.")] = False,
) -> None:
    """Train the network that follows animals, from simulated swims alone.

    A quarter of an hour on two cores. Ctrl-C keeps a checkpoint.

    Examples:
      whalefinder train tracker --out runs/tracker

      whalefinder train tracker --smoother --out runs/smoother
    """
    from whalefinder.networks.tracker import CELLS
    from whalefinder.pages.plots import draw_curve
    from whalefinder.training.tracker import Settings, train

    with one_line_errors():
        if cell not in CELLS:
            raise OptionError(f"--cell {cell!r} is unknown; choose from {', '.join(CELLS)}")
        settings = Settings(smoother=smoother, cell=cell, swims=swims, steps=steps, seed=seed)
        with progress_bar() as progress:
            task = progress.add_task("train", total=steps, note="drawing swims …")
            train(out, settings, resume=resume, report=training_report(progress, task))
        draw_curve(out / "curve.csv", out / "curve.png", "loss (nats), median error (°)")
        console.print(f"weights → {out}/tracker.safetensors, curve → {out}/curve.png")


@train_app.command("classifier")
def train_classifier(
    out: Out = Path("runs/classifier"),
    steps: Annotated[int, typer.Option(min=1, help="Batches of 32 examples of 3 s.")] = 2600,
    optimiser: Annotated[str, typer.Option(help="adamw, or sgd with momentum.")] = "adamw",
    rate: Annotated[float, typer.Option(min=0, help="Highest learning rate.")] = 3e-3,
    l2: Annotated[float, typer.Option(min=0, help="λ of a term λ‖w‖² in the loss.")] = 0.0,
    weight_decay: Annotated[float | None, typer.Option(min=0, help="Decoupled decay of adamw; default 0.01.")] = None,
    dropout: Annotated[float, typer.Option(min=0, max=0.95)] = 0.3,
    imbalance: Annotated[str, typer.Option(help="none, weights, sampler or focal.")] = "none",
    boat_ratio: Annotated[
        float | None, typer.Option(min=0, help="n of orca:boat = 1:n; default: pairs with and without a call.")
    ] = None,
    augment: Annotated[bool, typer.Option(help="Vary colour, band and masks of the examples.")] = True,
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="Evaluation seeds start at 10^9.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT/last.ckpt.")] = False,
) -> None:
    """Train the network that tells orca, other cetacean, boat and ambient from each other.

    About half an hour on one core. Ctrl-C keeps the checkpoint of the last validation.

    Examples:
      whalefinder train classifier --out runs/classifier

      whalefinder train classifier --optimiser sgd --rate 0.02 --l2 1e-4 --boat-ratio 20 --imbalance focal
    """
    from whalefinder.pages.plots import draw_curve

    with one_line_errors():
        needs("lightning", what="training")
        from whalefinder.training.classifier import Settings, train

        decay = weight_decay if weight_decay is not None else (0.0 if optimiser == "sgd" else 1e-2)
        settings = Settings(
            steps=steps, optimiser=optimiser, peak_rate=rate, l2=l2, weight_decay=decay, dropout=dropout,
            imbalance=imbalance, boat_ratio=boat_ratio, augment=augment, seed=seed,
        )  # fmt: skip
        with progress_bar() as progress:
            task = progress.add_task("train", total=steps, note="drawing calls and boats …")
            train(out, settings, resume=resume, report=training_report(progress, task))
        draw_curve(out / "curve.csv", out / "curve.png", "loss, recall, specificity")
        console.print(f"weights → {out}/classifier.safetensors, curve → {out}/curve.png")


def training_report(progress: Progress, task: Any) -> Callable[[int, float, dict[str, float] | None], None]:
    """A report for `training.loop.Run` that moves a progress bar."""
    best = {"note": ""}

    def report(step: int, loss: float, scores: dict[str, float] | None) -> None:
        if scores:
            best["note"] = f"validation {next(iter(scores.values())):.4f}"
        progress.update(task, completed=step, note=f"loss {loss:.3f} {best['note']}")

    return report
