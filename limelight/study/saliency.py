"""The config's section `saliency`: which networks are explained, which of their answers, and by which methods."""

from typing import Annotated, Literal

from pydantic import Field

from limelight.section import Different, Either, Index, Name, Number, Numbers, Section, SomeNames, Whole

MethodName = Literal[
    "gradient",
    "smoothgrad",
    "input_x_gradient",
    "integrated_gradients",
    "deeplift",
    "guided_backprop",
    "deconvolution",
    "occlusion",
    "ablation",
]
Place = Annotated[list[Index], Field(min_length=1)]
Region = Annotated[list[Annotated[list[Index], Field(min_length=2, max_length=2)]], Field(min_length=1)]


class Answer(Section):
    """One number that a network's answer is made into, and that is explained: a weighted sum of some outputs. Without keys
    it is the sum of all."""

    outputs: Annotated[
        Numbers | SomeNames, Either('outputs by number (a list, or a range such as "0-7"), or by name')
    ] | (None) = Field(None, description="Of a vector or of classes: which outputs are added up; without it all.")
    weights: list[Number] | None = Field(None, description="What each of these outputs is multiplied by; without it 1.")
    channel: Index | None = Field(None, description="Of an image: which of its channels; without it all.")
    pixel: Place | None = Field(None, description="Of an image: one pixel, a number for each axis.")
    region: Region | None = Field(
        None, description="Of an image: a block of pixels, [first, last] for each axis; neither pixel nor region: all."
    )
    signs: Literal["same", "random"] = Field(
        "same",
        description="random: every output's sign is drawn afresh for each row, so that the mean of the squared saliency is"
        " the sum of every output's own; outputs then cannot cancel.",
    )


class SaliencyThresholds(Section):
    """What condemns a method on a network; docs/saliency.md justifies each number."""

    randomised: Number = Field(
        0.3,
        ge=0,
        le=1,
        description="Rank correlation with the picture of the network with all weights drawn afresh (or of the control),"
        " from which a method ignores what was learned.",
    )
    completeness: Number = Field(
        0.05,
        gt=0,
        description="Largest error of a method that promises to add up to the change of the answer, relative.",
    )
    shift: Number = Field(
        0.7,
        ge=-1,
        le=1,
        description="Rank correlation with the picture of the same network behind a constant shift of the data, below"
        " which a method depends on where zero is.",
    )


class SaliencyRun(Section):
    """What one network looks at: saliency/<name>.h5, .csv and figures (docs/saliency.md)."""

    network: str = Field(description="A name in networks.")
    test: str | None = Field(
        None, description="The test whose rows and noise it is shown; without it the first whose noise it knows."
    )
    answers: dict[Name, Answer] = Field(
        {}, description="What is explained, by name; without it `all`, the sum of outputs."
    )
    methods: Annotated[list[MethodName], Field(min_length=1), Different] = Field(
        [
            "gradient",
            "smoothgrad",
            "input_x_gradient",
            "integrated_gradients",
            "deeplift",
            "guided_backprop",
            "deconvolution",
        ],
        description="Methods, in the order shown.",
    )
    maps: Whole = Field(16, ge=2, description="Test rows that pictures are averaged over, evenly chosen.")
    checked_maps: Whole = Field(4, ge=2, description="Rows, of these, on which methods are put to the test.")
    baseline: Literal["empty", "mean"] = Field(
        "empty",
        description="What integrated gradients, DeepLIFT, occlusion and ablation compare with: empty data under the row's"
        " own noise, or each channel's mean.",
    )
    steps: Whole = Field(32, ge=4, le=4096, description="Of integrated gradients.")
    smooth_samples: Whole = Field(16, ge=2, le=4096, description="Noisy copies that SmoothGrad averages.")
    smooth_sigma: Number = Field(0.15, gt=0, description="Their noise, in standard deviations of the data.")
    window: Whole = Field(
        0, ge=0, description="Side of the windows of occlusion and ablation in pixels; 0: an eighth of each axis."
    )
    control: bool = Field(
        False,
        description="Train the network's recipe once more on permuted labels, as <network>-permuted, and compare.",
    )
    interventions: bool = Field(
        True, description="Compare what the gradient expects of the audit's changes of data with what the network does."
    )
    thresholds: SaliencyThresholds = SaliencyThresholds()
