"""The ideal intervals, and the sources that a dataset cuts: counts of painted maps, without scatter and with it."""

from types import SimpleNamespace

import numpy as np
import pytest
from rival_toys import GRID, halos_of

from limelight.cosmology import Cosmology
from limelight.data.axes import Axis
from limelight.data.shard import Header, Rows
from limelight.probes.line_intensity import money
from limelight.probes.line_intensity.config import Labels, MapDataset
from limelight.probes.line_intensity.maps.paint import paint_subfields
from limelight.section import plain

HALOS, CUT = halos_of(1), 5.5
LABELS = Labels(log10_lum_min=3.5, log10_lum_max=7.0, bins=49)
TABLE = SimpleNamespace(lightcone=3, cosmology=Cosmology(), center_deg=np.zeros((1, 2)))


def maps_of(dataset: MapDataset) -> Rows:
    """The rows of a shard of HALOS that the ideal reads; their light does not matter to it."""
    draws = list(paint_subfields(TABLE, [(0, HALOS)], "toy", dataset, plain(LABELS), GRID, 1))
    many = np.zeros(len(draws), np.int64)
    return Rows(
        header=Header("line_intensity", (Axis("x", "deg", -0.35, 0.35, 1),), ("line",), "uK", {}, {}, {}),
        x=np.zeros((len(draws), 1, 1), np.float32),
        y={"n_above": np.array([one.n_above for one in draws])},
        theta=np.array([list(one.parameters.values()) for one in draws]),
        parameter_names=list(draws[0].parameters),
        group=many + TABLE.lightcone,
        dataset=np.repeat(["toy"], len(draws)),
        rows={"subfield": many, "draw": np.arange(len(draws))},
        examples={},
    )


@pytest.mark.parametrize("model", ["breysse", "padmanabhan", "li"])
@pytest.mark.parametrize("cut", [None, CUT])
def test_the_ideal_counts_no_source_at_or_above_the_cut(model, cut, monkeypatch):
    """Without scatter its counts are the map's own. With it, bins above the cut are empty in every draw, and only then."""
    monkeypatch.setattr(money, "read_subfields", lambda path: TABLE)
    monkeypatch.setattr(money, "read_subfield_halos", lambda path: [(0, HALOS)])
    dataset = MapDataset(model=model, prior="10%", draws=2, log10_lum_cut=cut)
    settings = SimpleNamespace(
        maps=SimpleNamespace(dataset=dataset, seed=1, labels=LABELS, name="toy"), grid=GRID, beam_fwhm_arcmin=0.0
    )
    result = money.ideal_intervals(["any"], maps_of(dataset), settings, maps=10, draws=5)
    above = np.linspace(3.5, 7.0, 50)[:-1] > CUT - 1e-9
    assert (result.samples[..., above].sum() == 0) == (cut is not None)
    assert (result.truth[:, above].sum() == 0) == (cut is not None)
    assert (result.samples[..., ~above].sum(axis=(1, 2)) > 0).all()
    if model != "li":
        np.testing.assert_array_equal(result.samples, np.repeat(result.truth[:, None], 5, axis=1))
