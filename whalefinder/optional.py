"""Libraries that the plain install does without, and the extra that brings each."""

from __future__ import annotations

from importlib.util import find_spec

from whalefinder.errors import OptionError

EXTRA_OF = {
    "captum": "train",
    "dask": "archive",
    "distributed": "archive",
    "duckdb": "archive",
    "fsspec": "archive",
    "jinja2": "archive",
    "onnx": "export",
    "onnxscript": "export",
    "pypamguard": "archive",
    "sklearn": "train",
}
"""Module → extra, for every module that only an extra installs. jinja2 comes with `train` too."""


def needs(*modules: str, what: str) -> None:
    """Say in one line which library is missing and which extra brings it; to be called before every such import.

    Args:
        modules: names as in `EXTRA_OF`.
        what: what cannot be done without them.

    Raises:
        OptionError: one of `modules` is not installed.
    """
    if missing := [name for name in modules if find_spec(name) is None]:
        extras = ",".join(sorted({EXTRA_OF[name] for name in missing}))
        raise OptionError(f"{what} needs {', '.join(missing)}; install it with: pip install 'whalefinder[{extras}]'")
