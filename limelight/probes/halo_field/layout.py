"""What is known of a box before it is simulated."""

from limelight.cosmology import Cosmology

CHANNELS = ("lpt", "evolved", "redshift")  # of a row
LEAST_PARTICLES = 20  # of a halo


def particle_mass(side_mpc: float, particles: int, cosmology: Cosmology) -> float:
    """Msun."""
    return cosmology.matter_density * (side_mpc / particles) ** 3


def shown_channels(shear: bool, redshift: bool, noise_channels: int) -> int:
    """How many channels a painter is shown of a box."""
    return 1 + int(shear) + int(redshift) + noise_channels
