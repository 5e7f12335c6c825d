#!/usr/bin/env python3
"""Hold trained triggers against detectors without a network, or directions against fits (docs/air_shower.md).

example: python scripts/judge_showers.py --config config/air_shower.yaml --networks networks/*/model.pt \\
    --output beside/triggers.csv
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments
from limelight.device import DEVICES, pick_device
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument(
        "--networks",
        type=Path,
        nargs="+",
        required=True,
        metavar="MODEL.pt",
        help="its trained networks, all of one kind",
    )
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    parser.add_output("--output", metavar="B.csv", help="table; figures stand beside it", beside=(".pdf", ".png"))
    args = parser.parse_args()
    import torch

    from limelight.ancestry import check_made_from
    from limelight.figures.style import save
    from limelight.files import write_csv
    from limelight.probes.air_shower import beside, figures
    from limelight.study.config import load_study
    from limelight.study.settings import network_settings
    from limelight.training.checkpoint import load_model

    start = time.monotonic()
    study, device = load_study(args.config), pick_device(args.device)
    if study.probe != "air_shower":
        raise problem(args.config, f"a study of {study.probe}", "one of air_shower", "give another")
    modules = {}
    for path in args.networks:
        module, info = load_model(path, device)
        if info["network"] not in study.networks:
            raise problem(path, f"network {info['network']}", f"one of {', '.join(study.networks)}", "give others")
        check_made_from(path, info["provenance"], network_settings(study, info["network"]))
        modules[info["network"]] = module
    torch.set_num_threads(study.resources.training_threads)
    kinds = {study.networks[name].classifies for name in modules}
    if len(kinds) > 1:
        raise problem("--networks", "triggers and directions", "networks of one kind", "judge them apart")
    if kinds.pop():
        found = beside.judge_triggers(modules, study, device=device)
        columns, figure = beside.TRIGGER_COLUMNS, figures.trigger_figure(found)
    else:
        found = beside.judge_directions(modules, study, device=device)
        columns, figure = beside.DIRECTION_COLUMNS, figures.directions_figure(found)
    write_csv(args.output, found.table, 5, columns)
    save(figure, args.output)
    print(f"{args.output}: {len(found.table)} rows; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
