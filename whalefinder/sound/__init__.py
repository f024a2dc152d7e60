"""Files come in; blocks of sound, short-time spectra and the covariance of what is heard go out."""
