"""Events and spectra come in; directions with their errors go out."""
