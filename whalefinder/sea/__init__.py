"""The simulated sea. A scene (calls, boats, wind, moving geometry) comes in; a recording and its true calls go out."""
