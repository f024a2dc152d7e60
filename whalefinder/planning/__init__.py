"""Planning. An array and the sound to expect come in; the error, the outliers, or better places for hydrophones go out."""
