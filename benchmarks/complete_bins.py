"""In which luminosity bins the catalogue holds all sources, by line model: what a luminosity function cannot be asked.

example: python -m benchmarks.complete_bins --config config/streamed.yaml --results results/streamed
             --output docs/results/complete_bins.csv

Draws of each line model's prior, within its mean temperatures, on the subfields of the validation light-cones, as streams
paint them. A bin of a map is complete if the catalogue's lightest halos are fainter (lines.completeness).
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from limelight.errors import plain_errors
from limelight.files import write_csv
from limelight.probes.line_intensity.labels import log10_lum_edges, quantity
from limelight.probes.line_intensity.lines.completeness import complete_from
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.settings import fine_grid, shard_settings
from limelight.probes.line_intensity.simulations import fresh_rows
from limelight.section import plain
from limelight.study.config import load_study

PART = 10_001  # number of a file that no stream has
FEWEST = 20  # complete maps of which a spread is given


def bins_of(name: str, edges: np.ndarray, counts: np.ndarray, limits: np.ndarray) -> list[dict]:
    """One row per bin, from counts (m, d) and the log10 L (m,) above which each map's catalogue is complete.

    range_95_*: of log10(1 + N) over maps, in dex; of all, and of those that are complete in the bin.
    """
    rows = []
    for i, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        whole, log_counts = limits <= low, np.log10(1 + counts[:, i])
        row = {"line_model": name, "luminosity_lsun": 10 ** ((low + high) / 2), "maps": len(limits)}
        row |= {"complete": whole.mean(), "range_95_all": np.ptp(np.quantile(log_counts, [0.025, 0.975]))}
        if whole.sum() >= FEWEST:
            row["range_95_complete"] = np.ptp(np.quantile(log_counts[whole], [0.025, 0.975]))
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--results", type=Path, required=True, help="its folder of results, with subfields")
    parser.add_argument("--output", type=Path, required=True, metavar="T.csv", help="table to write")
    parser.add_argument("--draws", type=int, default=20, help="of each subfield")
    args = parser.parse_args()
    torch.set_num_threads(1)
    study, rows = load_study(args.config), []
    edges, band = log10_lum_edges(plain(study.labels)), fine_grid(study).redshift_range
    for name in ("li_full", "padmanabhan", "power_law"):
        settings, counts, limits = shard_settings(study, name), [], []
        model = get_model(settings.maps.dataset.model, settings.maps.dataset.parameters)
        for number in study.splits["validation"]:
            for made in fresh_rows(settings, number, PART, args.draws, [args.results / "subfields" / f"{number}.h5"]):
                counts.append(quantity(made.y["n_above"][:, : len(edges)], edges, made.y["volume_mpc3"], "dn"))
                drawn = (dict(zip(made.parameter_names, values, strict=True)) for values in made.theta.tolist())
                limits += [complete_from(model, values, study.lightcones.mass_min_msun, band) for values in drawn]
        rows += bins_of(name, edges, np.concatenate(counts), np.array(limits))
    write_csv(args.output, rows, digits=4)


if __name__ == "__main__":
    with plain_errors():
        main()
