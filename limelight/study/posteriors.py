"""The config's sections `posteriors` and `streams`: kinds of posteriors, how they learn, and from what simulations."""

from typing import Literal

from pydantic import Field

from limelight.section import Number, Section, SomeNames, Whole

MEMBERS = "Heads, each with weights and a training of its own; the mean of their densities answers."


class Mdn(Section):
    """Of kind mdn: a mixture density head."""

    members: Whole = Field(1, ge=1, le=16, description=MEMBERS)
    components: Whole = Field(4, ge=1, le=64, description="Gaussians in the mixture.")
    rank: Whole = Field(6, ge=0, le=32, description="Of each component's correlations between bins or parameters.")
    hidden: Whole = Field(256, ge=1, description="Width of its layers.")
    layers: Whole = Field(2, ge=1, le=8, description="Hidden layers.")
    dropout: Number = Field(0.1, ge=0, lt=1, description="Share of values dropped in training.")
    loss: Literal["log_likelihood", "crps"] = Field(
        "log_likelihood", description="crps scores each bin by itself, and so takes rank 0."
    )
    bounded: bool = Field(
        False,
        description="Cut the mixture off at the limits of the prior, where the probe has an even one: a Gaussian cannot end"
        " there. With rank 0 and log_likelihood, not with recalibrate.",
    )


class Npe(Section):
    """Of kind npe: neural posterior estimation with a flow."""

    members: Whole = Field(1, ge=1, le=16, description=MEMBERS)
    flow: Literal["nsf", "maf"] = Field("nsf", description="Neural spline or masked autoregressive flow.")
    transforms: Whole = Field(5, ge=1, le=32, description="Steps of the flow.")
    hidden: Whole = Field(64, ge=1, description="Width of the flow's networks.")
    embedding: Whole = Field(24, ge=1, description="Numbers that the features are squeezed to.")
    components: Whole = Field(8, ge=2, description="Principal components of log10(1 + N) that stand for the bins.")
    dropout: Number = Field(0.1, ge=0, lt=1, description="Share of values dropped in training.")


class Quantiles(Section):
    """Of kind quantiles: an ensemble of networks that learn quantiles of each output by the pinball loss."""

    members: Whole = Field(3, ge=1, le=16, description="Networks, each with weights of its own; their mean answers.")
    hidden: Whole = Field(256, ge=1, description="Width of their layers.")
    layers: Whole = Field(3, ge=1, le=8, description="Hidden layers.")
    dropout: Number = Field(0.0, ge=0, lt=1, description="Share of values dropped in training.")


class Imnn(Section):
    """Of kind imnn: information maximising compression."""

    simulations: Whole = Field(400, ge=40, description="Simulations at the prior's mean; half are held out.")
    derivatives: Whole = Field(
        100, ge=10, description="Pairs of simulations per parameter, below and above its mean; half are held out."
    )
    step: Number = Field(
        0.05,
        gt=0,
        description="How far below and above, in the prior's σ; refused where it is more than half of the posterior's.",
    )
    hidden: Whole = Field(128, ge=1, description="Width of its layers.")
    layers: Whole = Field(2, ge=1, le=8, description="Hidden layers.")
    steps: Whole = Field(2000, ge=1, description="Training steps at most.")
    learning_rate: Number = Field(1.0e-3, gt=0, description="Of Adam, falling to zero.")
    accept: Whole = Field(200, ge=20, description="Training presentations accepted as near enough.")
    adjust: bool = Field(True, description="Local-linear adjustment of what was accepted.")


class Smc(Section):
    """Of abc: smc (population Monte Carlo)."""

    maps: Whole = Field(
        20,
        ge=0,
        description="Maps of each test, evenly spread over it; 0 takes all. The number of a rival gives the rival's"
        " maps.",
    )
    fields: Whole = Field(
        64,
        ge=0,
        description="Training subfields to paint on, evenly spread; 0 takes all. They are held in memory.",
    )
    particles: Whole = Field(
        200, ge=40, description="Simulations accepted in each round; in the first, the nearest training presentations."
    )
    rounds: Whole = Field(4, ge=1, description="Rounds at most.")
    quantile: Number = Field(
        0.5, gt=0, lt=1, description="Of the last round's distances: those that the next one accepts."
    )
    least_acceptance: Number = Field(
        0.03,
        gt=0,
        le=1,
        description="Share of proposals accepted below which a round is given up; the answer is then the round before"
        " it.",
    )
    adjust: bool = Field(True, description="Local-linear adjustment of what was accepted.")


class PosteriorTraining(Section):
    """How the heads of mdn and npe train on the table of presentations."""

    epochs: Whole = Field(60, ge=1, description="Epochs at most.")
    patience: Whole = Field(
        10, ge=1, description="Training ends after this many epochs without a lower validation loss."
    )
    batch_size: Whole = Field(128, ge=2, description="Presentations per step.")
    learning_rate: Number = Field(1.0e-3, gt=0, description="Of AdamW, falling to zero.")
    weight_decay: Number = Field(1.0e-3, ge=0, description="Of AdamW.")


class Stream(Section):
    """Simulations by the ten thousand: each is shown to trained networks, and only what they make of it is kept."""

    networks: SomeNames = Field(
        description="Networks that are shown every simulation, each with its own noise; all of one and the same dataset."
    )
    files: Whole = Field(1, ge=0, description="Files of each training realisation; each is a job.")
    validation_files: Whole = Field(1, ge=0, description="Files of each validation realisation.")
    test_files: Whole = Field(0, ge=0, description="Files of each test realisation (benchmarks/streamed.py).")
    dataset: str | None = Field(
        None, description="Dataset that is simulated; without it that of the networks, from which alone heads learn."
    )
    draws: Whole = Field(
        40, ge=1, description="Simulations in one file: of each field of a realisation, for line maps of each subfield."
    )
    empty_share: Number | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of simulations that are shown as empty data under the same noise, with counts of 0.",
    )
    superposed_share: Number | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of simulations on which the light of one of the field before is laid, with the sum of their"
        " counts; of none on a file's first field.",
    )


class Posterior(Section):
    """One posterior: a head on a trained network."""

    network: str = Field(description="A name in networks: whose features it stands on, with its data and noise.")
    kind: Literal["mdn", "npe", "quantiles", "imnn"] = Field(
        description="Mixture density head, neural posterior estimation (a flow of sbi), quantiles of each output by itself"
        " (no draws), or IMNN compression with ABC."
    )
    of: Literal["target", "parameters"] = Field(
        "target",
        description="What mdn and npe answer: the network's target, or the simulation's parameters (imnn always the"
        " latter).",
    )
    tests: SomeNames | None = Field(
        None, description="Tests to draw intervals for; without it all that its network takes."
    )
    presentations: Whole = Field(
        8, ge=1, description="How often each training map is shown to the trunk, each time with fresh noise."
    )
    stream: str | None = Field(
        None,
        description="A name in streams: the head learns from its simulations instead of the stored maps, each shown once.",
    )
    stream_rows: Whole = Field(
        0, ge=0, description="Use only the first this many simulations of the stream to train on; 0 means all."
    )
    features: SomeNames | None = Field(
        None,
        description="Kinds of the network's features that the head sees, of a network that has several (counting: power,"
        " histogram, mean, soft_histogram, convolutions); without it all.",
    )
    samples: Whole = Field(500, ge=40, description="Draws kept of each test map's posterior.")
    fine_tune: Whole = Field(
        0,
        ge=0,
        description="Epochs in which the trunk trains on together with the head (not imnn); 0 leaves it as it is.",
    )
    abc: Literal["rejection", "smc"] = Field(
        "rejection",
        description="Of kind imnn: rejection compares a map with the training maps; smc simulates for every test map,"
        " painting on training light-cones at proposed parameters, and is slow.",
    )
    compression: str | None = Field(
        None,
        description="Of abc: smc: another posterior of kind imnn and the same network, whose trained compression it"
        " draws from; without it, it trains its own.",
    )
    empty_share: Number | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of presentations in which the head is shown empty data under the same noise, and counts of 0: of"
        " targets that are counts; a stream has its own. Without it the head never sees a map without light.",
    )
    superposed_share: Number | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of presentations in which the head is shown the light of two training maps in one, and the sum of"
        " their counts: of targets that are counts; a stream has its own. Answers then follow what a map holds beyond what"
        " one draw of the prior ties together.",
    )
    recalibrate: bool = Field(
        False,
        description="Widen or narrow draws or quantiles, bin by bin (draws of answers that are no counts along their"
        " principal axes), and move draws of counts to even ranks, until the validation realisations are covered as"
        " promised; reported as such.",
    )
    mdn: Mdn = Mdn()
    npe: Npe = Npe()
    quantiles: Quantiles = Quantiles()
    imnn: Imnn = Imnn()
    smc: Smc = Smc()
    training: PosteriorTraining = PosteriorTraining()
