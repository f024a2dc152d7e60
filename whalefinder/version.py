"""The version. It stands alone here, so that the build does not import the package."""

__version__ = "0.2.0"
