"""The table of all errors: every network, test and bin once, with the numbers of the evaluation files."""

import io
import subprocess
import sys

import numpy as np
import pandas
import pytest
from test_figures import sample

from limelight.describe import describe
from limelight.errors import LimelightError
from limelight.evaluation.evaluation_file import MADE_BY, read_evaluation, write_evaluation
from limelight.evaluation.summary import HEADER, summary_csv
from limelight.files import provenance
from limelight.study.config import ROOT


@pytest.fixture(scope="module")
def evaluations() -> list:
    first, second, third = sample("quiet", 0.0, 0.02), sample("ranged", [0, 1.5], 0.1, seed=4), sample("quiet", 0, 0.3)
    third.network = "other"
    for e in (first, second, third):
        e.rows = {name: np.ones(len(e.truth)) for name in ("lightcone", "subfield", "draw", "volume_mpc3")}
    return [first, second, third]


def test_a_row_a_network_test_and_bin_with_the_numbers_of_the_evaluations(evaluations):
    table = pandas.read_csv(io.StringIO(summary_csv(evaluations)))
    assert list(table.columns[: len(HEADER)]) == list(HEADER)
    assert len(table) == 3 * 49
    assert not table.duplicated(["network", "test", "bin"]).any()
    for e in evaluations:
        rows = table[(table.network == e.network) & (table.test == e.test)]
        np.testing.assert_allclose(rows.log10_lum_lower, e.log10_lum_edges[:-1], rtol=1e-6)
        np.testing.assert_allclose(rows.luminosity_lsun, e.luminosity_lsun, rtol=1e-6)
        for name, values in e.statistics.items():
            np.testing.assert_allclose(rows[name], values, rtol=1e-6, err_msg=name)
        assert rows.total_mse_dex.tolist() == pytest.approx([e.totals["mse_dex"]] * 49, rel=1e-6)
        error = (np.log10(1 + e.predicted) - np.log10(1 + e.truth)) ** 2
        np.testing.assert_allclose(rows.mse_dex, error.mean(axis=0), rtol=1e-6)
    assert set(table[table.test == "ranged"].noise_sigma_uk) == {"0-1.5"}


def test_an_empty_field_is_a_number_that_does_not_exist(evaluations):
    text = summary_csv(evaluations)
    assert "nan" not in text
    assert "inf" not in text


def test_an_evaluation_given_twice_is_refused(evaluations):
    with pytest.raises(LimelightError, match="two evaluations of network"):
        summary_csv([evaluations[0], evaluations[0]])


def test_the_script_writes_the_table_of_its_files(evaluations, tmp_path):
    paths = [tmp_path / f"{i}.h5" for i in range(3)]
    for path, e in zip(paths, evaluations, strict=True):
        write_evaluation(path, e, provenance({}, 1))
    output = tmp_path / "summary.csv"
    script = [sys.executable, ROOT / "scripts" / "summarise.py", "--evaluation", *paths, "--output", output]
    said = subprocess.run(script, check=True, capture_output=True, text=True).stderr
    assert "147 rows of 3 evaluations" in said
    assert output.read_text() == summary_csv(read_evaluation(path) for path in paths)
    made, table = provenance({}, 1), pandas.read_csv(output)
    for name in MADE_BY:
        assert set(table[name].astype(str)) == {str(made[name])}
    assert f"git_commit: {made['git_commit']}" in describe(output)
    output.write_text("a,b\n1,2\n")
    with pytest.raises(LimelightError, match="did not write"):
        describe(output)
