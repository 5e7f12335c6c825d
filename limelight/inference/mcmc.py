"""MCMC chains that a kill cannot damage: emcee's steps in an HDF5 file that is allocated in full before the first step.

The datasets are contiguous and allocated at once, so writing a step changes no structure of the file. After a kill at any
moment the file opens, and `done` counts the complete steps. The state of the random stream has two slots in turn, so the
one that belongs to `done` is never half written. A resumed chain equals the uninterrupted one, byte for byte.
"""

from collections.abc import Callable
from pathlib import Path

import emcee
import h5py
import numpy as np

from limelight.errors import problem
from limelight.files import FORMAT_VERSION, atomic_path, refuse_unread

KIND = "chain"
MOVES = ((0.7, emcee.moves.DEMove), (0.1, emcee.moves.DESnookerMove), (0.2, emcee.moves.StretchMove))


def run_chain(
    path: str | Path,
    log_prob: Callable[[np.ndarray], np.ndarray],
    start: Callable[[np.random.RandomState], np.ndarray],
    steps: int,
    key: str,
    seed: np.random.SeedSequence,
) -> tuple[np.ndarray, np.ndarray]:
    """Run emcee for `steps` steps, or go on from what the file at `path` holds; (chain (steps, walkers, p), log_prob).

    log_prob: (m,) of parameters (m, p); start: the walkers' first positions (walkers, p) from a random state; key: all that
    the chain depends on. A file with another key, or another number of steps, is started anew.
    """
    path = Path(path)
    if not _fits(path, steps, key):
        random = np.random.RandomState(np.random.MT19937(seed))
        _create(path, np.asarray(start(random), np.float64), random.get_state(), steps, key)
    with h5py.File(path, "r+") as file:
        done = int(file["done"][0])
        walkers, dimension = file["chain"].shape[1:]
        sampler = emcee.EnsembleSampler(
            walkers, dimension, log_prob, vectorize=True, moves=[(move(), weight) for weight, move in MOVES]
        )
        if done < steps:
            rows = {name: file[name] for name in file}
            for state in sampler.sample(_state(file, done), iterations=steps - done, store=False):
                done += 1
                _save(file, rows, done, state)
        return file["chain"][1:], file["log_prob"][1:]


def _fits(path: Path, steps: int, key: str) -> bool:
    if not path.is_file():
        return False
    try:
        with h5py.File(path, "r") as file:
            same = file.attrs.get("limelight_kind") == KIND and file.attrs.get("key") == key
            return bool(same and file["chain"].shape[0] == steps + 1)
    except OSError as error:
        refuse_unread(path, error)  # a chain that another process extends must not be started anew
        return False
    except KeyError:
        return False


def _create(path: Path, places: np.ndarray, random_state: tuple, steps: int, key: str) -> None:
    """Write the whole file with the start as row 0; it gets its name only when it is complete."""
    if not np.isfinite(places).all():
        raise problem("rival: start of a chain", "places that are not finite", "numbers", "check the prior")
    with (
        atomic_path(path) as part,
        h5py.File(part, "w", libver=("earliest", "v108")) as file,
    ):  # no flag "open for writing"
        file.attrs["limelight_kind"], file.attrs["limelight_format"], file.attrs["key"] = KIND, FORMAT_VERSION, key
        for name, shape, kind in (
            ("chain", (steps + 1, *places.shape), np.float64),
            ("log_prob", (steps + 1, len(places)), np.float64),
            ("random_keys", (2, 624), np.uint32),
            ("random_rest", (2, 3), np.float64),  # position, whether a Gaussian is left over, and it
            ("done", (1,), np.int64),
        ):
            file[name] = np.zeros(shape, kind)  # contiguous, written and so allocated
        file["chain"][0], file["log_prob"][0] = places, np.nan
        file["random_keys"][0], file["random_rest"][0] = random_state[1], random_state[2:]


def _state(file: h5py.File, done: int) -> emcee.State:
    rest = file["random_rest"][done % 2]
    random_state = ("MT19937", file["random_keys"][done % 2], int(rest[0]), int(rest[1]), float(rest[2]))
    log_prob = file["log_prob"][done] if done else None
    return emcee.State(file["chain"][done], log_prob=log_prob, random_state=random_state)


def _save(file: h5py.File, rows: dict[str, h5py.Dataset], done: int, state: emcee.State) -> None:
    rows["chain"][done], rows["log_prob"][done] = state.coords, state.log_prob
    rows["random_keys"][done % 2], rows["random_rest"][done % 2] = state.random_state[1], state.random_state[2:]
    file.flush()
    rows["done"][0] = done
    file.flush()


def diagnostics(chains: np.ndarray) -> dict[str, np.ndarray]:
    """Convergence of independent ensembles (c, steps, walkers, p), burn-in removed: each (p,), acceptance ().

    autocorrelation: steps, emcee's estimate over the walkers, mean of the ensembles; ess: c · steps · walkers over it;
    rhat: Gelman-Rubin between the halves of the ensembles, with all walkers of a half as one sequence (walkers of one
    ensemble are not independent, ensembles are); acceptance: share of accepted moves.
    """
    c, steps, walkers, p = chains.shape
    tau = np.mean(
        [emcee.autocorr.integrated_time(chain, tol=0, quiet=True, has_walkers=True) for chain in chains], axis=0
    )
    tau = np.where(np.isfinite(tau), tau, steps)
    half = steps // 2
    parts = np.concatenate([chains[:, :half], chains[:, steps - half :]]).reshape(2 * c, half * walkers, p)
    within, between = parts.var(axis=1, ddof=1).mean(0), parts.mean(1).var(axis=0, ddof=1)
    n = half * walkers
    rhat = np.sqrt(np.divide((n - 1) / n * within + between, within, out=np.ones(p), where=within > 0))
    moved = np.any(np.diff(chains, axis=1) != 0, axis=-1).mean()
    return {"autocorrelation": tau, "ess": c * steps * walkers / np.maximum(tau, 1), "rhat": rhat, "acceptance": moved}
