"""Several lines in one cube, catalogues of galaxies beside them, and what tells them apart: the probe line_mixture."""
