"""The config of a study of halo fields."""

from typing import Annotated, Literal

from pydantic import Field

from limelight.section import Different, Name, NonNegative, Positive, Section, Whole
from limelight.study.data_study import DataNetwork, DataStudy, DataTest
from limelight.study.sections import FlatCosmology, Target

Rising = Annotated[list[Positive], Field(min_length=2, max_length=30)]


class Boxes(Section):
    """One dataset: periodic boxes, each with the 2LPT density and the halos of a particle-mesh run of the same phases."""

    side_mpc: Positive = Field(128.0, description="Side of a box, Mpc.")
    particles: Whole = Field(128, ge=16, le=2048, description="Along each side, of the particle-mesh run.")
    cells: Whole = Field(32, ge=8, le=512, description="Along each side, of the fields.")
    redshift: NonNegative = Field(0.0, description="Of density and halos; at most 15.")
    steps: Whole = Field(
        32,
        ge=4,
        le=500,
        description="Of the particle mesh, equal in ln a from redshift 19. 32 find as many halos as 64 within 2 %; 20 take"
        " 0.6 of the time and lose 2 to 4 % of them at redshift 2.9, none at 0, where the power of matter at 0.65/Mpc is"
        " then 0.90 (with 32 steps 0.97) of that with 64.",
    )
    cosmology: FlatCosmology = FlatCosmology()
    files: str | None = Field(
        None,
        description="Boxes of another simulation in place of the particle mesh: the path of their HDF5 files, with"
        " {realisation} in it (docs/halo_field.md). `particles` is then that simulation's; `steps` and `lpt_waves` say"
        " nothing.",
    )
    lpt_waves: Literal["particles", "cells"] = Field(
        "particles",
        description="Waves of the 2LPT density: all that the particles know, or those that the cells hold, one particle in"
        " each, as light-cones have it: painters of light-cones learn from that (docs/halo_field.md).",
    )
    mass_edges_msun: Rising = Field(
        [8.0e11, 2.0e12, 6.0e12, 1.0e16],
        description="Edges of the mass bands, Msun, rising; the first is at least 19.5 particles' mass, for halos have 20.",
    )


class HaloTarget(Target):
    """What a network answers: counts of halos in cells."""

    halos: Literal["total", "bands"] = Field("total", description="total: of all masses; bands: of each mass band.")


class Critic(Section):
    """Of networks with the loss `adversarial`: the critic that trains beside them."""

    conditional: bool = Field(True, description="Whether it sees the density beside the halos.")
    sampled: bool = Field(
        True,
        description="Whether whole halos are drawn from the answer before it sees them; without, the mean itself is the"
        " painted field, as published.",
    )
    each: Whole = Field(5, ge=1, le=100, description="Updates of the critic for one of the network.")
    alone: Whole = Field(0, ge=0, description="Steps at the start in which the critic alone learns.")
    anchor: NonNegative = Field(
        0.0, description="Weight of −ln of the negative binomial likelihood per cell, beside the critic's judgement."
    )
    penalty: NonNegative = Field(10.0, description="Weight of the gradient penalty.")
    learning_rate: Positive = Field(1.0e-4, description="Of its Adam, β = (0.5, 0.999).")
    filters: Whole = Field(8, ge=1, le=512, description="Of its first layer.")


class HaloNetwork(DataNetwork):
    """A painter: a network that turns a density into counts of halos."""

    target: HaloTarget = HaloTarget()
    density: Literal["lpt", "evolved"] = Field(
        "lpt", description="The density it is shown: of 2LPT, or of the particle mesh itself (the ceiling)."
    )
    shear: bool = Field(False, description="Whether it is shown the local tidal shear, too.")
    redshift: bool = Field(False, description="Whether it is told the redshift, for datasets of several.")
    noise_channels: Whole = Field(
        0, ge=0, le=16, description="Fields of white noise that it is shown beside the density."
    )
    critic: Critic = Critic()


class HaloTest(DataTest):
    """Boxes of one dataset."""


class Judging(Section):
    """Painted halos beside the true ones, `painted/statistics.csv` and its figures (docs/halo_field.md)."""

    draws: Whole = Field(4, ge=2, le=100, description="Times that each box is painted.")
    k_edges: Rising = Field(
        [0.04, 0.1, 0.2, 0.35, 0.55, 0.8],
        description="Edges of the shells of wave number, 1/Mpc, rising. A shell in which a box has no wave has no row.",
    )


class Bias(Section):
    """Bias models of the halos of the training boxes, sampled with NUTS: `bias/…` (docs/halo_field.md)."""

    data: str = Field(
        description="Name of the dataset whose training boxes they are fitted to and test boxes judged on."
    )
    models: Annotated[list[Literal["power_law", "neural"]], Field(min_length=1), Different] = Field(
        ["power_law", "neural"], description="Truncated power law of 6 parameters; neural bias of 17."
    )
    likelihoods: Annotated[list[Literal["poisson", "negative_binomial"]], Field(min_length=1), Different] = Field(
        ["poisson", "negative_binomial"],
        description="Of the number of halos in a cell; the second has one parameter more.",
    )
    boxes: Whole = Field(1, ge=1, description="Training boxes that each is fitted to, the first of them.")
    chains: Whole = Field(4, ge=2, le=64, description="Chains of each model.")
    warmup: Whole = Field(200, ge=10, description="Steps of each chain that adapt and are thrown away.")
    samples: Whole = Field(300, ge=20, description="Steps of each chain that are kept.")
    tree_depth: Whole = Field(6, ge=1, le=12, description="Most doublings of a step's trajectory.")
    prior_sigma: Positive = Field(
        10.0,
        description="σ of the normal prior of each parameter of a bias model. Of some it is 0.1 to 0.3 times that"
        " (docs/halo_field.md).",
    )
    calibration: dict[Literal["power_law", "neural"], Annotated[Whole, Field(ge=20)]] = Field(
        {},
        description="Fits of simulated halos for simulation-based calibration of n(M|δ), of each model that is named, with"
        " the first of `likelihoods`.",
    )


class HaloStudy(DataStudy):
    """A study of halo fields."""

    probe: Literal["halo_field"] = Field(description="The probe: what is simulated and observed.")
    data: dict[Name, Boxes] = Field(min_length=1, description="Named sets of boxes.")
    networks: dict[Name, HaloNetwork] = Field(min_length=1, description="Networks to train, by name.")
    tests: dict[Name, HaloTest] = Field(min_length=1, description="What each network is tested on.")
    judging: Judging = Judging()
    bias: Bias | None = Field(None, description="Bias models to sample; without it none.")
