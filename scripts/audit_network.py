#!/usr/bin/env python3
"""Audit a trained network: does it read its maps, or repeat what it remembers? A verdict for every output.

Writes an audit file and, beside it, the verdict table as CSV. docs/audit.md explains the tests and the thresholds.

example: python scripts/audit_network.py --config config/demo.yaml --network networks/limelight/model.pt \\
    --data shards/li10/9.h5 shards/li10/10.h5 --control networks/limelight-permuted/model.pt --output audit/limelight.h5
"""

import sys
import time
from pathlib import Path

from limelight.arguments import Arguments
from limelight.device import DEVICES, pick_device
from limelight.errors import plain_errors


def main() -> None:
    parser = Arguments(__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML of the study")
    parser.add_argument("--network", type=Path, required=True, metavar="model.pt", help="trained network")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="SHARD.h5", help="test data")
    parser.add_argument("--control", type=Path, metavar="model.pt", help="its recipe trained on permuted labels")
    parser.add_output("--output", metavar="A.h5", help="audit file; A.csv stands beside it", beside=(".csv",))
    parser.add_argument("--device", choices=DEVICES, default="cpu", help="where it runs (default: cpu)")
    args = parser.parse_args()
    from limelight.evaluation.verdicts import in_words
    from limelight.stages.audit import audit
    from limelight.study.config import load_study

    start = time.monotonic()
    study, device = load_study(args.config), pick_device(args.device)
    result = audit(study, args.network, args.data, args.control, args.output, device)
    print(f"{args.output}: {in_words(result)}; {time.monotonic() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    with plain_errors():
        main()
