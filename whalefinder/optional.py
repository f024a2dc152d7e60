"""Optional libraries, and the extra (as in `pip install 'whalefinder[train]'`) that installs each."""

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
    """Check that optional libraries are installed. Call this before every import of one.

    Args:
        modules: names as in `EXTRA_OF`.
        what: the job that needs them, as the message names it.

    Raises:
        OptionError: one of `modules` is not installed. The message names it and the extra that installs it.
    """
    if missing := [name for name in modules if find_spec(name) is None]:
        extras = ",".join(sorted({EXTRA_OF[name] for name in missing}))
        raise OptionError(f"{what} needs {', '.join(missing)}; install it with: pip install 'whalefinder[{extras}]'")
