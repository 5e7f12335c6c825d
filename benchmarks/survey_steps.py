#!/usr/bin/env python3
"""The same sky as a survey's file and as a study's simulation: by how much do they differ, and in which step?

Halos of a light-cone shine at some times the brightness of fiducial Li. Their light goes through benchmarks.mock_survey,
which takes modes off among its 256 channels, and is brought onto a study's voxels; and through limelight's painter, beam,
noise and pipeline, as scripts/plan.py sets them. A row for each brightness, number of channels (a plan has the survey's
own) and way: the mean difference in ln P of shells, and the root mean square, over shells and over bins of the one-point
function, of differences in units of the noise's own scatter; and by how much the clean light differs from the file's, as a
share of its rms, but for RIM pixels. Ways: `again`, other noise and ripples in the file; `study`, as simulated; `sky`,
with the file's own clean sky; `no modes`, the study without its modes.

example: python -m benchmarks.survey_steps --lightcone results/survey_mocks/lightcones/0.h5 --output steps.csv
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import mock_survey
from limelight.cosmology import Cosmology
from limelight.errors import plain_errors
from limelight.files import write_csv
from limelight.halos.catalogue import HaloCatalogue, read_catalogue, tangent_plane_deg
from limelight.networks.classical import Classical, classical
from limelight.probes.line_intensity.config import Preprocessing
from limelight.probes.line_intensity.inputs import Recorded, network_inputs
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.config import Filter
from limelight.probes.line_intensity.maps.grid import Grid
from limelight.probes.line_intensity.maps.paint import paint
from limelight.probes.line_intensity.maps.survey import SurveyMap, save_survey
from limelight.probes.line_intensity.maps.weighted import light_weights, onto
from limelight.probes.line_intensity.pipeline import make_pipeline
from limelight.probes.line_intensity.shards import line_header, pool_map
from limelight.probes.line_intensity.survey_plan import Wanted, filter_of

SIDE_DEG, PIXELS, FINE = 1.4, 42, 2  # of the study's field; fine pixels along one of its own
LABELS = {"log10_lum_min": 3.5, "log10_lum_max": 7.0, "bins": 49}
LEAST_WAVES, LAYOUT = 2, 11
RIM = 3  # pixels, into which the beam carries light from beyond


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lightcone", type=Path, required=True)
    parser.add_argument("--depth", choices=tuple(mock_survey.DEPTH_UK), default="future")
    parser.add_argument("--brightness", type=float, nargs="+", default=[0.3, 1, 4, 16], help="times fiducial Li's")
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--draws", type=int, default=4, help="of noise and ripples")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    halos, rows = read_catalogue(args.lightcone), []
    transfer = args.output.with_suffix(".transfer.csv")
    write_csv(transfer, mock_survey.transfer(), digits=6)
    for brightness in args.brightness:
        sky, clean = skies(halos, brightness, args.channels, args.depth, args.output)
        files = [[survey_of(args.depth, sky, (k, i)) for i in range(args.draws)] for k in range(2)]
        for channels in args.channels:
            about = {"depth": args.depth, "brightness": brightness, "channels": channels}
            for way, one in ways(files, sky, clean[channels], channels, args, transfer).items():
                rows.append(about | {"way": way} | one)
                print(rows[-1], flush=True)
    write_csv(args.output, rows, digits=4)


def skies(
    halos: HaloCatalogue, times: float, channels: list[int], depth: str, output: Path
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """(the mock's smoothed sky (x, y, channel), limelight's pooled sums of the same halos by number of channels)."""
    parameters = {name: mean for name, (mean, _) in get_model("li").parameters.items()}
    x, y, freq, log10_lum, light = mock_survey.sources(halos, parameters, (0.0, 0.0), np.random.default_rng(1))
    sky = mock_survey.painted(x, y, freq, times * light)
    places, half = tangent_plane_deg(halos.position_mpc), mock_survey.N * mock_survey.PIXEL_DEG / 2
    observed = mock_survey.REST_GHZ / (1 + halos.redshift_observed.astype(np.float64))
    low, high = mock_survey.BAND_GHZ
    inside = (np.abs(places[0]) < half) & (np.abs(places[1]) < half) & (observed >= low) & (observed < high)
    redshifts = halos.redshift[inside].astype(np.float64), halos.redshift_observed[inside].astype(np.float64)
    sky_deg, bright = np.column_stack(places)[inside], log10_lum + np.log10(times)
    made = {}
    for n in channels:
        grid, own = replace(grid_of(n), survey=str(output.with_suffix(f".{n}.survey.h5"))), survey_of(depth, sky, None)
        save_survey(grid.survey, onto(own, *edges_for(n)), light_weights(own, *edges_for(n)))
        cube = paint(sky_deg, *redshifts, bright, grid, np.zeros(2), Cosmology())
        made[n] = pool_map(cube, grid, mock_survey.BEAM_ARCMIN)
    return sky, made


def edges_for(channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the study's voxels, along x, y and frequency."""
    sides = np.linspace(-SIDE_DEG / 2, SIDE_DEG / 2, PIXELS + 1)
    return sides, sides, np.linspace(*mock_survey.BAND_GHZ, channels + 1)


def grid_of(channels: int) -> Grid:
    return Grid(SIDE_DEG, PIXELS * FINE, channels, *mock_survey.BAND_GHZ, mock_survey.REST_GHZ, pool_pixels=FINE)


def survey_of(depth: str, sky: np.ndarray, seed: tuple[int, int] | None) -> SurveyMap:
    """The file of a survey of this sky, and without a seed the sky itself, with its σ and mask."""
    sigma, seen = mock_survey.scan(depth, np.random.default_rng(LAYOUT))
    data = sky
    if seed is not None:
        rng = np.random.default_rng(seed)
        data = sky + mock_survey.standing_modes(sigma[seen].min(), rng) + sigma * rng.standard_normal(sky.shape)
        data = mock_survey.pipeline(data, sigma, seen)
    place = (np.arange(mock_survey.N) - (mock_survey.N - 1) / 2) * mock_survey.PIXEL_DEG
    low, high = mock_survey.BAND_GHZ
    freq = low + (high - low) * (np.arange(sigma.shape[2]) + 0.5) / sigma.shape[2]
    values, noise = np.where(seen, data, 0).astype(np.float32), np.where(seen, sigma, np.inf).astype(np.float32)
    return SurveyMap(values, noise, seen, place, place, freq, 4.5, 1.0, mock_survey.MODES, True, "mock", (0.0, 0.0))


def ways(
    files: list[list[SurveyMap]],
    sky: np.ndarray,
    clean: np.ndarray,
    channels: int,
    args: argparse.Namespace,
    transfer: Path,
) -> dict[str, dict[str, float]]:
    """How far each way lies from the files; see the top."""
    grid, n = grid_of(channels), FINE**2
    known = [[onto(one, *edges_for(channels)) for one in many] for many in files]
    own = onto(survey_of(args.depth, sky, None), *edges_for(channels))
    seen = torch.as_tensor(own.mask)[None]
    sigma = torch.as_tensor(np.where(own.mask, own.sigma_uk, 0) * n)[None]
    scale = float(sigma[seen].median())
    network = classical((2, PIXELS, PIXELS, channels), (49,), scale=scale, least_waves=LEAST_WAVES)
    shown = Preprocessing(transform="none", scale_uk=scale, remove_means="channels", inputs=["weight"])

    def summaries(maps: Tensor) -> Tensor:
        found = Recorded(torch.where(seen, maps, 0.0), sigma.expand(maps.shape), seen.expand(maps.shape))
        return network.summaries(network_inputs(found, shown))

    of_files = [summaries(torch.as_tensor(np.stack([one.temperature_uk for one in many])) * n) for many in known]
    planned = filter_of(files[0][0], Wanted("mock", transfer=str(transfer)))
    how = Filter.model_validate(planned | {"filters_noise": True})
    header = line_header(grid, mock_survey.BEAM_ARCMIN, LABELS, vars(Cosmology()))
    true = own.temperature_uk * n
    settings = {
        "study": (clean, how),
        "sky": (true, how),
        "no modes": (clean, how.model_copy(update={"pca_modes": 0})),
    }
    found = {"again": {**far(of_files[1], of_files[0], network), "light": 0.0}}
    for way, (light, setting) in settings.items():
        pipeline, random = make_pipeline(setting, grid, header), torch.Generator().manual_seed(1)
        maps = pipeline.before_noise(torch.as_tensor(light)[None].repeat(args.draws, 1, 1, 1), random)
        maps = maps + sigma * pipeline.shape_noise(torch.randn(maps.shape, generator=random))
        maps = pipeline.after_noise(Recorded(torch.where(seen, maps, 0.0), sigma, seen))
        within = (slice(RIM, -RIM), slice(RIM, -RIM))
        off, power = (np.square(one[within])[own.mask[within]].mean() for one in (light - true, true))
        found[way] = {**far(summaries(maps), of_files[0], network), "light": float(np.sqrt(off / power))}
    return found


def far(made: Tensor, files: Tensor, network: Classical) -> dict[str, float]:
    """Differences of summaries (draws, S): of ln P, and in units of their scatter over the draws."""
    off = made.mean(dim=0) - files.mean(dim=0)
    scatter = ((made.var(dim=0) + files.var(dim=0)) / 2).sqrt().clamp(min=1e-3)
    power, histogram = network.kinds["power"], network.kinds["histogram"]
    return {
        "ln_power": float(off[power].mean()),
        "power_sigma": float((off / scatter)[power].square().mean().sqrt()),
        "histogram_sigma": float((off / scatter)[histogram].square().mean().sqrt()),
    }


if __name__ == "__main__":
    with plain_errors():
        main()
