"""The simulated sea: calls, boats, wind, exact moving geometry → a recording and the truth."""

from whalefinder.sea.scene import Boat, Call, Faults, Scene, SimulatedRecording, TrueCall, simulate

__all__ = ["Boat", "Call", "Faults", "Scene", "SimulatedRecording", "TrueCall", "simulate"]
