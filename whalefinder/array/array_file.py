"""Array files: reading and writing the TOML files that docs/conventions.md describes."""

from __future__ import annotations

import codecs
import difflib
import shlex
import tomllib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from whalefinder.array.geometry import HydrophoneArray, attitude
from whalefinder.array.physics import check
from whalefinder.errors import ArrayError
from whalefinder.files import replacing

FAR_M = 1e5
"""No hydrophone is further from the origin of its array."""
MOST_CHANNELS = 1024
"""No recorder has more channels."""
MOST_DELAY_S, MOST_GAIN_DB = 5e-3, 60.0
"""A channel that is later, or louder, than the others by more than this is at fault."""


class _Entries(BaseModel):
    # Strict: "1.5" and true are no numbers.
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Hydrophone(_Entries):
    channel: int = Field(ge=1, le=MOST_CHANNELS)
    x_m: float = Field(ge=-FAR_M, le=FAR_M)
    y_m: float = Field(ge=-FAR_M, le=FAR_M)
    z_m: float = Field(ge=-FAR_M, le=FAR_M)
    sensitivity_db: float | None = None
    delay_s: float = Field(default=0.0, ge=-MOST_DELAY_S, le=MOST_DELAY_S)
    gain_db: float = Field(default=0.0, ge=-MOST_GAIN_DB, le=MOST_GAIN_DB)


class _ArrayFile(_Entries):
    name: str = "array"
    sound_speed_m_s: float = Field(ge=200.0, le=2000.0)
    depth_m: float | None = Field(default=None, ge=0.0, le=12_000.0)
    heading_deg: float = Field(default=0.0, ge=-360.0, le=360.0)
    pitch_deg: float = Field(default=0.0, ge=-90.0, le=90.0)
    roll_deg: float = Field(default=0.0, ge=-180.0, le=180.0)
    min_range_m: float = Field(default=20.0, gt=0.0, le=50_000.0)
    position_error_m: float = Field(default=0.0, ge=0.0)
    timing_error_s: float = Field(default=0.0, ge=0.0)
    sound_speed_error_m_s: float = Field(default=0.0, ge=0.0)
    unused_channels: list[Annotated[int, Field(ge=1, le=MOST_CHANNELS)]] = []
    file_pattern: str | None = None
    full_scale_v: float | None = Field(default=None, gt=0.0)
    hydrophone: list[_Hydrophone] = Field(min_length=1)


REMEDIES = {
    "channel": f"channels of the recording count from 1, to {MOST_CHANNELS} at most",
    "sound_speed_m_s": "sea water is about 1480 m/s; 343 is air",
    "depth_m": "give the metres from the surface down to the origin, positive",
    "heading_deg": "give degrees clockwise from true north",
    "pitch_deg": "give degrees, positive with y up",
    "roll_deg": "give degrees, positive with x down",
    "min_range_m": "give the metres within which no animal comes",
    "position_error_m": "give metres, one sigma per axis",
    "timing_error_s": "give seconds, one sigma",
    "sound_speed_error_m_s": "give metres per second, one sigma",
    "unused_channels": "give a list of channels, such as [5, 6]",
    "file_pattern": "give a text with {channel} in it, such as 'AMAR173.{channel}.*.wav'",
    "full_scale_v": "give the volts at the hydrophone that make a sample of 1",
    "sensitivity_db": "give dB re 1 V/µPa, about -210 to -140",
    "delay_s": "give the seconds by which this channel is late (10 µs are 0.00001)",
    "gain_db": "give the dB by which this channel is louder than the others",
    "hydrophone": "write [[hydrophone]], with two brackets, above the entries of each hydrophone",
    "x_m": "give metres, to starboard", "y_m": "give metres, forward", "z_m": "give metres, upward",
}  # fmt: skip
"""What to do about a wrong value, for each entry."""


def load_array(path: Path | str) -> HydrophoneArray:
    """Read an array description.

    Args:
        path: a TOML file (see `docs/conventions.md`).

    Returns:
        The array. Its positions are turned by heading, pitch and roll into east, north, up.

    Raises:
        ArrayError: the file cannot be read, or an entry is wrong. One line names the entry, its value and
            what is allowed.
    """
    path = Path(path)
    try:
        parsed = tomllib.loads(text_of(path.read_bytes()))
    except OSError as reason:
        raise ArrayError(
            f"{path}: cannot read the array file ({reason.strerror}); give the path of a TOML file"
        ) from reason
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
        if path.suffix.lower() in (".csv", ".txt"):
            raise ArrayError(
                f"{path}: is a table, not an array file; turn it into one with: "
                f"whalefinder import-array {shlex.quote(str(path))}"
            ) from reason
        if isinstance(reason, UnicodeDecodeError):
            raise ArrayError(f"{path}: not a TOML file in UTF-8 or UTF-16; save it as UTF-8") from reason
        raise ArrayError(
            f"{path}: not a TOML file ({reason}); it needs sound_speed_m_s, and for each hydrophone a [[hydrophone]] "
            "with channel, x_m, y_m, z_m"
        ) from reason
    return _built(parsed, path)


def _built(parsed: dict[str, Any], path: Path) -> HydrophoneArray:
    try:
        described = _ArrayFile(**parsed)
    except ValidationError as reason:
        raise ArrayError(f"{path}: {_first_problem(reason)}") from reason
    return _build(described, path)


def text_of(content: bytes) -> str:
    """The text of a file as editors write it: in UTF-8 or UTF-16, with any ends of lines."""
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if utf16 else "utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _first_problem(reason: ValidationError) -> str:
    # An entry of an unknown name explains one that is missing.
    problem = min(reason.errors(), key=lambda error: error["type"] != "extra_forbidden")
    place = ".".join(str(part + 1) if isinstance(part, int) else part for part in problem["loc"])
    entry = next(part for part in reversed(problem["loc"]) if isinstance(part, str))
    of_phone = len(problem["loc"]) > 1 and problem["loc"][0] == "hydrophone"
    if problem["type"] == "missing":
        return f"{place} is missing; add it ({REMEDIES[entry].removeprefix('give ')})"
    if problem["type"] == "extra_forbidden":
        return f"{place} is not a known entry{_of_hydrophones(of_phone)}; {_meant(entry, problem['input'], of_phone)}"
    said = problem["msg"].replace("Input should be", "must be").replace("valid list", "list")
    if problem["type"] == "model_type":
        said = "must be a table of entries (channel, x_m, y_m, z_m)"
    return f"{place} = {_short(problem['input'])}: {said}; {REMEDIES.get(entry, 'correct it')}"


def _of_hydrophones(of_phone: bool) -> str:
    return " of a hydrophone" if of_phone else ""


def _meant(entry: str, value: object, of_phone: bool) -> str:
    """What an unknown entry may have been meant to be."""
    own, other = (_Hydrophone, _ArrayFile) if of_phone else (_ArrayFile, _Hydrophone)
    if entry in other.model_fields:
        return (
            "it belongs to the array, so write it above the first [[hydrophone]]"
            if of_phone
            else "it belongs to a hydrophone, so write it below its [[hydrophone]]"
        )
    if isinstance(value, dict):
        return f"entries stand alone, above the first [[hydrophone]]; take the line [{entry}] away"
    near = [name for name in own.model_fields if name.startswith(f"{entry.lower()}_")]
    near += difflib.get_close_matches(entry.lower(), own.model_fields, n=1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known are {', '.join(own.model_fields)}"


def _short(value: object, most: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _build(described: _ArrayFile, path: Path) -> HydrophoneArray:
    phones = described.hydrophone
    channels = [phone.channel for phone in phones]
    unused = described.unused_channels
    doubled = sorted({c for c in channels + unused if (channels + unused).count(c) > 1})
    if doubled:
        raise ArrayError(f"{path}: channel {doubled[0]} is given twice; each hydrophone has its own channel, from 1")
    skipped = sorted(set(range(1, max(channels) + 1)) - set(channels) - set(unused))
    if skipped and described.file_pattern is None:
        raise ArrayError(
            f"{path}: no hydrophone for channel {skipped[0]} although channels go up to {max(channels)}; "
            f"add the hydrophone, or unused_channels = {_short(skipped)}"
        )
    given = [phone.sensitivity_db for phone in phones]
    if any(s is None for s in given) and any(s is not None for s in given):
        raise ArrayError(f"{path}: sensitivity_db is given for some hydrophones only; give it for all or none")
    if described.full_scale_v is not None and given[0] is None:
        raise ArrayError(
            f"{path}: full_scale_v = {described.full_scale_v:g} without sensitivity_db; give both for levels, or neither"
        )
    own = np.array([[phone.x_m, phone.y_m, phone.z_m] for phone in phones])
    turned = own @ attitude(described.heading_deg, described.pitch_deg, described.roll_deg).T
    try:
        array = HydrophoneArray(
            name=described.name,
            positions_m=turned,
            sound_speed_m_s=described.sound_speed_m_s,
            channels=tuple(c - 1 for c in channels),
            depth_m=described.depth_m,
            min_range_m=described.min_range_m,
            position_error_m=described.position_error_m,
            timing_error_s=described.timing_error_s,
            sound_speed_error_m_s=described.sound_speed_error_m_s,
            sensitivity_db=tuple(s for s in given if s is not None) or None,
            file_pattern=described.file_pattern,
            unused_channels=tuple(c - 1 for c in unused),
            full_scale_v=described.full_scale_v,
            lead_s=_all_or_none([-phone.delay_s for phone in phones]),
            gain_db=_all_or_none([phone.gain_db for phone in phones]),
        )
        return check(array)
    except ArrayError as reason:
        raise ArrayError(f"{path}: {reason}") from reason


def _all_or_none(values: list[float]) -> tuple[float, ...] | None:
    """The values, or None if all are 0."""
    return tuple(values) if any(values) else None


def save_array(array: HydrophoneArray, path: Path) -> None:
    """Write an array as a TOML file, with positions in the frame of the earth (heading 0).

    Raises:
        ArrayError: `load_array` could not read the file.
        OutputError: the file cannot be written.
    """
    text = toml_of(array, path)
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def toml_of(array: HydrophoneArray, path: Path) -> str:
    """The text of an array file, as `load_array` reads it.

    Raises:
        ArrayError: it could not read that. The line begins with `path`.
    """
    lines = [f"name = {_quoted(array.name)}", f"sound_speed_m_s = {array.sound_speed_m_s!r}"]
    if array.depth_m is not None:
        lines.append(f"depth_m = {array.depth_m!r}")
    if array.file_pattern is not None:
        lines.append(f"file_pattern = {_quoted(array.file_pattern)}")
    if array.unused_channels:
        lines.append(f"unused_channels = {[c + 1 for c in array.unused_channels]}")
    if array.full_scale_v is not None:
        lines.append(f"full_scale_v = {array.full_scale_v!r}")
    for name in ("min_range_m", "position_error_m", "timing_error_s", "sound_speed_error_m_s"):
        lines.append(f"{name} = {getattr(array, name)!r}")
    for index, (channel, position) in enumerate(zip(array.channels, array.positions_m.tolist(), strict=True)):
        x, y, z = position
        lines += ["", "[[hydrophone]]", f"channel = {channel + 1}", f"x_m = {x!r}", f"y_m = {y!r}", f"z_m = {z!r}"]
        if array.sensitivity_db:
            lines.append(f"sensitivity_db = {array.sensitivity_db[index]!r}")
        if array.lead_s:
            lines.append(f"delay_s = {0.0 - array.lead_s[index]!r}")
        if array.gain_db:
            lines.append(f"gain_db = {array.gain_db[index]!r}")
    text = "\n".join(lines) + "\n"
    _built(tomllib.loads(text), path)
    return text


def _quoted(text: str) -> str:
    # Basic strings of TOML use the same escapes as JSON.
    import json

    return json.dumps(text)
