"""Maps at the prior's mean and beside it, with the seeds of one another: what an IMNN learns its derivatives from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from limelight.errors import problem
from limelight.halos.subfields import read_subfield_halos, read_subfields
from limelight.lines.models import get_model
from limelight.lines.priors import prior_gaussian
from limelight.maps.grid import Grid
from limelight.maps.paint import fill_cube, prepare_field
from limelight.maps.shards import pool_map
from limelight.progress import progress
from limelight.seeds import generator


def fisher_maps(
    paths: Sequence[str | Path],
    line_model: dict,
    grid: Grid,
    beam_fwhm_arcmin: float,
    options: dict,
    study_seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pooled maps without noise: fiducial (s, x, y, f), below and above (n, p, x, y, f) float32; steps (p,).

    paths: subfields files; line_model: the config's entry; options: posteriors.*.imnn. Map i is painted on a subfield that
    moves through the files with i, so that the second half, which is held out, has other halos than the first. A pair below
    and above shares halos and scatter and differs in one parameter. The prior's cuts are not applied.
    """
    model = get_model(line_model["model"], line_model["parameters"])
    mean, covariance = prior_gaussian(model, line_model["prior"])
    names, sigma = list(model.parameters), np.sqrt(np.diag(covariance))
    if not (sigma > 0).all():
        fixed = ", ".join(name for name, s in zip(names, sigma, strict=True) if s == 0)
        raise problem("the line model's prior", f"no spread in {fixed}", "some in every parameter", "widen it")
    step = options["step"] * sigma
    fields = sum(len(read_subfields(path)) for path in paths)
    counts = (options["simulations"], options["derivatives"])
    fiducial = np.empty((counts[0], *grid.pooled_shape), np.float32)
    sides = np.empty((2, counts[1], len(names), *grid.pooled_shape), np.float32)

    def paint(field, values: np.ndarray, *key: int) -> np.ndarray:
        rng = generator(study_seed, "imnn scatter", *key)
        log10_lum = model.log10_luminosity(
            field.mass_msun, field.redshift, dict(zip(names, values.tolist(), strict=True)), rng
        )
        return pool_map(fill_cube(field, 10.0**log10_lum * field.unit_per_lsun, grid), grid, beam_fwhm_arcmin)

    for which, (center, cosmology, halos) in enumerate(progress(_halos(paths), "paint for IMNN", fields)):
        field = prepare_field(halos, grid, center, cosmology)
        for i in _share(counts[0], which, fields):
            fiducial[i] = paint(field, mean, 0, i)
        for i in _share(counts[1], which, fields):
            for p in range(len(names)):
                for side, sign in enumerate((-1, 1)):
                    sides[side, i, p] = paint(field, mean + sign * step * (np.arange(len(names)) == p), 1, i)
    return fiducial, sides[0], sides[1], step


def _halos(paths: Sequence[str | Path]):
    """(centre, cosmology, halos) of every subfield of every file."""
    for path in paths:
        subfields = read_subfields(path)
        for i, halos in read_subfield_halos(path):
            yield subfields.center_deg[i], subfields.cosmology, halos


def _share(count: int, which: int, fields: int) -> range:
    """Which of `count` maps are painted on one of the fields: consecutive ones."""
    return range(which * count // fields, (which + 1) * count // fields)
