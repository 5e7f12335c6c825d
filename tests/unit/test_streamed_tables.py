"""The tables and figures of benchmarks.streamed: scores and gains by hand, and figures of what is there."""

import numpy as np
import pytest

from benchmarks.streamed import Head, clustered, gain_row, heads, hide, pairs, score_row
from benchmarks.streamed_figure import scores_figure, widths_figure
from limelight.figures.style import save
from limelight.inference.posteriors.stream import Part

ROWS = {"group": np.repeat([21, 22], 4), "subfield": np.tile([0, 0, 1, 1], 2), "draw": np.tile([0, 1], 4)}


def answered(loss: float, nats: float) -> dict[str, np.ndarray]:
    """Eight maps of two bins; the second is all but empty, and does not count."""
    truth = np.tile([100.0, 1.0], (8, 1))
    quantiles = truth[..., None] * np.array([0.5, 0.8, 1.0, 1.2, 2.0])
    rank = np.tile([0.5, 0.99], (8, 1))
    rank[0, 0] = 0.98
    pinball = np.tile([loss, 9.0], (8, 1)) + np.arange(8)[:, None] / 100
    score = {"log_score": nats + np.arange(8.0), "learnt_from": np.array(640)}
    return {"truth": truth, "quantiles": quantiles, "rank": rank, "pinball": pinball, **score, **ROWS}


def test_the_error_is_that_of_subfields_because_their_maps_share_halos():
    values = np.array([1.0, 1, 2, 2, 3, 3, 4, 4])
    mean, error = clustered(values, ROWS)
    assert mean == 2.5
    assert error == pytest.approx(np.std([1, 2, 3, 4], ddof=1) / 2)


def test_scores_are_of_the_bins_that_hold_sources():
    row = score_row(Head("comap", "mdn"), "prior", answered(0.1, 2.0))
    assert row["pinball_dex"] == pytest.approx(0.135)
    assert row["covered_95"] == 7 / 8
    assert row["width_95_dex"] == pytest.approx(np.log10(201 / 51))
    assert row["log_score"] == pytest.approx(5.5)
    assert row["learnt_from"] == 640


def test_gains_are_taken_map_by_map():
    both = Head("comap_seen", "mdn"), Head("comap", "mdn")
    row = gain_row("more", both, "prior", (answered(0.1, 2.5), answered(0.2, 2.0)))
    assert row["nats"] == pytest.approx(0.5)
    assert row["nats_error"] == pytest.approx(0.0, abs=1e-12), "what all maps of both share cancels"
    assert row["pinball_gain"] == pytest.approx(0.1 / 0.235)


def test_every_pair_is_of_heads_that_are_trained():
    known = list(heads())
    assert len(set(known)) == len(known)
    assert all({first, second} <= set(known) for _, first, second in pairs())


def test_figures_show_what_the_tables_have(tmp_path):
    row = {"test": "prior", "noise": "comap", "method": "quantiles", "mean_known": "True", "mean_count": 50.0}
    rows = [{**row, "luminosity_lsun": lum, "width_95": 0.3} for lum in (1e4, 1e5, 1e6)]
    rival = [{**one, "test": "prior_comap", "method": "rival li", "width_95": 0.6} for one in rows]
    figure = widths_figure(rows, rival)
    assert [line.get_ydata()[0] for line in figure.axes[1].lines] == [0.3, 0.6]
    score = {"features": "all", "members": 3.0, "test": "prior", "pinball_dex": 0.02, "pinball_error": 0.001}
    scores = [{**score, "network": "comap", "kind": "quantiles", "learnt_from": n, "blind": "False"} for n in (9, 99)]
    more = {"kind": "mdn", "learnt_from": 99, "log_score_error": 1.0}
    scores += [
        {**score, **more, "network": "comap", "log_score": s, "blind": b} for s, b in ((7, "False"), (2, "True"))
    ]
    second = scores_figure(scores)
    assert [bar.get_width() for bar in second.axes[1].patches] == [5]
    for i, one in enumerate((figure, second)):
        save(one, tmp_path / f"{i}.pdf")
        assert (tmp_path / f"{i}.png").stat().st_size > 5000


def test_a_blind_head_sees_nothing_of_the_maps():
    maps = np.random.default_rng(1).random((200, 5), np.float32)
    part = Part({}, np.zeros((200, 1)), ["a"], {}, {"n": maps.copy()}, {})
    hide(part, "n")
    assert (part.features["n"][:, 1:] == 0).all()
    assert abs(np.corrcoef(part.features["n"][:, 0], maps[:, 0])[0, 1]) < 0.25
