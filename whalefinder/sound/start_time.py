"""The start time of a recording, read from its file name.

Times are read as UTC, as is usual in the field, unless the name gives an offset or a time zone, or the user does. The
file's modification time is never used. The forms follow PAMGuard's list and the manuals of recorders (SoundTrap,
AudioMoth, icListen, AMAR, RTSys, Song Meter, HARP, Frontier Labs, …).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from whalefinder.errors import RecordingError
from whalefinder.sound.zones import Zone, in_words, shift, zone_after, zone_elsewhere

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NAMES = "(?i:" + "|".join(MONTHS) + ")"
YEAR = r"(?P<Y>19[7-9]\d|20\d\d)"
BETWEEN = r"(?:[ _.$-]{1,2}|[ _.-]?T[ _-]?|[ _]at[ _]|)"
CLOCK = r"(?P<H>\d\d)(?:(?P<b>[-_.:]?)(?P<M>\d\d)(?P=b)|h(?P<M2>\d\d)[m_-]?)(?P<S>\d\d)"
PLAIN_CLOCK = r"(?P<H>\d\d)(?P<M>\d\d)(?P<S>\d\d)"
BEFORE, AFTER = r"(?<!\d)", r"(?!\d)"
FORMS = tuple(
    re.compile(form)
    for form in (
        rf"{BEFORE}{YEAR}(?P<a>[-_.]?)(?P<m>\d\d)(?P=a)(?P<d>[ \d]\d){BETWEEN}{CLOCK}(?:(?P<ms>\d{{3}}))?{AFTER}",
        rf"{BEFORE}{YEAR}[-_.]?(?P<j>\d{{3}})[-_T]{CLOCK}{AFTER}",
        rf"{BEFORE}(?P<H>\d\d)_(?P<M>\d\d)_(?P<S>\d\d)__DMY_(?P<d>\d\d)_(?P<m>\d\d)_(?P<y>\d\d){AFTER}",
        rf"{BEFORE}(?P<d>\d\d)(?P<a>[-_ .]?)(?P<m>{NAMES})(?P=a){YEAR}{BETWEEN}{CLOCK}{AFTER}",
        rf"{BEFORE}{YEAR}(?P<a>[-_ .]?)(?P<m>{NAMES})(?P=a)(?P<d>\d\d){BETWEEN}{CLOCK}{AFTER}",
        rf"{BEFORE}(?P<p>\d\d)(?P<a>[-_.]?)(?P<q>\d\d)(?P=a){YEAR}[ _.$T-]{{1,2}}{CLOCK}{AFTER}",
        rf"{BEFORE}(?P<p>\d\d)(?P<a>[-.])(?P<q>\d\d)(?P=a)(?P<r>\d\d)[ _$T-]{{1,2}}{CLOCK}{AFTER}",
        rf"{BEFORE}(?P<y>\d\d)(?P<m>\d\d)(?P<d>\d\d)(?:[_T-]|[_-]T|){PLAIN_CLOCK}{AFTER}",
        rf"{BEFORE}(?P<y>\d\d)(?P<j>\d{{3}})[-_T]{PLAIN_CLOCK}{AFTER}",
        rf"{BEFORE}(?P<unix>1\d{{9}}|20\d{{8}})(?P<ms>\d{{3}})?{AFTER}",
        r"^(?P<hex>[0-9A-F]{8})(?=T?$)",
    )
)
"""Dates and times, the most specific form first. The first form that gives a date which can exist is taken."""
TO_THE_MINUTE = re.compile(
    rf"{BEFORE}(?:19[7-9]\d|20\d\d)(?:[-_.]?\d\d){{2}}[ _T-]?(?:[01]\d|2[0-3])[-_.:h]?[0-5]\d{AFTER}"
)
SOME_DATE = re.compile(
    rf"{BEFORE}(?:19[7-9]\d|20\d\d)(?:[-_.]?)(?:0[1-9]|1[0-2])(?:[-_.]?)(?:0[1-9]|[12]\d|3[01]){AFTER}"
)
ENDED = re.compile(r"Z(?![A-Za-z])|[+-]\d\d")
BEHIND = "behind the time is read as"
"""What remarks say of digits that can be a fraction or a number."""
RATES = {
    f"{khz * 1000:06.0f}" for khz in (8, 11.025, 16, 22.05, 24, 32, 44.1, 48, 64, 88.2, 96, 128, 144, 192, 288, 384)
}
"""Sample rates that programs write behind the time. They look like microseconds."""
HEX_YEARS = range(2014, 2045)
WHOLE_SECOND_S = 1.0


@dataclass(frozen=True, kw_only=True)
class StartTime:
    """A start time read from a file name.

    Args:
        utc: the start in UTC, or None if the name holds no time that can be used.
        warning: one line if the name could be read in another way or holds a time that cannot be used, or None.
        text: the part of the name that was read.
        others: the name with @ in place of every time: what is left is the recorder's.
        end_utc: the second time of the name, or None.
        step_s: the last digit of the time, in seconds.
        hours: offset from UTC that the name gives, or None.
        sure: whether there is only one way to read date and time (the offset aside).
        number: three digits behind the seconds, which are milliseconds or the number of the file, or None.
    """

    utc: datetime | None
    warning: str | None = None
    text: str = ""
    others: str = ""
    end_utc: datetime | None = None
    step_s: float = WHOLE_SECOND_S
    hours: float | None = None
    sure: bool = True
    number: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Stamp:
    """One time in a name, as written: [begin, end) are its characters."""

    begin: int
    end: int
    local: datetime
    zone: Zone
    remarks: tuple[str, ...]
    step_s: float
    sure: bool
    number: int | None


def start_time(name: str, time_format: str | None = None, utc_offset: float | None = None) -> StartTime:
    """Read the start time from a file name.

    Args:
        name: the file name without its folder.
        time_format: a strptime format that a part of the name matches. It is used instead of the forms of recorders.
        utc_offset: hours from UTC of the clock that the names show. None: what the name says, or UTC.

    Raises:
        RecordingError: `time_format` fits no part of the name.

    >>> start_time("AMAR173.4.20190920T163858Z.wav").utc.isoformat()
    '2019-09-20T16:38:58+00:00'
    >>> start_time("site_20230415T120000.250+1000.flac").utc.isoformat()
    '2023-04-15T02:00:00.250000+00:00'
    """
    if time_format is not None:
        return _by_format(name, time_format, utc_offset)
    stem = re.sub(r"(\.x)?\.[A-Za-z]\w*$", "", name).replace("\N{MINUS SIGN}", "-")
    doubts: list[str] = []
    for form in FORMS:
        stamps = list(_stamps(form, stem, doubts))
        if stamps:
            return _told(name, stem, stamps, utc_offset)
    short = TO_THE_MINUTE.search(stem) or (None if doubts else SOME_DATE.search(stem))
    if short:
        doubts.insert(0, f"{short[0]} holds a date, but no time to the second")
    warning = f"{name}: no start time: {doubts[0]}; give `time_format`" if doubts else None
    return StartTime(utc=None, warning=warning, others=name)


def _stamps(form: re.Pattern[str], stem: str, doubts: list[str]) -> list[_Stamp]:
    """All times of one form in a name. Why one of them is no time is added to `doubts`."""
    found: list[_Stamp] = []
    at = 0
    while match := form.search(stem, at):
        local = _date_of(match, doubts)
        if local is None:
            at = match.start() + 1
            continue
        found.append(_stamp(match, stem, local))
        at = found[-1].end
    return found


def _date_of(match: re.Match[str], doubts: list[str]) -> datetime | None:
    """The date and time of a match, without its fraction."""
    parts = {key: value for key, value in match.groupdict().items() if value is not None}
    if "hex" in parts or "unix" in parts:
        seconds = int(parts.get("hex", "0"), 16) or int(parts.get("unix", "0"))
        found = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
        return found if "unix" in parts or found.year in HEX_YEARS else None
    readings = {date for date in _dates_of(parts) if date is not None}
    clock = int(parts["H"]), int(parts.get("M") or parts["M2"]), int(parts["S"])
    if len(readings) > 1:
        said = " or ".join(f"{date:%Y-%m-%d}" for date in sorted(readings))
        doubts.append(f"{match[0]} can be {said}")
        return None
    if not readings or clock[0] > 23 or max(clock[1:]) > 59:
        doubts.append(f"{match[0]} is no date and time")
        return None
    return readings.pop().replace(hour=clock[0], minute=clock[1], second=clock[2])


def _dates_of(parts: dict[str, str]) -> list[datetime | None]:
    """Every date that the digits can mean."""
    year = int(parts["Y"]) if "Y" in parts else _century(parts.get("y", "0"))
    if "j" in parts:
        day = int(parts["j"])
        first = datetime(year, 1, 1)
        found = first + timedelta(days=day - 1)
        return [found if day >= 1 and found.year == year else None]
    if "r" in parts:
        p, q, r = parts["p"], parts["q"], parts["r"]
        return [_date(_century(p), q, r), _date(_century(r), q, p), _date(_century(r), p, q)]
    if "p" in parts:
        return [_date(year, parts["q"], parts["p"]), _date(year, parts["p"], parts["q"])]
    return [_date(year, parts["m"], parts["d"])]


def _century(two: str) -> int:
    return int(two) + (1900 if int(two) >= 70 else 2000)


def _date(year: int, month: str, day: str) -> datetime | None:
    try:
        return datetime(year, MONTHS.index(month.title()) + 1 if month.isalpha() else int(month), int(day))
    except ValueError:
        return None


def _stamp(match: re.Match[str], stem: str, local: datetime) -> _Stamp:
    """A time with the fraction, the half of the day and the zone that follow it."""
    groups = match.groupdict()
    remarks: list[str] = []
    if groups.get("unix") and (match[0] != stem or _is_minute(match[0])):
        remarks.append("as seconds since 1970")
    fraction, end, step_s, number = _fraction(stem, match.end(), local, remarks)
    if groups.get("ms"):
        fraction, step_s = timedelta(milliseconds=int(groups["ms"])), 1e-3
    half = re.match(r"[ _]?([AaPp])[Mm](?![A-Za-z])", stem[end:])
    if half and 1 <= local.hour <= 12:
        local = local.replace(hour=local.hour % 12 + 12 * (half[1] in "Pp"))
        end += half.end()
    absolute = groups.get("unix") or groups.get("hex")
    zone = Zone(0.0) if absolute else zone_after(stem[end:], iso="T" in match[0])
    if zone.remark and not zone.refused:
        remarks.append(zone.remark)
    sure = not (groups.get("y") or groups.get("r")) or "__DMY_" in match[0]
    return _Stamp(
        begin=match.start(),
        end=end + zone.length,
        local=local + fraction,
        zone=zone,
        remarks=tuple(remarks),
        step_s=step_s,
        sure=sure,
        number=number,
    )


def _is_minute(digits: str) -> bool:
    """Whether ten digits can also be a date and a time to the minute, as in 2304151200."""
    month, day, hour, minute = (int(digits[at : at + 2]) for at in (2, 4, 6, 8))
    return 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60


def _fraction(stem: str, at: int, local: datetime, remarks: list[str]) -> tuple[timedelta, int, float, int | None]:
    """The fraction of a second at a place of a name: its value, its end, its last digit, and `StartTime.number`."""
    nothing = timedelta(0), at, WHOLE_SECOND_S, None
    dot = re.compile(r"[.,](\d{1,9})(?!\d)").match(stem, at)
    if dot is not None:
        digits, ended = dot[1], ENDED.match(stem, dot.end())
        if len(digits) < 3 and not ended:
            remarks.append(f"{dot[0]} {BEHIND} a number, not as a fraction of a second")
            return nothing
        number = int(digits) if len(digits) == 3 and not ended else None
        if number is None or number >= 100:
            return timedelta(seconds=float(f"0.{digits}")), dot.end(), 10.0 ** -len(digits), number
        return _number(digits, number, at, remarks)
    between = "[_-]" if stem[at - 3] == "-" else "_"  # 12-00-00-123
    line = re.compile(between + r"(\d{3}|\d{6})(?!\d)").match(stem, at)
    if line is None:
        return nothing
    digits, last = line[1], line.end() == len(stem)
    if ENDED.match(stem, line.end()):
        return timedelta(seconds=float(f"0.{digits}")), line.end(), 10.0 ** -len(digits), None
    number = int(digits) if len(digits) == 3 else None
    if number is not None and number < 100:
        return _number(digits, number, at, remarks)
    if number is None and (not last or digits in RATES):
        remarks.append(f"{digits} {BEHIND} a number, not as microseconds")
        return nothing
    if not last or (number is None and _is_later(digits, local)):
        remarks.append(f"{digits} {BEHIND} a fraction of a second")
    return timedelta(seconds=float(f"0.{digits}")), line.end(), 10.0 ** -len(digits), number


def _number(digits: str, number: int, at: int, remarks: list[str]) -> tuple[timedelta, int, float, int]:
    """Files are more often numbered from 001 on than begun within the first tenth of a second."""
    if number:
        remarks.append(f"{digits} {BEHIND} the number of a file, not as milliseconds")
    return timedelta(0), at, WHOLE_SECOND_S, number


def _is_later(digits: str, local: datetime) -> bool:
    """Whether six digits can also be a later time of the same day, at which the recording ended."""
    return f"{local:%H%M%S}" < digits < "240000" and digits[2:4] < "60" and digits[4:] < "60"


def _told(name: str, stem: str, stamps: list[_Stamp], utc_offset: float | None) -> StartTime:
    """The start time that the times of a name tell. The second of several is the end."""
    first = stamps[0]
    text = stem[first.begin : first.end]
    others, at = "", 0
    for stamp in stamps:
        others, at = others + stem[at : stamp.begin] + "@", stamp.end
    others += stem[at:] + name[len(stem) :]
    zone, word = first.zone, zone_elsewhere(others)
    if zone.hours is None and not zone.refused:
        zone = word
    told = StartTime(
        utc=None,
        warning=None,
        text=text,
        others=others,
        end_utc=None,
        step_s=first.step_s,
        hours=zone.hours,
        sure=first.sure,
        number=first.number,
    )
    if zone.refused and utc_offset is None:
        return replace(told, warning=f"{name}: no start time: {zone.remark}; give `utc_offset`")
    hours, remarks = utc_offset if utc_offset is not None else zone.hours or 0.0, list(first.remarks)
    utc = _to_utc(first.local, hours)
    if utc_offset is not None and zone.hours not in (None, utc_offset):
        remarks.append(
            f"the name says {in_words(zone.hours or 0.0)}, and {in_words(hours)} is used as `utc_offset` says"
        )
    if word.hours is not None and zone.hours != word.hours:
        remarks.append(f"although another part of the name says {in_words(word.hours)}")
    warning = None
    if remarks or not first.sure:
        said = "".join(f", {remark}" for remark in remarks)
        warning = f"{name}: start read as {shown(utc)} UTC from {text}{said}; if wrong give `time_format`"
    end = None
    if len(stamps) > 1:
        own = stamps[1].zone.hours if utc_offset is None and stamps[1].zone.hours is not None else hours
        end = _to_utc(stamps[1].local, own)
    return replace(told, utc=utc, warning=warning, end_utc=end)


def _to_utc(local: datetime, hours: float) -> datetime:
    return (local - shift(hours)).replace(tzinfo=UTC)


def shown(utc: datetime) -> str:
    """A time to show, without its zone. Fractions only if there are any."""
    return f"{utc:%Y-%m-%d %H:%M:%S}" + (f".{utc.microsecond:06d}".rstrip("0") if utc.microsecond else "")


def _by_format(name: str, time_format: str, utc_offset: float | None) -> StartTime:
    # Try every part of the name: recorders put serial numbers before the time and channel numbers after it.
    width = _width(time_format)
    for begin in range(len(name)):
        for end in range(len(name), begin, -1) if width is None else (begin + width,):
            try:
                found = datetime.strptime(name[begin:end], time_format)
            except ValueError:
                continue
            # strptime accepts "7" for %m. Accept only text that strftime would write, with no digit before or after it.
            around = name[begin - 1 : begin] + name[end : end + 1]
            same = "%f" in time_format or found.strftime(time_format) == name[begin:end]
            if not same or any(c.isdigit() for c in around):
                continue
            return _formatted(name, found, (begin, end), time_format, utc_offset)
    raise RecordingError(f"`time_format` {time_format!r} fits no part of {name!r}; example: %Y%m%d_%H%M%S")


def _formatted(
    name: str, found: datetime, span: tuple[int, int], time_format: str, utc_offset: float | None
) -> StartTime:
    own = found.utcoffset()
    hours = None if own is None else own.total_seconds() / 3600
    used = utc_offset if utc_offset is not None else hours or 0.0
    begin, end = span
    others = f"{name[:begin]}@{name[end:]}"
    warning = None
    if utc_offset is not None and hours not in (None, utc_offset):
        warning = f"{name}: the name says {in_words(hours or 0.0)}, and {in_words(used)} is used as `utc_offset` says"
    step_s = 1e-6 if "%f" in time_format else WHOLE_SECOND_S
    return StartTime(
        utc=_to_utc(found.replace(tzinfo=None), used),
        warning=warning,
        text=name[begin:end],
        others=others,
        end_utc=None,
        step_s=step_s,
        hours=hours,
    )


def _width(time_format: str) -> int | None:
    """Number of characters that a format takes, or None if it varies. A known number makes many names quick to read."""
    digits = {"%Y": 4, "%j": 3, **dict.fromkeys(("%m", "%d", "%H", "%M", "%S", "%y"), 2)}
    codes = re.findall(r"%.", time_format)
    if not set(codes) <= set(digits):
        return None
    return len(re.sub(r"%.", "", time_format)) + sum(digits[code] for code in codes)
