"""Data on the device, losses, the loop and its checkpoints."""
