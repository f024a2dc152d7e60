"""The columns of every table that whalefinder writes: name, kind, unit, description. They are defined only here.

`docs/results.md` lists the same columns, and a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["text", "number", "integer", "time"]
FRAME = "azimuth clockwise from true north, elevation positive up, both from the array to the whale"


NO_CALLS = frozenset({"boat", "ambient", "other"})
"""Labels of events that are not calls. Version 0.1 wrote `other`."""


@dataclass(frozen=True)
class Column:
    """One column of a table. `unit` is empty for text and for numbers without a unit."""

    name: str
    kind: Kind
    unit: str
    description: str


DETECTIONS = (
    Column("recording", "text", "", "file name of the recording (of its first channel, with one file per channel)"),
    Column("begin_s", "number", "s", "begin of the call, from the start of the recording"),
    Column("end_s", "number", "s", "end of the call, from the start of the recording"),
    Column(
        "start_utc", "time", "UTC", "begin of the call as time of day; empty where neither name nor header gives one"
    ),
    Column("low_hz", "number", "Hz", "lower edge of the call's band"),
    Column("high_hz", "number", "Hz", "upper edge of the call's band"),
    Column("label", "text", "", "orca, other_cetacean, cetacean (unclear which), or (not a call) boat, ambient"),
    Column("probability", "number", "1", "probability of the label, 0...1"),
    Column(
        "snr_db",
        "number",
        "dB",
        "power of the call over all other sound (boats and ambient), 0.5-12 kHz, while it lasts",
    ),
    Column("azimuth_deg", "number", "degrees", "direction of the whale, clockwise from true north, [0, 360)"),
    Column("elevation_deg", "number", "degrees", "direction of the whale above the horizontal; negative is below"),
    Column("azimuth_sd_deg", "number", "degrees", "standard deviation of the azimuth"),
    Column("elevation_sd_deg", "number", "degrees", "standard deviation of the elevation"),
    Column("ambiguity", "text", "", "empty where the direction is unique; otherwise the other possible directions"),
    Column(
        "range_m",
        "number",
        "m",
        "range of the whale, where the surface image or the curvature of the wavefront shows it",
    ),
    Column("channel", "integer", "", "channel where the call is clearest, from 1; only without an array"),
    Column("level_db", "number", "dB re 1 µPa", "received level of the call, r.m.s. while it lasts, low_hz-high_hz"),
    Column("fit", "number", "1", "p-value: how well the hydrophones agree on one direction; below 0.01 they do not"),
    Column("remark", "text", "", "why there is no direction, or which channels were not used"),
    Column("range_sd_m", "number", "m", "standard deviation of the range"),
    Column("correlation", "number", "1", "correlation of the errors of azimuth and elevation, -1...1"),
    Column(
        "error_50_deg", "number", "degrees", "the whale lies within this angle of the direction in 50 % of all cases"
    ),
    Column(
        "error_90_deg", "number", "degrees", "the whale lies within this angle of the direction in 90 % of all cases"
    ),
)
"""Columns of `detections.csv`. The first 14 never change their order."""

TRACKS = (
    Column("track", "integer", "", "number of the track in this table, from 1"),
    Column("time_s", "number", "s", "time from the start of the recording, one row per second"),
    Column("azimuth_deg", "number", "degrees", "direction of the whale, clockwise from true north, [0, 360)"),
    Column("elevation_deg", "number", "degrees", "direction of the whale above the horizontal; negative is below"),
    Column("azimuth_sd_deg", "number", "degrees", "standard deviation of the azimuth"),
    Column("elevation_sd_deg", "number", "degrees", "standard deviation of the elevation"),
    Column("calls", "integer", "", "calls of this animal that ended in the second before"),
    Column("recording", "text", "", "file name of the recording"),
    Column("tracker", "text", "", "smoother (also uses later calls) or causal (earlier calls alone, by the LSTM)"),
)
"""Columns of `tracks.csv`."""

RECORDINGS = (
    Column("recording", "text", "", "name of the recording, as in the other tables"),
    Column("path", "text", "", "where the file was; the first file, with one file per channel"),
    Column("start_utc", "time", "UTC", "time of the first sample; empty where neither name nor header gives one"),
    Column("duration_s", "number", "s", "length of the part that could be read"),
    Column("rate_hz", "number", "Hz", "sample rate of the file"),
    Column("channels", "integer", "", "channels that were used"),
    Column("heard_from_s", "number", "s", "begin of the part that was searched, from the start of the recording"),
    Column("heard_to_s", "number", "s", "end of the part that was searched, from the start of the recording"),
)
"""Columns of `recordings.csv`: the recordings that were searched, in the order of the run."""

HEALTH = (
    Column("recording", "text", "", "name of the recording, as in the other tables"),
    Column(
        "kind",
        "text",
        "",
        "silent, deaf, copy, polarity, gain, step, delay, drift, order, slip or delays; gap, held, level, wrong or jump for all channels at once",
    ),
    Column("channels", "text", "", "channels of the recording that it is about, from 1, with spaces"),
    Column("from_s", "number", "s", "where it was seen first, from the start of the recording"),
    Column("to_s", "number", "s", "where it was seen last, from the start of the recording"),
    Column("value", "number", "", "its size, in the unit of the next column; empty where it has none"),
    Column("unit", "text", "", "dB, µs, ppm or s"),
    Column("seen", "integer", "", "number of seconds in which it was seen"),
    Column("of", "integer", "", "number of seconds that could show it"),
    Column("finding", "text", "", "what is wrong, in words"),
    Column("remedy", "text", "", "what to do"),
)
"""Columns of `health.csv`: what is wrong with the hydrophones of an array."""

CALIBRATION = (
    Column("recording", "text", "", "name of the recording, as in the other tables"),
    Column("time_s", "number", "s", "middle of the sound, from the start of the recording"),
    Column("boat", "text", "", "boat of the track that made it; empty where none is known"),
    Column("azimuth_deg", "number", "degrees", "direction of the sound by the calibrated array, clockwise, [0, 360)"),
    Column(
        "elevation_deg", "number", "degrees", "direction of the sound above the horizontal, by the calibrated array"
    ),
    Column("before_us", "number", "µs", "how far its delays are from those of the best direction, r.m.s., before"),
    Column("after_us", "number", "µs", "the same after the calibration"),
    Column("p", "number", "", "probability of a larger misfit, after the calibration"),
    Column("used", "integer", "", "whether it was used (1), or fits no direction (0): two boats, an echo"),
)
"""Columns of `calibration.csv`: the sounds by which an array was calibrated."""


def names(columns: tuple[Column, ...]) -> tuple[str, ...]:
    """Names of columns, in order."""
    return tuple(column.name for column in columns)


def arrow_schema(columns: tuple[Column, ...], **metadata: str) -> pa.Schema:
    """The Arrow schema, with `unit` and `description` in the metadata of every field, and `FRAME` in that of the table.

    Times are milliseconds in UTC without a zone, so that no program converts them to local time.
    """
    import pyarrow as pa

    kinds: dict[str, Any] = {
        "text": pa.string(), "number": pa.float64(), "integer": pa.int32(), "time": pa.timestamp("ms"),
    }  # fmt: skip
    fields = []
    for column in columns:
        about = {"unit": column.unit, "description": column.description} if column.unit else {
            "description": column.description
        }  # fmt: skip
        fields.append(pa.field(column.name, kinds[column.kind], metadata=about))
    return pa.schema(fields, metadata={"frame": FRAME, **metadata})
