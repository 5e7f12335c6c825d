"""Data on the device, losses, the loop and its checkpoints."""

from limelight.training.checkpoint import load_model

__all__ = ["load_model"]
