"""Arrays of antennas: when a wave arrives, what its direction is, and how well that can be known.

All lengths are in µs of light's travel (LIGHT_KM of them a kilometre). A source in direction n at a distance R sends a wave
that arrives at the antenna in r at

    t = t0 + |R n − r|   (a sphere),   t → t0' − n·r for R → ∞   (a plane).

Clocks are wrong by a Gaussian σ, each by its own. The refraction of the air is left out.
"""

import numpy as np

LIGHT_KM = 1 / 0.299792458  # µs per km


def layout(side: int, size_km: float, relief_m: float, rng: np.random.Generator) -> np.ndarray:
    """Positions (side², 3) in µs around the array's middle: a square grid, heights of σ relief_m."""
    line = (np.arange(side) / (side - 1) - 0.5) * size_km
    x, y = np.meshgrid(line, line, indexing="ij")
    z = rng.normal(0, relief_m / 1000, side * side)
    return np.column_stack([x.ravel(), y.ravel(), z - z.mean()]) * LIGHT_KM


def draw_directions(count: int, zenith_deg: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Unit vectors (count, 3) towards sources, even on the sphere between two zenith angles."""
    cosine = rng.uniform(*np.cos(np.radians(zenith_deg[::-1])), count)
    azimuth, sine = rng.uniform(0, 2 * np.pi, count), np.sqrt(1 - cosine**2)
    return np.column_stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine])


def arrival_times(direction: np.ndarray, distance: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """µs (m, antennas) after the wave passes the array's middle, of directions (m, 3) and distances (m,)."""
    along = direction @ positions.T
    square = np.sum(positions**2, axis=1)
    r = np.asarray(distance)[:, None]
    return (square - 2 * r * along) / (np.sqrt(r**2 - 2 * r * along + square) + r)  # exact, and no loss far away


def plane_fit(times: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Unit vectors (m, 3) of the plane waves that fit times (m, antennas) best."""
    t, r = times - times.mean(axis=1, keepdims=True), positions - positions.mean(axis=0)
    start = -np.linalg.lstsq(r[:, :2], t.T, rcond=None)[0].T  # of a flat array, in closed form
    size = np.maximum(np.linalg.norm(start, axis=1, keepdims=True), 1.0 + 1e-9)
    start = start / size * np.where(size > 1.0 + 1e-9, 0.999, 1.0)
    return np.array([_fit(_plane_residual, begin, one, r)[0] for begin, one in zip(start, t, strict=True)])


def spherical_fit(times: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Unit vectors (m, 3) of the spherical waves of free distance that fit times (m, antennas) best."""
    starts = plane_fit(times, positions)[:, :2]
    found = []
    for begin, one in zip(starts, times, strict=True):
        tries = [_fit(_sphere_residual, [*begin, curvature], one, positions) for curvature in (0.003, 0.1)]
        found.append(min(tries, key=lambda pair: pair[1])[0])
    return np.array(found)


def _fit(residual, start, times: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, float]:
    """(unit vector, sum of squares) of the best fit from a start (nx, ny, …)."""
    from scipy import optimize

    found = optimize.least_squares(residual, start, args=(times, positions), method="lm", x_scale=1.0)
    return unit_vector(found.x[:2]), 2 * found.cost


def unit_vector(horizontal: np.ndarray) -> np.ndarray:
    """The unit vector (3,) above the horizon whose horizontal part (2,) is, at most 1 long."""
    size = np.hypot(*horizontal)
    flat = np.asarray(horizontal) / max(1.0, size)
    return np.array([*flat, np.sqrt(max(0.0, 1 - flat @ flat))])


def _plane_residual(theta: np.ndarray, times: np.ndarray, positions: np.ndarray) -> np.ndarray:
    wrong = times + positions @ unit_vector(theta)
    return wrong - wrong.mean()


def _sphere_residual(theta: np.ndarray, times: np.ndarray, positions: np.ndarray) -> np.ndarray:
    distance = 1 / max(abs(theta[2]), 1e-5)
    wrong = times - arrival_times(unit_vector(theta[:2])[None], np.array([distance]), positions)[0]
    return wrong - wrong.mean()


def bound(
    direction: np.ndarray, distance: np.ndarray, positions: np.ndarray, sigma_us: float, free_distance: bool = True
) -> np.ndarray:
    """The least σ (m,) of the angle between true and measured direction, degrees: √ of the Cramér-Rao bound of its square.

    Free are two angles, the time t0 and, but for `free_distance: False`, the curvature 1/R. sigma_us: of the clocks alone;
    the noise in the traces makes it a little worse.
    """
    found = []
    for n, r in zip(direction, np.asarray(distance, float), strict=True):
        across = np.linalg.svd(n[None])[2][1:]  # two unit vectors across n
        steps = [1e-5 * axis for axis in across]
        columns = [np.ones(len(positions))]
        for step in steps:
            ends = [arrival_times((n + sign * step)[None], np.array([r]), positions)[0] for sign in (1, -1)]
            columns.append((ends[0] - ends[1]) / 2e-5)
        if free_distance:
            ends = [arrival_times(n[None], 1 / np.array([(1 / r) * (1 + e)]), positions)[0] for e in (1e-3, -1e-3)]
            columns.append((ends[0] - ends[1]) / 2e-3)
        slopes = np.array(columns)
        covariance = np.linalg.pinv(slopes @ slopes.T / sigma_us**2)
        found.append(np.sqrt(covariance[1, 1] + covariance[2, 2]))
    return np.degrees(found)


def angle_deg(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Angles (m,) between vectors (m, 3), accurate for small ones too."""
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(one, other), axis=1), np.sum(one * other, axis=1)))


def peak_times(voltage: np.ndarray, time: np.ndarray) -> np.ndarray:
    """When the envelope of each trace is largest, (m, antennas), from voltage and time (m, antennas, samples)."""
    from scipy.signal import hilbert

    envelope = np.abs(hilbert(voltage, axis=-1))
    k = envelope[..., 1:-1].argmax(axis=-1)[..., None] + 1
    low, middle, high = (np.take_along_axis(envelope, k + i, axis=-1) for i in (-1, 0, 1))
    shift = 0.5 * (low - high) / np.minimum(low - 2 * middle + high, -1e-12)
    step = time[..., 1:2] - time[..., :1]
    return (np.take_along_axis(time, k, axis=-1) + np.clip(shift, -0.5, 0.5) * step)[..., 0]
