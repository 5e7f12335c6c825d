"""limelight: from halo catalogues to line-intensity maps, and from maps back to the luminosity function."""

__version__ = "0.1.0"
