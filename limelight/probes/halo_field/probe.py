"""What the engine asks of halo fields."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from limelight.cosmology import Cosmology
from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header, Rows
from limelight.data.targets import FieldTarget
from limelight.errors import problem
from limelight.probe import Probe
from limelight.probes.halo_field.config import Boxes, HaloNetwork, HaloStudy, HaloTest
from limelight.probes.halo_field.layout import CHANNELS, LEAST_PARTICLES, particle_mass, shown_channels
from limelight.seeds import torch_seed
from limelight.study.cost import StageCost
from limelight.summaries.scales import Scales, scales_of

if TYPE_CHECKING:  # what computes is loaded by the methods that call it: a config is read without torch
    from limelight.probes.halo_field.boxes import PairedBox
    from limelight.probes.halo_field.presentation import BoxPresentation

K_EDGES = (0.04, 0.1, 0.2, 0.35, 0.55, 0.8)  # 1/Mpc, up to the Nyquist wave number of the cells
HALO_COLUMNS = ("x_mpc", "y_mpc", "z_mpc", "vx_kms", "vy_kms", "vz_kms", "mass_msun")
LAST_START = 15.0  # redshift: the particle mesh begins at 19


@dataclass(frozen=True)
class BoxSettings:
    """What decides the shards of a dataset."""

    seed: int
    data: Boxes


class HaloField(Probe):
    """Boxes of 2LPT density; a painter puts halos into their cells."""

    name = "halo_field"
    study = HaloStudy
    figures_of_each_network = ("loss_history", "image_examples", "reconstruction")
    headline = "image_examples"

    def check(self, study: HaloStudy) -> Iterator[str]:
        for name, data in study.data.items():
            edges, where = data.mass_edges_msun, f"data.{name}"
            if sorted(set(edges)) != edges:
                yield str(problem(f"{where}.mass_edges_msun", edges, "masses that rise", "sort them"))
            least = (LEAST_PARTICLES - 0.5) * mass_of_particle(data)
            if edges[0] < least:
                expected = f"{least:.3g} Msun or more: halos have {LEAST_PARTICLES} particles"
                yield str(
                    problem(f"{where}.mass_edges_msun", f"{edges[0]:.3g}", expected, "raise it, or take more particles")
                )
            if data.files is not None and "{realisation}" not in data.files:
                yield str(problem(f"{where}.files", data.files, "{realisation} in the path", "name one file for each"))
            if data.files is None and data.particles % data.cells:
                found, expected = f"{data.particles} and {data.cells} cells", "a multiple of the cells"
                yield str(problem(f"{where}.particles", found, expected, "change one"))
            if data.redshift > LAST_START:
                yield str(problem(f"{where}.redshift", data.redshift, f"{LAST_START:g} at most", "lower it"))
            if data.cosmology.omega_b >= data.cosmology.omega_m:
                expected = f"less than omega_m ({data.cosmology.omega_m:g})"
                yield str(problem(f"{where}.cosmology.omega_b", data.cosmology.omega_b, expected, "lower it"))
        if sorted(set(study.judging.k_edges)) != study.judging.k_edges:
            yield str(problem("judging.k_edges", study.judging.k_edges, "wave numbers that rise", "sort them"))
        for name in sorted({test.data for test in study.tests.values()} & set(study.data)):
            highest = math.sqrt(3) * math.pi * study.data[name].cells / study.data[name].side_mpc
            if max(study.judging.k_edges[:-1]) > highest:
                found = f"a shell that begins at {max(study.judging.k_edges[:-1]):g}/Mpc"
                expected = f"{highest:.3g}/Mpc at most, the shortest wave of {name}'s cells"
                yield str(problem("judging.k_edges", found, expected, "leave it out, or take more cells"))
        yield from self._check_bias(study)

    def _check_bias(self, study: HaloStudy) -> Iterator[str]:
        if study.bias is None:
            return
        if study.bias.data not in study.data:
            yield str(problem("bias.data", f"'{study.bias.data}'", f"one of {', '.join(study.data)}", "name one"))
        if study.bias.boxes > len(study.splits["train"]):
            expected = f"{len(study.splits['train'])} at most, the training boxes"
            yield str(problem("bias.boxes", study.bias.boxes, expected, "lower it, or add realisations"))
        for model in study.bias.calibration:
            if model not in study.bias.models:
                expected = f"of {', '.join(study.bias.models)}, the models that are fitted"
                yield str(problem("bias.calibration", f"'{model}'", expected, "leave it out, or fit it"))

    def dataset_settings(self, study: HaloStudy, dataset: str) -> BoxSettings:
        return BoxSettings(study.seed, study.data[dataset])

    def observation_settings(self, study: HaloStudy, entry: HaloNetwork | HaloTest) -> dict:
        return {}

    def rows_per_realisation(self, study: HaloStudy, dataset: str) -> int:
        return 1

    def stage_costs(self, study: HaloStudy) -> dict[str, StageCost]:
        """Measured on one core: a box of 128³ particles takes 35 s with 32 steps."""
        size = max((data.particles / 128) ** 3 * (8 + data.steps) / 40 for data in study.data.values())
        boxes = len(study.splits["test"]) * len(study.tests) * len(study.networks)
        fits = 0
        if study.bias:
            fits = len(study.bias.models) * len(study.bias.likelihoods) * study.bias.chains
            fits += sum(study.bias.calibration.values()) / 10
        return {
            "simulate": StageCost(20 + 40 * size, 800 + 1500 * size, 4 * size),
            "painted": StageCost(30 + 20 * boxes, 2000, 1),
            "bias": StageCost(30 + 120 * fits, 1500, 10),
        }

    # Data

    def header(self, settings: BoxSettings) -> Header:
        data = settings.data
        sides = tuple(Axis(name, "Mpc", 0.0, data.side_mpc, data.cells) for name in ("z", "y", "x"))
        geometry = {"side_mpc": data.side_mpc, "cells": data.cells, "lpt_waves": data.lpt_waves}
        truths = {"total": "halos per cell", "bands": {"halos per cell and mass band, Msun": data.mass_edges_msun}}
        return Header(self.name, sides, CHANNELS, "overdensity; redshift", geometry, truths)

    def source_files(self, settings: BoxSettings, realisation: int) -> list[str]:
        files = settings.data.files
        return [] if files is None else [files.replace("{realisation}", str(realisation))]

    def simulate(self, settings: BoxSettings, dataset: str, realisation: int) -> Rows:
        from limelight.probes.halo_field.boxes import paired_box
        from limelight.probes.halo_field.foreign import read_box

        if settings.data.files is not None:
            box = read_box(*self.source_files(settings, realisation), settings.data)
            return self.rows_of(box, settings, dataset, realisation)
        data, seed = settings.data, torch_seed(settings.seed, "phases", realisation) % 2**31
        cosmology = Cosmology(**dict(data.cosmology))
        size = data.side_mpc, data.particles, data.cells
        box = paired_box(*size, data.redshift, cosmology, seed, data.steps, data.lpt_waves)
        return self.rows_of(box, settings, dataset, realisation)

    def rows_of(self, box: PairedBox, settings: BoxSettings, dataset: str, realisation: int) -> Rows:
        """The shard of one box."""
        from limelight.probes.halo_field.boxes import halo_counts

        data, halos = settings.data, box.halos
        counts = halo_counts(halos, np.array(data.mass_edges_msun), data.side_mpc, data.cells)
        redshift = np.full_like(box.lpt, data.redshift)
        table = np.zeros((most_halos(data), len(HALO_COLUMNS)), np.float32)
        if len(halos.mass) > len(table):
            expected = f"{len(table)} at most, a quarter of all mass in the smallest halos"
            raise problem(f"data.{dataset}", f"{len(halos.mass)} halos in a box", expected, "take fewer particles")
        table[: len(halos.mass)] = np.column_stack([halos.position, halos.velocity, halos.mass])
        return Rows(
            header=self.header(settings),
            x=np.stack([box.lpt, box.evolved, redshift])[None].astype(np.float32),
            y={"total": counts.sum(axis=0)[None, None], "bands": counts[None]},
            theta=np.array([[data.cosmology.sigma8, data.redshift]]),
            parameter_names=["sigma8", "redshift"],
            group=np.array([realisation]),
            dataset=np.array([dataset]),
            rows={"halos": table[None], "velocity_kms": box.velocity[None].astype(np.float32)},
        )

    # Training

    def target(self, network: HaloNetwork, header: Header) -> FieldTarget:
        name = network.target.halos
        edges = header.truths["bands"]["halos per cell and mass band, Msun"]
        bands = [f"{low:.2g}–{high:.2g} Msun" for low, high in zip(edges[:-1], edges[1:], strict=True)]
        channels = tuple(bands) if name == "bands" else ("halos",)
        return FieldTarget((name,), OutputAxis("map", channels=channels), (len(channels), *header.shape[1:]))

    def input_shape(self, network: HaloNetwork, header: Header) -> tuple[int, ...]:
        channels = shown_channels(network.shear, network.redshift, network.noise_channels)
        return (channels, *header.shape[1:])

    def presentation(self, network: HaloNetwork, observation: dict, header: Header) -> BoxPresentation:
        from limelight.probes.halo_field.presentation import BoxPresentation

        shown = (network.density, network.shear, network.redshift, network.noise_channels)
        return BoxPresentation(self.target(network, header), *shown)

    def adversary(self, network: HaloNetwork, scale, header: Header):
        from limelight.probes.halo_field.critic import adversary

        return adversary(network.critic, scale, self.scales(header).bins)

    # Judging

    def scales(self, header: Header) -> Scales:
        longest = 2 * np.pi / header.geometry["side_mpc"]
        shortest = np.pi * header.geometry["cells"] / header.geometry["side_mpc"]
        inner = [edge for edge in K_EDGES if longest < edge < shortest]
        return scales_of(header.axes, np.array([0.9 * longest, *inner, max(1.02 * shortest, 1.2 * longest)]))


def mass_of_particle(data: Boxes) -> float:
    """Msun."""
    return particle_mass(data.side_mpc, data.particles, Cosmology(**dict(data.cosmology)))


def most_halos(data: Boxes) -> int:
    """Rows of a shard's table of halos: a quarter of all mass, all of it in the smallest."""
    return max(1, data.particles**3 // (4 * LEAST_PARTICLES))


PROBE = HaloField()
