"""The luminosity function of a user's own map, from the file to the table, with all that is to be said about it."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from limelight.errors import problem
from limelight.evaluation.audit_file import read_audit
from limelight.evaluation.verdicts import warning
from limelight.inference.posteriors.misspecification import UNLIKE, how_unlike
from limelight.inference.posteriors.posterior import load_posterior, views
from limelight.inference.posteriors.recalibrate import joint_in_words
from limelight.probes.line_intensity.apply import (
    bins_outside_training,
    incomplete_in_words,
    luminosity_function,
    posterior_table,
    prepare_cube,
    trained,
)
from limelight.probes.line_intensity.apply_survey import as_cube, is_survey_for, prepare_survey, read_like
from limelight.probes.line_intensity.doubts import doubts, unseen
from limelight.probes.line_intensity.inputs import CubeNoise
from limelight.probes.line_intensity.maps.fits import read_cube
from limelight.probes.line_intensity.maps.read_fits import is_fits, read_fits
from limelight.probes.line_intensity.maps.regrid import regrid
from limelight.probes.line_intensity.maps.survey_files.raw import Told
from limelight.training.checkpoint import load_model

ZERO_LEVEL = "the network uses the absolute zero level of the map: no mean or baseline may have been removed from it"
NO_ZERO_LEVEL = "the network needs no zero level: it takes the mean of {} off first"
MEANS_OF = {"channels": "every channel", "map": "the whole map"}  # preprocessing.remove_means


@dataclass(frozen=True)
class Options:
    """How a map is read."""

    index: int = 0  # which map of a limelight file
    reproject: bool = False  # bring a FITS cube onto the network's grid
    like: Path | None = None  # bring a survey's map onto the voxels of this survey file
    told: Told = field(default_factory=Told)  # what a survey's file does not say


@dataclass(frozen=True)
class Answer:
    """The luminosity function that a network or a posterior reads off a map."""

    table: dict[str, np.ndarray]  # columns.COLUMNS, (bins,) each; with a posterior QUANTILE_COLUMNS too
    notes: list[str]  # what was done to the map
    warnings: list[str]  # why the answer may be wrong
    info: dict  # what the model file says of the network
    p_value: float | None = None  # of the map among those of training; with a posterior alone
    models: dict[str, float] = field(
        default_factory=dict
    )  # probability of each line model that a posterior learnt from


def predict(
    cube: str | Path,
    network: str | Path | None = None,
    posterior: str | Path | None = None,
    options: Options | None = None,
    audit: str | Path | None = None,
) -> Answer:
    """Read the luminosity function off a map with a trained network, or with a posterior on one, which adds intervals.

    Parameters
    ----------
    cube
        FITS, a limelight maps file or shard, or a survey's map (docs/your_map.md): in µK, K or Jy/sr. Its field, band and
        beam must be those that the network was trained on.
    network
        model.pt of a network that answers a luminosity function.
    posterior
        posterior.pt, in its place.
    options
        How the map is read.
    audit
        The network's audit file: bins that it condemns are among the warnings.

    Returns
    -------
    Answer. Its table has the columns of columns.COLUMNS: luminosity_lsun, the middle of each bin in Lsun, dn, the number of
    sources in it, and so on. With a posterior dn is the median of the draws, and QUANTILE_COLUMNS are its intervals.

    Raises LimelightError for a map that the network cannot read, such as one of another geometry or with missing voxels.
    """
    if (network is None) == (posterior is None):
        raise problem("predict", "both or none of network and posterior", "one of them", "give one")
    cube, options = Path(cube), options or Options()
    if posterior is not None:
        if audit:
            raise problem("--audit", "an audit beside a posterior", "one beside --network", "leave it out")
        return _with_intervals(cube, posterior, options)
    module, info = load_model(network)
    warnings = list(filter(None, [warning(read_audit(audit), info, audit)])) if audit else []
    prepared, noise, notes, doubtful = _prepared(cube, info, options)
    table = luminosity_function(module, info, prepared, noise=noise)
    outside, bins = bins_outside_training(table, info), len(table["dn"])
    if outside > bins / 5:
        doubtful.append(
            f"in {outside} of {bins} bins the prediction lies outside the middle 95 % of the training maps: the network"
            " extrapolates, do not trust it"
        )
    notes += filter(None, [incomplete_in_words(table)])
    return Answer(table, notes, [*warnings, *doubtful], info)


def _with_intervals(cube: Path, path: str | Path, options: Options) -> Answer:
    """The answer of a posterior."""
    posterior = load_posterior(path)
    prepared, noise, notes, warnings = _prepared(cube, posterior.info, options)
    table, p = posterior_table(posterior, prepared, noise=noise)
    (warnings if p < UNLIKE else notes).append(f"this cube is {how_unlike(p)}")
    if posterior.content["recalibration"] is not None:
        notes.append("intervals recalibrated on the validation light-cones")
    warnings += filter(None, [joint_in_words(posterior.content)])
    notes += filter(None, [incomplete_in_words(table)])
    models = {}
    if posterior.which is not None:
        seen = views(posterior, trained(posterior.info).inputs(prepared, noise))["features"]
        models = dict(zip(posterior.datasets, posterior.dataset_probability(seen)[0].tolist(), strict=True))
        notes.append("line models: " + ", ".join(f"{name} {chance:.3g}" for name, chance in models.items()))
    return Answer(table, notes, warnings, posterior.info, p, models)


def _prepared(cube: Path, info: dict, options: Options) -> tuple[np.ndarray, CubeNoise | None, list[str], list[str]]:
    """(map as the network is to see it (x, y, f), its σ and mask, what was done to it, what is off about it)."""
    noise, told = None, options.told
    if is_survey_for(cube, info):
        if options.reproject or options.index:
            raise problem("--reproject, --map", "a survey's map", "--like for surveys", "leave them out")
        survey = read_like(cube, told, options.like)
        prepared, noise = prepare_survey(survey, info, cube)
        notes, found = [survey.source], doubts(as_cube(survey), prepared, info, noise)
    else:
        if options.like or any(told.said(but="hdu")):
            fix = "leave them out, or use a network of a study made for a survey (scripts/plan.py)"
            raise problem(cube, "options of a survey's map", "none for this file and network", fix)
        if options.reproject and not is_fits(cube):
            raise problem("--reproject", f"{cube}, which is no FITS", "a FITS cube", "leave it out")
        if options.reproject and options.index:
            raise problem("--map", f"{options.index} of a FITS file", "--hdu for FITS, --map for HDF5", "leave it out")
        if options.reproject:
            read, done = regrid(read_fits(cube, told.hdu), trained(info).header.geometry, cube)
            notes = [read.source, done]
        else:
            read = read_cube(cube, options.index, told.hdu)
            notes = [read.source]
        prepared, done = prepare_cube(read, info, cube)
        notes.append(done)
        found = doubts(read, prepared, info)
    removed = trained(info).network.preprocessing.remove_means
    zero_level = NO_ZERO_LEVEL.format(MEANS_OF[removed]) if removed else ZERO_LEVEL
    notes = [f"{cube}: {notes[0]}", zero_level, *notes[1:], unseen(prepared, info)]
    if "input_ranges" not in info:
        fix = "train it again with this limelight"
        notes.append(f"the model file holds no ranges to judge the cube's values by; {fix}")
    return prepared, noise, list(filter(None, notes)), [f"{cube}: {doubt}" for doubt in found]
