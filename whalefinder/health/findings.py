"""Findings: what is wrong with which channel, since when, how surely, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from whalefinder.array.geometry import Floats, HydrophoneArray
from whalefinder.bearings.wavefront import silent
from whalefinder.health import timing
from whalefinder.health.windows import Window

REMEDIES = {
    "silent": "check its cable; bearings go on without it",
    "deaf": "it hears no sound that the others hear; check its hydrophone; bearings go on without it",
    "copy": "check how the channels were routed; bearings go on without them",
    "polarity": "swap its wires, or let locate correct it; bearings go on without it",
    "gain": "give its sensitivity_db in the array file, or let locate correct it",
    "step": "check its cable and the recorder's gain",
    "delay": "check its place and its clock, or let locate correct it; bearings go on without it",
    "drift": "record all channels with one clock; bearings go on without it",
    "order": "correct the channels in the array file, or let locate correct it; bearings go on without them",
    "slip": "the recorder lost samples or changed the order; bearings after that cannot be trusted",
    "delays": "check the places, the clocks and the order of all hydrophones",
    "gap": "the recorder lost sound; nothing is searched there, check its card and its supply",
    "held": "the recorder lost sound; nothing is searched there, check its card and its supply",
    "jump": "no call is followed across such a place",
    "wrong": "they are replaced by the mean of their neighbours; check the recorder",
    "level": "no call is searched for 1.5 s before and after; was the gain changed?",
}
"""What to do, by kind of finding."""

HOLES = {
    "gap": "{seconds:.2f} s of digital silence",
    "held": "{seconds:.2f} s of a value that is held",
    "jump": "time passes that is not in the sound",
    "wrong": "single wrong samples",
    "level": "the level of all channels steps",
}
"""What is missing or wrong in all channels at once, by kind (`health.holes`)."""

INVERTED, DEAF_SHARE, OFTEN = 0.8, 0.8, 0.6
UNEVEN_DB = 3.0
STEP_DB, STEADY_DB = 6.0, 2.0
QUIET_DB = -40.0
LEAST_SILENT, LEAST_SOUNDS = 3, 3
LEAST_MISFITS = 6
MOST_WINDOWS, MOST_CUTS = 240, 200


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that is wrong with an array.

    Args:
        kind: a key of `REMEDIES`.
        channels: channels of the recording, from 1.
        from_s, to_s: where it was seen, in seconds from the begin of the recording.
        value, unit: its size, or None.
        seen, of: in how many of how many seconds it was seen. Only seconds that can show it count.
        order: for `order`, the channel that holds the sound of each hydrophone of the array file.
        always: it was so from the begin, as far as the sound tells, so that it can be corrected.
    """

    kind: str
    channels: tuple[int, ...]
    from_s: float
    to_s: float
    value: float | None = None
    unit: str = ""
    seen: int = 0
    of: int = 0
    order: tuple[int, ...] = ()
    always: bool = True

    @property
    def remedy(self) -> str:
        """What to do."""
        return REMEDIES[self.kind]

    @property
    def words(self) -> str:
        """What is wrong, in one line."""
        if self.kind in HOLES:
            what = HOLES[self.kind].format(seconds=self.value or 0.0)
            return f"{what} in {self.seen} place{'s' * (self.seen > 1)} from {self.from_s:.1f} to {self.to_s:.1f} s"
        several = len(self.channels) > 1
        numbers = ", ".join(map(str, self.channels[:-1])) + " and " * several + str(self.channels[-1])
        name = f"channel{'s' * several} {numbers}"
        size = "" if self.value is None else f"{self.value:+.3g} {self.unit}"
        what = {
            "silent": f"{name} {'are' if several else 'is'} silent",
            "deaf": f"{name} only hisses",
            "copy": f"{name} are copies of one another",
            "polarity": f"{name} {'are of opposite polarity' if several else 'is inverted'}",
            "gain": f"{name} has {size} of gain relative to the others",
            "step": f"{name}: the gain changes by {size}",
            "delay": f"{name} is {abs(self.value or 0):.3g} {self.unit} {'late' if (self.value or 0) > 0 else 'early'}",
            "drift": f"{name}: the clock is {size} off",
            "order": f"{name} are not in the order of the array file",
            "slip": f"{name}: the delays change",
            "delays": f"{name}: the delays fit no direction",
        }[self.kind]
        return f"{what} from {self.from_s:.0f} to {self.to_s:.0f} s ({self.seen} of {self.of} seconds)"


def unusable(findings: Sequence[Finding]) -> frozenset[int]:
    """Channels, from 0, whose delays or signs make bearings wrong. Gains do not, and nothing hears without all channels."""
    kinds = ("polarity", "delay", "drift", "order")
    return frozenset(channel - 1 for finding in findings if finding.kind in kinds for channel in finding.channels)


def find_all(
    windows: Sequence[Window], time_s: Floats, level_db: Floats, copies: np.ndarray, array: HydrophoneArray
) -> list[Finding]:
    """Everything that is wrong, the surest kinds first. What one finding explains is not reported again.

    Args:
        windows: windows with a clear sound.
        time_s: middle of every second, `[second]`.
        level_db: level of every channel, `[second, channel]`.
        copies: `[channel, channel]`: in how many of the seconds that were compared two channels were copies; the diagonal
            holds the number of seconds.
        array: the geometry.
    """
    channels = [channel + 1 for channel in array.channels]
    found = [*_copied(copies, channels, time_s), *_silent(time_s, level_db, channels)]
    bad = {channel for each in found if each.seen > each.of / 2 for channel in each.channels}
    good = [m for m, channel in enumerate(channels) if channel not in bad]
    windows = [w for w in windows if set(good) <= set(w.hydrophones.tolist())]
    if len(windows) > MOST_WINDOWS:
        windows = [windows[i] for i in np.linspace(0, len(windows) - 1, MOST_WINDOWS).round().astype(int)]
    quiet = {channel for each in found if each.kind == "silent" for channel in each.channels}
    found += _steps(time_s, level_db, [m for m in good if channels[m] not in quiet], channels)
    deaf = list(_deaf(windows, good, channels))
    found += deaf
    good = [m for m in good if not any(channels[m] in finding.channels for finding in deaf)]
    if len(good) < 2:
        return found  # nothing is left to compare with
    found += _inverted(windows, good, channels)
    stepping = {channel for finding in found if finding.kind == "step" for channel in finding.channels}
    for finding in _loud(windows, good, channels):
        found.append(replace(finding, always=finding.always and not stepping & set(finding.channels)))
    found += _late([_only(w, good) for w in windows], array.of(good), [channels[m] for m in good])
    return found


def _only(window: Window, good: Sequence[int]) -> Window:
    index = [int(np.flatnonzero(window.hydrophones == m)[0]) for m in good]
    return Window(
        time_s=window.time_s,
        hydrophones=window.hydrophones[index],
        delays_s=window.delays_s[index] - window.delays_s[index].mean(),
        gains=window.gains[index],
        information=window.information[np.ix_(index, index)],
        coherence=window.coherence,
        heard_evidence=window.heard_evidence[index],
    )


def _finding(
    kind: str,
    channels: Sequence[int],
    times: Sequence[float],
    seen: int,
    of: int,
    value: float | None = None,
    unit: str = "",
) -> Finding:
    return Finding(
        kind=kind, channels=tuple(channels), from_s=float(min(times)), to_s=float(max(times)), value=value, unit=unit,
        seen=int(seen), of=of,
    )  # fmt: skip


def _copied(copies: np.ndarray, channels: Sequence[int], time_s: Floats) -> Iterator[Finding]:
    compared = int(copies.max(initial=0)) if len(copies) else 0
    twin = copies >= max(1, OFTEN * compared)
    np.fill_diagonal(twin, False)
    left = set(np.flatnonzero(twin.any(1)).tolist())
    while left:
        first = min(left)
        group = sorted({first, *np.flatnonzero(twin[first]).tolist()})
        left -= set(group)
        seen = int(copies[first][twin[first]].min())
        yield _finding("copy", [channels[m] for m in group], time_s.tolist(), seen, compared)


def _silent(time_s: Floats, level_db: Floats, channels: Sequence[int]) -> Iterator[Finding]:
    """Channels far below the loudest half of the others for seconds on end."""
    if len(level_db) == 0:
        return
    usual = np.sort(level_db, axis=1)[:, level_db.shape[1] // 2]
    quiet = level_db < (usual + QUIET_DB)[:, None]
    for m, channel in enumerate(channels):
        seconds = np.flatnonzero(quiet[:, m])
        if len(seconds) >= LEAST_SILENT:
            yield _finding("silent", [channel], time_s[seconds].tolist(), len(seconds), len(time_s))


def _steps(time_s: Floats, level_db: Floats, good: Sequence[int], channels: Sequence[int]) -> Iterator[Finding]:
    """Levels relative to the other channels that change once, and stay."""
    if len(time_s) < 4 * LEAST_SILENT or len(good) < 2:
        return
    cuts = range(LEAST_SILENT, len(time_s) - LEAST_SILENT, max(1, len(time_s) // MOST_CUTS))
    for m in good:
        relative = level_db[:, m] - np.median(level_db[:, [n for n in good if n != m]], axis=1)
        cut = cuts[int(np.argmin([_spread(relative[:k]) + _spread(relative[k:]) for k in cuts]))]
        before, after = np.median(relative[:cut]), np.median(relative[cut:])
        rest = np.concatenate([relative[:cut] - before, relative[cut:] - after])
        steady = np.median(np.abs(rest)) < STEADY_DB
        if abs(after - before) > STEP_DB and steady and _jumps(level_db, good, m, cut, after - before):
            seen = int((np.abs(relative[cut:] - after) < STEP_DB / 2).sum())
            change = float(after - before)
            yield _finding("step", [channels[m]], time_s[cut:].tolist(), seen, len(time_s) - cut, change, "dB")


def _spread(values: Floats) -> float:
    return float(np.abs(values - np.median(values)).sum())


def _jumps(level_db: Floats, good: Sequence[int], m: int, cut: int, change: float) -> bool:
    """Whether it was hydrophone m that changed, and not the other one of a pair: its own level jumps most."""
    span = 5  # seconds on each side
    jumps = np.median(level_db[cut : cut + span], axis=0) - np.median(level_db[max(0, cut - span) : cut], axis=0)
    own = abs(float(jumps[m]))
    return own >= float(np.abs(jumps[list(good)]).max()) - STEADY_DB and own > abs(change) / 2


def _deaf(windows: Sequence[Window], good: Sequence[int], channels: Sequence[int]) -> Iterator[Finding]:
    """Channels that do not hear what the others hear."""
    if len(windows) < LEAST_SOUNDS or len(good) < 3:
        return
    for m in good:
        here = [w.hydrophones == m for w in windows]
        deaf = np.array([bool(silent(w.gains, w.heard_evidence)[k][0]) for w, k in zip(windows, here, strict=True)])
        if deaf.mean() >= DEAF_SHARE:
            yield _finding("deaf", [channels[m]], _times(windows, deaf), deaf.sum(), len(windows))


def _times(windows: Sequence[Window], chosen: np.ndarray) -> list[float]:
    return [window.time_s for window, yes in zip(windows, chosen, strict=True) if yes]


def _inverted(windows: Sequence[Window], good: Sequence[int], channels: Sequence[int]) -> Iterator[Finding]:
    """Channels with a sign of their own. Of two hydrophones, nobody can say which one is inverted."""
    if len(windows) < LEAST_SOUNDS:
        return
    signs = np.sign([_only(window, good).gains for window in windows])
    signs *= np.where(np.median(signs, axis=1, keepdims=True) < 0, -1.0, 1.0)
    if len(good) == 2:
        candidates = [([channels[m] for m in good], signs.prod(axis=1) < 0)]
    else:
        candidates = [([channels[m]], signs[:, k] < 0) for k, m in enumerate(good)]
    for named, wrong in candidates:
        if wrong.mean() >= INVERTED:
            finding = _finding("polarity", named, _times(windows, wrong), wrong.sum(), len(windows))
            yield replace(finding, always=_from_the_begin(wrong))


def _from_the_begin(seen: np.ndarray) -> bool:
    """Whether it was seen in most of the first windows, as in the others."""
    return bool(seen[: 2 * LEAST_SOUNDS].mean() > OFTEN)


def _loud(windows: Sequence[Window], good: Sequence[int], channels: Sequence[int]) -> Iterator[Finding]:
    """Gains that differ from those of the others, for the same sound."""
    if len(windows) < LEAST_SOUNDS or len(good) < 3:
        return
    db = 20 * np.log10(np.maximum(np.abs([_only(window, good).gains for window in windows]), 1e-6))
    usual = np.median(db, axis=0)
    for k, m in enumerate(good):
        steady = np.abs(db[:, k] - usual[k]) < UNEVEN_DB / 2
        if abs(usual[k]) > UNEVEN_DB and steady.mean() >= OFTEN:
            times = _times(windows, steady)
            finding = _finding("gain", [channels[m]], times, steady.sum(), len(windows), float(usual[k]), "dB")
            yield replace(finding, always=_from_the_begin(steady))


def _late(windows: Sequence[Window], array: HydrophoneArray, channels: Sequence[int]) -> Iterator[Finding]:
    """Delays that fit no direction, explained if they can be: over the whole recording, or from some time on."""
    if len(windows) < timing.LEAST_WINDOWS:
        return
    delays = timing.Delays.of(windows, array)
    fits = delays.fits()
    since = _since(fits)
    chosen = np.arange(len(fits)) >= since
    if chosen.sum() < timing.LEAST_WINDOWS or fits[chosen].mean() >= timing.DOUBT:
        return
    delays, fits = delays.chosen(chosen), fits[chosen]
    found, times = timing.explain(delays), delays.time_s.tolist()
    if found is None:
        if (~fits).sum() >= LEAST_MISFITS and (~fits).mean() >= timing.SURE:
            yield _finding("slip" if since else "delays", channels, times, (~fits).sum(), len(fits))
        return
    named, seen = [channels[found.hydrophones[0]]], found.fits.sum()
    if found.kind == "order":
        wrong = [channels[k] for k, place in enumerate(found.hydrophones) if place != k]
        finding = _finding("order", wrong, times, seen, len(fits))
        finding = replace(finding, order=tuple(channels[place] for place in found.hydrophones))
    elif found.kind == "drift":
        finding = _finding("drift", named, times, seen, len(fits), found.drift * 1e6, "ppm")
    else:
        finding = _finding("delay", named, times, seen, len(fits), found.delay_s * 1e6, "µs")
    yield replace(finding, always=since == 0)


def _since(fits: np.ndarray) -> int:
    """Index of the window from which on the delays do not fit: 0 unless those before clearly do."""
    before = np.concatenate([[0], np.cumsum(fits)])
    right = before + (~fits).sum() - np.concatenate([[0], np.cumsum(~fits)])
    cut = int(right.argmax())
    return cut if cut >= LEAST_SOUNDS and before[cut] >= INVERTED * cut else 0
