"""Line-intensity mapping as a probe: what the engine asks of it (limelight.probe.Probe)."""

from collections.abc import Iterator

from limelight.data.axes import Axis, OutputAxis
from limelight.data.shard import Header
from limelight.data.targets import ClassTarget, Target, VectorTarget
from limelight.probes.line_intensity import checks, selection, settings
from limelight.probes.line_intensity.config import LineNetwork, LineStudy, LineTest
from limelight.section import plain


class LineIntensity:
    """CO (or another line) from halos to maps, and the luminosity function that a network reads off them."""

    name = "line_intensity"
    study = LineStudy

    def check(self, study: LineStudy) -> Iterator[str]:
        return checks.check(study)

    def cannot_take(self, study: LineStudy, network: str, test: str) -> str:
        return selection.cannot_take(study, network, test)

    def knows_observation(self, network: LineNetwork, test: LineTest) -> bool:
        return test.noise in network.noise

    def dataset_settings(self, study: LineStudy, dataset: str) -> settings.ShardSettings:
        return settings.shard_settings(study, dataset)

    def observation_settings(self, study: LineStudy, entry: LineNetwork | LineTest) -> settings.LineObservation:
        return settings.observation_settings(study, entry)

    def header(self, dataset_settings: settings.ShardSettings) -> Header:
        """Maps (1, x, y, frequency) of block sums; the labels say at which luminosities they were counted."""
        grid, half = dataset_settings.grid, dataset_settings.grid.size_deg / 2
        x, _, channels = grid.pooled_shape
        return Header(
            probe=self.name,
            axes=(
                Axis("x", "deg", -half, half, x),
                Axis("y", "deg", -half, half, x),
                Axis("frequency", "GHz", grid.freq_min_ghz, grid.freq_max_ghz, channels),
            ),
            channels=("line",),
            unit=f"{grid.unit}, summed over {grid.pool_pixels}² × {grid.pool_channels} voxels",
            geometry=dataset_settings.geometry,
            truths={"labels": plain(dataset_settings.maps.labels)},
            simulation={"cosmology": plain(dataset_settings.maps.cosmology)},
        )

    def target(self, network: LineNetwork, header: Header) -> Target:
        """TRANSITION: the shape alone is right; counts are not derived yet."""
        if network.classifies:
            return ClassTarget(tuple(network.line_models), "line model")
        bins = header.truths["labels"]["bins"]
        return VectorTarget(network.target.quantity, OutputAxis("luminosity", "Lsun", True), (bins,))


PROBE = LineIntensity()
