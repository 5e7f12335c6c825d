"""The section of a config that asks for a classical rival."""

from typing import Annotated, Literal

from pydantic import Field

from limelight.section import Different, Pair, Positive, Section, SomeNames, Whole


class RivalOptions(Section):
    """One classical rival: P(k) and voxel intensity distribution, MCMC over a line model (arXiv:1808.07487)."""

    line_model: str = Field(
        description="A name in line_models, of model li, comap or breysse: whose prior and mean_temperature_uk it"
        " samples under."
    )
    tests: SomeNames | None = Field(
        None,
        description="Tests whose maps it takes; without it all of one white noise, no foregrounds and no filter; of a"
        " rival that is observed, all with noise, of one depth or of a range.",
    )
    observed: bool = Field(
        False,
        description="For maps as surveys have them (uneven noise, masks, filters, foregrounds): power weighted by"
        " 1/σ², voxels counted in classes of σ, and a likelihood learned from the training maps of line_model, observed"
        " as those of the test. Its voxels are the networks'; it paints nothing.",
    )
    classes: Annotated[list[Positive], Different] = Field(
        [2.0, 4.0], description="If observed: limits of the classes of σ, over the least σ of the map; rising."
    )
    noise_units: Pair = Field(
        [-3.0, 20.0],
        description="If observed: T/σ between which voxels of each class are counted, in temperature_bins bins of equal"
        " asinh(T/σ). The outermost bins hold what lies beyond.",
    )
    maps: Whole = Field(0, ge=0, description="Maps of each test, evenly spread over it; 0 takes all.")
    pool_pixels: Whole = Field(
        4,
        ge=1,
        description="Fine pixels along each side of one of its voxels, which holds their mean; of the paper's 256 with"
        " one channel, 4 make about half a COMAP voxel.",
    )
    pool_channels: Whole = Field(1, ge=1, description="Fine channels in one of its voxels.")
    log10_k: Pair = Field(
        [-1.5, 0.0],
        description="Wave numbers, log10 of k in 1/Mpc, between which its shells lie.",
    )
    k_bins: Whole = Field(20, ge=1, description="Shells.")
    quadrupole: bool = Field(
        False,
        description="Whether it reads the quadrupole of P(k) about the line of sight beside the monopole; not if observed.",
    )
    min_modes: Whole = Field(
        10, ge=1, description="Modes, k and −k both counted, that a shell of a map must hold to be used."
    )
    temperature_uk: Pair = Field(
        [10.0, 100.0],
        description="Temperatures of its voxels, µK about the map's mean, between which voxels are counted.",
    )
    temperature_bins: Whole = Field(25, ge=1, description="Temperature bins; if observed, of each class of σ.")
    spacing: Literal["log", "linear"] = Field("log", description="Of the temperature bins.")
    realisations: Whole = Field(10, ge=2, description="Training subfields whose painted maps make the mean summaries.")
    nodes: Whole = Field(
        80,
        ge=10,
        description="Shapes of the line model that are painted; the emulator interpolates between them. li has 2"
        " coordinates of shape, comap 4: give it some 800. If observed: centres of the radial functions of the mean.",
    )
    simulations: Whole = Field(
        1000,
        ge=100,
        description="Maps of prior draws, for the local covariance and for its check. If observed: presentations of"
        " training maps, each with its own noise and symmetry, behind mean and covariance.",
    )
    covariance: Literal["local", "fiducial"] = Field(
        "local",
        description="fiducial: correlations of fiducial maps, rescaled by the variances at each step, as published;"
        " local: those of maps of nearby parameters.",
    )
    covariance_draws: Whole = Field(
        8,
        ge=1,
        description="Fiducial maps, each with its own scatter and noise, of every training subfield.",
    )
    neighbours: Whole = Field(200, ge=10, description="Maps of prior draws behind the local covariance at an anchor.")
    anchors: Whole = Field(40, ge=1, description="Places over the prior at which the local covariance is taken.")
    walkers: Whole = Field(32, ge=12, description="Of an ensemble of emcee.")
    steps: Whole = Field(800, ge=20, description="Of each ensemble, the first half burn-in.")
    validation_maps: Whole | None = Field(
        None,
        ge=20,
        description="If observed: maps of the validation light-cones whose posteriors recalibrate those of the tests and of"
        " a real map (docs/rival.md); without it draws are taken as they are.",
    )
    ensembles: Whole = Field(2, ge=2, description="Independent ensembles per map, compared for convergence.")
    samples: Whole = Field(500, ge=40, description="Draws kept of each map's posterior.")
