"""Which halos a voxel's light comes from: bands add up to the map itself, and each holds the light of its halos alone."""

from dataclasses import replace

import numpy as np
import pytest
from map_files import GRID, LABELS, LI10, make_files, subfields

from limelight.data.shard import Rows, read_shards
from limelight.errors import LimelightError
from limelight.probes.line_intensity import bands
from limelight.probes.line_intensity.bands import MASS_EDGES, light_bands
from limelight.probes.line_intensity.config import Labels
from limelight.probes.line_intensity.lines.models import get_model
from limelight.probes.line_intensity.maps.paint import bin_light, drawn_light, prepare_field
from limelight.probes.line_intensity.settings import LightconeSettings, MapSettings, ShardSettings, SubfieldSettings
from limelight.probes.line_intensity.shards import pool_map
from limelight.seeds import generator


def settings(beam: float = 0.0, seed: int = 5) -> ShardSettings:
    cone = LightconeSettings(seed, None, None, 26.0, 34.0, 115.27)
    labels = Labels.model_validate(LABELS)
    fine = replace(GRID, pool_pixels=1, pool_channels=1)
    return ShardSettings(MapSettings(SubfieldSettings(cone, None), fine, labels, "li10", LI10, None), GRID, beam)


@pytest.fixture
def files(monkeypatch):
    """Paths that stand for the subfields files of light-cones 3 and 4: their numbers."""
    monkeypatch.setattr(bands, "read_subfields", lambda path: subfields(path)[0])
    monkeypatch.setattr(bands, "read_subfield_halos", lambda path: iter(subfields(path)[1]))
    return [3, 4]


@pytest.fixture(scope="module", params=[0.0, 8.0])
def shown(request, tmp_path_factory) -> tuple[Rows, float]:
    """(all maps of both light-cones, the beam they were smoothed by)."""
    folder = tmp_path_factory.mktemp("bands")
    paths = [make_files(folder, cone, beam=request.param)[1] for cone in (3, 4)]
    return read_shards(paths), request.param


def test_bands_add_up_to_the_map_and_hold_the_light_of_their_halos(shown, files):
    found, beam = shown
    classes = light_bands(settings(beam), found, files)
    assert set(classes) == {"luminosity", "halo_mass"}
    for one in classes.values():
        assert one.weights.shape[2:] == (1, 4, 4, 4)
        assert one.weights.sum(axis=1) == pytest.approx(1, abs=1e-5), "every voxel has light"
        assert one.amount.sum() == pytest.approx(1)
    row = 7  # light-cone 4, subfield 0, draw 1, by hand
    assert [int(found.group[row]), *(int(found.rows[key][row]) for key in ("subfield", "draw"))] == [4, 0, 1]
    table, halos = subfields(4)
    field = prepare_field(
        halos[0][1], replace(GRID, pool_pixels=1, pool_channels=1), table.center_deg[0], table.cosmology
    )
    light, _ = drawn_light(field, get_model("li"), LI10, generator(5, "paint/li10", 4, 0, 1), "here")
    mass = field.properties[0]
    for band, (low, high) in enumerate(zip(MASS_EDGES[:-1], MASS_EDGES[1:], strict=True)):
        mine = np.where((mass >= 10**low) & (mass < 10**high), light.per_halo, 0)
        expected = pool_map(bin_light(field, mine), GRID, beam)
        assert classes["halo_mass"].weights[row, band, 0] * found.x[row, 0] == pytest.approx(
            expected, abs=2e-5 * float(found.x.max())
        ), band


def test_halos_of_another_study_and_missing_light_cones_are_refused_in_one_line(shown, files):
    found, beam = shown
    with pytest.raises(LimelightError, match="halos that make other maps"):
        light_bands(settings(beam, seed=6), found, files)
    with pytest.raises(LimelightError, match=r"none of light-cones \[4\]"):
        light_bands(settings(beam), found, files[:1])
