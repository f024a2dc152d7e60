"""Parts that all commands share: the app, consoles, options, progress, and errors of one line."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.status import Status
from typer.core import TyperCommand

from whalefinder.cli import ctrl_c
from whalefinder.errors import OptionError, WhalefinderError
from whalefinder.version import __version__
from whalefinder.words import duration, printable

NOT_FINITE = ("nan", "inf", "infinity")


class Command(TyperCommand):
    """A command that takes only finite numbers, and whose messages say which value was wrong.

    `nan` passes comparisons with limits in some versions of Typer, and would end up in results.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; a message about one of them gets its value."""
        given = list(args)
        _refuse_empty(given)
        try:
            return super().parse_args(ctx, args)
        except Exception as reason:
            value = _value_of(getattr(reason, "param", None), given)
            if value is not None and value not in getattr(reason, "message", value):
                reason.message = f"{value} is refused: {reason.message}"  # type: ignore[attr-defined]
            if value is not None and value.lower().strip("+-") in NOT_FINITE and hasattr(reason, "message"):
                reason.message = f"{reason.message.rstrip('.')}; give a finite number, such as 1.5"
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command if all numbers are finite."""
        with _errors_in_one_line():
            for option in self.params:
                values = ctx.params.get(option.name)
                for value in values if isinstance(values, list | tuple) else [values]:
                    if isinstance(value, float) and not math.isfinite(value):
                        raise OptionError(f"`{option.name}` {value:g} is not finite; give a finite number, such as 1.5")
        return super().invoke(ctx)


def _refuse_empty(arguments: list[str]) -> None:
    """Refuse an empty text, such as that of a shell variable that is not set: as a path it would be this folder."""
    for before, word in zip(["", *arguments], arguments, strict=False):
        flag = before if before.startswith("-") and not word else word.rstrip("=")
        if not word or re.fullmatch(r"--[\w-]+=", word):
            with _errors_in_one_line():
                raise OptionError(f"{flag or 'an argument'} is empty (''); give a value, or leave it out")


def _value_of(option: Any, arguments: list[str]) -> str | None:
    """The text that was given for an option: the word after its flag, or what follows the sign =."""
    for place, word in enumerate(arguments):
        flag, equals, value = word.partition("=")
        if flag in getattr(option, "opts", ()):
            return value if equals else next(iter(arguments[place + 1 : place + 2]), None)
    return None


class Commands(typer.Typer):
    """A group whose commands are of the class `Command`."""

    def command(self, *arguments: Any, **named: Any) -> Any:
        """As `typer.Typer.command`."""
        return super().command(*arguments, **{"cls": Command, **named})


app = Commands(
    name="whalefinder",
    help="Finds the calls of whales in recordings of hydrophone arrays, and the direction of each call.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
LINE_EVERY_S = 30.0
"""Time between lines of progress in a log."""
try:  # newer Typer brings a Click of its own
    from typer._click.globals import get_current_context
except ImportError:
    from click.globals import get_current_context  # type: ignore[no-redef]

console, errors = Console(highlight=False), Console(stderr=True, highlight=False)


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"whalefinder {__version__}")
        raise typer.Exit


@app.callback()
def _whalefinder(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options of the program itself. Their callbacks do the work."""


SHIPPED = "shipped"
"""The text that help shows for the default weights."""

# The same names in all commands: --out is a folder, --file is a file, and weights have the name of their network.
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results. It is made if it does not exist.")]
File = Annotated[Path, typer.Option("--file", help="The file to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist already.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]
Segmenter = Annotated[
    Path | None, typer.Option("--segmenter", help="Weights of the segmenter (.safetensors).", show_default=SHIPPED)
]
Classifier = Annotated[
    Path | None, typer.Option("--classifier", help="Weights of the classifier (.safetensors).", show_default=SHIPPED)
]
# Options of `locate` that `archive` has too.
Array = Annotated[
    Path | None, typer.Option("--array", "-a", help="Array file (TOML).", show_default="no array, so no bearings")
]
TimeFormat = Annotated[
    str | None,
    typer.Option(
        help="Format of the start time in file names, as for strptime: %Y%m%d_%H%M%S.",
        show_default="the formats of common recorders",
    ),
]
UtcOffset = Annotated[
    str | None,
    typer.Option(
        metavar="H",
        help="The file names are in local time, at this offset from UTC: -7, +05:30.",
        show_default="what the names say, or UTC",
    ),
]
Recorders = Annotated[
    Path | None,
    typer.Option(help="File (TOML) with offset, format and drift of the clock of each recorder.", show_default="none"),
]
MinProbability = Annotated[
    float | None,
    typer.Option(
        metavar="P",  # short, to leave more width for the help text
        min=0,
        max=1,
        help="Report calls from this value of the column probability on.",
        show_default="a threshold per label",
    ),
]
AllEvents = Annotated[bool, typer.Option("--all", help="Also report events with the label boat or ambient.")]
Method = Annotated[
    str,
    typer.Option(
        help="How bearings are found: network (steering, refined), steering alone, or regressor (for its own array only)."
    ),
]
Regressor = Annotated[
    Path | None,
    typer.Option(
        help="Weights of the regressor (.safetensors) for --method regressor.",
        show_default="shipped, for the 0.5 m tetrahedron",
    ),
]
Refiner = Annotated[
    Path | None,
    typer.Option(help="Weights of the refiner (.safetensors) for --method network.", show_default="shipped"),
]


@contextmanager
def _errors_in_one_line() -> Iterator[None]:
    try:
        yield
    except WhalefinderError as reason:
        errors.print(f"[red]error:[/] {escaped(str(reason))}", soft_wrap=True)
        raise typer.Exit(1) from reason


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print errors of whalefinder in one line and exit with code 1. After Ctrl-C the code is 130."""
    try:
        ctrl_c.is_raised()
        with _errors_in_one_line():
            yield
    except KeyboardInterrupt as reason:
        errors.print("stopped; the results so far are written")
        raise typer.Exit(ctrl_c.STOPPED) from reason


@contextmanager
def results_in(out: Path, *files: str, overwrite: bool) -> Iterator[None]:
    """Lock the folder of results, and check that none of the files that a command writes there exists.

    Raises:
        OutputError: another run works there, or a file exists and may not be replaced.
    """
    from whalefinder.files import locked, untouched

    with locked(out):
        untouched((out / name for name in files), overwrite=overwrite)
        yield


def seconds_of(text: str, flag: str) -> float:
    """Seconds of a time such as `90`, `1:30` or `0:01:30`.

    Raises:
        OptionError: the text is not a time. `flag` is the option that the message names.
    """
    found = re.fullmatch(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d*)?)", text.strip())
    if found is None or (found[2] and float(found[3]) >= 60):
        raise OptionError(f"{flag} {text!r} is no time; give seconds, mm:ss or hh:mm:ss")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def hours_of(text: str | None) -> float | None:
    """Hours of an offset from UTC such as `-7` or `+05:30`, or None.

    Raises:
        OptionError: the text is no offset.
    """
    from whalefinder.sound.zones import offset_hours

    return None if text is None else offset_hours(text)


def escaped(text: str) -> str:
    """Text of the library for the terminal: arguments become flags, brackets stay brackets, and names can be printed."""
    return escape(in_flags(printable(text)))


def in_flags(text: str) -> str:
    """Replace names of arguments in backticks, such as `time_format`, by the flags of the command, --time-format.

    Messages of the library name arguments; this is the only place that translates them. Names that are not an option of
    the command stay as they are.
    """
    context = get_current_context(silent=True)
    options = () if context is None else context.command.params
    flags = {option.name: max(option.opts, key=len) for option in options if option.param_type_name == "option"}
    return re.sub(r"`(\w+)`", lambda named: flags.get(named[1], named[0]), text)


def working(what: str) -> Status:
    """A moving sign on the error stream, for work of some seconds whose progress is unknown."""
    return errors.status(what)


class _Progress(Progress):
    """A progress bar on a terminal; in a log, a line every `LINE_EVERY_S`."""

    said_s = 0.0

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        task = self.tasks[self.task_ids.index(task_id)]
        passed = task.elapsed or 0.0
        if self.disable or self.console.is_terminal or passed < self.said_s + LINE_EVERY_S:
            return
        self.said_s = passed
        share = f"{task.percentage:.0f} %" if task.total else "at work"
        self.console.print(
            f"{task.description}: {share} after {duration(passed)}  {task.fields['note']}", soft_wrap=True
        )


def progress_bar(quiet: bool = False) -> Progress:
    """A progress bar with a note, the time passed and the time left, on the error stream."""
    return _Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=errors, disable=quiet, transient=not errors.is_terminal,
    )  # fmt: skip
