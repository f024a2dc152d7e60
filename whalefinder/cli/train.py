"""Commands that train the shipped networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from whalefinder.cli.common import Commands, Out, app, console, escaped, one_line_errors, progress_bar, results_in
from whalefinder.errors import OptionError, OutputError

train_app = Commands(help="Train the networks of whalefinder.", no_args_is_help=True)
app.add_typer(train_app, name="train")


@train_app.command("segmenter")
def train_segmenter(
    out: Out = Path("runs/segmenter"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps, each a batch of 8 examples of 4 s.")] = 3800,
    hidden_channels: Annotated[
        int, typer.Option(min=4, help="Channels of the first layer; 96 in the examination paper.")
    ] = 16,
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="Random seed. The benchmark uses seeds from 10^9.")] = 1,
    no_normalise: Annotated[
        bool, typer.Option("--no-normalise", help="No batch normalisation, as in the examination paper.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from OUT/last.pt.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the training in OUT.")] = False,
) -> None:
    """Train the segmenter (the network that makes the masks), on simulated sound and on real calls of the train split.

    About an hour on two cores. After Ctrl-C, --resume continues.

    Example:
      whalefinder train segmenter --out runs/segmenter
    """
    from whalefinder.pages.plots import draw_curve
    from whalefinder.training.segmenter import Settings, train

    settings = Settings(steps=steps, hidden_channels=hidden_channels, normalise=not no_normalise, seed=seed)
    with one_line_errors():
        with training_in(out, "segmenter", resume, overwrite):
            with progress_bar() as progress:
                task = progress.add_task("train", total=steps, note="drawing calls and boats …")
                train(out, settings, resume=resume, report=training_report(progress, task))
            draw_curve(out / "curve.csv", out / "curve.png")
        console.print(
            f"weights → {escaped(str(out))}/segmenter.safetensors, curve → {escaped(str(out))}/curve.png",
            soft_wrap=True,
        )


@train_app.command("regressor")
def train_regressor(
    array: Annotated[
        Path, typer.Option("--array", "-a", help="Array file (TOML). The weights are valid for this array only.")
    ],
    out: Out = Path("runs/regressor"),
    minutes: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=100_000,
            help="Length of the training: 200 steps of 64 calls per minute, about a minute on one core.",
        ),
    ] = 40,
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="Random seed. The benchmark uses seeds from 10^9.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from OUT/last.pt.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the training in OUT.")] = False,
) -> None:
    """Train the regressor (the network that gives a bearing at once) for one array, on simulated sound.

    About forty minutes on one core. After Ctrl-C, --resume continues. The array must be a volume or a level plane.

    Examples:
      whalefinder train regressor --array array.toml --out runs/regressor

      whalefinder locate night.wav -a array.toml --method regressor --regressor runs/regressor/regressor.safetensors
    """
    from whalefinder.array.array_file import load_array
    from whalefinder.pages.plots import draw_curve
    from whalefinder.training.regressor import STEPS_PER_MINUTE, Settings, train

    settings = Settings(steps=max(1, round(minutes * STEPS_PER_MINUTE)), seed=seed)
    with one_line_errors():
        loaded = load_array(array)
        with training_in(out, "regressor", resume, overwrite):
            with progress_bar() as progress:
                task = progress.add_task("train", total=settings.steps, note="drawing calls and boats …")
                train(out, loaded, settings, resume=resume, report=training_report(progress, task))
            draw_curve(out / "curve.csv", out / "curve.png", "loss, median error (°), share beyond 10°")
        console.print(
            f"weights → {escaped(str(out))}/regressor.safetensors, curve → {escaped(str(out))}/curve.png",
            soft_wrap=True,
        )


@train_app.command("refiner")
def train_refiner(
    out: Out = Path("runs/refiner"),
    scenes: Annotated[int, typer.Option(min=20, help="Simulated scenes to learn from, with three calls each.")] = 500,
    steps: Annotated[int, typer.Option(min=1, help="Training steps, each a batch of 64 calls.")] = 1000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that simulate scenes.")] = 1,
    seed: Annotated[
        int, typer.Option(min=0, max=999_999, help="Random seed. The benchmark uses seeds from 10^9.")
    ] = 11,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from OUT/last.pt.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the training in OUT.")] = False,
) -> None:
    """Train the refiner (the network that makes bearings better and their errors true), on simulated seas.

    About fifty minutes on one core, nearly all of them for the scenes. They are kept in OUT/lessons: a run that was stopped while it
    drew them goes on there when it is started again, and after that with --resume.

    Examples:
      whalefinder train refiner --out runs/refiner --workers 2

      whalefinder locate night.wav -a array.toml --refiner runs/refiner/refiner.safetensors -o results
    """
    from whalefinder.pages.plots import draw_curve
    from whalefinder.training.refiner import Settings, train

    settings = Settings(scenes=scenes, steps=steps, seed=seed, workers=workers)
    with one_line_errors():
        with training_in(out, "refiner", resume, overwrite):
            with progress_bar() as progress:
                scene_task = progress.add_task("scenes", total=scenes + settings.dev_scenes, note="drawing sounds …")
                task = progress.add_task("train", total=steps, note="")
                train(
                    out, settings, resume=resume, report=training_report(progress, task),
                    drawn=lambda done, *_: progress.update(scene_task, completed=done, note=""),
                )  # fmt: skip
            draw_curve(out / "curve.csv", out / "curve.png", "loss, median error (°), share beyond 10°")
        console.print(
            f"weights → {escaped(str(out))}/refiner.safetensors, curve → {escaped(str(out))}/curve.png", soft_wrap=True
        )


@train_app.command("tracker")
def train_tracker(
    out: Out = Path("runs/tracker"),
    smoother: Annotated[
        bool, typer.Option("--smoother", help="Train a smoother, which also uses later calls.")
    ] = False,
    cell: Annotated[str, typer.Option(help="Recurrent cell: lstm, or elman for comparison.")] = "lstm",
    swims: Annotated[int, typer.Option(min=10, help="Number of simulated swims, 5 minutes each.")] = 8000,
    steps: Annotated[int, typer.Option(min=1, help="Training steps, each a batch of 64 swims.")] = 1100,
    seed: Annotated[int, typer.Option(min=0, max=999_999, help="Random seed. The benchmark uses seeds from 10^9.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from OUT/last.pt.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the training in OUT.")] = False,
) -> None:
    """Train the tracker (the network that follows animals), on simulated swims only.

    A quarter of an hour on two cores. After Ctrl-C, --resume continues.

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
        with training_in(out, "tracker", resume, overwrite):
            with progress_bar() as progress:
                task = progress.add_task("train", total=steps, note="drawing swims …")
                train(out, settings, resume=resume, report=training_report(progress, task))
            draw_curve(out / "curve.csv", out / "curve.png", "loss (nats), median error (°)")
        console.print(
            f"weights → {escaped(str(out))}/tracker.safetensors, curve → {escaped(str(out))}/curve.png", soft_wrap=True
        )


@train_app.command("classifier")
def train_classifier(
    out: Out = Path("runs/classifier"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps, each a batch of 32 examples of 3 s.")] = 11_000,
    optimiser: Annotated[str, typer.Option(help="Optimiser: adamw, or sgd with momentum.")] = "adamw",
    rate: Annotated[float, typer.Option(min=0, help="Highest learning rate.")] = 3e-3,
    l2: Annotated[float, typer.Option(min=0, help="λ of the term λ‖w‖² in the loss.")] = 0.0,
    weight_decay: Annotated[
        float | None,
        typer.Option(min=0, help="Decoupled weight decay of adamw.", show_default="0.01, and 0 for sgd"),
    ] = None,
    dropout: Annotated[float, typer.Option(min=0, max=0.95, help="Probability of dropout.")] = 0.3,
    imbalance: Annotated[
        str, typer.Option(help="Remedy for class imbalance: none, weights, sampler or focal.")
    ] = "none",
    boat_ratio: Annotated[
        float | None,
        typer.Option(min=0, help="n of orca:boat = 1:n.", show_default="as many clips with a call as without"),
    ] = None,
    no_augment: Annotated[
        bool, typer.Option("--no-augment", help="Do not vary spectrum, frequency band and masks of the examples.")
    ] = False,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            help="A source of real calls to leave out, such as riptide_orca/biggs. May be repeated.",
            show_default="none",
        ),
    ] = None,
    labels: Annotated[
        int | None,
        typer.Option(min=2, help="Number of labelled examples to learn from.", show_default="new ones in every step"),
    ] = None,
    trunk: Annotated[
        Path | None,
        typer.Option(
            help="Weights whose trunk it begins with: of `train trunk`, or of a classifier.", show_default="none"
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="Weights of a classifier that it goes on from, such as of an earlier training.", show_default="none"
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=999_999, help="Random seed. The evaluation uses seeds from 10^9.")
    ] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from OUT/last.pt.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the training in OUT.")] = False,
) -> None:
    """Train the classifier (the network that labels events orca, other cetacean, boat or ambient).

    About an hour and a half on two cores: one draws the examples. After Ctrl-C, --resume continues.

    Examples:
      whalefinder train classifier --out runs/classifier

      whalefinder train classifier --optimiser sgd --rate 0.02 --l2 1e-4 --boat-ratio 20 --imbalance focal

      whalefinder train classifier --trunk runs/trunk/trunk.safetensors --labels 128

      whalefinder train classifier --start runs/classifier/classifier.safetensors --steps 1500 --rate 0.001 --seed 71
    """
    from whalefinder.pages.plots import draw_curve

    with one_line_errors():
        from whalefinder.training.classifier import Settings, train

        decay = weight_decay if weight_decay is not None else (0.0 if optimiser == "sgd" else 1e-2)
        settings = Settings(
            steps=steps, optimiser=optimiser, peak_rate=rate, l2=l2, weight_decay=decay, dropout=dropout,
            imbalance=imbalance, boat_ratio=boat_ratio, augment=not no_augment, seed=seed,
            leave_out=tuple(leave_out or ()), examples=labels, trunk=None if trunk is None else str(trunk),
            start=None if start is None else str(start),
        )  # fmt: skip
        with training_in(out, "classifier", resume, overwrite):
            with progress_bar() as progress:
                task = progress.add_task("train", total=steps, note="drawing calls and boats …")
                workers = 1 if (os.cpu_count() or 1) > 1 else 0
                train(out, settings, resume=resume, workers=workers, report=training_report(progress, task))
            draw_curve(out / "curve.csv", out / "curve.png", "loss, recall, specificity")
        console.print(
            f"weights → {escaped(str(out))}/classifier.safetensors, curve → {escaped(str(out))}/curve.png",
            soft_wrap=True,
        )


@contextmanager
def training_in(out: Path, name: str, resume: bool, overwrite: bool) -> Iterator[None]:
    """Lock the folder of a training. One that is there is continued or replaced only if the user says so."""
    from whalefinder.files import untouched

    with results_in(out, overwrite=True):
        last = out / "last.pt"
        if last.exists() and not (resume or overwrite):
            raise OutputError(
                f"{last}: a training is here already; continue it with `resume`, or replace it with `overwrite`"
            )
        untouched((out / f"{name}.safetensors", out / "curve.csv"), overwrite=resume or overwrite)
        yield


@train_app.command("trunk")
def train_trunk(
    out: Out = Path("runs/trunk"),
    steps: Annotated[int, typer.Option(min=1, help="Training steps, each a batch of 32 windows of 3 s.")] = 4000,
    covered: Annotated[float, typer.Option(min=0.05, max=0.95, help="Share of a window that is covered.")] = 0.5,
    seed: Annotated[
        int, typer.Option(min=0, max=999_999, help="Random seed. The evaluation uses seeds from 10^9.")
    ] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from OUT/last.pt.")] = False,
) -> None:
    """Pre-train the classifier without labels: it paints covered blocks of the spectrogram.

    About half an hour on one core. After Ctrl-C, --resume continues.

    Examples:
      whalefinder train trunk --out runs/trunk

      whalefinder train classifier --trunk runs/trunk/trunk.safetensors
    """
    from whalefinder.pages.plots import draw_curve

    with one_line_errors():
        from whalefinder.training.pretraining import Settings, train

        settings = Settings(steps=steps, covered=covered, seed=seed)
        with progress_bar() as progress:
            task = progress.add_task("train", total=steps, note="drawing sounds …")
            train(out, settings, resume=resume, report=training_report(progress, task))
        draw_curve(out / "curve.csv", out / "curve.png", "variance that is not explained")
        console.print(f"weights → {out}/trunk.safetensors, curve → {out}/curve.png")


def training_report(progress: Progress, task: Any) -> Callable[[int, float, dict[str, float] | None], None]:
    """A report for `training.loop.Run` that moves a progress bar."""
    best = {"note": ""}

    def report(step: int, loss: float, scores: dict[str, float] | None) -> None:
        if scores:
            best["note"] = f"validation {next(iter(scores.values())):.4f}"
        progress.update(task, completed=step, note=f"loss {loss:.3f} {best['note']}")

    return report
