#!/usr/bin/env python3
"""Are halos that are added to surveys' maps found again, in the bins that the audit of the network clears?

A row per luminosity bin: the audit's verdict at this noise, and over the maps that are like training the mean slope of the
answers, that of answers to simulated maps under the same noise and pipeline, by how much the two differ from map to map, the
map's mean weight and the slope without the prior (docs/your_map.md). A bin is cleared where the audit says that the network
reads it and simulated maps have a slope of 1 ± 0.1, over at least half of the maps: the audit looks at the network's own
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
from limelight.inference.posteriors.misspecification import UNLIKE
from limelight.inference.posteriors.posterior import Posterior, load_posterior
from limelight.probes.line_intensity.apply import posterior_table
from limelight.probes.line_intensity.apply_survey import prepare_survey
from limelight.probes.line_intensity.maps.survey import SurveyMap, load_survey
from limelight.probes.line_intensity.survey_injections import inject
from limelight.probes.line_intensity.survey_report import CLEARED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("posterior", "audit", "injections", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--maps", type=Path, nargs="+", required=True, help="on the voxels of the posterior's study")
    args = parser.parse_args()
    torch.set_num_threads(1)
    posterior, audit = load_posterior(args.posterior), read_audit(args.audit)
    warning(audit, posterior.info, args.audit)  # refuses that of another network
    surveys = {path: load_survey(path) for path in args.maps}
    alike = {path: one for path, one in surveys.items() if p_of(posterior, one, path) >= UNLIKE}
    made = [inject(posterior, one, args.injections, path) for path, one in alike.items()]
    table = rows_of(made, audit.verdict, posterior.target.edges)
    write_csv(args.output, table, digits=4)
    read = [row for row in table if row["audit"] == READS and 2 * row["maps"] >= len(made)]
    followed = sum(abs(row["slope"] - row["slope_simulated"]) <= CLEARED for row in read)
    cleared = [row["slope"] for row in read if abs(row["slope_simulated"] - 1) <= CLEARED]
    held = sum(abs(slope - 1) <= CLEARED for slope in cleared)
    print(
        f"{len(made)} of {len(surveys)} maps are like training (p of {UNLIKE:g} or more); the audit says that {len(read)} of"
        f" {len(table)} bins are read, with light enough in half of the maps; the slope is within 0.1 of that of simulated"
        f" maps in {followed}; that is 1 ± 0.1 in {len(cleared)}, where the slope is 1 ± 0.1 in {held}"
    )


def p_of(posterior: Posterior, survey: SurveyMap, where: Path) -> float:
    """Whether a map is like the training maps: of others a page says not to use the result, and they prove nothing here."""
    cube, noise = prepare_survey(survey, posterior.info, where)
    return posterior_table(posterior, cube, noise=noise)[1]


def rows_of(made: list, verdict: np.ndarray, edges: np.ndarray) -> list[dict]:
    """Means over the maps in which added light raises the counts enough, and the scatter of slope less simulated slope."""
    names = {"slope": "slope", "slope_simulated": "expected", "weight": "weight", "slope_without_prior": "data_slope"}
    found = {name: np.array([getattr(one, kind) for one in made]) for name, kind in names.items()}
    off = found["slope"] - found["slope_simulated"]
    rows = []
    for j in range(off.shape[1]):
        given = np.isfinite(off[:, j])
        about = {"log10_lum": (edges[j] + edges[j + 1]) / 2, "audit": str(verdict[j]), "maps": int(given.sum())}
        for name, values in found.items():
            some = values[given & np.isfinite(values[:, j]), j]
            about[name] = some.mean() if len(some) else np.nan
        rows.append(about | {"scatter_of_maps": off[given, j].std(ddof=1) if given.sum() > 1 else np.nan})
    return rows


if __name__ == "__main__":
    with plain_errors():
        main()
