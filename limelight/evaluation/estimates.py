"""Estimators that stand beside networks: what a field has used so far, on the very rows that a test shows its networks.

A probe names them (`Probe.estimators`), a test says which of them to run, and `estimates/{test}.h5` keeps what came of it:
spectra of all rows beside the truth, and the first rows as pictures. An estimator may be slow; it runs once for each test,
not once for each network.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from limelight.data.axes import OutputAxis, axis_from
from limelight.data.shard import Rows
from limelight.data.targets import FieldTarget
from limelight.errors import one_line, problem
from limelight.evaluation.metrics import ImageSums
from limelight.evaluation.observe import noise_of_test, observed
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5
from limelight.probe import Probe
from limelight.progress import progress
from limelight.study.settings import EstimatesSettings
from limelight.summaries.reconstruction import Spectra, joined, spectra_of

KIND = "estimates"
SPECTRA = ("predicted", "truth", "cross")


@dataclass(frozen=True)
class Estimator:
    """Images from recorded data, without a network."""

    truth: str  # the name in the shards of what it estimates, one channel
    estimate: Callable[[Tensor], Tensor]  # recorded data (b, channels, *axes) -> estimates (b, *axes)


@dataclass
class Estimates:
    """Estimators on one test."""

    test: str
    scales: OutputAxis
    truths: dict[str, str]  # estimator -> what it estimates
    spectra: dict[str, Spectra]  # (m, bins)
    group: np.ndarray  # (m,) realisation of each row
    pictures: dict[str, np.ndarray] = field(default_factory=dict)  # (k, *axes) of the first rows
    more: dict[str, dict[str, np.ndarray]] = field(
        default_factory=dict
    )  # estimator -> what the probe keeps, (m, …) each

    def of_rows(self) -> dict[str, np.ndarray]:
        """What the probe keeps of each row, as <estimator>_<name>."""
        return {f"{name}_{key}": values for name, kept in self.more.items() for key, values in kept.items()}


@torch.no_grad()
def estimates(settings: EstimatesSettings, probe: Probe, found: Rows, device: str = "cpu") -> Estimates:
    """Run the estimators of a test on its rows."""
    header, seed, stage = found.header, settings.seed, noise_of_test(settings.test)
    scales, made = probe.scales(header), probe.estimators(settings.entry, settings.observation, header)
    bins = scales.bins.to(device)
    shown = max(map(len, found.examples.values()), default=min(4, len(found)))
    parts: dict[str, list] = {name: [] for name in made}
    pictures: dict[str, list] = {name: [] for name in made}
    kept: dict[str, list] = {name: [] for name in made}
    done, recorded = 0, probe.recorder(settings.observation, header)
    for x in progress(observed(found.x, recorded, seed, stage), "estimates"):
        for name, estimator in made.items():
            answer = estimator.estimate(x.to(device)).double()
            if not torch.isfinite(answer).all():
                raise problem(f"estimator {name}", "estimates that are not finite", "numbers", "look at its data")
            truth = torch.as_tensor(found.y[estimator.truth][done : done + len(x)], device=device).double()
            parts[name].append(spectra_of(answer[:, None], truth.view(len(x), 1, *answer.shape[1:]), bins).channel(0))
            answer = answer.cpu().numpy()
            pictures[name].append(answer[: max(0, shown - done)].astype(np.float32))
            rows = slice(done, done + len(x))
            kept[name].append(probe.image_rows((estimator.truth,), answer[:, None], found.x[rows], header))
        done += len(x)
    return Estimates(
        test=settings.test,
        scales=scales.axis,
        truths={name: estimator.truth for name, estimator in made.items()},
        spectra={name: joined(some) for name, some in parts.items()},
        group=found.group,
        pictures={name: np.concatenate(some) for name, some in pictures.items()},
        more={
            name: {key: np.concatenate([one[key] for one in some]) for key in some[0]} for name, some in kept.items()
        },
    )


def check_rows(settings: EstimatesSettings, found: Rows) -> None:
    """Refuse rows of another dataset than the test's, and realisations that do not test."""
    datasets = sorted(set(found.dataset.tolist()))
    if datasets != [settings.entry.dataset]:
        expected = f"{settings.entry.dataset}, as tests.{settings.test} has it"
        raise problem("test data", f"dataset {', '.join(datasets)}", expected, "give its shards")
    if strange := sorted(set(found.group.tolist()) - set(settings.splits["test"])):
        expected = f"the study's test realisations {settings.splits['test']}"
        raise problem("test data", f"realisations {strange}", expected, "give the shards of the test split")


def beside(
    found: Estimates | None, images: ImageSums, target: FieldTarget, test: str
) -> dict[str, tuple[int, Spectra]]:
    """The estimators of what a network answers: (channel, spectra (m, bins)) of each.

    Raises LimelightError for estimates of other data than the network's.
    """
    if found is None:
        return {}
    count = {name: len(one) for name, one in found.spectra.items()}
    if found.test != test or found.scales != images.scales.axis or any(n != len(images) for n in count.values()):
        expected = f"those of {len(images)} rows of {test}, in the same shells"
        raise problem("estimates", f"estimates of {found.test}, rows {count}", expected, "make them again")
    channels = {name: target.names.index(truth) for name, truth in found.truths.items() if truth in target.names}
    for name, channel in channels.items():
        if not np.allclose(found.spectra[name].truth, images.spectra.truth[:, channel], rtol=1e-6):
            raise problem("estimates", f"{name} beside other truths", "the rows of this test", "make them again")
    return {name: (channel, found.spectra[name]) for name, channel in channels.items()}


def write_estimates(path: str | Path, found: Estimates, attributes: dict[str, object]) -> None:
    """Write an estimates file."""
    words = {"estimates_test": found.test, "estimates_scales": asdict(found.scales), "estimates_truths": found.truths}
    with write_hdf5(path, KIND, {**attributes, **words}, in_memory=True) as file:
        file["group"] = found.group
        for name, spectra in found.spectra.items():
            made = file.create_group(f"estimators/{name}")
            for part in SPECTRA:
                made[part] = getattr(spectra, part)
            made["pictures"] = found.pictures[name]
            for key, values in found.more[name].items():
                made[f"more/{key}"] = values


@one_line("an estimates file")
def read_estimates(path: str | Path) -> Estimates:
    """Read an estimates file; refuses files of another kind, truncated or damaged, in one line."""
    with read_hdf5(path, KIND, ("group", "estimators")) as file:
        test, truths = attribute(file, "estimates_test"), attribute(file, "estimates_truths")
        scales = axis_from(attribute(file, "estimates_scales"))
        spectra, pictures, more = {}, {}, {}
        for name in truths:
            arrays = _arrays(path, file, name)
            pictures[name] = arrays.pop("pictures")
            spectra[name] = Spectra(**arrays)
            kept = file[f"estimators/{name}"].get("more", {})
            more[name] = {key: check_finite(kept[key][...], f"{path}: {name}/more/{key}") for key in kept}
        return Estimates(test, scales, truths, spectra, file["group"][...], pictures, more)


def _arrays(path: str | Path, file: h5py.File, name: str) -> dict[str, np.ndarray]:
    """Spectra and pictures of one estimator."""
    place, wanted = f"estimators/{name}", (*SPECTRA, "pictures")
    if place not in file or any(part not in file[place] for part in wanted):
        raise problem(path, f"no {', '.join(wanted)} of estimator '{name}'", "a whole file", "make it again")
    found = {part: check_finite(file[f"{place}/{part}"][...], f"{path}: {place}/{part}") for part in wanted}
    shapes = {part: found[part].shape for part in SPECTRA}
    if len(set(shapes.values())) > 1 or len(found["truth"]) != len(file["group"]):
        raise problem(path, f"arrays of shapes {shapes} of '{name}'", "one shape", "make it again")
    return found
