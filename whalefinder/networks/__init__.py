"""Networks. Planes and sequences of fixes come in; masks, labels and corrections go out. `weights` reads and writes their weights."""
