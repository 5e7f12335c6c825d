"""Random streams that depend on what is computed, never on who computes it or in which order.

Every stream is keyed by (study seed, stage name, integers such as light-cone, subfield and draw). The same key gives the
same numbers whatever the number of jobs, workers or restarts.
"""

import hashlib

import numpy as np


def seed_sequence(study_seed: int, stage: str, *index: int) -> np.random.SeedSequence:
    """The SeedSequence of one (study, stage, index...) key."""
    stage_word = int.from_bytes(hashlib.sha256(stage.encode()).digest()[:8], "little")
    return np.random.SeedSequence(entropy=int(study_seed), spawn_key=(stage_word, *(int(i) for i in index)))


def generator(study_seed: int, stage: str, *index: int) -> np.random.Generator:
    """A numpy Generator on the stream of one key."""
    return np.random.Generator(np.random.PCG64(seed_sequence(study_seed, stage, *index)))


def torch_seed(study_seed: int, stage: str, *index: int) -> int:
    """A 63-bit seed for torch.Generator.manual_seed on the stream of one key."""
    return int(seed_sequence(study_seed, stage, *index).generate_state(1, np.uint64)[0] >> np.uint64(1))
