"""The tables and figures of benchmarks.streamed: scores and gains by hand, and figures of what is there."""

import numpy as np
import pytest

from benchmarks.counted import GROUPS, gain_rows, model_rows
from benchmarks.counted import heads as counted_heads
from benchmarks.counted_figure import widths_over_simulations
from benchmarks.several_models import model_row, reliability_rows
from benchmarks.streamed import Judge, half_widths, hide, some_rows
from benchmarks.streamed_figure import hours_figure, scores_figure, widths_figure
from benchmarks.streamed_heads import TABLED, Head, heads, pairs
from benchmarks.streamed_tables import clustered, foreign_row, gain_row, hours_rows, joint_ranks_of, score_row
from benchmarks.streamed_verdicts import verdict_rows
from limelight.codehash import code_hash
from limelight.figures.style import save
from limelight.files import ROOT
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
    p_value = np.array([0.001, 0.02, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    return {
        "truth": truth,
        "quantiles": quantiles,
        "rank": rank,
        "pinball": pinball,
        "p_value": p_value,
        **score,
        **ROWS,
    }


def test_the_error_is_that_of_subfields_because_their_maps_share_halos():
    values = np.array([1.0, 1, 2, 2, 3, 3, 4, 4])
    mean, error = clustered(values, ROWS)
    assert mean == 2.5
    assert error == pytest.approx(np.std([1, 2, 3, 4], ddof=1) / 2)


def test_scores_are_of_the_bins_that_hold_sources():
    row = score_row(Head("comap", "mdn"), "prior", answered(0.1, 2.0))
    assert row["pinball_dex"] == pytest.approx(0.135)
    assert row["covered_95"] == row["least_covered_95"] == 7 / 8
    assert row["width_95_dex"] == pytest.approx(np.log10(201 / 51))
    assert row["log_score"] == pytest.approx(5.5)
    assert row["learnt_from"] == 640
    empty = {"empty": np.array([0.01, *[0.5] * 7])}
    assert score_row(Head("comap", "mdn"), "prior", answered(0.1, 2.0) | empty)["empty_95"] == 7 / 8


def test_gains_are_taken_map_by_map_and_seed_by_seed():
    both = Head("comap", "mdn", seed=1), Head("comap", "mdn", seed=1)
    one, two = (answered(0.1, 2.5), answered(0.2, 2.0)), (answered(0.1, 2.7), answered(0.2, 2.0))
    row = gain_row("more", both, "prior", [one, two])
    assert row["nats"] == pytest.approx(np.log((np.exp(0.5) + np.exp(0.7)) / 2)), "of the mean density"
    assert row["nats_error"] == pytest.approx(0.0, abs=1e-12), "what all maps of both share cancels"
    assert row["nats_spread"] == pytest.approx(0.2 / np.sqrt(2))
    assert row["pinball_gain"] == pytest.approx(0.1 / 0.235)
    assert row["seeds"] == 2
    undrawn = [{key: value for key, value in found.items() if key != "pinball"} for found in two]
    row = gain_row("more", both, "prior", [one, undrawn])
    assert row["nats_spread"] > 0
    assert "pinball_gain" not in row, "one seed alone has quantiles"


def test_another_model_is_judged_with_the_check_beside_it():
    joint = answered(0.1, 2.0) | {"joint": np.array([0.01, *[0.5] * 7]), "tarp": np.full((8, 20), 0.8)}
    row = foreign_row(Head("comap"), "power_law", answered(0.1, 2.0), joint)
    assert row["bins"] == 1
    assert row["covered_95"] == 7 / 8
    assert row["covered_95_passed"] == 1, "the map that is missed is unlike those of training"
    assert (row["unusual_p_0.05"], row["unlike_p_0.01"]) == (2 / 8, 1 / 8)
    assert row["joint_95"] == 7 / 8
    assert (row["tarp_68"], row["tarp_95"]) == (0, 1)
    assert row["largest_bias_over_half_width"] == 0
    shifted = answered(0.1, 2.0)
    shifted["truth"] = np.tile([50.0, 1.0], (8, 1))
    row = foreign_row(Head("comap"), "power_law", shifted, None)
    assert row["largest_bias_over_half_width"] == pytest.approx(np.log10(101.5 / 51.5) / np.log10(201.5 / 51.5) * 2)
    assert "joint_95" not in row
    whole = np.tile([False, True], (8, 1))
    whole[0] = True
    row = foreign_row(Head("comap"), "padmanabhan", answered(0.1, 2.0) | {"complete": whole}, None)
    assert (row["complete"], row["covered_95_complete"]) == (1 / 8, 0.0), "the one map of a whole catalogue is missed"


def test_joint_ranks_of_exact_draws_are_uniform_and_of_narrow_ones_are_not():
    rng = np.random.default_rng(1)
    rate = rng.uniform(50, 500, (600, 3))
    truth = rng.poisson(rate)
    exact = rng.poisson(rate[:, None], (600, 200, 3))
    found = joint_ranks_of(truth, exact, rng)
    assert found["tarp"].shape == (600, 20)
    assert abs((found["joint"] >= 0.05).mean() - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / 600)
    narrow = rate[:, None] + 0.5 * (exact - rate[:, None])
    assert (joint_ranks_of(truth, narrow, rng)["joint"] >= 0.05).mean() < 0.7


def test_bins_that_are_right_one_by_one_but_empty_by_turns_are_seen():
    """A rate shared by eight bins: exact draws share it, too; others are of the same marginals, each bin by itself."""
    rng = np.random.default_rng(2)
    rate = rng.uniform(0.05, 3, 600)
    truth = rng.poisson(rate[:, None], (600, 8))
    shared, own = (rng.uniform(0.05, 3, (600, 200, bins)) for bins in (1, 8))
    exact, apart = rng.poisson(np.broadcast_to(shared, (600, 200, 8))), rng.poisson(own)
    covered = {}
    for name, draws in (("exact", exact), ("apart", apart)):
        covered[name] = (np.abs(joint_ranks_of(truth, draws, rng)["empty"] - 0.5) <= 0.475).mean()
        assert abs((draws == 0).mean() - (truth == 0).mean()) < 0.02
    assert abs(covered["exact"] - 0.95) < 3.5 * np.sqrt(0.95 * 0.05 / 600)
    assert covered["apart"] < 0.85


def test_hours_lie_between_the_noises_that_were_measured():
    half = {1e4: (0.05, 0.1, 0.2), 1e5: (0.2, 0.3, 0.4), 1e6: (0.01, 0.02, 0.03)}
    rows = [
        {"test": "prior", "luminosity_lsun": lum, "noise_uk_per_paper_voxel": noise, "half_width_68_dex": value}
        for lum, values in half.items()
        for noise, value in zip((30.3, 60.6, 121.2), values, strict=True)
    ]
    alone = {"test": "fiducial", "luminosity_lsun": 1e4, "noise_uk_per_paper_voxel": 60.6, "half_width_68_dex": 0.01}
    noiseless = {"test": "prior", "luminosity_lsun": 1e4, "noise_uk_per_paper_voxel": 0.0, "half_width_68_dex": 0.01}
    found = {row["luminosity_lsun"]: row["hours_to_0.1_dex"] for row in hours_rows([*rows, noiseless])}
    assert [row["hours_to_0.1_dex"] for row in hours_rows([*rows, alone])][3:] == [0.0]
    assert found[1e4] == pytest.approx(6000), "60.6 µK"
    assert (found[1e5], found[1e6]) == (np.inf, 0)
    found = {row["luminosity_lsun"]: row["hours_to_0.1_dex"] for row in hours_rows(rows, known=0.2 / np.sqrt(2))}
    assert found[1e4] == pytest.approx(3000), "half way between in log: √2 times the noise"


def test_half_widths_are_those_of_bins_with_sources():
    rows = half_widths(Head("comap"), "prior", answered(0.1, 1.0), 60.6, np.array([4.0, 5.0, 6.0]))
    assert [row["luminosity_lsun"] for row in rows] == pytest.approx([10**4.5, 10**5.5])
    assert rows[0]["half_width_68_dex"] == pytest.approx(np.log10(121 / 81) / 2)


def test_every_pair_and_every_row_is_of_heads_that_are_trained():
    known = list(heads())
    assert len(set(known)) == len(known) == len({head.name for head in known})
    assert all({*first, *second} <= set(known) for _, first, second in pairs())
    assert set(TABLED) <= set(known)


def test_flows_and_mixtures_are_compared_seed_by_seed_and_together():
    known = [head for group in GROUPS for head in counted_heads(group)]
    assert len({head.name for head in known}) == len(set(known)), "no two answers share a file"
    nats = {"npe": (3.0, 3.0, 4.0), "mdn": (1.0, 2.0, 2.0)}
    loss = {1: 0.1, 3: 0.05}
    answers = {
        head: {"prior": answered(loss[head.members], nats[head.kind][head.seed - 1])} for head in counted_heads("flows")
    }
    flow, flows, three_flows, mixtures, three_mixtures = gain_rows(answers)
    assert flow["what"] == "flow for mixture"
    assert flow["seeds"] == 3
    assert flow["nats_spread"] == pytest.approx(np.std([2, 1, 2], ddof=1))
    assert three_flows["nats"] == pytest.approx(np.log((2 + np.e) / 3))
    assert three_mixtures["nats"] == pytest.approx(np.log((1 + 2 * np.e) / 3))
    assert "pinball_gain" not in three_flows, "the mean of densities has no quantiles of its own"
    for row, kind in ((flows, "npe"), (mixtures, "mdn")):
        assert (row["what"], row["kind"], row["seeds"]) == ("an ensemble for one", kind, 3)
        assert row["pinball_gain"] == pytest.approx(0.05 / 0.135), "0.05 of the mean of 0.1 to 0.17"


def test_a_head_may_learn_another_line_model_than_its_network_s(tmp_path):
    judge = Judge(ROOT / "config" / "counted.yaml", tmp_path)
    own, other = Head("comap"), Head("comap", stream="power_law")
    settings = judge.settings(other)
    assert settings.network.network.datasets == list(settings.network.datasets) == ["power_law"]
    assert judge.stream(own) == "learning"
    assert judge.stream(other) == "power_law"
    assert judge.folder(own) != judge.folder(other)
    mixture = Head("comap", "mdn", seed=1, members=1, stream="power_law")
    found = answered(0.1, 2.0)
    joint = found | {"joint": np.full(8, 0.5), "tarp": np.full((8, 20), 0.8)}
    (row,) = model_rows({other: {"prior": found}, mixture: {"prior": joint}})
    assert (row["trained_on"], row["tested_on"], row["joint_95"]) == ("power_law", "prior", 1)


def test_verdicts_count_the_bins_that_do_what_was_asked():
    common = {
        "noise": "comap",
        "test": "prior",
        "mean_count": 50.0,
        "rank_covered_95": 0.95,
        "error_95": 0.01,
        "bias": 0.01,
    }
    lum = (2.5e4, 9e4, 2.1e5)
    widths = {"quantiles": (0.5, 0.4, 0.1), "rival li": (0.6, 0.3, 0.2)}
    rows = [
        common
        | {
            "method": method,
            "mean_known": "rival" not in method,
            "luminosity_lsun": at,
            "width_95": width,
            "shared_width_95": width,
        }
        for method, values in widths.items()
        for at, width in zip(lum, values, strict=True)
    ]
    rows[1] |= {"rank_covered_95": 0.9, "bias": 0.05}
    found, rival = verdict_rows(rows)
    assert (found["bins"], found["narrower_than_rival"], found["unbiased"], found["honest"]) == (3, 2, 2, 2)
    assert (found["floors"], found["no_wider_than_floor"], found["fifth_below_floor"]) == (3, 2, 1), (
        "0.52, 0.35 and 0.26"
    )
    assert "narrower_than_rival" not in rival
    quiet = [row | {"noise": "none"} for row in rows] + [
        {**common, "method": "ideal", "luminosity_lsun": at, "width_95": 0.1, "noise": "", "mean_known": ""}
        for at in lum
    ]
    assert (verdict_rows(quiet)[0]["bright_bins"], verdict_rows(quiet)[0]["near_ideal"]) == (2, 1), "from 9e4 on"
    quiet[1] |= {"on_ideal_width_95": 0.12}
    assert (verdict_rows(quiet)[0]["near_ideal"], verdict_rows(quiet)[0]["most_over_ideal"]) == (2, 1.2), (
        "on the same maps"
    )
    quiet[2] |= {"on_ideal_width_95": None}
    assert "near_ideal" not in verdict_rows(quiet)[0], "of other maps than the ideal's nothing is said"


def test_the_figure_of_widths_has_a_line_for_each_number_of_simulations_and_like_maps_where_there_are_any():
    row = {"test": "prior", "noise": "comap", "mean_known": "False", "mean_count": 50.0, "shared_width_95": 0.4}
    methods = ("quantiles, 1536 simulations, recalibrated", "quantiles, recalibrated", "rival li: P(k) + VID")
    widths = {"shared": 0.4, "ideal": 0.1}
    rows = [row | {"method": method, "luminosity_lsun": at, "width_95": 0.3} for method in methods for at in (1e4, 1e5)]
    ideal = row | {"method": "ideal", "noise": "", "mean_known": "", "width_95": widths["ideal"], "shared_width_95": ""}
    figure = widths_over_simulations(rows + [ideal | {"luminosity_lsun": at} for at in (1e4, 1e5)])
    drawn = {line.get_label(): line.get_ydata()[0] for line in figure.axes[0].lines}
    heads_of = {f"heads, {number} simulations": widths["shared"] for number in ("1536", "all")}
    assert drawn == {**heads_of, "rival": widths["shared"], "ideal: halos known": widths["ideal"]}


def test_figures_show_what_the_tables_have(tmp_path):
    row = {
        "test": "prior",
        "noise": "comap",
        "method": "quantiles",
        "mean_known": "True",
        "mean_count": 50.0,
        "rank_covered_95": 0.95,
    }
    rows = [{**row, "luminosity_lsun": lum, "width_95": 0.3} for lum in (1e4, 1e5, 1e6)]
    rival = [{**one, "method": "rival li", "mean_known": "False", "width_95": 0.6} for one in rows]
    figure = widths_figure(rows + rival)
    assert [line.get_ydata()[0] for line in figure.axes[2].lines[:2]] == [0.3, 0.6]
    gain = {
        "network": "comap",
        "test": "prior",
        "nats": 0.4,
        "nats_error": 0.1,
        "what": "map over prior",
        "kind": "mdn",
    }
    score = {
        "network": "comap",
        "test": "prior",
        "kind": "quantiles",
        "features": "power+histogram+mean",
        "members": 1.0,
    }
    score |= {"seed": 1.0, "draws": 0.0, "pinball_error": 0.001}
    learnt = [{**score, "learnt_from": rows, "pinball_dex": loss} for rows, loss in ((3072.0, 0.02), (1536.0, 0.03))]
    second = scores_figure(learnt, [gain])
    assert list(second.axes[0].lines[0].get_xdata()) == [1536, 3072]
    assert [bar.get_width() for bar in second.axes[1].patches] == [0.4]
    common = {"test": "prior", "mean_count": 50.0}
    widths = [
        {**common, "luminosity_lsun": lum, "noise_uk_per_paper_voxel": noise, "half_width_68_dex": noise / 1000}
        for lum in 10.0 ** np.arange(3.5, 6.5, 0.1)
        for noise in (30.3, 60.6)
    ]
    third = hours_figure(widths)
    assert [line.get_label() for line in third.axes[0].lines[:2]] == ["6000 h (61 µK)", "24000 h (30 µK)"]
    assert third.axes[0].lines[0].get_ydata()[0] == 0.0606
    for i, one in enumerate((figure, second, third)):
        save(one, tmp_path / f"{i}.pdf")
        assert (tmp_path / f"{i}.png").stat().st_size > 5000


def test_some_rows_of_a_part_stay_together_and_a_blind_head_sees_nothing_of_the_maps():
    maps = np.random.default_rng(1).random((200, 5), np.float32)
    number = np.arange(200)
    part = Part({"n_above": number}, number[:, None], ["a"], {"draw": number}, {"n": maps.copy()}, {"n": maps})
    some = some_rows(part, number >= 150)
    assert len(some) == 50
    assert (some.rows["draw"] == some.y["n_above"]).all()
    assert (some.features["n"] == maps[150:]).all()
    hide(part, "n")
    assert (part.features["n"][:, 1:] == 0).all()
    assert abs(np.corrcoef(part.features["n"][:, 0], maps[:, 0])[0, 1]) < 0.25


def test_what_other_settings_simulations_or_code_made_is_not_taken_again(tmp_path, monkeypatch):
    config = ROOT / "config" / "streamed.yaml"
    for stream, cone in (("learning", 0), ("prior", 38), ("prior", 41)):
        (tmp_path / "streams" / stream).mkdir(parents=True, exist_ok=True)
        (tmp_path / "streams" / stream / f"{cone}-0.h5").touch()

    def kept(config):
        judge = Judge(config, tmp_path)
        answers = []
        monkeypatch.setattr(judge, "answered", lambda head, test, path: answers.append(path.name))
        judge.answers(Head("comap"))
        return {judge.folder(Head("comap")), judge.rival_path("prior", "comap"), *answers}

    first = kept(config)
    assert kept(config) == first
    (tmp_path / "streams" / "learning" / "1-0.h5").touch()
    (tmp_path / "streams" / "prior" / "39-0.h5").touch()
    more = kept(config)
    assert not more & first
    changed = config.read_text(encoding="utf-8").replace("epochs: 120", "epochs: 121").replace("maps: 112", "maps: 113")
    (tmp_path / "changed.yaml").write_text(changed, encoding="utf-8")
    both = kept(tmp_path / "changed.yaml") & more
    assert all(name.startswith("prior-") for name in both), "the same head's answers stand in its folder"

    for scripts, same in (
        (("scripts/make_stream.py",), 0),
        (("scripts/train_posterior.py",), 2),
        (("benchmarks/streamed.py", "benchmarks/streamed_tables.py"), 2),
        (("benchmarks/streamed_rival.py",), 2),
    ):
        with monkeypatch.context() as edited:
            edited.setattr(
                "benchmarks.streamed.code_hash",
                lambda *files, chosen=(), scripts=scripts: (
                    "edited" if files == scripts else code_hash(*files, chosen=chosen)
                ),
            )
            assert len(kept(config) & more) == same, scripts


def test_joint_regions_and_honest_bins_are_counted_by_hand():
    found = answered(0.1, 2.0) | {"joint": np.array([0.01, 0.04, *[0.5] * 6]), "tarp": np.full((8, 20), 0.8)}
    row = score_row(Head("comap", "mdn"), "prior", found)
    assert (row["joint_95"], row["tarp_95"]) == (6 / 8, 1)
    assert (row["bins"], row["honest"]) == (1, 1), "7 of 8 within: one error of eight maps is 8 %"
    found["rank"] = np.full((8, 2), 0.99)
    assert score_row(Head("comap", "mdn"), "prior", found)["honest"] == 0


def test_heads_that_recalibrate_on_fewer_rows_share_what_is_trained(tmp_path):
    judge = Judge(ROOT / "config" / "streamed.yaml", tmp_path)
    (tmp_path / "streams" / "learning").mkdir(parents=True)
    (tmp_path / "streams" / "learning" / "0-0.h5").touch()
    every = [head for head in heads() if head.network == "comap" and head.kind == "quantiles" and not head.features[3:]]
    few = [head for head in every if head.validation_rows]
    assert sorted(head.validation_rows for head in few) == [384, 1024]
    assert len({judge.folder(head) for head in few} | {judge.folder(Head("comap"))}) == 1
    assert len({head.name for head in heads()}) == len(list(heads())), "no two answers share a file"


def test_several_models_are_judged_by_hand():
    found = answered(0.1, 2.0) | {"joint": np.full(8, 0.5), "dataset_probability": np.tile([0.8, 0.2], (8, 1))}
    found["complete"], found["whole"] = np.tile([0.2, 0.99], (8, 1)), np.tile([False, True], (8, 1))
    found["whole"][0, 1] = False
    row = model_row("both", "li", found, 0)
    assert (row["probability"], row["most_probable"]) == (pytest.approx(0.8), 1)
    assert row["nats"] == pytest.approx(np.log(1.6))
    assert (row["said_whole"], row["whole_where_said"]) == (0.5, 7 / 8)
    assert "probability" not in model_row("both", "unknown", found, -1)
    rows = reliability_rows("both", [(0, found), (1, found)])
    bins = [(row["answers"], row["share"]) for row in rows if row["of"] == "complete bins"]
    assert bins == [(16, 0), (16, 7 / 8)]
    models = [(row["answers"], row["share"]) for row in rows if row["of"] == "line model"]
    assert models == [(16, 0.5), (16, 0.5)]
