"""Loops over halos of the generator, compiled by numba: each halo is read once, where torch would pass over arrays of them.

They round as torch does, operation by operation, in float32 where the arrays are float32. Exponentials and logarithms are
left to torch, whose last digit numba's would not have.
"""

import numpy as np


def add_rates(density, slope, barrier, width, log_factor, lateral, depth, log_rates):
    """Add log_factor - width (barrier - slope density)², lateral (y, x) and depth (z,) to log_rates (z, y, x), in place."""
    nz, ny, nx = density.shape
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                apart = density[z, y, x] * -slope + barrier
                log_rates[z, y, x] += apart * apart * -width + log_factor
                log_rates[z, y, x] += lateral[y, x]
                log_rates[z, y, x] += depth[z]


def running_sum(rates, running):
    """running (n,) float64: the sums of rates (n,) float32 up to each."""
    total = 0.0
    for i in range(len(rates)):
        total += np.float64(rates[i])
        running[i] = total


def find_cells(running, wanted, chosen):
    """chosen (n,): the first index at which running (m,) exceeds each of wanted (n,), the last at most.

    Wanted numbers in rising order are found from one another, others from the start.
    """
    last, low = len(running) - 1, 0
    for i in range(len(wanted)):
        number, step = wanted[i], 1
        if low > 0 and running[low - 1] > number:
            low = 0
        high = low
        while high < last and running[high] <= number:
            low, high, step = high + 1, min(high + step, last), 2 * step
        while low < high:
            middle = (low + high) >> 1
            if running[middle] <= number:
                low = middle + 1
            else:
                high = middle
        chosen[i] = low


def cell_slopes(log_rates, chosen, steepest, flattest, slope, cell):
    """Slopes of the log rates (z, y, x) across chosen cells (n,), and where these stand; (3, n) float32 each, as x, y, z.

    Slopes are between both neighbours, or as far as there are any, at most `steepest`, and never within `flattest` of 0 from
    above.
    """
    nz, ny, nx = log_rates.shape
    flat, sizes, strides = log_rates.reshape(-1), (nx, ny, nz), (1, nx, nx * ny)
    for i in range(len(chosen)):
        here = chosen[i]
        row = here // nx
        layer = row // ny
        place = (here - row * nx, row - layer * ny, layer)
        for axis in range(3):
            ahead, behind = int(place[axis] < sizes[axis] - 1), int(place[axis] > 0)
            rise = flat[here + ahead * strides[axis]] - flat[here - behind * strides[axis]]
            rise = min(max(rise / np.float32(max(ahead + behind, 1)), -steepest), steepest)
            slope[axis, i] = rise + flattest if abs(rise) < flattest else rise
            cell[axis, i] = place[axis]


def interpolate_linearly(block, place, found):
    """found (n, c): block (z, y, x, c) at places (n, 3) as x, y, z, which count from one cell within it; trilinear.

    Outside, the nearest cells. Weights are made, and terms added, in the order of torch's grid_sample.
    """
    nz, ny, nx, components = block.shape
    sizes, one, two = (nx, ny, nz), np.float32(1), np.float32(2)
    flat, strides = block.reshape(-1), (components, nx * components, ny * nx * components)
    first, corner = np.empty((3, 2), np.int64), np.empty(8, np.int64)
    share, weight = np.empty((3, 2), np.float32), np.empty(8, np.float32)
    for i in range(len(place)):
        for axis in range(3):
            longest = np.float32(sizes[axis] - 1)
            at = (place[i, axis] + one) * (two / longest) - one  # from -1 to 1, as grid_sample has it
            at = min(max((at + one) / two * longest, np.float32(0)), longest)
            below = np.floor(at)
            share[axis, 0], share[axis, 1] = below + one - at, at - below
            first[axis, 0] = int(below) * strides[axis]
            first[axis, 1] = min(int(below) + 1, sizes[axis] - 1) * strides[axis]
        for n in range(8):
            x, y, z = n & 1, (n >> 1) & 1, n >> 2
            weight[n] = share[0, x] * share[1, y] * share[2, z]
            corner[n] = first[0, x] + first[1, y] + first[2, z]
        for c in range(components):
            total = np.float32(0)
            for n in range(8):
                total += flat[corner[n] + c] * weight[n]
            found[i, c] = total


def keep_inside(
    position, mass, psi1, psi2, speed1, speed2, redshift, middle, per_half, half_width, near, far, light,
    kept_position, kept_velocity, kept_mass, kept_redshift, kept_observed
):  # fmt: skip
    """How many halos stand inside the light-cone; their columns come first in the kept ones.

    position, psi1, psi2 (n, 3) and speed1, speed2 (n,) float32; redshift: coefficients in ((distance - middle) * per_half),
    the constant first; half_width, near and far: the light-cone's; light: its speed, km/s.
    """
    n = 0
    for i in range(len(position)):
        x, y, z = np.float64(position[i, 0]), np.float64(position[i, 1]), np.float64(position[i, 2])
        distance = np.sqrt(x * x + y * y + z * z)
        edge = half_width * z
        if not (abs(x) <= edge and abs(y) <= edge and near <= distance <= far):
            continue
        for axis in range(3):
            kept_position[n, axis] = position[i, axis]
            second = np.float64(psi2[i, axis]) * np.float64(speed2[i])
            kept_velocity[n, axis] = np.float64(psi1[i, axis] * speed1[i]) + second
        along = x * np.float64(kept_velocity[n, 0]) + y * np.float64(kept_velocity[n, 1])
        along = (along + z * np.float64(kept_velocity[n, 2])) / distance
        t, total = (distance - middle) * per_half, redshift[-1]
        for c in redshift[-2::-1]:
            total = total * t + c
        kept_mass[n], kept_redshift[n] = mass[i], total
        kept_observed[n] = total + (1 + total) * along / light
        n += 1
    return n
