"""One function a figure, made from evaluation files alone."""
