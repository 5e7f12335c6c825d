"""Saliency: what a trained network looks at, for any probe, and whether the picture holds. See docs/saliency.md."""
