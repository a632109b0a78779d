"""What a finished run is for: features and matches of crops, and the encoder for other tools."""

from .reid import ReID

__all__ = ["ReID"]
