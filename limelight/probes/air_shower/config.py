"""The config of a study of air showers."""

from typing import Literal

from pydantic import Field

from limelight.section import Name, NonNegative, Number, Pair, Positive, Section, Whole
from limelight.study.data_study import DataNetwork, DataStudy, DataTest
from limelight.study.sections import Target

Transient = Literal["ringdown", "burst", "sparks", "chirp"]


class Station(Section):
    """Antenna and receiver. Voltages are in units of the rms of all noise: galactic, receiver's, digitiser's and lines."""

    sampling_mhz: Positive = Field(500.0, description="Samples per microsecond.")
    band_mhz: Pair = Field([50.0, 200.0], description="Ends of the filter's band.")
    sky_k: NonNegative = Field(60.0, description="Sky temperature at 300 MHz, K; it falls as ν^−2.55.")
    receiver_k: NonNegative = Field(300.0, description="Noise temperature of the receiver, K.")
    digitiser_k: Positive = Field(
        20.0, description="White noise after the filter, K: it fills the spectrum beyond the band."
    )
    lines_mhz: list[Positive] = Field(
        [91.3, 98.7, 104.9], max_length=100, description="Carriers, each with a Rayleigh amplitude and a random phase."
    )
    lines_power: NonNegative = Field(0.1, description="Mean power of each carrier over that of sky and receiver.")


class Array(Section):
    """Antennas on a square grid of uneven ground, each with a clock of its own."""

    side: Whole = Field(5, ge=2, le=30, description="Antennas along each side.")
    size_km: Positive = Field(1.0, description="Length of a side.")
    relief_m: NonNegative = Field(50.0, description="σ of the antennas' heights.")
    distance_km: Pair = Field([3.0, 300.0], description="Distance of the source, even in its logarithm.")
    zenith_deg: Pair = Field([20.0, 80.0], description="Zenith angles, even on the sphere between these limits.")
    amplitude_scatter: NonNegative = Field(0.3, description="σ of ln of the amplitude from antenna to antenna.")


class Traces(Section):
    """One dataset: traces of a station, or events of an array of such stations."""

    samples: Whole = Field(512, ge=32, le=8192, description="Of a trace.")
    rows: Whole = Field(4000, ge=2, description="Traces, or events of an array, per realisation.")
    showers: Number = Field(0.5, ge=0, le=1, description="Share of the traces that hold a pulse of a shower.")
    snr: Pair = Field([1.0, 5.0], description="Limits of an even peak of the filtered pulse over the noise's rms.")
    slope_mhz: Pair = Field([30.0, 300.0], description="f0 of the pulse's spectrum exp(−ν/f0), even in its logarithm.")
    window: Pair = Field(
        [0.25, 0.75], description="Where in the trace pulses and transients arrive, even, as shares of it."
    )
    transients: list[Transient] = Field([], description="Kinds of interference that traces without a shower may hold.")
    transient_share: Number = Field(
        0.5, ge=0, le=1, description="Share of these traces that do, where there are kinds."
    )
    transient_peak: Pair = Field(
        [3.0, 10.0], description="Limits of their peak over the noise's rms, even in its logarithm."
    )
    array: Array | None = Field(
        None, description="Antennas of an array, whose events all hold a shower; without it one antenna."
    )


class ShowerTarget(Target):
    """What a network answers."""

    answer: Literal["kind", "direction"] = Field(
        "kind",
        description="kind: noise or shower, of one antenna. direction: unit vector towards the source, of an array.",
    )


class Curriculum(Section):
    """Training begins with stronger pulses."""

    lift: NonNegative = Field(0.0, description="Added to the peak over rms of every pulse at the first step.")
    over: Number = Field(0.5, gt=0, le=1, description="Share of the training over which it falls evenly to zero.")


class ShowerNetwork(DataNetwork):
    """A network that tells showers from noise, or whence they came."""

    target: ShowerTarget = ShowerTarget()
    clock_ns: NonNegative = Field(10.0, description="σ of the clocks of an array that it is shown its events with.")
    curriculum: Curriculum = Curriculum()
    whiten: bool = Field(
        True,
        description="Of one antenna: show traces whitened by the noise's covariance, which a station measures all the time.",
    )

    @property
    def classifies(self) -> bool:
        return self.target.answer == "kind"

    @property
    def tells_datasets_apart(self) -> bool:
        return False


class ShowerTest(DataTest):
    """Traces or events of one dataset."""

    clock_ns: NonNegative = Field(10.0, description="σ of the clocks of an array.")


class Judging(Section):
    """Networks beside what is known without one: `beside/triggers.csv`, `beside/directions.csv` (docs/air_shower.md)."""

    noise_traces: Whole = Field(
        100_000, ge=1000, description="Traces of noise alone that thresholds are set on, simulated as they go."
    )
    traces: Whole = Field(
        2000, ge=100, description="Traces with a pulse at each SNR, and with a transient of each kind."
    )
    snr: list[Positive] = Field(
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], min_length=1, description="Peak over rms at which efficiency is told."
    )
    rates: list[Positive] = Field(
        [1e-1, 1e-2, 1e-3, 1e-4], min_length=1, description="Rates of false positives, per trace."
    )


class ShowerStudy(DataStudy):
    """A study of air showers."""

    probe: Literal["air_shower"] = Field(description="The probe: what is simulated and observed.")
    station: Station = Station()
    judging: Judging = Judging()
    data: dict[Name, Traces] = Field(min_length=1, description="Named sets of traces.")
    networks: dict[Name, ShowerNetwork] = Field(min_length=1, description="Networks to train, by name.")
    tests: dict[Name, ShowerTest] = Field(min_length=1, description="What each network is tested on.")
