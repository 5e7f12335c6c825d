"""Painters: losses of count fields, the critic, training that resumes, a known bias, and a tiny study by its scripts."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from scipy import stats

from limelight.data.shard import Rows, read_shards, write_shard
from limelight.errors import LimelightError
from limelight.files import ROOT, provenance, read_csv
from limelight.networks import build
from limelight.probes.halo_field import stages
from limelight.probes.halo_field.config import Critic
from limelight.probes.halo_field.counts import chance_lost, draw_counts
from limelight.probes.halo_field.critic import BoxCritic, HeldOut, painted_counts
from limelight.probes.halo_field.painting import Painted, paint
from limelight.probes.halo_field.probe import PROBE
from limelight.section import plain
from limelight.study.config import resolve_study
from limelight.study.settings import network_settings
from limelight.training import loop
from limelight.training.adversary import Adversary
from limelight.training.checkpoint import load_model, save_model
from limelight.training.losses import Loss

CELLS = 8
BIAS = {"data": "boxes", "models": ["power_law"], "likelihoods": ["poisson"], "chains": 2, "warmup": 10, "samples": 20}


def study_of(**change):
    critic = {"each": 2, "filters": 2}
    network = {"architecture": "inception", "options": {"filters": 4}, "data": ["boxes"], "noise_channels": 1}
    return resolve_study(
        {
            "study": "tiny",
            "probe": "halo_field",
            "realisations": {"train": [0, 1, 2], "validation": [3], "test": [4, 5]},
            "data": {"boxes": {"side_mpc": 32, "particles": 32, "cells": CELLS, "steps": 8}},
            "networks": {
                "likelihood": network,
                "critic": {
                    **network,
                    "initialise_from": "likelihood",
                    "critic": critic,
                    "training": {"loss": "adversarial", "epochs": 3, "optimizer": "adam", "learning_rate": 1e-3},
                },
            },
            "tests": {"t": {"data": "boxes"}},
            "training": {"loss": "bernoulli_poisson_field", "batch_size": 1, "epochs": 25, "learning_rate": 1e-2},
            "judging": {"draws": 2, "k_edges": [0.15, 0.4, 0.75]},
            "bias": {**BIAS, "tree_depth": 3},
            "audit": {"networks": "none"},
            "resources": {"training_threads": 1},
            **change,
        },
        "tiny.yaml",
    )


def mock_rows(numbers, permuted=False) -> Rows:
    """Boxes whose halos are Poisson about n̄ (1 + δ)^1.5, of smooth lognormal δ; permuted: beside another box's δ."""
    settings, rows = PROBE.dataset_settings(study_of(), "boxes"), []
    for n in numbers:
        rng = np.random.default_rng(n)
        k = np.sqrt(sum(np.meshgrid(*[np.fft.fftfreq(CELLS) ** 2] * 3, indexing="ij")))
        field = np.fft.ifftn(np.fft.fftn(rng.standard_normal((CELLS,) * 3)) * np.exp(-((3 * k) ** 2))).real
        density = np.exp(0.8 * field / field.std())
        density /= density.mean()
        counts = rng.poisson(density**1.5)
        shown = density if not permuted else np.roll(density[::-1], 3, axis=(0, 1, 2)).transpose(1, 2, 0)
        rows.append((shown - 1, counts))
    x = np.array([[d, d, 0 * d] for d, _ in rows], np.float32)
    counts = np.array([c for _, c in rows], np.float32)[:, None]
    halos = np.zeros((len(rows), 4, 7), np.float32)
    return Rows(
        PROBE.header(settings),
        x,
        {"total": counts, "bands": np.repeat(counts, 3, axis=1)},
        np.zeros((len(rows), 2)),
        ["sigma8", "redshift"],
        np.array(numbers),
        np.repeat(["boxes"], len(rows)),
        {"halos": halos, "velocity_kms": np.zeros((len(rows), 3, *[CELLS] * 3), np.float32)},
    )


def test_the_published_network_sees_nine_cells_and_has_its_number_of_weights():
    torch.manual_seed(0)
    module = build("inception", {}, (1, 16, 16, 16), (1, 16, 16, 16)).double()
    assert 30_000 < sum(w.numel() for w in module.parameters()) < 33_000
    x = torch.zeros(1, 1, 16, 16, 16, dtype=torch.float64, requires_grad=True)
    module(x)[0, 0, 8, 8, 8].backward()
    seen = np.argwhere(x.grad[0, 0].numpy() != 0)
    assert seen.min() == 4
    assert seen.max() == 12


def test_losses_of_count_fields_are_those_of_scipy():
    random = torch.Generator().manual_seed(1)
    shape = (1, 3, 3, 3)
    counts = torch.poisson(torch.full((2, *shape), 1.5, dtype=torch.float64), generator=random)
    outputs = torch.randn((2, 2, 3, 3, 3), generator=random)
    level = torch.full(shape, 0.2, dtype=torch.float64)
    mean = 10 ** (outputs[:, :1].double() + 0.2).numpy()
    found = Loss("poisson_field", level, torch.ones_like(level))(outputs[:, :1], counts)
    assert float(found) == pytest.approx(-stats.poisson.logpmf(counts.numpy(), mean).mean(), rel=1e-6)
    loss = Loss("negative_binomial_field", level, torch.ones_like(level))
    r = np.exp(-outputs[:, 1:].double().numpy())
    right = -stats.nbinom.logpmf(counts.numpy(), r, r / (r + mean)).mean()
    assert float(loss(outputs, counts)) == pytest.approx(right, rel=1e-6)
    np.testing.assert_allclose(loss.targets(outputs).numpy(), mean)
    loss = Loss("bernoulli_poisson_field", level, torch.ones_like(level))
    p = np.minimum(mean, 1) / (1 + np.exp(-outputs[:, 1:].double().numpy()))
    n = counts.numpy()
    both = (1 - p) * stats.poisson.pmf(n, mean - p) + p * stats.poisson.pmf(n - 1, mean - p)
    assert float(loss(outputs, counts)) == pytest.approx(-np.log(both).mean(), rel=1e-6)
    np.testing.assert_allclose(loss.targets(outputs).numpy(), mean)
    flat = loss.constant(level)
    assert flat.shape == (2, 3, 3, 3)
    np.testing.assert_allclose(loss.targets(flat[None]).numpy(), 10**0.2)


def test_halos_are_drawn_with_the_mean_variance_and_gradient_of_the_answer():
    level = torch.zeros(1, 24, 24, 24, dtype=torch.float64)
    scale = Loss("bernoulli_poisson_field", level, torch.ones_like(level))
    outputs = torch.cat([torch.full((2, 1, 24, 24, 24), 0.3), torch.full((2, 1, 24, 24, 24), 1.2)], 1)
    outputs.requires_grad_(True)
    drawn = painted_counts(outputs, scale, torch.Generator().manual_seed(3))
    mean, probability = 10**0.3, 1 / (1 + np.exp(-1.2))
    assert float(drawn.mean().detach()) == pytest.approx(mean, rel=0.03)
    assert float(drawn.var().detach()) == pytest.approx(mean - probability**2, rel=0.06)
    assert (drawn.detach() == drawn.detach().round()).all()
    drawn.sum().backward()
    torch.testing.assert_close(outputs.grad[:, :1].double(), drawn.detach() * np.log(10))


def test_counts_are_drawn_as_their_probability_says():
    """Mean, variance and the share of each number, of each law, below and above one halo."""
    widths = {"log10_counts": lambda m: m, "log10_dispersed_counts": lambda m: m + np.exp(0.4) * m**2}
    widths["log10_bernoulli_counts"] = lambda m: m - (min(m, 1) / (1 + np.exp(-0.4))) ** 2
    for law, variance in widths.items():
        for mean in (0.4, 2.0):
            expected, outputs = (
                torch.full((1, 1, 40, 40, 40), mean, dtype=torch.float64),
                torch.full((1, 2, 40, 40, 40), 0.4),
            )
            drawn = draw_counts(law, outputs, expected, torch.Generator().manual_seed(3))
            assert float(drawn.mean()) == pytest.approx(mean, rel=0.03), law
            assert float(drawn.var()) == pytest.approx(variance(mean), rel=0.06), law
            for number in range(4):
                one = (slice(None), slice(None), slice(1), slice(1), slice(1))
                lost = chance_lost(law, outputs[one], expected[one], torch.full_like(expected[one], number))
                assert float((drawn == number).double().mean()) == pytest.approx(float(torch.exp(-lost)), abs=0.006), (
                    law
                )


def test_a_painter_of_another_law_is_no_start_for_an_adversarial_one():
    networks = plain(study_of())["networks"]
    networks["likelihood"]["training"]["loss"] = "negative_binomial_field"
    with pytest.raises(LimelightError, match=r"networks\.critic\.initialise_from: found likelihood, which learns by"):
        study_of(networks=networks)


class Linear(torch.nn.Module):
    """A critic whose slope is known: w times the sum of the field."""

    def __init__(self, slope):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(slope))

    def forward(self, inputs, fields):
        return self.slope * fields.flatten(1).sum(1, keepdim=True)


def test_the_critic_learns_a_slope_of_one_towards_the_true_fields():
    critic = Linear(0.0)
    optimizer = torch.optim.SGD(critic.parameters(), lr=0.01)
    rival = Adversary(critic, optimizer, 1, 10.0, lambda outputs, random: outputs, None)
    random = torch.Generator().manual_seed(0)
    true, painted = torch.full((2, 1, 2, 2, 2), 0.5), torch.zeros(2, 1, 2, 2, 2)
    distances = [float(rival.learn(painted, painted, true, random)) for _ in range(200)]
    # The norm of the slope is |w| √8, the distance 4 w: 10 (√8 w − 1)² − 4 w is least at w = (4 + 20 √8) / 160.
    assert float(critic.slope.detach()) == pytest.approx((4 + 20 * 8**0.5) / 160, rel=1e-3)
    assert distances[-1] > distances[0] == 0
    loss = rival.loss(painted, painted.requires_grad_(True), true, random)
    loss.backward()
    assert (painted.grad < 0).all()  # more halos please this critic
    anchored = replace(rival, likelihood=lambda outputs, truth: (outputs - truth).square().sum(), anchor=0.5)
    assert float(anchored.loss(painted, painted, true, random) - loss) == pytest.approx(0.5 * 16 * 0.25)
    assert [replace(rival, each=2, alone=3).moves(i) for i in range(6)] == [False, False, False, True, False, True]


def test_a_critic_without_the_density_does_not_see_it():
    random = torch.Generator().manual_seed(0)
    x, halos = torch.randn((1, 2, 8, 8, 8), generator=random), torch.rand((1, 1, 8, 8, 8), generator=random)
    for conditional in (True, False):
        critic = BoxCritic(1, Critic(conditional=conditional, filters=2))
        assert critic(x, halos).shape == (1, 1, 2, 2, 2)
        assert torch.equal(critic(x, halos), critic(x + 1, halos)) != conditional


def test_validation_prefers_the_right_painter():
    found = mock_rows([7])
    truth = torch.from_numpy(found.y["total"]).double()
    level = torch.zeros(1, *[CELLS] * 3, dtype=torch.float64)
    scale = Loss("adversarial", level, torch.ones_like(level))
    loss = HeldOut(scale, PROBE.scales(found.header).bins, sampled=False)

    def score(field):
        return float(loss(torch.cat([field.clamp(min=1e-6).log10(), 0 * field], dim=1), truth))

    assert score(truth) == pytest.approx(0, abs=1e-6)
    assert score(truth) < score(truth.roll(3, 2)) < score(torch.ones_like(truth))


def trained(study, name, rows, validation, folder, start=None):
    settings = network_settings(study, name)
    content, history = loop.train(settings, PROBE, rows, validation, folder / name, start=start)
    save_model(folder / f"{name}.pt", content, provenance(settings, study.seed))
    return folder / f"{name}.pt", history


def test_a_known_bias_is_learnt_and_permuted_pairs_teach_nothing(tmp_path):
    torch.set_num_threads(1)
    study, test = study_of(), mock_rows([10, 11, 12])
    rate = (1 + test.x[:, 0]) ** 1.5
    for permuted, least, most in ((False, 0.93, 1.0), (True, -0.35, 0.35)):
        rows, chosen = mock_rows(range(8), permuted), mock_rows([8, 9], permuted)
        path, _ = trained(study, "likelihood", rows, chosen, tmp_path / str(permuted))
        painted = paint(*load_model(path), PROBE, test, 2, 1)
        r = np.corrcoef(painted.mean.ravel(), rate.ravel())[0, 1]
        assert least < r < most, (permuted, r)
        assert painted.drawn.mean() == pytest.approx(test.y["total"].mean(), rel=0.3)


def test_alternating_updates_resume_to_the_same_bytes(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    study, rows, validation = study_of(), mock_rows([0, 1, 2]), mock_rows([3])
    short = study.model_copy(
        update={
            "networks": {
                n: e.model_copy(update={"training": e.training.model_copy(update={"epochs": 3})})
                for n, e in study.networks.items()
            }
        }
    )
    path, _ = trained(short, "likelihood", rows, validation, tmp_path)
    start = load_model(path)[0].state_dict()
    whole, history = trained(short, "critic", rows, validation, tmp_path / "whole", start)
    assert len({row["validation_loss"] for row in history}) > 1  # the network moves
    judge = loop.judge_epoch

    def stopped(run, state, epoch, done):
        judge(run, state, epoch, done)
        if epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "judge_epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        trained(short, "critic", rows, validation, tmp_path / "parts", start)
    monkeypatch.undo()
    again, _ = trained(short, "critic", rows, validation, tmp_path / "parts", start)
    assert again.read_bytes() == whole.read_bytes()


def test_painters_are_judged_on_boxes_of_their_own_geometry_alone(tmp_path, monkeypatch):
    """A painter of other cells paints any box without a word; and wave numbers are those of the test's own boxes."""
    boxes = {"side_mpc": 32, "particles": 32, "cells": CELLS, "steps": 6}
    network = {"architecture": "inception", "options": {"filters": 4}}
    study = study_of(
        data={"boxes": boxes, "large": {**boxes, "side_mpc": 64, "mass_edges_msun": [8e12, 1e16]}},
        networks={"small": {**network, "data": ["boxes"]}, "large": {**network, "data": ["large"]}},
        tests={"s": {"data": "boxes"}, "l": {"data": "large"}},
    )
    paths, rng = [], np.random.default_rng(0)
    for dataset in ("boxes", "large"):
        settings = PROBE.dataset_settings(study, dataset)
        for number in (4, 5):
            made = mock_rows([number])
            counts = rng.poisson(3, (1, 1, CELLS, CELLS, CELLS)).astype(np.float32)
            found = replace(
                made,
                header=PROBE.header(settings),
                y={"total": counts, "bands": counts},
                dataset=np.array([dataset]),
                group=np.array([number]),
            )
            paths.append(tmp_path / f"{dataset}{number}.h5")
            write_shard(paths[-1], found, provenance(settings, study.seed))

    def painted(module, info, probe, found, draws, seed):
        true = found.y["total"][:, 0]
        return Painted(true, np.stack([true] * draws), 0.0)

    monkeypatch.setattr(stages, "load_painter", lambda study, path: (None, {"network": path}))
    monkeypatch.setattr(stages, "paint", painted)
    others = []
    for number in range(3):
        made = mock_rows([number])
        counts = rng.poisson(3, (1, 1, CELLS, CELLS, CELLS)).astype(np.float32)
        header, y = PROBE.header(PROBE.dataset_settings(study, "boxes")), {"total": counts, "bands": counts}
        found = replace(made, header=header, y=y, dataset=np.array(["boxes"]), group=np.array([number]))
        others.append(tmp_path / f"other{number}.h5")
        write_shard(others[-1], found, provenance(PROBE.dataset_settings(study, "boxes"), study.seed))
    rows, _ = stages.judge_painters(study, ["small", "large"], paths, others)
    assert {(row["test"], row["painter"]) for row in rows} == {("s", "small"), ("l", "large")}
    at = {
        test: [row["at"] for row in rows if (row["test"], row["statistic"]) == (test, "empty regions")] for test in "sl"
    }
    assert at == {"s": [8.0, 16.0], "l": [16.0, 32.0]}
    numbers = [float(read_shards([path]).y["total"].sum()) for path in (*paths[:2], *others)]
    scatter = {row["test"]: row["box_scatter"] for row in rows if row["statistic"] == "number"}
    assert scatter["s"] == pytest.approx(np.std(numbers, ddof=1) / np.mean(numbers))
    assert np.isnan(scatter["l"])  # of two boxes of its own dataset: those of another universe say nothing of it


def test_a_tiny_study_by_its_scripts(tmp_path):
    torch.set_num_threads(1)
    study = study_of(data={"boxes": {"side_mpc": 32, "particles": 32, "cells": CELLS, "steps": 6}})
    network = study.networks["likelihood"]
    short = network.training.model_copy(update={"epochs": 10})
    study = study.model_copy(update={"networks": {"likelihood": network.model_copy(update={"training": short})}})
    settings, shards = PROBE.dataset_settings(study, "boxes"), {}
    for n in range(6):
        shards[n] = tmp_path / f"{n}.h5"
        write_shard(shards[n], PROBE.simulate(settings, "boxes", n), provenance(settings, study.seed))
    made, _ = trained(
        study, "likelihood", read_shards([shards[i] for i in range(3)]), read_shards([shards[3]]), tmp_path
    )
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(plain(study)))

    def script(name, *words):
        python = [sys.executable, ROOT / "scripts" / name, "--config", tmp_path / "s.yaml"]
        said = subprocess.run([*python, *words], capture_output=True, text=True)
        assert said.returncode == 0, said.stderr

    tests = ["--tests", shards[4], shards[5]]
    script(
        "judge_painters.py",
        "--networks",
        made,
        *tests,
        "--others",
        shards[0],
        shards[3],
        "--output",
        tmp_path / "p.csv",
    )
    table = read_csv(tmp_path / "p.csv", "table")
    likely = table["statistic"] == "ln L per halo"
    assert (table["painted"][likely] > table["true"][likely]).all()  # better than no structure at all
    figures = {f"p.{name}.{kind}" for name in ("slices", "ratios") for kind in ("png", "pdf")}
    assert {path.name for path in tmp_path.glob("p.*")} == {"p.csv", *figures}
    chains = ["--checkpoints", tmp_path / "chains", "--output", tmp_path / "b.csv"]
    script("sample_bias.py", "--train", shards[0], *tests, *chains)
    assert read_csv(tmp_path / "b.csv", "table")["parameters"][0] == 6
    assert len(read_csv(tmp_path / "b.bands.csv", "table")["fof"]) == 9
    assert len(list((tmp_path / "chains").glob("*.h5"))) == 2
    with pytest.raises(LimelightError, match=r"realisations \[4\]; expected the train realisations \[0, 1, 2\]"):
        stages.sample_bias(study, [shards[4]], [shards[5]], tmp_path / "chains")
    other = study_of(seed=3)
    with pytest.raises(LimelightError, match=r"likelihood\.pt: found [^\n]*seed"):
        stages.load_painter(other, made)
