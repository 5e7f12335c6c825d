"""What a changed key plans again, of a probe with rules of its own: dry runs on files that were only touched."""

from pathlib import Path

import yaml
from checkout import ROOT, Checkout


def as_if_done(config: str, folder: Path, **more) -> tuple[Checkout, dict]:
    """A checkout in which every file of a study's config is there, empty, with Snakemake's record of what made it."""
    raw = {**yaml.safe_load((ROOT / "config" / f"{config}.yaml").read_text()), **more}
    raw = yaml.safe_load(yaml.safe_dump(raw))  # in the order in which the checkout has it
    checkout = Checkout(folder, raw)
    for line in checkout.snakemake("--summary").stdout.splitlines():
        if line.startswith("results/"):
            path = folder / line.split("\t")[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    checkout.snakemake("--cores", "1", "--touch", "--forceall")
    return checkout, raw


def test_what_is_judged_by_a_key_alone_is_judged_again(tmp_path):
    """Minutes of MCMC do not hang on the rates at which other networks find lenses; figures do on the order of networks."""
    both = {"figure": "loss_history", "networks": ["measure", "find"], "caption": "Losses."}
    tests = {"again": {"data": "judged"}, "lenses": {"data": "judged"}, "mixed": {"data": "mixed"}}
    checkout, raw = as_if_done("strong_lens", tmp_path, comparisons={"both": both}, tests=tests)
    # colours, rows and the first of each figure follow the order of tests and networks
    tables = {"summary": 1, "overview": 1}
    drawn_again = {"figure_loss_history": 1, "figure_predicted_against_true": 1, "figure_comparison": 1}
    turned = {"comparisons": {"both": {**both, "networks": ["find", "measure"]}}}
    for change, expected in (
        ({}, {}),
        ({"judging": {**raw["judging"], "rates": [0.2]}}, {"finding": 1}),
        ({"judging": {**raw["judging"], "steps": 90}}, {"chains": 2}),
        (turned, {"figure_comparison": 1}),
        ({"tests": dict(reversed(tests.items()))}, drawn_again | tables),
        ({"networks": dict(reversed(raw["networks"].items()))}, tables),
    ):
        (tmp_path / "config" / "changed.yaml").write_text(yaml.safe_dump({**raw, **change}, sort_keys=False))
        assert checkout.planned("config/changed.yaml") == expected, change
