"""The table of all errors: every network, test and output once, with the numbers of the evaluation files."""

import io
import subprocess
import sys

import numpy as np
import pandas
import pytest
from evaluation_toys import classifier, images, parameters, sample

from limelight.describe import describe
from limelight.errors import LimelightError
from limelight.evaluation.evaluation_file import MADE_BY, read_evaluation, write_evaluation
from limelight.evaluation.summary import flat, summary_csv
from limelight.files import ROOT, provenance

FIRST = ("network", "test", "dataset")
OUTPUT = ("n_rows", "output", "log10_luminosity_lower", "log10_luminosity_upper", "luminosity_lsun", "training_mean")


@pytest.fixture(scope="module")
def evaluations() -> list:
    first, second, third = sample("quiet", 0.0, 0.02), sample("ranged", [0, 1.5], 0.1, seed=4), sample("quiet", 0, 0.3)
    third.network = "other"
    return [first, second, third]


def test_one_row_per_network_test_and_bin_with_the_numbers_of_the_evaluations(evaluations):
    table = pandas.read_csv(io.StringIO(summary_csv(evaluations)))
    assert tuple(table.columns[:3]) == FIRST
    start = list(table.columns).index("n_rows")
    assert tuple(table.columns[start : start + 6]) == OUTPUT
    assert len(table) == 3 * 49
    assert not table.duplicated(["network", "test", "output"]).any()
    for e in evaluations:
        rows = table[(table.network == e.network) & (table.test == e.test)]
        np.testing.assert_allclose(rows.log10_luminosity_lower, e.axis.edges[:-1], rtol=1e-6)
        np.testing.assert_allclose(rows.luminosity_lsun, e.axis.centers, rtol=1e-6)
        np.testing.assert_allclose(rows.blank_clean, e.blank["clean"], rtol=1e-6)
        for name, values in e.statistics.items():
            np.testing.assert_allclose(rows[name], values, rtol=1e-6, err_msg=name)
        assert rows.total_mse_dex.tolist() == pytest.approx([e.totals["mse_dex"]] * 49, rel=1e-6)
        error = (np.log10(1 + e.predicted) - np.log10(1 + e.truth)) ** 2
        np.testing.assert_allclose(rows.mse_dex, error.mean(axis=0), rtol=1e-6)
    said = table.iloc[0][["dataset", "line_model", "line_model_model", "line_model_prior", "quantity", "foregrounds"]]
    assert said.tolist() == ["li10", "li10", "li", "10%", "dn", "none"]
    assert set(table[table.test == "ranged"].noise_sigma_uk) == {"0-1.5"}


def test_settings_become_columns():
    settings = {
        "foregrounds": "none",
        "noise": {"sigma_uk": 9.0, "edge_ratio": 3, "deeper": {"a": 1}},
        "noise_sigma_uk": [0.0, 1.5],
        "line_model": {"name": "li10", "prior": "10%"},
        "shown": [0, 1],
    }
    assert flat(settings) == {
        "foregrounds": "none",
        "noise_sigma_uk": "0-1.5",
        "noise_edge_ratio": 3,
        "line_model": "li10",
        "line_model_prior": "10%",
    }, "what is said outright goes before the entries of a mapping"


def test_outputs_of_any_kind_have_their_rows():
    told = classifier("clean", "faint", np.array([[0.8, 0.2], [0.3, 0.7]]))
    table = pandas.read_csv(io.StringIO(summary_csv([sample("quiet", 0, 0.1), parameters(), images(), told])))
    rows = {network: table[table.network == network] for network in ("limelight", "reader", "painter", "sorter")}
    assert {network: len(found) for network, found in rows.items()} == {
        "limelight": 49, "reader": 2, "painter": 8, "sorter": 2,
    }  # fmt: skip
    assert rows["reader"].output.tolist() == ["omega_m", "sigma_8"]
    assert rows["sorter"].output.tolist() == ["faint", "bright_ones"]
    assert rows["sorter"].total_accuracy.tolist() == [0.5, 0.5]
    shell, e = rows["painter"].iloc[2], images()
    assert shell.total_correlation == pytest.approx(e.totals["correlation"], rel=1e-6)
    assert shell[["mse_target", "training_mean"]].isna().all()
    assert (shell.output, shell.scale_lower) == ("kappa", pytest.approx(e.scales.edges[2], rel=1e-6))
    assert shell.correlation == pytest.approx(e.statistics["correlation"][0, 2], rel=1e-6)
    assert rows["reader"].luminosity_lsun.isna().all()


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
