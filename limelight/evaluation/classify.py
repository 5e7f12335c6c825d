"""How well a classifier tells line models apart: probabilities of every test map, and the confusion matrix."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from limelight.errors import problem
from limelight.evaluation.predict import check_geometry, observed, presentation_of_test
from limelight.files import attribute, check_finite, read_hdf5, write_hdf5

KIND = "classification"


@dataclass
class Classification:
    """One classifier on the test maps of its k line models, under each of its s noise settings."""

    network: str
    classes: list[str]  # (k,) line models
    noise: list[str]  # (s,) names of settings
    probability: np.ndarray  # (s, m, k), each row sums to 1
    truth: np.ndarray  # (m,) number of the line model that painted the map
    lightcone: np.ndarray  # (m,)

    def confusion(self, setting: int) -> np.ndarray:
        """(k, k) counts of maps by the model that painted them (rows) and the one that is most probable (columns)."""
        k = len(self.classes)
        return np.bincount(self.truth * k + self.probability[setting].argmax(axis=1), minlength=k * k).reshape(k, k)

    def accuracy(self, setting: int) -> float:
        """Share of maps whose line model is told."""
        return float(np.mean(self.probability[setting].argmax(axis=1) == self.truth))


def classify(module: nn.Module, info: dict, settings: dict, data, device: str = "cpu") -> Classification:
    """Show a classifier the test maps of its line models.

    info: of load_model; settings: stage_settings(study, "classification", network); data: PooledMaps of test light-cones.
    Raises LimelightError for a network that answers luminosity functions, and for maps that are not those of the test.
    """
    classes, names = info["target"].get("classes", []), list(settings["noise"])
    if not classes:
        raise problem(f"network {info['network']}", "a luminosity function", "a classifier", "evaluate it instead")
    check_geometry(data.geometry, info["geometry"], "test maps")
    for what, found, known in (
        ("light-cones", data.lightcone, settings["splits"]["test"]),
        ("line models", data.line_model, classes),
    ):
        strange = sorted(set(np.asarray(found).tolist()) - set(known))
        if strange:
            raise problem(
                "test maps", f"{what} {strange}", f"those among {known}", "give the files that the config names"
            )
    probability = []
    for name in names:
        test = {"noise": settings["noise"][name], "foregrounds": settings["foregrounds"]}
        how = presentation_of_test(info, {"test": test, "instrument": settings["instrument"]})
        with torch.no_grad():
            batches = observed(data.maps, how, settings["seed"], f"noise {name} of classification")
            odds = [module(inputs.to(device)).double().softmax(dim=1).cpu().numpy() for inputs in batches]
        probability.append(np.concatenate(odds))
    truth = np.array([classes.index(model) for model in np.asarray(data.line_model).tolist()])
    return Classification(
        info["network"], list(classes), names, np.array(probability), truth, np.asarray(data.lightcone)
    )


def in_words(result: Classification) -> str:
    """The accuracy under each noise in one line, beside that of always answering the most frequent model."""
    shares = [f"{result.accuracy(i):.1%} under {name}" for i, name in enumerate(result.noise)]
    chance = np.bincount(result.truth).max() / len(result.truth)
    return f"classifier {result.network}: {', '.join(shares)} of {len(result.truth)} maps told ({chance:.1%} by chance)"


def write_classification(path: str | Path, result: Classification, attributes: dict[str, object]) -> None:
    """Write a classification file."""
    header = {"network": result.network, "classes": result.classes, "noise": result.noise, "summary": in_words(result)}
    attributes = {**attributes, **{f"classification_{key}": value for key, value in header.items()}}
    with write_hdf5(path, KIND, attributes, in_memory=True) as file:
        for name in ("probability", "truth", "lightcone"):
            file[name] = check_finite(np.asarray(getattr(result, name)), f"{path}: {name}")


def read_classification(path: str | Path) -> Classification:
    """Read a classification file; refuses files of another kind, damaged or ragged, in one line."""
    with read_hdf5(path, KIND, ("probability", "truth", "lightcone")) as file:
        header = {name: attribute(file, f"classification_{name}") for name in ("network", "classes", "noise")}
        arrays = {name: file[name][...] for name in ("probability", "truth", "lightcone")}
    expected = (len(header["noise"]), len(arrays["truth"]), len(header["classes"]))
    if check_finite(arrays["probability"], f"{path}: probability").shape != expected:
        raise problem(path, f"probabilities {arrays['probability'].shape}", f"{expected}", "classify again")
    return Classification(**header, **arrays)
