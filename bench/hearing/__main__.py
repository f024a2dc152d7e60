"""`python -m bench.hearing`: what is found of orcas, and what else is taken for one, with one hydrophone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from bench.hearing import calibration, mixed, picture, probe, tables
from bench.hearing.run import Heard, hear_all
from bench.hearing.sounds import Sound, distinct, other_species, without_orcas
from bench.results import put
from whalefinder.cli.common import progress_bar
from whalefinder.training.clips import data_folder

CACHE = Path("~/.cache/whalefinder-bench").expanduser()
PICTURE = Path(__file__).parents[2] / "docs" / "hearing.png"


METHOD = (
    "One hydrophone. *whalefinder* is the whole program (`locate` without an array) with the shipped thresholds; an event "
    "counts where its label is orca. The other methods have a threshold that leaves 98 % of the 3-s windows of the train "
    "split's recordings without an orca alone. Intervals are exact (Clopper and Pearson; Poisson), 95 %. Worst rows first."
)
CALLS = (
    "A call is found where an event with the label orca overlaps it. *In ships*: call over ship, 0.5–12 kHz, over the "
    "call's duration. *recordings* are the independent ones; of few, each is mixed into several ships, and the interval, "
    "which knows nothing of that, is too narrow. *left out*: weights that were trained without this source. For Bigg's "
    "this is a dialect that they never heard. J and L pods are southern residents, which are also in the field clips and "
    "in Ford's catalogue (hallo)."
)
ALONE = (
    "Alarms an hour over all recordings without an orca; after the comma the number of alarms. Labels that spectrograms "
    "contradict are left out (orcaal; neg_04 and neg_13 of SE Alaska), and a recording that comes under several labels counts "
    "once. After the last comma the share of the time that is marked as orca: one alarm can be a minute long. *made*: by the "
    "scripts of the data's folder (`cases`)."
)
NUISANCES = (
    "Simulated sounds of 4 s that are no whale, alone and over real ambient recordings of the split (−5…+15 dB): the share "
    "in which an event has the label orca."
)
SPECIES = "Clips of other whales and dolphins: the share in which an event has the label orca."
CALIBRATION = (
    "Area under the ROC curve (bootstrap over recordings), and stated against true probability of orca, for calls of the "
    "split against 3-s clips of other stations, nuisances (alone against unmixed calls, over ambient against calls in ships "
    "at −10 dB or more) and other species."
)


def sounds_of(split: str, cache: Path, each: int) -> list[Sound]:
    """All that is heard: for `dev` nothing of the test split, for `test` everything."""
    splits = ("dev",) if split == "dev" else ("dev", "test")
    found: list[Sound] = []
    for name in splits:
        found += mixed.calls(name) + mixed.nuisances(name, each, cache)
    whole = [sound for name in ("train", *splits) for sound in without_orcas(name) + other_species(name)]
    return found + distinct(whole) + mixed.cases(cache / "cases")


def tables_of(heard: Sequence[Heard], split: str, command: str, reliability: Path | None) -> list[str]:
    """The page's sections.

    Args:
        reliability: file for the picture of stated against true probability; None for no picture.
    """
    of = {part: [h for h in heard if h.sound.part == part] for part in ("calls", "alone", "nuisances", "species")}
    splits = ("dev",) if split == "dev" else ("dev", "test")
    found = (("dialect", "in ships", "split"), lambda h: (h.sound.row, h.sound.column, h.sound.split))
    kinds = (("kind", "split"), lambda h: (h.sound.row, h.sound.split))
    places = (("station", "split"), lambda h: (h.sound.place, h.sound.split))
    forms = (("kind", "heard", "split"), lambda h: (h.sound.row, h.sound.column, h.sound.split))
    return [
        f"## Hearing: calls found\n\nCommand: `{command}`. {METHOD} {CALLS}\n\n"
        + tables.shares(of["calls"], ("in ships", "split"), lambda h: (h.sound.column, h.sound.split), low=True)
        + "\n\n"
        + tables.shares(of["calls"], *found, low=True),
        f"## Hearing: false alarms\n\n{ALONE}\n\n"
        + tables.rates(of["alone"], ("split",), lambda h: (h.sound.split,))
        + "\n\n"
        + tables.rates(of["alone"], *kinds)
        + "\n\n"
        + tables.rates(of["alone"], *places),
        f"## Hearing: nuisances\n\n{NUISANCES}\n\n" + tables.shares(of["nuisances"], *forms, low=False),
        f"## Hearing: other species\n\n{SPECIES}\n\n" + tables.shares(of["species"], *kinds, low=False),
        f"## Hearing: calibration\n\n{CALIBRATION}\n\n"
        + calibration.area_table(heard, splits)
        + "\n\n"
        + calibration.reliability_table(heard, splits, reliability),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Hear everything, print the tables; with `--split test` put them into `bench/RESULTS.md`, too."""
    options = _options(arguments)
    torch.set_num_threads(1)
    if not (data_folder() / "manifest.csv").is_file():
        sys.exit("the real recordings are absent; set WHALEFINDER_DATA to their folder")
    if options.peers and not probe.available():
        sys.stderr.write("BirdNET is not installed: no column for it\n")
    with progress_bar() as bar:
        task = bar.add_task("hearing", total=None, note="drawing sounds")
        heard = hear_all(
            sounds_of(options.split, options.cache, options.nuisances), options.cache,
            classifier=options.classifier, left_out=dict(options.left_out), peers=options.peers,
            mixed_too=options.birdnet == "all",
            report=lambda done, total, note: bar.update(task, completed=done, total=total, note=note),
        )  # fmt: skip
    if options.look:
        picture.draw_worst(heard, options.look)
    command = f"python -m bench.hearing --split {options.split}"
    keep = options.split == "test" and not options.print
    for table in tables_of(heard, options.split, command, PICTURE if keep else None):
        sys.stdout.write(table + "\n\n")
        if keep:
            put(table)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.hearing", description=__doc__)
    parser.add_argument("--split", choices=("dev", "test"), default="dev", help="dev: to choose; test: to report")
    parser.add_argument("--classifier", type=Path, help="weights to judge beside the shipped ones")
    parser.add_argument(
        "--left-out", type=_named_weights, action="append", default=[], metavar="NAME=WEIGHTS",
        help="weights that were trained without the source NAME, such as riptide_orca/biggs",
    )  # fmt: skip
    parser.add_argument("--nuisances", type=int, default=40, help="sounds of each kind")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for what does not depend on the classifier")
    parser.add_argument("--look", type=Path, metavar="PNG", help="draw the surest alarm of each of the worst rows")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--birdnet", choices=("unmixed", "all"), default="unmixed", help="what BirdNET hears")
    parser.add_argument("--print", action="store_true", help="do not touch RESULTS.md")
    return parser.parse_args(arguments)


def _named_weights(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=WEIGHTS, such as riptide_orca/biggs=a.safetensors")
    return name, Path(path)


if __name__ == "__main__":
    main()
