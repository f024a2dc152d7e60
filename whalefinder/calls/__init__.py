"""Calls. Spectra come in; events with a begin, an end, a frequency band and a label go out."""
