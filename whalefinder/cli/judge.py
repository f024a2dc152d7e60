"""Commands that evaluate the classifier: evaluate (with other methods), and study (of what made it good)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from whalefinder.cli.common import (
    Classifier,
    Out,
    Overwrite,
    Quiet,
    app,
    console,
    escaped,
    one_line_errors,
    progress_bar,
    results_in,
)


@app.command()
def evaluate(
    classifier: Classifier = None,
    split: Annotated[
        str, typer.Option(help="Recordings to use: dev (to choose settings) or test (to report).")
    ] = "dev",
    clips: Annotated[int, typer.Option(min=20, help="Number of mixed clips; half of them have a call.")] = 600,
    out: Out = Path("whalefinder-evaluation"),
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure how good the classifier is on real recordings, and compare it with three simpler methods.

    Needs the real recordings (folder WHALEFINDER_DATA). Writes OUT/evaluation.html, figures.json and clips.csv, and the
    clips with the worst errors to OUT/listen/. Takes about 8 minutes of one core.

    Examples:
      whalefinder evaluate --split test --out judged

      whalefinder evaluate --classifier runs/classifier/classifier.safetensors --out judged
    """
    from whalefinder.optional import needs

    with one_line_errors():
        needs("sklearn", "jinja2", what="whalefinder evaluate")
        from whalefinder.evaluation.evaluate import evaluate

        files = ("evaluation.html", "figures.json", "clips.csv", "listen")
        with results_in(out, *files, overwrite=overwrite), progress_bar(quiet) as progress:
            result = evaluate(out, classifier=classifier, split=split, count=clips, report=_moves(progress, "evaluate"))
        for title, header, rows in (
            (f"calls in ships, split {split}, {clips} clips, 1:1", result.header, result.mixtures),
            ("live hydrophone, as recorded", result.header, result.live),
            ("ships and ambient alone", result.alone_header, result.alone),
        ):
            table = Table(*header, title=title, title_justify="left", show_lines=False)
            for row in rows:
                table.add_row(*map(escaped, row))
            console.print(table)
        console.print(f"report → {escaped(str(result.page))}", soft_wrap=True)


@app.command()
def study(
    out: Out = Path("whalefinder-study"),
    minutes: Annotated[
        float, typer.Option(min=0.1, help="After this time no run begins. The same command continues later.")
    ] = 60,
    quiet: Quiet = False,
) -> None:
    """Repeat the study of the examination paper on our data: regularisation, samples, epochs, recorders, imbalance.

    Needs the real recordings (folder WHALEFINDER_DATA). Trains about 150 small networks and does not keep them. Writes
    OUT/study.html, runs.csv, curves.csv and pictures. Runs that are in runs.csv already are not repeated.

    Example:
      whalefinder study --out study --minutes 60
    """
    from whalefinder.optional import needs

    with one_line_errors():
        needs("sklearn", "jinja2", what="whalefinder study")
        from whalefinder.evaluation.study.run import study

        with results_in(out, overwrite=True), progress_bar(quiet) as progress:  # it continues what is there
            outcome = study(out, minutes, report=_moves(progress, "study"))
        left = f", {outcome.left_out} left out; run the same command again to continue" if outcome.left_out else ""
        console.print(f"{outcome.runs} runs{left}; report → {escaped(str(outcome.page))}", soft_wrap=True)


def _moves(progress: Progress, name: str) -> Callable[[int, int, str], None]:
    task: Any = progress.add_task(name, total=None, note="reading recordings …")

    def report(done: int, total: int, note: str) -> None:
        progress.update(task, completed=done, total=total, note=escaped(note))

    return report
