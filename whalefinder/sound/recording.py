"""Reading recordings in blocks, from one file or from one file per channel, at any sample rate.

A `Recording` yields `[channel, time]` float32 at the common rate of `spectrogram.RATE_HZ`, in the order of
the array's hydrophones. All channels are resampled in the same way. Only one segment is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from whalefinder.array.geometry import HydrophoneArray
from whalefinder.errors import OptionError, RecordingError
from whalefinder.sound.channel_files import check_side_by_side, files_of_all_channels
from whalefinder.sound.clock import Clock
from whalefinder.sound.holes import STEP, Hole, HoleFinder
from whalefinder.sound.recorders import Times
from whalefinder.sound.source import Source, open_source
from whalefinder.sound.spectrogram import RATE_HZ, USABLE_SHARE, WINDOW
from whalefinder.sound.start_time import StartTime
from whalefinder.sound.when import when
from whalefinder.words import printable, rounded

Samples = NDArray[np.float32]
MIN_RATE_HZ, MAX_RATE_HZ = 8000, 2_000_000
MAX_CHANNELS = 64
BLOCK_S = 4.0
CLIPPED_SHARE = 1e-3
"""A channel with more than this share of samples at exactly its largest value is reported as clipped."""
FULL_SCALE = 0.9999
"""A channel whose largest value is smaller is not clipped. It may be larger: samples of float files can exceed 1."""
LARGEST = 1e12  # larger values are no sound, and their squares would not fit
TRUNCATED = "results up to there are kept, copy the file again"
STEP_APART_S = 0.5


@dataclass(kw_only=True)
class Recording:
    """A recording that can be read block by block.

    Args:
        name: name of the (first) file, without its folder.
        paths: one file, or one mono file per channel.
        columns: the channel of the recording for each row of the blocks, from 0.
        rate_hz: sample rate of the file.
        duration_s: seconds that are read: the length of the file, or of the part (`part`).
        start_utc: start of the file, read from its name or header, or None.
        warnings: one line each, known when the recording is opened.
        problems: one line each; reading the blocks adds more.
        labels: the channels as people count them, from 1 (those of the array file if there is one file per channel).
        begin_s: where in the file the part begins, in seconds.
        file_s: length of the file in seconds.
        factors: one for the samples of each channel, which corrects its gain and polarity (`health.correct`); empty for 1.
        holes: where nothing was heard or time has passed, in seconds of the file; reading the blocks adds more.
        wrong_s: times of single wrong samples, in seconds of the file; reading the blocks adds them.
        clock: from seconds of the file to times of day, or None: `start_utc` and no gaps.
        told: the time in the name, or None.
    """

    name: str
    paths: tuple[Path, ...]
    columns: tuple[int, ...]
    rate_hz: int
    duration_s: float
    start_utc: datetime | None
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    labels: tuple[int, ...] = ()
    begin_s: float = 0.0
    file_s: float = 0.0
    factors: tuple[float, ...] = ()
    holes: list[Hole] = field(default_factory=list)
    wrong_s: list[float] = field(default_factory=list)
    clock: Clock | None = None
    told: StartTime | None = None

    def __post_init__(self) -> None:
        self.labels = self.labels or tuple(column + 1 for column in self.columns)
        self.file_s = self.file_s or self.duration_s

    @property
    def num_channels(self) -> int:
        """Number of channels: rows of every block."""
        return len(self.columns)

    @property
    def bandwidth_hz(self) -> float:
        """Highest frequency in hertz that the recording can contain: `USABLE_SHARE` of its sample rate."""
        return USABLE_SHARE * self.rate_hz

    def begin_utc(self, begin_s: float, end_s: float) -> datetime | None:
        """Time of day at which an event between two seconds of the file begins, or None if it is unknown."""
        clock = self.clock or (None if self.start_utc is None else Clock(self.start_utc))
        return None if clock is None else clock.begin_utc(begin_s, end_s)

    def blocks(self) -> Iterator[Samples]:
        """Blocks `[channel, time]` at `RATE_HZ`, of about `BLOCK_S`, without gaps or overlaps."""
        begin = round(self.begin_s * self.rate_hz)
        end = None if self.duration_s == self.file_s else begin + round(self.duration_s * self.rate_hz)
        return resampled(self.checked_blocks(begin, end), self.rate_hz, self.num_channels)

    def add_steps(self, times_s: Iterable[float]) -> None:
        """Add steps of the level to `holes`, at times in seconds of the part. One that is known already is left out."""
        known = [hole.begin_s for hole in self.holes if hole.what == STEP]
        for time_s in times_s:
            if all(abs(self.begin_s + time_s - other) > STEP_APART_S for other in known):
                self.holes.append(Hole(self.begin_s + time_s, self.begin_s + time_s, STEP))

    def part(self, begin_s: float = 0.0, end_s: float | None = None) -> Recording:
        """The part of the recording between two times. Reading it reads nothing else of the file.

        Args:
            begin_s: seconds from the start of the file.
            end_s: seconds from the start of the file. None, or a time after the end: to the end of the file.

        Raises:
            OptionError: the part begins before 0 s, or ends before it begins.
            RecordingError: the file ends before the part begins, or the part is too short.
        """
        if begin_s < 0 or (end_s is not None and end_s <= begin_s):
            to = "" if end_s is None else f" to {end_s:g} s"
            raise OptionError(f"a part from {begin_s:g} s{to}; it must begin at 0 s or later, and end later")
        end = self.file_s if end_s is None else min(end_s, self.file_s)
        if end - begin_s < WINDOW / self.rate_hz:
            raise RecordingError(
                f"{self.name}: lasts {self.file_s:g} s, which leaves nothing to hear from {begin_s:g} s on; begin earlier"
            )
        return replace(self, begin_s=begin_s, duration_s=end - begin_s)

    def checked_blocks(self, begin: int = 0, end: int | None = None) -> Iterator[Samples]:
        """Blocks `[time, channel]` of the samples [begin, end) of the file, at `rate_hz`.

        Values that are not numbers are replaced by 0, holes are filled, single wrong samples mended. What is wrong is added
        to `problems`, `holes` and `wrong_s`.
        """
        yield from self.filled(self.watched_blocks(begin, end), begin, end)

    def watched_blocks(self, begin: int = 0, end: int | None = None) -> Iterator[Samples]:
        """The same with holes and wrong samples as they are."""
        watch = _Watch(self, begin / self.rate_hz)
        yield from map(watch.checked, self._raw_blocks(begin, end))
        watch.finish()

    def filled(self, blocks: Iterable[Samples], begin: int, end: int | None) -> Iterator[Samples]:
        """Blocks of the samples [begin, end) of the file with their holes filled and wrong samples mended."""
        found = HoleFinder(rate_hz=self.rate_hz, begin=begin, holes=self.holes)
        found.forget(end)
        for block in found.blocks(blocks):
            yield block * np.array(self.factors, np.float32) if self.factors else block
        self.wrong_s = sorted({*self.wrong_s, *(sample / self.rate_hz for sample in found.wrong)})

    def _raw_blocks(self, begin: int, end: int | None) -> Iterator[Samples]:
        size = int(BLOCK_S * self.rate_hz)
        expected = round(self.file_s * self.rate_hz) if end is None else end
        done, sources = begin, []
        try:
            sources = [open_source(path) for path in self.paths]
            for parts in zip(*(source.blocks(begin, expected, size) for source in sources), strict=False):
                length = min(len(part) for part in parts)
                done += length
                joined = np.concatenate([part[:length] for part in parts], axis=1) if len(parts) > 1 else parts[0]
                yield joined[:, list(self.columns)]  # this copy lies channel by channel in memory, as needed below
        except (soundfile.SoundFileError, OSError, RecordingError) as reason:
            self.problems.append(
                f"{self.name}: reading stopped at {done / self.rate_hz:.1f} s of {self.file_s:.1f} s ({reason}); "
                "results up to there are kept, repair or copy the file again"
            )
            return
        for source in sources:
            self._report_damage(source)
        if done < expected:
            self.problems.append(
                f"{self.name}: truncated, {done / self.rate_hz:.1f} s of the {self.file_s:.1f} s that its header "
                "promises; results up to there are kept, copy the file again"
            )

    def _report_damage(self, source: Source) -> None:
        if source.damage:
            lost = sum(end - begin for begin, end in source.damage) / self.rate_hz
            places = ", ".join(f"{begin / self.rate_hz:.1f}" for begin, _ in source.damage[:3])
            more = ", …" if len(source.damage) > 3 else ""
            self.problems.append(
                f"{source.path.name}: {lost:.2f} s are damaged (at {places}{more} s) and read as silence; copy the file again"
            )


def resampled(blocks: Iterable[Samples], rate_hz: int, num_channels: int) -> Iterator[Samples]:
    """Resample a stream of blocks: `[time, channel]` at `rate_hz` → `[channel, time]` at `RATE_HZ`."""
    resampler = None
    if rate_hz != RATE_HZ:
        resampler = soxr.ResampleStream(rate_hz, RATE_HZ, num_channels, dtype="float32", quality="HQ")
    for block in blocks:
        out = block if resampler is None else resampler.resample_chunk(block)
        if len(out):
            yield out.T
    if resampler is not None:
        rest = resampler.resample_chunk(np.zeros((0, num_channels), np.float32), last=True)
        if len(rest):
            yield np.ascontiguousarray(rest.T)


@dataclass
class _Watch:
    """Checks every sample on its way: values that are not numbers, full scale, silence."""

    recording: Recording
    seconds: float = 0.0
    bad_at_s: float | None = None

    def __post_init__(self) -> None:
        channels = self.recording.num_channels
        self.full, self.total = np.zeros((2, channels)), 0  # samples at the lowest and the highest value
        self.lowest, self.highest = np.full(channels, np.inf), np.full(channels, -np.inf)

    def checked(self, block: Samples) -> Samples:
        low, high = block.min(0), block.max(0)
        if not (np.abs([low, high]) <= LARGEST).all():
            bad = ~(np.abs(block) <= LARGEST)
            if self.bad_at_s is None:
                at, column = np.argwhere(bad)[0]
                self.bad_at_s = self.seconds + at / self.recording.rate_hz
                self.bad_channel = self.recording.labels[int(column)]
            block = np.where(bad, np.float32(0), block)
            low, high = block.min(0), block.max(0)
        self.seconds += len(block) / self.recording.rate_hz
        self.total += len(block)
        if max(high.max(), -low.min()) >= FULL_SCALE:
            ends = np.minimum(self.lowest, low), np.maximum(self.highest, high)
            moved = np.array([ends[0] < self.lowest, ends[1] > self.highest])
            self.full = np.where(moved, 0, self.full) + [(block == end).sum(axis=0) for end in ends]
        self.lowest, self.highest = np.minimum(self.lowest, low), np.maximum(self.highest, high)
        return block

    def finish(self) -> None:
        name, problems = self.recording.name, self.recording.problems
        if self.total == 0:
            problems.append(f"{name}: holds no samples (0 s); leave it out or copy it again")
            return
        if self.bad_at_s is not None:
            problems.append(
                f"{name}: not a number at {self.bad_at_s:.3f} s on channel {self.bad_channel}; "
                "read as silence, convert the recording again"
            )
        dead = self.highest == self.lowest
        if dead.all():
            problems.append(f"{name}: silent, every sample is {self.highest[0]:g}; check the recorder's gain and cable")
            return
        for label, is_dead in zip(self.recording.labels, dead, strict=True):
            if is_dead:
                problems.append(f"{name}: channel {label} is constant; bearings use the others, check that hydrophone")
        full = (self.full * [self.lowest <= -FULL_SCALE, self.highest >= FULL_SCALE]).sum(axis=0)
        worst = int(full.argmax())
        share = full[worst] / self.total
        if share > CLIPPED_SHARE:
            problems.append(
                f"{name}: channel {self.recording.labels[worst]} is clipped in {rounded(100 * share, 2)} % of its samples "
                f"(limit {100 * CLIPPED_SHARE:g} %); treat its bearings with care, record with less gain"
            )


def open_recording(
    path: Path | str,
    array: HydrophoneArray | None = None,
    *,
    time_format: str | None = None,
    times: Times | None = None,
    place: str | None = None,
) -> Recording:
    """Open a recording.

    Args:
        path: a WAV, W64, RF64, BW64, AIFF or FLAC file (or another format of libsndfile). If `array.file_pattern` is given, one
            of the mono files of the recording; the files of the other channels must be in the same folder.
        array: the geometry, which says which channel is which hydrophone. None: all channels in their order.
        time_format: format of the start time in the name, as for strptime (see `start_time`).
        times: how times are read, with more than a format.
        place: path of the file by which `times` knows its recorder, if it is not `path`.

    Raises:
        RecordingError: the file is missing, unreadable or empty, its sample rate is too low, or its channels do not
            fit the array.
    """
    path = Path(path)
    paths: tuple[Path, ...] = (path,)
    if array is not None and array.file_pattern is not None:
        paths = files_of_all_channels(path, array)
    sources = [open_source(each) for each in paths]
    if array is not None and array.file_pattern is not None and any(source.channels != 1 for source in sources):
        several = next(source for source in sources if source.channels != 1)
        raise RecordingError(
            f"{several.path}: {several.channels} channels in a file of one hydrophone; file_pattern is for mono files"
        )
    rates = {source.rate_hz for source in sources}
    if len(rates) > 1:
        raise RecordingError(
            f"{path}: sample rates {sorted(rates)} Hz differ between channels; all channels need the same rate"
        )
    if sources[0].rate_hz < MIN_RATE_HZ:
        raise RecordingError(f"{path}: sample rate {sources[0].rate_hz} Hz; at least {MIN_RATE_HZ} Hz are needed")
    if sources[0].rate_hz > MAX_RATE_HZ:
        raise RecordingError(
            f"{path}: sample rate {sources[0].rate_hz} Hz; at most {MAX_RATE_HZ} Hz can be read, is the header damaged?"
        )
    channels = sum(source.channels for source in sources)
    if channels > MAX_CHANNELS:
        raise RecordingError(f"{path}: {channels} channels; at most {MAX_CHANNELS} can be read, split the file")
    if min(source.frames for source in sources) < WINDOW:
        raise RecordingError(
            f"{path}: {min(source.frames for source in sources)} samples; at least {WINDOW} are needed"
        )
    seconds = [source.frames / source.rate_hz for source in sources]
    began = when(path, min(seconds), (times or Times(time_format)).of(place or path))
    recording = Recording(
        name=printable(path.name),
        paths=paths,
        columns=_columns(path, channels, array),
        rate_hz=sources[0].rate_hz,
        duration_s=min(seconds),
        start_utc=began.told.utc,
        clock=began.clock,
        holes=list(began.clock.holes()) if began.clock else [],
        told=began.told,
        warnings=[*began.warnings, *(_about(source, line) for source in sources for line in source.remarks)],
        problems=[_about(source, line, TRUNCATED) for source in sources for line in source.problems],
    )
    if array is not None and array.file_pattern is not None:
        recording.labels = tuple(channel + 1 for channel in array.channels)
        recording.warnings += check_side_by_side(paths, seconds, cut_short=bool(recording.problems))
    return recording


def _about(source: Source, line: str, remedy: str = "") -> str:
    return f"{source.path.name}: {line}" + (f"; {remedy}" if remedy else "")


def _columns(path: Path, channels: int, array: HydrophoneArray | None) -> tuple[int, ...]:
    if array is None:
        return tuple(range(channels))
    if array.file_pattern is not None or channels == 1:
        return tuple(range(channels))
    expected = array.num_channels + len(array.unused_channels)
    if channels != expected or max(array.channels) >= channels:
        others = "correct the array file or name the others in unused_channels"
        raise RecordingError(
            f"{path}: {channels} channels, but array {array.name!r} describes {expected} "
            f"({array.num_channels} hydrophones, {len(array.unused_channels)} unused); "
            f"{'is it the right array?' if channels < expected else others}"
        )
    return array.channels


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording, with margins before and after its core that the analysis needs.

    Args:
        samples: `[channel, time]` at `RATE_HZ`.
        first_sample: index of its first sample in the recording.
        core: (begin, end) of the core, in samples of the recording. The cores of all segments lie side by side.
    """

    samples: Samples
    first_sample: int
    core: tuple[int, int]


def segments(recording: Recording, core: int, lead: int, tail: int) -> Iterator[Segment]:
    """Cut a stream into overlapping segments of `lead + core + tail` samples at `RATE_HZ`.

    The cores follow each other without gaps or overlaps. They do not depend on the length of the blocks read.
    """
    buffer = np.zeros((recording.num_channels, 0), np.float32)
    offset = begin = 0
    pending: list[Samples] = []
    waiting = 0
    for block in recording.blocks():
        pending.append(block)
        waiting += block.shape[1]
        while offset + buffer.shape[1] + waiting >= begin + core + tail:
            buffer, pending, waiting = np.concatenate([buffer, *pending], axis=1), [], 0
            left = max(0, begin - lead)
            piece = buffer[:, left - offset : begin + core + tail - offset]
            yield Segment(piece, left, (begin, begin + core))
            begin += core
            keep = max(0, begin - lead)
            buffer, offset = buffer[:, keep - offset :], keep
    buffer = np.concatenate([buffer, *pending], axis=1)
    end = offset + buffer.shape[1]
    while begin < end:
        left, right = max(0, begin - lead), min(end, begin + core + tail)
        yield Segment(buffer[:, left - offset : right - offset], left, (begin, min(end, begin + core)))
        begin += core
