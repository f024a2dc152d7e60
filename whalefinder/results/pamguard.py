"""Reading PAMGuard's binary files (`.pgdf`): clicks and whistles with bearings, in our columns, for comparison.

PAMGuard's angles refer to the array's own axes: x starboard, y forward, z up. Their meaning depends on the shape of the
array. The source is PAMGuard's own code (`AbstractLocalisation.getWorldVectors`):

- a volume: (azimuth, elevation), with the azimuth *anticlockwise from x*: the vector is
  (cos el cos az, cos el sin az, sin el);
- a line: one angle from the axis of the line. It does not say whether the sound is on the left or on the right.
- a plane: two angles from axes that depend on the order of the hydrophones. The file does not hold this order, so the
  angles are written as text in `ambiguity` and not converted.

The file does not hold the heading of the array. The user must give it.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np

from whalefinder.array.geometry import angles, attitude, direction
from whalefinder.errors import OptionError, RecordingError
from whalefinder.optional import needs
from whalefinder.results.ambiguity import Cone, words
from whalefinder.results.formats import Row
from whalefinder.results.schema import DETECTIONS, names

KINDS = {"Click Detector": "click", "SoundTrap Click Detector": "click", "WhistlesMoans": "whistle"}
LINE, PLANE, VOLUME = 2, 3, 4  # PAMGuard's ArrayManager
AZIMUTH_FROM_X = 4
"""Clicks of module versions before this one (2017) have their two angles in another order."""
CHUNK = struct.Struct(">ii")
Shape = str


def read_pamguard(
    path: Path | str,
    *,
    heading_deg: float = 0.0,
    shape: Shape | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Read the detections of one file as rows (`schema.DETECTIONS`), in order of time. Seconds count from its start.

    Args:
        path: a `.pgdf` file of the click detector or of the whistle and moan detector.
        heading_deg: direction of the array's y axis (or of the line's axis), clockwise from true north.
        shape: `line`, `plane` or `volume`, if the file does not say it (files of clicks do not). None: one angle means
            a line, two angles mean a volume.
        say: is called with one line for each thing that could not be read.

    Raises:
        RecordingError: the file is missing, is not a PAMGuard file, or comes from another module.
        OptionError: pypamguard is not installed, or an unknown shape.
    """
    path = Path(path)
    if shape not in (None, "line", "plane", "volume"):
        raise OptionError(f"shape {shape!r} is unknown; choose from line, plane, volume")
    file = _load(path, say)
    header, module = file.file_info.file_header, file.file_info.module_header
    label = KINDS.get(str(header.module_type))
    if label is None or (label == "click" and header.stream_name != "Clicks"):
        raise RecordingError(
            f"{path}: comes from module {header.module_type}, {header.stream_name}; only clicks, whistles and moans can be read"
        )
    old = label == "click" and module.version < AZIMUTH_FROM_X
    rows = []
    for unit in file.data:
        if unit.date is None:
            continue
        row = dict.fromkeys(names(DETECTIONS)) | {"recording": path.name, "label": label, "ambiguity": ""}
        begin_s = (unit.date - header.data_date).total_seconds()
        row |= {"begin_s": round(begin_s, 3), "end_s": round(begin_s + _duration_s(unit, file), 6)}
        row["start_utc"] = unit.date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{unit.millis % 1000:03d}Z"
        if unit.freq_limits is not None:
            row["low_hz"], row["high_hz"] = (float(hz) for hz in unit.freq_limits)
        rows.append(row | _bearing(unit, heading_deg, shape, old))
    return sorted(rows, key=lambda row: row["begin_s"])


def _load(path: Path, say: Callable[[str], None]) -> Any:
    """The parsed file. Damaged parts are reported to `say`, and the rest is kept."""
    needs("pypamguard", what="reading PAMGuard's files")
    from pypamguard.core.exceptions import ModuleNotFoundException
    from pypamguard.core.pamguardfile import PAMGuardFile
    from pypamguard.core.readers import Report

    try:
        content = path.read_bytes()
    except OSError as reason:
        raise RecordingError(f"{path}: cannot be read ({reason.strerror}); check the path") from reason
    whole = sum(_chunks(content))
    if content[12:24] != b"PAMGUARDDATA" or not whole:
        raise RecordingError(f"{path}: is not a binary file of PAMGuard; give .pgdf files from its Binary folder")
    if whole < len(content):
        say(f"{path.name}: cut short, its last {len(content) - whole} bytes are not complete; the rest is read")
    report = Report()
    file = PAMGuardFile(str(path), io.BytesIO(content[:whole]), report=report)
    try:
        with redirect_stdout(io.StringIO()):  # pypamguard prints messages
            file.load()
    except ModuleNotFoundException as reason:
        raise RecordingError(f"{path}: {reason} Only clicks, whistles and moans can be read") from reason
    except Exception as reason:
        # On damaged bytes the parser can raise any error. What it read before is good.
        say(f"{path.name}: damaged after {len(file.data)} detections ({reason}); those are kept")
    if report.errors:
        say(f"{path.name}: {len(report.errors)} data units are damaged ({report.errors[0]})")
    if file.file_info.module_header is None:
        raise RecordingError(f"{path}: ends within its header; copy it again")
    return file


def _header_bytes(content: bytes) -> int:
    """Length of the file's header, counted from its parts. The length field is 4 too low in PAMGuard 2.02."""
    at = CHUNK.size + 4 + 12
    for strings, fixed in ((2, 24), (3, 4)):
        for _ in range(strings):
            at += 2 + int.from_bytes(content[at : at + 2], "big")
        at += fixed
    return at


def _chunks(content: bytes) -> Iterator[int]:
    """Lengths of the complete chunks, from the begin. At a chunk length below 8 pypamguard itself would never end."""
    at = _header_bytes(content)
    if at > len(content):
        return
    yield at
    while at + CHUNK.size <= len(content):
        length, _ = CHUNK.unpack_from(content, at)
        if length < CHUNK.size or at + length > len(content):
            return
        yield length
        at += length


def _duration_s(unit: Any, file: Any) -> float:
    """Duration from the unit itself, or from its samples and the rate by header and footer. 0 if neither is known."""
    if unit.millis_duration is not None:
        return float(unit.millis_duration) / 1000
    samples = unit.sample_duration if unit.sample_duration is not None else getattr(unit, "duration", None)
    header, footer = file.file_info.file_header, file.file_info.file_footer
    if samples is None or footer is None or footer.end_sample is None:
        return 0.0
    seconds = (footer.data_date - header.data_date).total_seconds()
    counted = int(footer.end_sample) - int(header.start_sample)
    return float(samples) * seconds / counted if counted > 0 and seconds > 0 else 0.0


def _bearing(unit: Any, heading_deg: float, shape: Shape | None, old: bool) -> Row:
    """Azimuth, elevation, their errors and `ambiguity`, from the angles of a click or from an annotation."""
    note = getattr(unit.annotations, "bearing", None) if unit.annotations is not None else None
    if note is None and unit.annotations is not None:
        note = getattr(unit.annotations, "beam_angles", None)
    source = note if note is not None else unit
    # pypamguard gives an array of one value as a number.
    found = np.atleast_1d(_or_empty(getattr(source, "angles", None))).astype(float)
    errors = np.degrees(
        np.atleast_1d(_or_empty(getattr(source, "errors" if note is not None else "angle_errors", None)))
    )
    if not len(found) or not np.isfinite(found).all():
        return {}
    told = {LINE: "line", PLANE: "plane", VOLUME: "volume"}.get(int(getattr(note, "array_type", None) or 0))
    shape = shape or told or ("line" if len(found) == 1 else "volume")
    if len(found) == 1:
        return _cone(float(found[0]), errors, heading_deg)
    if shape == "plane" or (old and note is None):
        why = "plane: its own axes" if shape == "plane" else "angles of before 2017"
        own = ", ".join(f"{math.degrees(angle):.1f}" for angle in found)
        return {"ambiguity": f"{why}, not converted; PAMGuard's angles {own} deg"}
    return to_outside(float(found[0]), float(found[1]), heading_deg) | _errors(errors, float(found[1]))


def _or_empty(values: Any) -> Any:
    return [] if values is None else values


def to_outside(azimuth_rad: float, elevation_rad: float, heading_deg: float = 0.0) -> Row:
    """Convert PAMGuard's angles of a volume (anticlockwise from starboard, up) to degrees clockwise from true north.

    >>> to_outside(math.radians(90), 0.0, 30.0)   # straight ahead of an array that heads for 30°
    {'azimuth_deg': 30.0, 'elevation_deg': 0.0}
    """
    own = direction(math.pi / 2 - azimuth_rad, elevation_rad)
    azimuth, elevation = angles(attitude(heading_deg, 0.0, 0.0) @ own)
    return {
        "azimuth_deg": round(math.degrees(float(azimuth)), 4) % 360.0,
        "elevation_deg": round(math.degrees(float(elevation)), 4) + 0.0,
    }


def _cone(angle_rad: float, errors_deg: np.ndarray, heading_deg: float) -> Row:
    """The angle from the axis of a line, as the first of the two azimuths that it allows at elevation 0."""
    angle = abs(math.degrees(angle_rad))
    first, second = sorted((heading_deg + sign * angle) % 360.0 for sign in (1, -1))
    cone = Cone(
        angle_deg=angle, axis_azimuth_deg=heading_deg % 360, axis_elevation_deg=0.0, azimuths_deg=(first, second)
    )
    sd = round(float(errors_deg[0]), 4) if len(errors_deg) and errors_deg[0] > 0 else None
    return {
        "azimuth_deg": round(first, 4) % 360.0,
        "azimuth_sd_deg": sd,
        "ambiguity": words(cone),
    }


def _errors(errors_deg: np.ndarray, elevation_rad: float) -> Row:
    kept = [round(float(error), 4) if error > 0 else None for error in errors_deg[:2]]
    return dict(zip(("azimuth_sd_deg", "elevation_sd_deg"), kept, strict=False))
