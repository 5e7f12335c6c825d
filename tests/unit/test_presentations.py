"""What training is shown: order, targets, dimming, symmetries, noise and scale of maps, against arithmetic on the halos."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from training_toys import (
    BINS,
    EDGES,
    GRID,
    HEADER,
    LABELS,
    PROBE,
    SHAPE,
    counts_of,
    generator,
    made_rows,
    presentation,
    settings,
    shown,
    toys,
)

from limelight.probes.line_intensity.labels import EXTENSION_BINS, count_above
from limelight.probes.line_intensity.maps.config import Noise
from limelight.probes.line_intensity.maps.instrument import noise_pattern, noise_sigma, pooled_sigma
from limelight.probes.line_intensity.presentation import dim_steps, dimmed
from limelight.training.distributed import Team
from limelight.training.loop import prepare, validate
from limelight.training.presentation import PlainPresentation, all_answers, epoch_batches, label_statistics, present
from limelight.training.symmetries import draw_symmetry, symmetry

RAW = {"preprocessing": {"transform": "none"}}  # of a network that sees its maps as they are


# Order of maps


def test_every_map_once_an_epoch_in_batches_of_even_size():
    batches = epoch_batches(41, 40, 0, 1, "a", 3)
    assert [len(b) for b in batches] == [21, 20]
    assert sorted(np.concatenate(batches)) == list(range(41))
    assert not np.array_equal(np.concatenate(batches), np.concatenate(epoch_batches(41, 40, 0, 1, "a", 4)))


def test_a_fixed_number_of_steps_deals_from_one_endless_deck():
    dealt = np.concatenate([np.concatenate(epoch_batches(10, 4, 3, 1, "a", epoch)) for epoch in range(5)])
    assert dealt.shape == (60,)
    assert all(sorted(dealt[i : i + 10]) == list(range(10)) for i in range(0, 60, 10))


# Presentations


def test_targets_are_log_counts_of_the_halos():
    log10_lum = np.array([4.05, 4.1, 4.75, 5.999, 6.3, 3.0])  # bins of 0.2 dex from 4 to 6
    data, how = shown(made_rows(np.zeros((1, *SHAPE), np.float32), count_above(log10_lum, EDGES)[None]))
    expected = np.log10(1 + np.array([2, 0, 0, 1, 0, 0, 0, 0, 0, 1.0]))
    np.testing.assert_allclose(all_answers(data, how.target)[0], expected, atol=1e-12)


def test_dimming_moves_map_and_label_as_dimmer_halos_would():
    rng = np.random.default_rng(3)
    log10_lum = 4 + 0.013 + 0.05 * rng.integers(0, 50, 500)  # never on an edge
    n_above = torch.as_tensor(np.stack([count_above(log10_lum, EDGES)] * (EXTENSION_BINS + 1)), dtype=torch.float64)
    steps = torch.arange(EXTENSION_BINS + 1)
    maps, counts = dimmed(torch.ones(len(steps), *SHAPE[1:]), n_above, steps, 0.2)
    for k in steps.tolist():
        np.testing.assert_array_equal(counts[k], count_above(log10_lum - 0.2 * k, EDGES)[: LABELS["bins"] + 1])
        assert maps[k].unique().item() == pytest.approx(10 ** (-0.2 * k), rel=1e-6)


def test_dimming_spans_a_factor_of_ten_and_no_more():
    assert dim_steps(EDGES[1] - EDGES[0]) == 5  # of 0.2 dex
    assert dim_steps(3.5 / 49) == 14
    assert dim_steps(3.5 / 499) == EXTENSION_BINS
    assert dim_steps(2.0) == 1


def test_shares_of_blank_and_dimmed_maps_and_their_labels():
    found = toys(1)
    rows = torch.zeros(4000, dtype=torch.long)
    data, how = shown(found, blank_fraction=0.1, dim_fraction=0.2, network=RAW)
    inputs, truth = present(data, rows, how, generator())
    total, full = inputs.sum(dim=(1, 2, 3, 4)), found.x.sum()
    blank, dim = total == 0, (total > 0) & (total < 0.9 * full)
    assert blank.float().mean().item() == pytest.approx(0.1, abs=0.02)  # 4 standard deviations
    assert dim.float().mean().item() == pytest.approx(0.2, abs=0.026)
    assert torch.count_nonzero(truth[blank]) == 0
    steps = torch.round(-torch.log10(total[dim] / full) / 0.2).long()
    assert sorted(steps.unique().tolist()) == [1, 2, 3, 4, 5]
    counts = torch.as_tensor(found.y["n_above"][0], dtype=torch.float64)
    for k, label in zip(steps.tolist(), truth[dim], strict=True):
        torch.testing.assert_close(label, torch.log10(1 + counts[k : k + 10] - counts[k + 1 : k + 11]))
    whole = ~blank & ~dim
    torch.testing.assert_close(truth[whole], torch.log10(1 + counts[:10] - counts[1:11]).expand(int(whole.sum()), 10))


def test_a_map_laid_over_another_brings_its_light_and_its_sources():
    rng = np.random.default_rng(4)
    halos = [4 + 2.2 * rng.random(n) for n in (30, 400, 90)]
    n_above = np.stack([count_above(log10_lum, EDGES) for log10_lum in halos])
    maps = np.stack([np.full(SHAPE, light, np.float32) for light in (1, 10, 100)])
    data, how = shown(made_rows(maps, n_above), superpose_fraction=0.5, network=RAW)
    seen = []
    for i in range(400):  # rows in any order: what is laid over a map is the one before it in the batch
        inputs, truth = present(data, torch.tensor([2, 0, 1]), how, generator(i))
        for light, found in zip(inputs[:, 0, 0, 0, 0].tolist(), truth, strict=True):
            held = [halos[k] for k in range(3) if int(light) // 10**k % 10]
            both = count_above(np.concatenate(held), EDGES).astype(np.float64)
            np.testing.assert_allclose(found, np.log10(1 + both[:10] - both[1:11]), atol=1e-12)
            seen.append(light)
    assert {light: seen.count(light) > 120 for light in sorted(set(seen))} == dict.fromkeys(
        (1, 10, 11, 100, 101, 110), True
    )
    assert np.mean(np.isin(seen, (11, 101, 110))) == pytest.approx(0.5, abs=0.06)  # 4 standard deviations


def test_symmetries_are_the_eight_of_the_square_and_touch_only_the_sky():
    cube = np.random.default_rng(0).random((5, 5, 3)).astype(np.float32)
    eight = {np.rot90(c, k, (0, 1)).tobytes() for c in (cube, cube[::-1]) for k in range(4)}
    turns = {np.rot90(cube, k, (0, 1)).tobytes() for k in range(4)}
    mirrors = {c.tobytes() for c in (cube, cube[::-1], cube[:, ::-1], cube[::-1, ::-1])}
    assert len(eight) == 8
    batch = torch.as_tensor(cube).expand(400, *cube.shape)
    for flips, quarter_turns, expected in (
        (True, True, eight),
        (False, True, turns),
        (True, False, mirrors),
        (False, False, {cube.tobytes()}),
    ):
        turned = symmetry(batch, *draw_symmetry(400, flips, quarter_turns, generator()))
        kinds = [np.ascontiguousarray(m).tobytes() for m in turned.numpy()]
        assert set(kinds) == expected
        assert min(kinds.count(kind) for kind in expected) > 0.5 * 400 / len(expected)  # each about as often


def test_symmetries_leave_labels_alone():
    data, how = shown(toys(8))
    _, truth = present(data, torch.arange(8), how, generator())
    torch.testing.assert_close(truth, all_answers(data, how.target))


def test_noise_has_the_asked_variance_per_pooled_voxel_and_is_fresh():
    """A pooled voxel of n fine ones has √n σ; COMAP's voxel is larger than the map's by its sky area times bandwidth."""
    noise = {"comap": {"sigma_uk": 11, "per_voxel_of": "instrument"}}
    data, how = shown(toys(4), flips=False, quarter_turns=False, network=RAW, noise=noise)
    rows = torch.arange(4).repeat(100)
    first, _ = present(data, rows, how, generator(1))
    second, _ = present(data, rows, how, generator(2))
    fine = 11 * math.sqrt((1.5 / 22) ** 2 * 0.015625 / ((0.35 / 32) ** 2 * 8 / 20))
    residual = (first - data.x[rows])[:, 0]
    assert residual.std().item() == pytest.approx(math.sqrt(2 * 2 * 5) * fine, rel=0.01)
    assert abs(residual.mean().item()) < 5 * residual.std().item() / math.sqrt(residual.numel())
    again = (second - data.x[rows]).flatten()
    assert abs(torch.corrcoef(torch.stack([residual.flatten(), again]))[0, 1]) < 0.01
    assert abs(torch.corrcoef(residual.flatten(1))[0, 4]) < 0.2  # two presentations of one map in one batch


def test_each_presentation_draws_one_noise_setting_and_a_sigma_from_its_range():
    noise = {"none": {"sigma_uk": 0}, "some": {"sigma_uk": [1, 3]}}
    data, how = shown(toys(1), flips=False, quarter_turns=False, network=RAW, noise=noise)
    inputs, _ = present(data, torch.zeros(600, dtype=torch.long), how, generator())
    spread = (inputs - data.x[:1]).std(dim=(1, 2, 3, 4)) / math.sqrt(20)
    silent = spread < 1e-6
    assert silent.float().mean().item() == pytest.approx(0.5, abs=0.09)
    assert 0.9 < spread[~silent].min() < 1.2
    assert 2.8 < spread[~silent].max() < 3.3
    assert spread[~silent].mean().item() == pytest.approx(2.0, abs=0.15)


def test_validation_noise_is_the_same_every_time_and_training_noise_is_not(tmp_path):
    wanted = settings(noise={"some": {"sigma_uk": 5}})
    run = prepare(wanted, PROBE, toys(6), toys(5, 1), tmp_path, "cpu", "", Team(), None)
    first, second = validate(run), validate(run)
    assert first == second
    x = run.validation.x
    assert not torch.equal(run.presentation.observe(x, generator(1)), run.presentation.observe(x, generator(2)))


def test_foregrounds_are_added_afresh_before_the_noise(tmp_path):
    sources = {
        "sources_per_deg2": 320.0,
        "sources_per_deg2_sigma": 0.0,
        "slope": 2.18,
        "slope_sigma": 0.0,
        "flux_min_mjy": 1.0,
        "flux_max_mjy": 316.0,
        "spectral_index": 0.39,
        "spectral_index_sigma": 0.0,
    }
    data, how = shown(toys(3), flips=False, quarter_turns=False, network=RAW, foregrounds=sources)
    rows = torch.arange(3).repeat(20)
    added = [present(data, rows, how, generator(seed))[0] - data.x[rows] for seed in (1, 2)]
    assert all(extra.min() > -1e-3 and extra.mean() > 1 for extra in added)
    assert not torch.equal(*added)


def test_the_mean_of_each_noisy_map_is_taken_off():
    unknown = {"preprocessing": {"transform": "none", "remove_means": "map"}}
    noise = {"loud": {"sigma_uk": 2.0}}
    data, blind = shown(toys(4), noise=noise, network=unknown)
    _, seeing = shown(toys(4), noise=noise, network={"preprocessing": {"transform": "none"}})
    rows = torch.arange(4)
    (x, _), (whole, _) = (present(data, rows, how, generator(3)) for how in (blind, seeing))
    mean = whole.double().mean(dim=(1, 2, 3, 4), keepdim=True)
    assert mean.abs().min() > 0.01
    torch.testing.assert_close(x.double(), whole.double() - mean, atol=1e-4, rtol=1e-5)
    raised, _ = present(replace(data, x=data.x + 5), rows, blind, generator(3))
    torch.testing.assert_close(raised, x, atol=1e-3, rtol=1e-4)


def test_noise_ranges_reach_the_presentation():
    how = presentation(settings(noise={"a": {"sigma_uk": [2, 4]}}))
    assert how.noise == ((2.0, 4.0),) == (noise_sigma(Noise(sigma_uk=[2, 4]), {}, GRID),)


def test_a_test_is_observed_by_its_own_noise_and_the_networks_preprocessing_and_never_augmented():
    wanted = settings(noise={"a": {"sigma_uk": 1}}, blank_fraction=0.5, network={"preprocessing": {"scale_uk": 5.0}})
    loud = replace(settings(noise={"b": {"sigma_uk": 9}}).observation, preprocessing=None)
    how = PROBE.presentation(wanted.network, loud, HEADER)
    assert (how.noise, how.preprocessing.scale_uk) == (((9.0, 9.0),), 5.0)
    data = shown(toys(4))[0]
    x, y = how.augment(data.x, data.y, generator())
    assert torch.equal(x, data.x)
    assert torch.equal(y["n_above"], data.y["n_above"][:, : BINS[0] + 1])


def test_silent_bare_and_unaltered_leave_out_what_they_say():
    changes = {"noise": {"a": {"sigma_uk": 9}}, "blank_fraction": 0.5, "dim_fraction": 0.5}
    data, how = shown(toys(6), flips=False, quarter_turns=False, **changes)
    assert torch.equal(how.silent().observe(data.x, generator()), torch.asinh(data.x / 3))
    assert torch.equal(how.bare().silent().observe(data.x, generator()), data.x)
    assert torch.equal(how.unaltered().augment(data.x, data.y, generator())[0], data.x)
    residual = how.bare().with_noise(2.0).observe(data.x, generator()) - data.x
    assert residual.std().item() == pytest.approx(2 * math.sqrt(20), rel=0.05)


# Target scale


def test_standardisation_centres_what_is_presented():
    data, how = shown(toys(60), blank_fraction=0.15, dim_fraction=0.3, superpose_fraction=0.4)
    mean, std = how.moments(data)
    rng = np.random.default_rng(1)  # partners are neighbours in the batch
    seen = torch.cat([present(data, torch.as_tensor(rng.permutation(60)), how, generator(i))[1] for i in range(60)])
    np.testing.assert_allclose(mean, seen.mean(dim=0), atol=0.05)
    np.testing.assert_allclose(std, seen.std(dim=0), rtol=0.06, atol=0.01)


def test_bins_without_spread_are_guarded():
    found = toys(6)
    found.y["n_above"][:] = found.y["n_above"][0]  # every map the same label
    data, how = shown(found)
    assert how.moments(data)[1].min() == 0.01
    data, how = shown(found, network={"target": {"transform": "none"}})
    assert how.moments(data)[1].unique().tolist() == [1.0]


def test_label_statistics_are_those_of_the_counts():
    found = toys(30)
    data, how = shown(found, blank_fraction=0.5)  # augmentation does not enter
    dn = counts_of(found)
    got = label_statistics(data, how.target)
    np.testing.assert_allclose(got["mean"], dn.mean(0))
    np.testing.assert_allclose(got["std"], dn.std(0))
    np.testing.assert_allclose(got["percentiles"], np.percentile(dn, [2.5, 16, 50, 84, 97.5], axis=0))
    np.testing.assert_allclose(got["mean_target"], np.log10(1 + dn).mean(0))
    assert got["percentiles_target"].shape == (5, 10)


def test_noise_that_grows_towards_the_edges_does_so_in_what_is_shown():
    flat, edges = {"flat": {"sigma_uk": 5}}, {"edges": {"sigma_uk": 5, "edge_ratio": 3}}
    how = presentation(settings(noise=edges, network=RAW))
    spread = how.observe(torch.zeros(4000, *SHAPE), generator()).std(dim=(0, 1, 4)).numpy()
    expected = noise_pattern(Noise(**edges["edges"]), GRID) * 5 * pooled_sigma(GRID)[0]
    np.testing.assert_allclose(spread, expected, rtol=0.06)
    assert spread[0, 0] > 1.5 * spread[SHAPE[1] // 2, SHAPE[2] // 2]
    both = presentation(settings(noise=flat | edges, network=RAW))
    assert both.patterns[0] is None
    alone = presentation(settings(noise=flat, network=RAW))
    assert alone.observe(torch.zeros(2, *SHAPE), generator()).shape == (2, *SHAPE)
    mixed = both.observe(torch.zeros(4000, *SHAPE), generator()).std(dim=(0, 1, 4)).numpy()
    np.testing.assert_allclose(mixed**2, (expected**2 + (5 * pooled_sigma(GRID)[0]) ** 2) / 2, rtol=0.12)


def test_who_observes_must_say_what_that_is_without_noise():
    """Else the audit's clean data would be noisy, and its sweep over noise flat, without a word."""
    with pytest.raises(TypeError, match="Blurred has its own observe, so it needs its own silent and with_noise too"):

        class Blurred(PlainPresentation):
            def observe(self, x, random):
                return 0.5 * x
