"""Training data that are simulated anew for each epoch, instead of being read from shards again.

The first epoch is taught by the stored rows, which also set the scale of the answers and the ranges of the inputs. Each
later one is taught by rows of Probe.fresh_rows, which depend on the epoch's number alone: a resumed run sees the same.
"""

from collections.abc import Sequence
from pathlib import Path

from limelight.data.shard import Rows, joined
from limelight.errors import problem
from limelight.probe import Probe
from limelight.study.settings import NetworkSettings

FIRST_PART = 1_000_000  # beyond the files of any stream: heads must not learn from what taught their trunk


class FreshRows:
    """What teaches each epoch of one network.

    Parameters
    ----------
    files
        What the probe simulates from: of each training realisation in turn the same number of files (Probe.stream_files).
    """

    def __init__(self, settings: NetworkSettings, probe: Probe, files: Sequence[str | Path] = ()):
        self.settings, self.probe, self.draws = settings, probe, settings.network.training.fresh_draws
        realisations = settings.splits["train"]
        each, rest = divmod(len(files), len(realisations))
        if rest:
            found, expected = (
                f"{len(files)} files",
                f"as many for each of the {len(realisations)} training realisations",
            )
            raise problem("--simulate-from", found, expected, "give those of all of them, in their order")
        self.files = {number: files[i * each : (i + 1) * each] for i, number in enumerate(realisations)}

    def __call__(self, epoch: int) -> Rows:
        """The rows that teach an epoch, counted from 0; those of epoch 0 are stored and never asked for."""
        parts: list[Rows] = []
        for number, files in self.files.items():
            for name, dataset in self.settings.datasets.items():
                parts += self.probe.fresh_rows(dataset, name, number, FIRST_PART + epoch, self.draws, files)
        return joined(parts)
