#!/usr/bin/env python3
"""Let a trained classifier say which line model painted each test map, under each of its noise settings.

example: python scripts/classify_maps.py --config config/models.yaml --network networks/classifier/model.pt \\
    --maps pooled/li/9.h5 pooled/padmanabhan/9.h5 --output classification/classifier.h5
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch  # noqa: E402

from limelight.device import DEVICES, pick_device  # noqa: E402
from limelight.errors import plain_errors, problem  # noqa: E402
from limelight.evaluation.classify import classify, in_words, write_classification  # noqa: E402
from limelight.files import provenance  # noqa: E402
from limelight.probes.line_intensity.maps.files import read_pooled  # noqa: E402
from limelight.study.config import load_study  # noqa: E402
from limelight.study.legacy import stage_settings  # noqa: E402
from limelight.training import load_model  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--network", type=Path, required=True, metavar="model.pt", help="trained classifier")
    parser.add_argument("--maps", type=Path, nargs="+", required=True, metavar="P.h5", help="pooled test maps")
    parser.add_argument("--output", type=Path, required=True, metavar="C.h5", help="classification file to write")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    start = time.monotonic()
    study = load_study(args.config)
    device = pick_device(args.device)
    module, info = load_model(args.network, device)
    if info["network"] not in study["networks"]:
        found, known = f"network '{info['network']}'", ", ".join(study["networks"])
        raise problem(args.network, found, f"one of {known}", "choose one")
    settings = stage_settings(study, "classification", info["network"])
    torch.set_num_threads(settings["threads"])
    result = classify(module, info, settings, read_pooled(args.maps), device)
    write_classification(args.output, result, provenance(settings, study["seed"]))
    print(f"{args.output}: {in_words(result)}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
