"""A scene comes in (calls, boats, wind, exact moving geometry); a simulated recording and its truth go out."""
