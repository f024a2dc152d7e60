"""The simulated sea. A scene comes in (calls, boats, wind, exact moving geometry); a recording and its truth go out."""
