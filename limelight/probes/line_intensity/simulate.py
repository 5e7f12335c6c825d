"""A realisation of line maps made in memory: what the workflow makes by files, stage by stage."""

from dataclasses import replace

import numpy as np

from limelight.data.shard import Rows
from limelight.halos.catalogue import COLUMNS, HaloCatalogue
from limelight.halos.foreign import import_lightcone
from limelight.halos.generator import generate_lightcone
from limelight.halos.painted import paint_lightcone
from limelight.halos.subfields import cut_subfields, plan_subfields
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.paint import paint_subfields
from limelight.probes.line_intensity.settings import LightconeSettings, ShardSettings
from limelight.probes.line_intensity.shards import EXAMPLES, line_header, pool_map
from limelight.section import plain
from limelight.seeds import torch_seed
from limelight.training.painter import load_painter


def lightcone_halos(settings: LightconeSettings, number: int) -> HaloCatalogue:
    """The halos of a light-cone: generated, painted, or read from the foreign catalogue that the config names."""
    cones, redshifts = settings.lightcones, settings.redshift_range
    if cones.source not in ("generate", "painted"):
        halos, _ = import_lightcone(cones, settings.cosmology, redshifts, settings.seed, number)
        columns = {
            name: np.asarray(getattr(halos, name), np.float32) for name in COLUMNS
        }  # as light-cone files hold them
        return replace(halos, **columns)
    seed = torch_seed(settings.seed, "light-cone", number)
    if cones.source == "painted":
        return paint_lightcone(cones, load_painter(str(cones.painter)), *redshifts, settings.cosmology, seed)
    return generate_lightcone(cones, *redshifts, settings.cosmology, seed)


def simulate_maps(settings: ShardSettings, number: int) -> Rows:
    """The pooled maps of a dataset on one light-cone: row for row those of the workflow's shard."""
    maps, grid, beam = settings.maps, settings.grid, settings.beam_fwhm_arcmin
    halos = lightcone_halos(maps.subfields.lightcone, number)
    plan = plan_subfields(float(halos.geometry["field_deg"]), maps.subfields.subfields)
    plan = replace(plan, cosmology=halos.cosmology, geometry=halos.geometry, lightcone=number)
    parts = cut_subfields(halos, plan)
    painted = paint_subfields(plan, parts, maps.name, maps.dataset, maps.labels, maps.grid, maps.seed)
    x, examples, made = [], [], []
    for one in painted:
        x.append(pool_map(one.cube, grid, beam)[None])
        if len(examples) < EXAMPLES:
            examples.append(one.cube[:, :, grid.channels // 2])
        one.cube = None  # a fine map is large; the rest of it is its label
        made.append(one)
    names = list(get_model(maps.dataset.model, maps.dataset.parameters).parameters)
    which = np.array([one.subfield for one in made])
    return Rows(
        header=line_header(grid, beam, plain(maps.labels), plain(plan.cosmology)),
        x=np.stack(x),
        y={
            "n_above": np.stack([one.n_above for one in made]),
            "volume_mpc3": np.array([one.volume_mpc3 for one in made]),
        },
        theta=np.array([[one.parameters[name] for name in names] for one in made]),
        parameter_names=names,
        group=np.full(len(made), number, np.int64),
        dataset=np.repeat([maps.name], len(made)),
        rows={
            "subfield": which,
            "draw": np.array([one.draw for one in made]),
            **{name: getattr(plan, name)[which] for name in ("rotation_deg", "reflected", "center_deg")},
        },
        examples={"fine": np.stack(examples)},
    )
