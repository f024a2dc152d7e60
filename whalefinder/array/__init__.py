"""Where the hydrophones are and what they can tell: an array file comes in, positions, delays and limits go out."""
