"""Spectra come in; events with a begin, an end, a band and a name go out."""
