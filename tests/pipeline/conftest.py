"""The tiny study, run through the real workflow in a scratch copy of the repository's working files."""

import pytest
from checkout import COMPARED, Checkout


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The tiny study, run once to its end with two cores."""
    checkout = Checkout(tmp_path_factory.mktemp("finished"))
    checkout.snakemake("--cores", "2", "--show-failed-logs", *COMPARED)
    return checkout
