"""Planes and sequences of fixes come in; masks, names and corrections go out. `weights` keeps what the networks learnt."""
