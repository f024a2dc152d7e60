"""Recordings. Files come in; blocks of sound, short-time spectra and noise covariances go out."""
