"""The engine's sections of a config: what every probe's study has. A probe's own sections inherit from them.

Every option of the config is defined here or in a probe's config.py, and nowhere else: its type, default, unit, limits
and text. docs/config.md is written from them.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from limelight.section import Either, Index, Name, Names, Number, Section, SomeNames, Whole
from limelight.study.posteriors import Posterior, Stream
from limelight.study.saliency import SaliencyRun

SPLITS = ("train", "validation", "test")


class FlatCosmology(Section):
    """Flat ΛCDM: a ready-made section. The defaults are those of the Peak Patch light-cones of arXiv:1905.10376."""

    omega_m: Number = Field(0.286, gt=0, le=1, description="Matter density today.")
    omega_b: Number = Field(0.047, gt=0, le=1, description="Baryon density today.")
    h: Number = Field(0.70, gt=0.1, le=2, description="Hubble constant over 100 km/s/Mpc.")
    ns: Number = Field(0.96, gt=0, le=2, description="Spectral index.")
    sigma8: Number = Field(0.82, gt=0, le=3, description="RMS of the linear density in 8 Mpc/h spheres.")


class Training(Section):
    """How networks train. The study's own `training` is the default of every network's."""

    loss: Literal[
        "mse",
        "mae",
        "log_cosh",
        "msle",
        "poisson",
        "negative_binomial",
        "cross_entropy",
        "gaussian",
        "poisson_field",
        "negative_binomial_field",
        "adversarial",
    ] = Field(
        "mse",
        description="Mean square, mean absolute, log-cosh or mean squared log error of the target; or the likelihood of"
        " counts, empty bins included (of target dn, log10_1p); or, for a classifier, that of the class; or, of images,"
        " that of a Gaussian whose mean and variance the network answers, pixel by pixel. Of images of counts:"
        " poisson_field and negative_binomial_field, whose mean (and dispersion) it answers cell by cell; adversarial, a"
        " critic's judgement, of probes that have one.",
    )
    optimizer: Literal["adam", "adamw", "sgd"] = Field(
        "adamw", description="Plain SGD is here only to show how it fails."
    )
    learning_rate: Number = Field(2.0e-3, gt=0, description="Peak learning rate.")
    momentum: Number = Field(0.0, ge=0, lt=1, description="Of SGD.")
    weight_decay: Number = Field(1.0e-2, ge=0, description="Of AdamW and SGD.")
    schedule: Literal["constant", "one_cycle", "cosine", "steps"] = Field(
        "one_cycle",
        description="How the learning rate changes over all steps; steps: a tenth of it after 1/3, 1/2, 2/3 and 5/6 of"
        " them.",
    )
    warmup: Number = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of all steps over which constant and cosine rise to the peak; one_cycle rises over 30 %"
        " anyway.",
    )
    ema_decay: Number = Field(
        0.0,
        ge=0,
        lt=1,
        description="Validate and keep an exponential average of the weights, with this decay per step; 0 keeps the"
        " weights themselves.",
    )
    batch_size: Whole = Field(16, ge=1, description="Rows (maps) per step.")
    epochs: Whole = Field(12, ge=1, description="Epochs in all.")
    steps_per_epoch: Whole = Field(0, ge=0, description="0: every training row once per epoch.")
    clip_norm: Number = Field(1.0, ge=0, description="Largest gradient norm; 0 means no clipping.")
    precision: Literal["float32", "bf16"] = Field("float32", description="Of the forward and backward pass.")
    fresh_draws: Whole = Field(
        0,
        ge=0,
        description="From the second epoch on, rows that are simulated anew for each epoch teach instead of the stored"
        " ones: so many of each field of a training realisation. 0: the stored rows teach every epoch.",
    )
    max_maps: Whole = Field(0, ge=0, description="Use only the first this many training rows; 0 means all.")
    permute_labels: bool = Field(
        False, description="Shuffle the labels among the training rows (the control that must fail)."
    )


class Target(Section):
    """What a network answers."""

    standardise: bool = Field(
        True, description="Subtract the training mean of each output and divide by its training spread."
    )


class Network(Section):
    """One network. A probe adds which datasets it learns from, and how they are observed."""

    datasets_key: ClassVar[str] = "datasets"  # what the config calls them here

    architecture: str = Field(
        description="A registered network: limelight, cnn2d, cnn3d, resnet3d, convnet, dense, healpix, counting, crossing,"
        " traces, antennas, statistics, kappa_small, kappa_residual, kappa_published, lenet,"
        " alexnet, vgg, googlenet, resnet; for images resunet, gated, local; for cubes of cells inception."
    )
    options: dict[str, object] = Field({}, description="Arguments of the architecture.")
    target: Target = Target()
    training: Training = Training()
    tests: SomeNames | None = Field(None, description="The tests it takes; without it all that it can read.")
    initialise_from: str | None = Field(
        None,
        description="Another network, of the same architecture and options, whose trained weights this one begins"
        " with; its last layer may differ.",
    )

    @property
    def datasets(self) -> list[str]:
        """The datasets that it trains on."""
        raise NotImplementedError

    @property
    def classifies(self) -> bool:
        """Whether it answers classes."""
        return False

    @property
    def tells_datasets_apart(self) -> bool:
        """Whether these classes are its datasets; otherwise they stand in the rows' truths."""
        return self.classifies


class NetworkTest(Section):
    """One test: a dataset, on its test realisations, observed in one way."""

    dataset_key: ClassVar[str] = "dataset"  # what the config calls it here

    @property
    def dataset(self) -> str:
        """The dataset whose test realisations it shows."""
        raise NotImplementedError

    @property
    def beside(self) -> list[str]:
        """Names of the probe's estimators that stand beside its networks (limelight.evaluation.estimates)."""
        return []


class Sweep(Section):
    """Tables of networks: one for every combination of some keys' values. In a comparison a sweep's name stands for all its
    networks."""

    like: str = Field(description="The entry of networks that each starts from.")
    name: str | None = Field(None, description="What their names begin with; without it the name of `like`.")
    over: dict[str, object] = Field(
        description="Dotted key of a network to its values. A list {options.layers: [4, 5]} names networks"
        " like_layers4, like_layers5; a mapping {target: {phi: {quantity: phi}}} names them by its labels, like_phi."
        " The key . is the whole entry."
    )


class Comparison(Section):
    """One figure of several networks or tests: figures/comparisons/<name>.pdf."""

    figure: str = Field(description="A registered figure; an unknown name lists all that there are.")
    networks: SomeNames | None = Field(
        None, description="Networks, or sweeps, in the order shown; without it all networks."
    )
    tests: SomeNames | None = Field(
        None, description="Tests shown of each network that takes them; without it all it takes."
    )
    runs: SomeNames | None = Field(
        None,
        description="Runs of `saliency`, in the order shown, for saliency_strides and saliency_reach, which compare these"
        " and not networks.",
    )
    caption: str = Field("", description="What the report says below the figure.")


class Thresholds(Section):
    """What makes a verdict; docs/audit.md justifies each number."""

    min_maps: Whole = Field(20, ge=1, description="With fewer test maps no output gets a verdict.")
    partly_r_squared: Number = Field(
        0.2, ge=0, le=1, description="Share of the truths' variance explained, below which an output is remembered."
    )
    reads_r_squared: Number = Field(0.5, ge=0, le=1, description="The share from which it can be read.")
    partly_gain: Number = Field(
        1.2, ge=1, description="Gain over the training mean and over the control, below which an output is remembered."
    )
    reads_gain: Number = Field(1.5, ge=1, description="The gain from which it can be read.")
    unchanged: Number = Field(
        1.0e-3,
        ge=0,
        description="Root mean square change, in units of the encoded answer (dex), that an output may show where its"
        " probe says that none is right, to be read.",
    )


AllOrNone = Literal["all", "none"]


class Audit(Section):
    """Whether networks read their maps or repeat what they remember: audit/<network>.h5, .csv and a page (docs/audit.md)."""

    networks: Annotated[AllOrNone | Names, Either("all, none, or a list of different names")] = Field(
        "all",
        description="Networks to audit: all (but classifiers and those on permuted labels), none, or a list of names.",
    )
    control: bool = Field(
        False,
        description="Train each audited network's recipe once more on permuted labels, as <network>-permuted, and"
        " compare.",
    )
    maps: Whole = Field(400, ge=0, description="Test maps of each dataset, evenly chosen; 0 means all.")
    response_maps: Whole = Field(24, ge=1, description="Test maps that are dimmed or get more sources.")
    thresholds: Thresholds = Thresholds()


class Figures(Section):
    """Which figures are drawn, and of which rows."""

    each_network: SomeNames | None = Field(
        None, description="Figures drawn of every network; without it all that there are."
    )
    maps: list[Index] = Field([0, 1, 2], description="Test maps shown one by one; slices are stored of the first four.")
    layers: Names = Field(
        [],
        description="Networks whose first filters are drawn, and what their layers make of the first of `maps` under"
        " their first test.",
    )
    tensorboard: bool = Field(
        False,
        description="Whether each training also writes event files for TensorBoard, a point an epoch, beside its"
        " history.csv (networks/<name>/events; needs the extra tensorboard).",
    )


class Resources(Section):
    """What jobs ask of a scheduler, beyond what limelight estimates from the config."""

    training_threads: Whole = Field(
        2, ge=1, description="CPU threads of training; part of the settings, for the bytes depend on it."
    )
    gpus: Whole = Field(
        0,
        ge=0,
        description="GPUs a training job asks for; several train one network together, each on its part of every"
        " batch. With any, evaluations, audits and posteriors ask for one, too; with 0 all stays on the CPU.",
    )
    memory_factor: Number = Field(1.0, gt=0, description="Multiplies every memory estimate.")
    runtime_factor: Number = Field(1.0, gt=0, description="Multiplies every runtime estimate.")


class Study(Section):
    """A resolved study. A probe's study narrows the types of networks, tests and so on to its own, and adds its sections."""

    splits_key: ClassVar[str] = "realisations"  # what the config calls the section of the splits
    datasets_key: ClassVar[str] = "datasets"  # and that of the datasets

    probe: str = Field(description="The probe: what is simulated and observed (limelight/probes).")
    study: Name = Field(description="Name of the study; results land in results/<study>.")
    seed: Whole = Field(20190524, ge=0, description="Every random stream of the study depends on it.")
    training: Training = Training()
    networks: dict[Name, Network] = Field(min_length=1, description="Networks to train, by name.")
    posteriors: dict[Name, Posterior] = Field(
        {}, description="Posteriors to train as heads on trained networks, by name (docs/inference.md)."
    )
    streams: dict[Name, Stream] = Field(
        {}, description="Fresh simulations that posteriors learn from, by name (docs/inference.md)."
    )
    tests: dict[Name, NetworkTest] = Field(
        min_length=1, description="What each network is tested on, always on the test realisations."
    )
    comparisons: dict[Name, Comparison] = Field(
        {}, description="Figures of several networks or tests at once, figures/comparisons/<name>.pdf."
    )
    audit: Audit = Audit()
    saliency: dict[Name, SaliencyRun] = Field(
        {},
        description="What networks look at, by the name of the run (docs/saliency.md). A single run may stand here without a"
        " name, `saliency: {network: mine}`, and has that of its network.",
    )
    figures: Figures = Figures()
    resources: Resources = Resources()

    @property
    def splits(self) -> dict[str, list[int]]:
        """The realisations that train, choose and judge, by split."""
        raise NotImplementedError

    @property
    def datasets(self) -> list[str]:
        """The names of all datasets."""
        raise NotImplementedError
