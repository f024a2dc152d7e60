"""Networks. Planes of spectra and sequences of fixes come in; masks, class scores and corrections of fixes go out."""
