"""Halo catalogues: the type, its file, foreign formats, the light-cone generator, rotation and subfields."""
