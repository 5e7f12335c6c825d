"""Chains of MCMC that a kill cannot damage."""

import os
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

from limelight.inference.mcmc import diagnostics, run_chain
from limelight.seeds import seed_sequence


def gaussian_log_prob(places: np.ndarray) -> np.ndarray:
    return -0.5 * np.sum((places / [1.0, 3.0]) ** 2, axis=1)


def mortal(calls: int):
    """The log probability that is interrupted after so many calls."""
    left = iter(range(calls))

    def log_prob(places: np.ndarray) -> np.ndarray:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return gaussian_log_prob(places)

    return log_prob


def start_at(random: np.random.RandomState) -> np.ndarray:
    return random.standard_normal((12, 2))


def test_chain_samples_what_it_is_given(tmp_path):
    chain, log_prob = run_chain(tmp_path / "c.h5", gaussian_log_prob, start_at, 1000, "k", seed_sequence(1, "x"))
    late = chain[200:].reshape(-1, 2)
    np.testing.assert_allclose(late.std(0), [1, 3], rtol=0.12)
    np.testing.assert_allclose(log_prob[-1], gaussian_log_prob(chain[-1]))
    found = diagnostics(np.array([chain[200:600], chain[600:]]))
    assert (found["rhat"] < 1.03).all()
    assert (found["ess"] > 200).all()
    assert 0.2 < found["acceptance"] < 0.9
    apart = diagnostics(np.array([chain[200:600], chain[600:] + [1.5, 4.5]]))
    assert (apart["rhat"] > 1.05).all(), "two ensembles that disagree must show"


def test_interrupted_chain_goes_on_to_the_byte(tmp_path):
    """Stopped in the middle of a step, and once more, the chain ends as the uninterrupted one."""
    whole = run_chain(tmp_path / "whole.h5", gaussian_log_prob, start_at, 60, "k", seed_sequence(1, "x"))
    done = 0
    for calls in (37, 9):
        with pytest.raises(KeyboardInterrupt):
            run_chain(tmp_path / "cut.h5", mortal(calls), start_at, 60, "k", seed_sequence(1, "x"))
        with h5py.File(tmp_path / "cut.h5") as file:
            assert 60 > file["done"][0] > done
            done = file["done"][0]
    again = run_chain(tmp_path / "cut.h5", gaussian_log_prob, start_at, 60, "k", seed_sequence(1, "x"))
    np.testing.assert_array_equal(again[0], whole[0])
    np.testing.assert_array_equal(again[1], whole[1])


KILLED = """
import numpy as np
from limelight.inference import mcmc as chain
from limelight.seeds import seed_sequence
save = chain._save
def counted(*args):
    save(*args)
    print("step", flush=True)
chain._save = counted
log_prob = lambda p: -0.5 * np.sum((p / [1.0, 3.0]) ** 2, axis=1)
chain.run_chain({path!r}, log_prob, lambda r: r.standard_normal((12, 2)), 400, "k", seed_sequence(1, "x"))
"""


def test_a_kill_loses_at_most_a_step(tmp_path):
    """SIGKILL at an arbitrary moment: the file opens and holds every step that was finished; the rest is as if unbroken."""
    script = KILLED.format(path=str(tmp_path / "killed.h5"))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    for _ in range(51):
        assert process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    finished = 51 + len(process.stdout.read().splitlines())
    process.wait()
    with h5py.File(tmp_path / "killed.h5") as file:
        assert int(file["done"][0]) in (finished, finished + 1)
    again, _ = run_chain(tmp_path / "killed.h5", gaussian_log_prob, start_at, 400, "k", seed_sequence(1, "x"))
    whole, _ = run_chain(tmp_path / "whole.h5", gaussian_log_prob, start_at, 400, "k", seed_sequence(1, "x"))
    np.testing.assert_array_equal(again, whole)


def test_chain_of_other_settings_starts_anew(tmp_path):
    first, _ = run_chain(tmp_path / "c.h5", gaussian_log_prob, start_at, 5, "k", seed_sequence(1, "x"))
    (tmp_path / "c.h5").touch()
    other, _ = run_chain(tmp_path / "c.h5", gaussian_log_prob, start_at, 5, "another", seed_sequence(2, "x"))
    assert not np.array_equal(first, other)
    (tmp_path / "c.h5").write_bytes(b"no HDF5")
    again, _ = run_chain(tmp_path / "c.h5", gaussian_log_prob, start_at, 5, "k", seed_sequence(1, "x"))
    np.testing.assert_array_equal(first, again)
