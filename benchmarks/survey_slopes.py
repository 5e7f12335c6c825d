#!/usr/bin/env python3
"""Are halos that are added to surveys' maps found again, in the bins that the audit of the network clears?

A row per luminosity bin: the audit's verdict at this noise, and over the maps the mean slope of the answers, the map's mean
weight in them, and mean and scatter of the slope without the prior (docs/your_map.md). A bin is cleared where the audit says
that the network reads it and at least half of the maps weigh more than the prior: the audit looks at the network's own
answer, which has no prior to fall back on, and what one map of eight says is no mean.

example: python -m benchmarks.survey_slopes --posterior results/mine/posteriors/mdn/posterior.pt \\
    --audit results/mine/audit/survey.h5 --injections results/mine/shards/li_prior/34.h5 --maps kept/*.survey.h5 \\
    --output slopes.csv
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from limelight.errors import plain_errors
from limelight.evaluation.audit_file import read_audit
from limelight.evaluation.verdicts import READS, warning
from limelight.files import write_csv
from limelight.inference.posteriors.posterior import load_posterior
from limelight.probes.line_intensity.maps.survey import load_survey
from limelight.probes.line_intensity.survey_report import CLEARED, inject


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("posterior", "audit", "injections", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--maps", type=Path, nargs="+", required=True, help="on the voxels of the posterior's study")
    args = parser.parse_args()
    torch.set_num_threads(1)
    posterior, audit = load_posterior(args.posterior), read_audit(args.audit)
    warning(audit, posterior.info, args.audit)  # refuses that of another network
    made = [inject(posterior, load_survey(path), args.injections, path) for path in args.maps]
    table = rows_of(made, audit.verdict, posterior.target.edges)
    write_csv(args.output, table, digits=4)
    read = [row for row in table if row["audit"] == READS]
    cleared = [row["slope_without_prior"] for row in read if 2 * row["maps"] >= len(made)]
    held = sum(CLEARED[0] <= slope <= CLEARED[1] for slope in cleared)
    print(
        f"{len(made)} maps; the audit says that {len(read)} of {len(table)} bins are read; in {len(cleared)} of them at"
        f" least half of the maps weigh more than the prior, and the slope without it is 1 ± 0.1 in {held}"
    )


def rows_of(made: list, verdict: np.ndarray, edges: np.ndarray) -> list[dict]:
    """Over the maps of which a slope without the prior is given: means, and the scatter of that slope."""
    own = np.array([one.data_slope for one in made])
    slope, weight = (np.array([getattr(one, name) for one in made]) for name in ("slope", "weight"))
    rows = []
    for j in range(own.shape[1]):
        given = np.isfinite(own[:, j])
        mean = {name: values[given, j].mean() if given.any() else np.nan for name, values in
                (("slope", slope), ("weight", weight), ("slope_without_prior", own))}  # fmt: skip
        scatter = own[given, j].std(ddof=1) if given.sum() > 1 else np.nan
        about = {"log10_lum": (edges[j] + edges[j + 1]) / 2, "audit": str(verdict[j]), "maps": int(given.sum())}
        rows.append(about | mean | {"scatter_of_maps": scatter})
    return rows


if __name__ == "__main__":
    with plain_errors():
        main()
