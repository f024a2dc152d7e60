"""The health of an array: spectra of its hydrophones go in, findings about hydrophones, clocks and order come out."""
