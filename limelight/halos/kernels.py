"""Loops over halos of the generator, compiled by numba: each halo is read once, where torch would pass over arrays of them.

They round as torch does, operation by operation, in float32 where the arrays are float32. Exponentials and logarithms are
left to torch, whose last digit numba's would not have.
"""

import numpy as np


def cell_rates(density, turn, tilt, least, slope, barrier, width, log_factor, lateral, depth):
    """Turn density (z, y, x) into log rates, in place.

    They are the sum of log_factor - width (barrier - slope density)², lateral (y, x) and depth (z,), and where there is a
    tilt of the log of turn - tilt density, or of `least` where that is more.
    """
    nz, ny, nx = density.shape
    for z in range(nz):
        for y in range(ny):
            for x in range(nx):
                apart = density[z, y, x] * -slope + barrier
                rate = apart * apart * -width + log_factor
                rate += lateral[y, x]
                if tilt != 0:
                    rate += np.log(max(density[z, y, x] * -tilt + turn, least))
                density[z, y, x] = rate + depth[z]


def sum_rows(rates, start, sums):
    """sums (m,) float64: start, and all rates (m, n) float32 up to the end of each row, one after another."""
    total = start
    for row in range(len(rates)):
        for i in range(rates.shape[1]):
            total += np.float64(rates[row, i])
        sums[row] = total


def find_cells(rates, sums, wanted, chosen):
    """chosen (k,): the first rate (of m n) with which the sum of all up to it exceeds each of wanted (k,), the last at most.

    sums (m,): of sum_rows. Wanted numbers in rising order are found from one another, others from the start of their row.
    """
    last, width = len(sums) - 1, rates.shape[1]
    row, i, total = 0, 0, 0.0
    for k in range(len(wanted)):
        number = wanted[k]
        if number < total or (number >= sums[row] and row < last):
            low, high = 0, last
            while low < high:
                middle = (low + high) >> 1
                if sums[middle] <= number:
                    low = middle + 1
                else:
                    high = middle
            row, i = low, 0
            total = sums[row - 1] if row else 0.0
        while i < width - 1 and total + np.float64(rates[row, i]) <= number:
            total += np.float64(rates[row, i])
            i += 1
        chosen[k] = row * width + i


def look_up(x, known, values, found):
    """found (n,): values (t,) at places x (n,) between known ones (t,), which rise; linear, as numpy.interp rounds it."""
    steps, last, at = 256, len(known) - 2, 0
    per_unit = steps / max(known[-1] - known[0], 1e-300)
    first = np.empty(steps + 1, np.int64)  # where to begin, by x; one step early, whatever rounds
    for step in range(steps + 1):
        while at < last and known[at + 1] <= known[0] + (step - 1) / per_unit:
            at += 1
        first[step] = at
    for i in range(len(x)):
        at = first[min(max(int((x[i] - known[0]) * per_unit), 0), steps)]
        while at < last and known[at + 1] <= x[i]:
            at += 1
        slope = (values[at + 1] - values[at]) / (known[at + 1] - known[at])
        found[i] = slope * (x[i] - known[at]) + values[at]


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
