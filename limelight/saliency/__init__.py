"""Saliency: what a trained network looks at, for any probe, and whether that picture can be trusted. See docs/saliency.md."""
