"""Test data as an instrument records them: each row with draws of its own, the same whoever looks at it."""

from collections.abc import Iterator

import numpy as np
import torch

from limelight.seeds import torch_seed
from limelight.training.presentation import Presentation

BATCH = 40


def noise_of_test(test: str) -> str:
    """The name of the random stream of a test's noise: networks and estimators must see the same."""
    return f"noise of test {test}"


def observed(x: np.ndarray, presentation: Presentation, seed: int, stage: str) -> Iterator[torch.Tensor]:
    """Batches of network inputs (≤ BATCH, …) of clean data (n, channels, *axes).

    Noise and foregrounds of row i depend on (seed, stage, i) and are drawn on the CPU, so neither batch nor device changes
    them.
    """
    for first in range(0, len(x), BATCH):
        batch = []
        for i, one in enumerate(x[first : first + BATCH], first):
            random = torch.Generator().manual_seed(torch_seed(seed, stage, i))
            batch.append(presentation.observe(torch.as_tensor(np.asarray(one, np.float32))[None], random))
        yield torch.cat(batch)
