#!/usr/bin/env python3
"""Simulate one file of a stream: fresh data, shown to trained networks and thrown away; features and truths stay.

example: python scripts/make_stream.py --config config/streamed.yaml --stream comap --realisation 3 --part 0 \\
    --networks results/streamed/networks/*/model.pt --simulate-from results/streamed/subfields/3.h5 --output 3-0.h5
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments, whole
from limelight.device import DEVICES, pick_device
from limelight.errors import plain_errors, problem


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--stream", required=True, help="name of the stream in the config")
    parser.add_argument("--realisation", type=whole(0), required=True, metavar="N", help="which realisation")
    parser.add_argument("--part", type=whole(0), required=True, metavar="N", help="which of its files, from 0")
    parser.add_argument(
        "--networks", type=Path, nargs="+", required=True, metavar="model.pt", help="the networks of the stream"
    )
    parser.add_argument(
        "--simulate-from", type=Path, nargs="*", default=[], metavar="S.h5", help="what the probe simulates from"
    )
    parser.add_output("--output", metavar="T.h5", help="file of the stream to write")
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    import torch

    from limelight.files import provenance
    from limelight.inference.posteriors.stream import watch, watchers, write_part
    from limelight.probe import load_probe
    from limelight.progress import progress
    from limelight.study.config import load_study
    from limelight.study.settings import stream_settings
    from limelight.training.checkpoint import load_model

    start = time.monotonic()
    study = load_study(args.config)
    if args.stream not in study.streams:
        known = ", ".join(study.streams) or "none"
        raise problem("--stream", f"'{args.stream}'", f"one of the config's: {known}", "name one of them")
    stream = study.streams[args.stream]
    files = {"train": stream.files, "validation": stream.validation_files, "test": stream.test_files}
    known = {number: files[split] for split in files if files[split] for number in study.splits[split]}
    if args.realisation not in known:
        expected = f"one of {', '.join(split for split in files if files[split])}: {list(known)}"
        raise problem("--realisation", args.realisation, expected, "leave the others unseen")
    if args.part >= known[args.realisation]:
        expected = f"below {known[args.realisation]}, the files of realisation {args.realisation} in the config"
        raise problem("--part", args.part, expected, "raise them there")
    settings, probe = stream_settings(study, args.stream), load_probe(study.probe)
    torch.set_num_threads(1)  # files are jobs beside one another
    device, trunks = pick_device(args.device), {}
    for path in args.networks:
        module, info = load_model(path, device)
        trunks[info["network"]] = module, info
    seen_by = watchers(settings, probe, trunks)
    dataset, made = settings.dataset
    place = (args.realisation, args.part)
    batches = progress(probe.fresh_rows(made, dataset, *place, settings.draws, args.simulate_from), "simulate")
    found = watch(settings, seen_by, batches, *place)
    write_part(args.output, found, seen_by, *place, provenance(settings, study.seed))
    seconds = time.monotonic() - start
    print(
        f"{args.output}: {len(found)} simulations; {seconds:.1f} s, {len(found) / seconds:.1f} a second",
        file=sys.stderr,
    )


if __name__ == "__main__":
    with plain_errors():
        main()
