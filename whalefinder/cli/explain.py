"""The command that explains answers: heat maps over the spectrogram, and the hydrophone that matters most."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from whalefinder.cli.common import (
    Array,
    Classifier,
    Out,
    Overwrite,
    Quiet,
    Segmenter,
    app,
    console,
    errors,
    escaped,
    one_line_errors,
    progress_bar,
    results_in,
)
from whalefinder.errors import OptionError

if TYPE_CHECKING:
    from whalefinder.explain.excerpt import Excerpt
    from whalefinder.explain.leave_one_out import Without
    from whalefinder.explain.occlusion import HeatMap, Occluder, Report
    from whalefinder.networks.classifier import Classifier as ClassifierNetwork
    from whalefinder.networks.segmentation import SegmentationNetwork

SLIGHT = 0.01
"""If the largest loss of a map is smaller, no single place decides."""
PARTS = ("classifier", "segmenter", "bearing")


@app.command()
def explain(
    recording: Annotated[Path, typer.Argument(help="Recording: a WAV, W64, RF64, BW64, AIFF or FLAC file.")],
    at: Annotated[float, typer.Option("--at", help="Time of the call, s from the start of the recording.")],
    array: Array = None,
    what: Annotated[str, typer.Option(help="What to explain: classifier, segmenter, bearing or all.")] = "all",
    out: Out = Path("whalefinder-explain"),
    name: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="Label to explain: orca, other_cetacean, cetacean (either), boat or ambient.",
            show_default="the most likely",
        ),
    ] = None,
    window_hz: Annotated[float, typer.Option(min=1, help="Height of the window that covers the sound, Hz.")] = 750,
    window_s: Annotated[float, typer.Option(min=0.001, help="Length of this window, s.")] = 0.17,
    baseline: Annotated[
        str, typer.Option(help="What replaces the covered sound: mean (of the surroundings) or silence.")
    ] = "mean",
    log_odds: Annotated[
        bool,
        typer.Option(
            "--log-odds", help="Map log-odds instead of the probability; use it if the probability is near 1."
        ),
    ] = False,
    segmenter: Segmenter = None,
    classifier: Classifier = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Show which part of the sound, and which hydrophone, decided a label, a mask or a bearing.

    Covers one piece of the sound at a time, and draws how much confidence is lost as a heat map over the spectrogram (PNG
    and CSV). Leaves one hydrophone out at a time, and shows how the bearing changes. Reads no more than the minute before
    and after --at.

    Examples:
      whalefinder explain night.wav --at 75.3 --array array.toml --out why

      whalefinder explain night.wav --at 75.3 --what classifier --class orca --out why
    """
    from whalefinder.array.array_file import load_array
    from whalefinder.explain.excerpt import in_context, listen
    from whalefinder.explain.occlusion import Occluder
    from whalefinder.networks.weights import load_classifier, load_network
    from whalefinder.optional import needs
    from whalefinder.pipeline import Locator
    from whalefinder.results.formats import safe_stem
    from whalefinder.sound.recording import open_recording

    with one_line_errors():
        occluder = Occluder.of(window_hz, window_s, baseline)
        loaded = load_array(array) if array else None
        parts = _parts(what, with_array=loaded is not None)
        if parts != ("bearing",):
            needs("captum", what="whalefinder explain")  # now, not after the sound is heard
        opened = open_recording(recording, loaded)
        stem = f"{safe_stem(opened.name)}-{at:g}s"
        files = [
            f"{stem}-{part}.{kind}" for part in parts for kind in ("csv", "png") if (part, kind) != ("bearing", "png")
        ]
        with results_in(out, *files, overwrite=overwrite):
            locator = Locator(loaded, load_network(segmenter), classifier=load_classifier(classifier), all_events=True)
            judge = locator.judge
            excerpt = in_context(listen(opened, at, judge), opened, locator)
            for line in opened.problems:
                errors.print(escaped(line), soft_wrap=True)
            console.print(escaped(_heading(opened.name, at, excerpt)), soft_wrap=True)
            why = _Why(out=out, stem=stem, excerpt=excerpt, occluder=occluder, quiet=quiet)
            if "classifier" in parts:
                why.classifier(judge.classifier, name, log_odds)
            if "segmenter" in parts:
                why.segmenter(judge.network)
            if "bearing" in parts:
                why.bearing(judge.network)


def _parts(what: str, *, with_array: bool) -> tuple[str, ...]:
    if what not in (*PARTS, "all"):
        raise OptionError(f"--what {what!r} is unknown; choose from {', '.join(PARTS)}, all")
    if what == "bearing" and not with_array:
        raise OptionError("--what bearing needs to know where the hydrophones are; add --array ARRAY.toml")
    return (PARTS if with_array else PARTS[:2]) if what == "all" else (what,)


def _heading(recording: str, at_s: float, excerpt: Excerpt) -> str:
    channels = ", ".join(str(channel) for channel in excerpt.channels)
    heard = f"hydrophone{'s' * (len(excerpt.channels) != 1)} {channels}"
    event = excerpt.event
    if event is None:
        begin, end = excerpt.seconds(excerpt.begin), excerpt.seconds(excerpt.end)
        return f"{recording}, {heard}: no event at {at_s:g} s, so the window {begin:.2f}-{end:.2f} s is explained"
    begin, end = excerpt.seconds(event.begin), excerpt.seconds(event.end)
    words = (
        f"{recording}, {heard}: event {begin:.2f}-{end:.2f} s, {event.low_hz / 1e3:.2f}-{event.high_hz / 1e3:.2f} kHz"
    )
    judgement = excerpt.judgement
    if judgement is None:
        return words
    named = f"locate names it {judgement.label}, probability {judgement.probability:.4f}"
    if judgement.is_call:
        return f"{words}; {named}"
    why = "of a machine, or the same at all hydrophones, so no call" if judgement.no_whale else "no call"
    return f"{words}; {named} ({why}; only with --all)"


@dataclass(frozen=True, kw_only=True)
class _Why:
    """Writes the files of one explanation, and prints a summary of each."""

    out: Path
    stem: str
    excerpt: Excerpt
    occluder: Occluder
    quiet: bool

    def classifier(self, network: ClassifierNetwork, name: str | None, log_odds: bool) -> None:
        from whalefinder.explain.decisions import explain_classifier
        from whalefinder.results.records import LABELS, classes_of

        with self._progress("classifier") as report:
            found = explain_classifier(self.excerpt, network, name, self.occluder, report, in_log_odds=log_odds)
        probability = found.probabilities[list(classes_of(found.name))].sum()
        others = ", ".join(f"{each} {p:.2f}" for each, p in zip(LABELS, found.probabilities, strict=True))
        unit = "log-odds" if log_odds else "probability"
        self._write(found.heat, "classifier", f"probability of {found.name} {probability:.2f}", unit)
        console.print(f"  all classes: {others}", soft_wrap=True)

    def segmenter(self, network: SegmentationNetwork) -> None:
        from whalefinder.explain.decisions import explain_segmenter

        with self._progress("segmenter") as report:
            heat = explain_segmenter(self.excerpt, network, self.occluder, report)
        whose = "the window" if self.excerpt.event is None else "the event"
        self._write(heat, "segmenter", f"call share of {whose} {heat.confidence:.2f}", "call share")

    def bearing(self, network: SegmentationNetwork) -> None:
        from whalefinder.explain.leave_one_out import leave_one_out, summary, write_rows

        if self.excerpt.array is None or self.excerpt.event is None:
            reason = "there is no event" if self.excerpt.event is None else "only one hydrophone has sound"
            console.print(f"bearing: {reason} here, so there is no bearing to explain")
            return
        found = leave_one_out(self.excerpt.masks, self.excerpt.event, self.excerpt.array, network)
        if found is None:
            console.print("bearing: the mask of the event is empty, so there is no bearing to explain")
            return
        target = self._target("bearing.csv")
        write_rows(found[1], target)
        console.print(_table(found[1]))
        for line in _notes(found[1]):
            console.print(line, soft_wrap=True)
        console.print(f"bearing: {summary(found[1])} → {escaped(str(target))}", soft_wrap=True)

    def _write(self, heat: HeatMap, kind: str, confidence: str, unit: str) -> None:
        from whalefinder.explain.decisions import FULL_COLOUR
        from whalefinder.explain.occlusion import write_map
        from whalefinder.pages.plots import draw_occlusion

        table, picture = self._target(f"{kind}.csv"), self._target(f"{kind}.png")
        write_map(heat, table)
        level = self.excerpt.level_db(heat.first_frame, heat.loss.shape[1])
        draw_occlusion(
            level,
            heat.loss,
            heat.first_frame,
            picture,
            f"{self.stem}, {kind}: {confidence}",
            self.excerpt.box(),
            unit,
            FULL_COLOUR[unit],
        )
        console.print(f"{kind}: {confidence}; {_words(heat, unit)} → {escaped(str(picture))}", soft_wrap=True)

    def _target(self, name: str) -> Path:
        from whalefinder.files import writing

        with writing(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
        return self.out / f"{self.stem}-{name}"

    @contextmanager
    def _progress(self, kind: str) -> Iterator[Report]:
        with progress_bar(self.quiet) as progress:
            task = progress.add_task(kind, total=None, note="covering one place after another …")
            yield lambda done, total: progress.update(task, completed=done, total=total)


def _words(heat: HeatMap, unit: str) -> str:
    time_s, hz = heat.peak()
    words = f"most important place {time_s:.2f} s, {hz / 1e3:.2f} kHz: {unit} falls by {max(0.0, heat.loss.max()):.3f} without it"
    if heat.loss.max() > SLIGHT:
        return words
    remedy = "--log-odds or a larger window" if unit == "probability" else "a larger window"
    return f"{words}; no single place decides, try {remedy}"


def _table(rows: list[Without]) -> Table:
    table = Table("without hydrophone", "bearing moves by", "its σ", "σ grows", "log likelihood lost")
    cell: Callable[[str, float | None], str] = lambda form, value: "-" if value is None else form.format(value)  # noqa: E731
    for row in rows:
        table.add_row(
            str(row.channel),
            cell("{:.2f}°", row.shift_deg),
            cell("{:.2f}°", row.sd_deg),
            cell("{:.2f} ×", row.sd_growth),
            cell("{:.0f}", row.log_likelihood_loss),
        )
    return table


def _notes(rows: list[Without]) -> list[str]:
    """Notes on what the other hydrophones cannot measure, each once."""
    notes: dict[str, list[str]] = {}
    for row in rows:
        notes.setdefault(row.note, []).append(str(row.channel))
    return [f"  without {', '.join(channels)}: {note}" for note, channels in notes.items() if note]
