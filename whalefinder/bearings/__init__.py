"""Bearings. Events and spectra come in; directions with their standard deviations go out."""
