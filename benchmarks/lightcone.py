#!/usr/bin/env python3
"""The light-cone generator: halos per second, peak memory, and bytes per halo and read speed of the file it fills.

Every number of threads is timed in a process of its own; --device cuda times the GPU. The defaults are one light-cone of
the demo; `--field 9.52` is one of the paper's (44 million halos, 7 GB).

example: python -m benchmarks.lightcone --field 2.8 --threads 1 2
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from limelight.cosmology import Cosmology
from limelight.halos.catalogue import read_catalogue, write_catalogue
from limelight.halos.config import Lightcones
from limelight.halos.generator import generate_lightcone


def measure(args: argparse.Namespace) -> dict:
    """Make one light-cone, write it and read it back."""
    cone = {"field_deg": args.field, "mass_min_msun": args.mass_min, "cell_mpc": args.cell, "method": args.method}
    settings = Lightcones(**cone, train=[1], validation=[2], test=[3])
    cosmology = Cosmology()
    cosmology.linear_power([0.1])  # CAMB's two seconds are not the generator's
    start = time.perf_counter()
    halos = generate_lightcone(settings, args.redshifts[0], args.redshifts[1], cosmology, 1, args.device)
    made = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cone.h5"
        start = time.perf_counter()
        write_catalogue(path, halos, {})
        written = time.perf_counter() - start
        start = time.perf_counter()
        read_catalogue(path)
        read = time.perf_counter() - start
        size = path.stat().st_size
    return {"halos": len(halos), "made": made, "written": written, "read": read, "peak_gb": peak, "bytes": size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--field", type=float, default=2.8, help="degrees")
    parser.add_argument("--redshifts", type=float, nargs=2, default=(2.39, 3.434))
    parser.add_argument("--mass-min", type=float, default=2.5e10, help="Msun")
    parser.add_argument("--cell", type=float, default=2.5, help="Mpc")
    parser.add_argument("--method", default="contrast", choices=["contrast", "barrier", "exclusion"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args)))
        return
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for threads in args.threads:
        command = [sys.executable, __file__, *sys.argv[1:], "--child"]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}  # as in the workflow
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        r = json.loads(done.stdout)
        print(
            f"{args.device}, {threads} threads: {r['halos']:,} halos in {r['made']:.1f} s ="
            f" {r['halos'] / r['made'] / 1e6:.2f} million a second, peak {r['peak_gb']:.1f} GB;"
            f" file {r['bytes'] / r['halos']:.1f} bytes a halo, written in {r['written']:.1f} s,"
            f" read at {r['halos'] / r['read'] / 1e6:.1f} million a second"
        )


if __name__ == "__main__":
    main()
