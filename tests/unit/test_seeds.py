"""Random streams depend on their key alone; progress of loops stays short in a log."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from limelight.normals import FEW, standard_normals
from limelight.progress import progress
from limelight.seeds import generator, seed_sequence, torch_seed


def test_streams_depend_on_their_key_alone_not_on_order():
    keys = [("halos", 3), ("paint/li", 3, 0, 1), ("paint/li", 3, 1, 0), ("halos", 4), ("paint", 3, 0, 1), ("halos",)]
    forward = {key: generator(5, *key).random(4).tolist() for key in keys}
    generator(5, "other").random(1000)
    np.random.default_rng().random(3)
    backward = {key: generator(5, *key).random(4).tolist() for key in reversed(keys)}
    assert forward == backward
    assert len({tuple(values) for values in forward.values()}) == len(keys)
    assert generator(6, *keys[0]).random(4).tolist() != forward[keys[0]]
    assert generator(5, "halos", np.int64(3)).random(4).tolist() == forward["halos", 3]


@pytest.mark.parametrize("shape", [0, 7, FEW - 1, FEW, (3, 70_001), 1_000_000])
def test_compiled_normals_are_numpys_and_leave_the_stream_where_numpy_does(shape):
    ours, theirs = generator(5, "halos"), generator(5, "halos")
    assert np.array_equal(standard_normals(ours, shape), theirs.standard_normal(shape))
    assert ours.bit_generator.state == theirs.bit_generator.state


def test_streams_in_another_process_are_the_same():
    """Hash randomisation and the process must not matter."""
    body = "from limelight.seeds import generator, torch_seed\n"
    body += "print(generator(20190524, 'halos', 3).integers(0, 2**62, 3).tolist(), torch_seed(1, 'train', 2))"
    expected = [generator(20190524, "halos", 3).integers(0, 2**62, 3).tolist(), torch_seed(1, "train", 2)]
    for hash_seed in ("0", "77"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run([sys.executable, "-c", body], capture_output=True, text=True, env=env, timeout=60)
        assert done.stdout.strip() == " ".join(map(str, expected))


def test_streams_are_independent():
    streams = np.array([generator(1, "halos", i).standard_normal(2000) for i in range(40)])
    correlation = np.corrcoef(streams)[np.triu_indices(40, 1)]
    assert np.abs(correlation).max() < 6 / np.sqrt(2000)
    assert correlation.std() == pytest.approx(1 / np.sqrt(2000), rel=0.15)


def test_torch_seeds_fit_torch():
    seeds = [torch_seed(1, "noise", i) for i in range(100)]
    assert len(set(seeds)) == 100
    assert min(seeds) >= 0
    assert max(seeds) < 2**63
    torch.Generator().manual_seed(max(seeds))
    assert seed_sequence(1, "noise", 2).entropy == 1


def test_progress_passes_everything_on_and_stays_short_in_a_log(capsys):
    assert list(progress(range(1000), "painting", every_s=100)) == list(range(1000))
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("painting: 1000 done in ")
    assert list(progress((i for i in range(3)), "of unknown length", every_s=0)) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines[:3]] == [f"of unknown length: {i}/?" for i in (1, 2, 3)]
    assert list(progress([], "nothing")) == []
    assert "nothing: 0 done" in capsys.readouterr().err


def test_progress_draws_a_bar_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(progress([1, 2, 3], "training")) == [1, 2, 3]
    assert "training: 100%" in sys.stderr.getvalue()
