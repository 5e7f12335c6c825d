#!/usr/bin/env python3
"""Painted halos beside the generator's: their power and r against N-body halos, and networks tested on the other's maps.

halos: a box of the last test of the painter's study, by the particle mesh, by the painter and by the generator on the same
cells and phases: power over N-body's and r with N-body halos, the heaviest down to the same number density.
cross: a small study of line maps on light-cones of each source; each network is tested on maps of both.

example: python -m benchmarks.painted_cones halos --study config/halo_field_cones.yaml --painter model.pt --output halos.csv
example: python -m benchmarks.painted_cones cross --study config/halo_field_maps.yaml --painter model.pt --output cross.csv
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from limelight.cosmology import Cosmology
from limelight.data.shard import read_shards
from limelight.errors import plain_errors
from limelight.evaluation.predict import evaluate
from limelight.files import write_csv
from limelight.halos.box import HaloBox, generate_box
from limelight.halos.config import Lightcones
from limelight.halos.painted import paint_box
from limelight.halos.validation import overdensity_modes
from limelight.matter.particle_mesh import friends_of_friends, run_particle_mesh
from limelight.probe import load_probe
from limelight.probes.halo_field.config import Boxes
from limelight.probes.halo_field.layout import LEAST_PARTICLES
from limelight.section import plain
from limelight.seeds import torch_seed
from limelight.stages.simulate import simulate
from limelight.stages.train import train
from limelight.study.config import load_study, resolve_study
from limelight.study.settings import evaluation_settings
from limelight.training.checkpoint import load_model
from limelight.training.painter import load_painter

SHELLS = np.array([0.15, 0.3, 0.5, 0.7, 1.0, 1.4])  # 1/Mpc
DENSITIES = (6e-3, 2e-3, 5e-4)  # halos per Mpc³: about 1e11, 3e11 and 1e12 Msun at z = 2.9
DRAWS = 4  # of halos of the same density
MESH = 128
BINS = (4.4, 5.0, 5.5, 6.0)  # log10 L / Lsun that the table tells


def spectra(first: np.ndarray, second: np.ndarray, side_mpc: float) -> np.ndarray:
    """Mean of the cross power of two sets of modes in each shell, in the modes' own units."""
    axis, half = np.fft.fftfreq(MESH) * MESH, np.arange(MESH // 2 + 1)
    k = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + half**2) * 2 * np.pi / side_mpc
    weight = np.broadcast_to(np.where((half == 0) | (half == MESH // 2), 1.0, 2.0), k.shape).ravel()
    shell = np.digitize(k.ravel(), SHELLS)
    power = (first * second.conj()).real.ravel() * weight
    return (np.bincount(shell, power, len(SHELLS) + 1) / np.bincount(shell, weight, len(SHELLS) + 1))[1:-1]


def heaviest(position: np.ndarray, mass: np.ndarray, number: int) -> np.ndarray:
    """Places of so many halos, the heaviest."""
    return position[np.argsort(-mass, kind="stable")[:number]]


def halo_rows(data: Boxes, realisation: int, seed: int, painter_path: str) -> list[dict]:
    """Rows of the table of one box. Shot noise is subtracted from the power; r is that of the halos as they are."""
    side, z, cosmology = data.side_mpc, data.redshift, Cosmology(**dict(data.cosmology))
    phases = torch_seed(seed, "phases", realisation) % 2**31
    position, velocity, field = run_particle_mesh(side, data.particles, z, cosmology, phases, steps=data.steps)
    centre, _, members = friends_of_friends(position, velocity, side, least=LEAST_PARTICLES)
    painter = load_painter(painter_path)
    cones = Lightcones.model_construct(field_deg=1.0, mass_min_msun=2.5e10, cell_mpc=painter.cell_mpc)
    fine = cones.model_copy(update={"cell_mpc": 1.0})

    def made(draw: int) -> dict[str, HaloBox]:
        modes = field.modes
        return {
            "painter": paint_box(cones, painter, side, z, cosmology, draw, modes=modes),
            "generator": generate_box(cones, side, z, cosmology, draw, modes=modes),
            "generator, cells of 1 Mpc": generate_box(fine, side, z, cosmology, draw, modes=modes),
        }

    boxes = [made(draw) for draw in range(DRAWS)]
    rows = []
    for density in DENSITIES:
        number = round(density * side**3)
        true = overdensity_modes(heaviest(centre, members, number), side, MESH)
        noise = MESH**6 / number  # of a Poisson process, in the modes' units
        right = spectra(true, true, side)
        for name in boxes[0]:
            found = []
            for box in boxes:
                one = overdensity_modes(heaviest(box[name].position_mpc, box[name].mass_msun, number), side, MESH)
                own, cross = spectra(one, one, side), spectra(one, true, side)
                found.append([own - noise, cross / np.sqrt(own * right)])
            power, r = np.mean(found, axis=0)
            spread = np.std([one[0] for one in found], axis=0) / DRAWS**0.5
            for i, (low, high) in enumerate(zip(SHELLS[:-1], SHELLS[1:], strict=True)):
                clustered = right[i] - noise
                row = {"density_per_mpc3": density, "halos": name, "k_low": low, "k_high": high}
                rows.append(
                    row | {"power_ratio": power[i] / clustered, "draws_error": spread[i] / clustered, "r": r[i]}
                )
    return rows


def cross_rows(config: str, painter: str, folder: Path) -> list[dict]:
    """Rows of the cross-test: a network of each source on maps of both."""
    base = plain(load_study(config))
    studies, shards, models = {}, {}, {}
    for source in ("generate", "painted"):
        own = {"source": source, **({"painter": painter} if source == "painted" else {})}
        study = resolve_study({**base, "lightcones": {**base["lightcones"], **own}}, config)
        name, network = next(iter(study.networks.items()))
        (dataset,) = network.datasets
        start, shards[source] = time.process_time(), {}
        for split, numbers in study.splits.items():
            shards[source][split] = [folder / source / f"{number}.h5" for number in numbers]
            for number, path in zip(numbers, shards[source][split], strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                simulate(study, dataset, number, path)
        simulated = time.process_time() - start
        models[source] = folder / source / "model.pt"
        train(study, name, shards[source]["train"], shards[source]["validation"], models[source])
        print(f"{source}: {simulated:.0f} s to simulate, {time.process_time() - start - simulated:.0f} s to train")
        studies[source] = study, name
    rows = []
    for trained, (study, name) in studies.items():
        module, info = load_model(models[trained])
        test = next(iter(study.tests))
        for source in studies:
            found = read_shards(shards[source]["test"])
            settings = evaluation_settings(study, name, test)
            judged = evaluate(module, info, settings, load_probe(study.probe), found, {"epoch": np.array([1])})
            row = {"trained": trained, "tested": source, "maps": len(found)}
            row |= {key: judged.totals[key] for key in ("mse_dex", "gain_dex")}
            edges = np.array(judged.axis.edges)
            middle = 0.5 * (edges[1:] + edges[:-1])
            for at in BINS:
                i = int(np.argmin(np.abs(middle - at)))
                row |= {f"{q}_at_{at:g}": judged.statistics[q][i] for q in ("bias_median", "p2.5", "p97.5")}
                row[f"sources_at_{at:g}"] = judged.statistics["mean_counts"][i]
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["halos", "cross"])
    parser.add_argument("--study", required=True, help="YAML of the painter's study, or of the line study")
    parser.add_argument("--painter", required=True, help="model.pt")
    parser.add_argument("--output", required=True, help="CSV to write")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.what == "halos":
        study = load_study(args.study)
        data, (box, *_) = study.data[list(study.tests.values())[-1].data], study.splits["test"]
        rows = halo_rows(data, box, study.seed, args.painter)
    else:
        with tempfile.TemporaryDirectory() as folder:
            rows = cross_rows(args.study, args.painter, Path(folder))
    write_csv(args.output, rows, digits=4)
    for row in rows:
        print({key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()})


if __name__ == "__main__":
    with plain_errors():
        main()
