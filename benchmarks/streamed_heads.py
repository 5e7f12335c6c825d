"""The heads that benchmarks.streamed trains: on which network's features, and how each differs from the study's own."""

from collections.abc import Iterator
from dataclasses import dataclass

SUMMARIES = ("power", "histogram", "mean")


@dataclass(frozen=True)
class Head:
    """One head to train: on whose features, and how it differs from the study's own posterior of that network."""

    network: str
    kind: str = "quantiles"
    features: tuple[str, ...] = SUMMARIES
    rows: int = 0  # of the stream, the first; 0: all
    draws: int = 0  # of each subfield; 0: all; the others are a test of their own
    seed: int = 0  # added to the study's
    members: int = 3
    blind: bool = False  # features hidden: what the prior alone says
    recalibrated: bool = False  # to cover the validation light-cones
    validation_rows: int = 0  # simulations of these that recalibrate, the first; 0: all
    stream: str = ""  # that it learns from, of another line model than the network's own

    @property
    def name(self) -> str:
        rows = f"{self.rows or 'all'} rows" + f" of draws below {self.draws}" * bool(self.draws)
        parts = (self.network, self.kind, "+".join(self.features), rows, f"{self.members} of seed {self.seed}")
        on = f", recalibrated on {self.validation_rows or 'all'} rows" * self.recalibrated
        return ", ".join(parts) + ", blind" * self.blind + f", learnt from {self.stream}" * bool(self.stream) + on


MAIN = ("comap", "comap_unknown", "quiet")  # networks that are shown other line models as well
NETWORKS = (*MAIN, "season2", "season2_unknown", "half", "twice")
SAMPLED = (("comap", "prior"), ("comap", "fiducial"), ("quiet", "prior"), ("quiet", "fiducial"))  # by the rival as well
JOINT = [
    Head(network, "mdn", seed=1, members=1) for network in (*MAIN, "season2", "half", "twice")
]  # of all bins together
FEWER = (384, 1024)  # of the 2,048 that recalibrate: the first file of three light-cones, and of all eight
TABLED = [Head(network, recalibrated=done) for network in NETWORKS for done in (False, True)] + JOINT


def heads() -> Iterator[Head]:
    """All heads of the tables, the most needed first."""
    yield from TABLED
    for network in NETWORKS:
        yield from (Head(network, recalibrated=True, validation_rows=rows) for rows in FEWER)
    yield Head("comap", "mdn", seed=1, members=1, blind=True)
    for network in ("comap", "quiet"):
        yield Head(network, members=1, seed=1)
        for cut in (
            {"rows": 768},
            {"rows": 1536},
            {"draws": 24},
            {"features": ("power",)},
            {"features": ("histogram",)},
            {"features": ("power", "histogram")},
        ):
            yield Head(network, members=1, seed=1, **cut)


def pairs() -> Iterator[tuple[str, list[Head], list[Head]]]:
    """(what the first know beyond the second, the first, the second): compared map by map, seed by seed."""
    blind = [Head("comap", "mdn", seed=1, members=1, blind=True)]
    for network in MAIN[:1]:
        yield "mean temperature", [Head(network)], [Head(f"{network}_unknown")]
    for head in JOINT:
        yield "map over prior", [head], blind
