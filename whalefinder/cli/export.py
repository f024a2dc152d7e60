"""The command that writes the networks for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from whalefinder.cli.common import (
    Classifier,
    Out,
    Overwrite,
    Segmenter,
    app,
    console,
    escaped,
    one_line_errors,
    working,
)


@app.command()
def export(
    out: Out = Path("whalefinder-models"),
    what: Annotated[Literal["segmenter", "classifier", "all"], typer.Option(help="Which network to write.")] = "all",
    channels: Annotated[
        list[int] | None,
        typer.Option(
            help="Number of hydrophones of the segmenter's input. May be given several times.", show_default="1 and 4"
        ),
    ] = None,
    format: Annotated[
        Literal["onnx", "pamguard"],
        typer.Option("--format", "-f", help="onnx, or pamguard for PAMGuard's deep-learning module."),
    ] = "onnx",
    segmenter: Segmenter = None,
    classifier: Classifier = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the networks for other programs. Each model takes samples and gives answers.

    Examples:
      whalefinder export --out models

      whalefinder export --out models --what segmenter --channels 2 --channels 6

      whalefinder export --out models --what classifier --format pamguard
    """
    from whalefinder.export.shipped import export_models

    with one_line_errors():
        with working("writing the models …"):
            written = list(
                export_models(out, what, format, channels or [1, 4], segmenter, classifier, overwrite=overwrite)
            )
        for path in written:
            console.print(f"{path.stat().st_size / 1e6:.1f} MB → {escaped(str(path))}", soft_wrap=True)
