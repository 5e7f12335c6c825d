# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # From halos to a map to a luminosity function
#
# The package alone, without a study: make the halos of a small light-cone, let them shine in CO(1-0), paint the map that a
# telescope without noise would see, and count the sources behind it. That count is what networks learn to read off maps.

# %%
import matplotlib.pyplot as plt
import numpy as np

import limelight

# %% [markdown]
# **The voxels.** A square of 1.4° and the band from 26 to 34 GHz, in which CO(1-0) comes from redshifts 2.4 to 3.4.

# %%
grid = limelight.Grid(size_deg=1.4, pixels=64, channels=40, freq_min_ghz=26.0, freq_max_ghz=34.0, rest_freq_ghz=115.27)
print("redshifts {:.2f} to {:.2f}".format(*grid.redshift_range))

# %% [markdown]
# **The halos**, heavier than 1e11 Msun here so that it takes seconds. (A study says which light-cones train, choose and
# judge; for a single one it does not matter.)

# %%
cones = limelight.Lightcones(field_deg=1.4, mass_min_msun=1e11, cell_mpc=5.0, train=[0], validation=[1], test=[2])
cosmology = limelight.Cosmology()
halos = limelight.generate_lightcone(cones, *grid.redshift_range, cosmology, seed=1)
print(f"{len(halos):,} halos, the heaviest of {halos.mass_msun.max():.2g} Msun")

# %% [markdown]
# **The line.** Li et al. (2016) give each halo a CO luminosity by its mass and redshift, with scatter. `li` has their
# parameters; others are `padmanabhan`, `breysse`, `comap`, or your own function.

# %%
model = limelight.get_model("li")
parameters = {name: mean for name, (mean, sigma) in model.parameters.items()}
rng = np.random.default_rng(1)
log10_lum = model.log10_luminosity(halos.mass_msun, halos.redshift, parameters, rng)

# %% [markdown]
# **The map**: each halo's light in the voxel where it is seen, by its place on the sky and its observed redshift.

# %%
sky_deg = np.stack(limelight.tangent_plane_deg(halos.position_mpc), axis=1)
cube = limelight.paint(sky_deg, halos.redshift, halos.redshift_observed, log10_lum, grid, (0, 0), cosmology)
print(f"a map of {cube.shape} voxels with a mean of {cube.mean():.2f} µK")

# %% [markdown]
# **The luminosity function**: the sources inside the map, counted in bins of luminosity, per bin and volume.

# %%
freq_ghz = grid.observed_freq_ghz(halos.redshift_observed)
inside = grid.voxel_index(*sky_deg.T, freq_ghz, (0, 0)) < grid.voxels
edges = np.linspace(4, 7, 25)  # log10 of the luminosity in Lsun
counts, _ = np.histogram(log10_lum[inside], edges)
density = counts / grid.volume_mpc3(cosmology, (0, 0)) / np.diff(edges)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
half = grid.size_deg / 2
extent = (-half, half, -half, half)
image = left.imshow(
    cube[:, :, 20].T, origin="lower", extent=extent, cmap="inferno", vmax=np.percentile(cube[:, :, 20], 99.5)
)
left.set(xlabel="x [deg]", ylabel="y [deg]", title=f"one channel, {grid.channel_freq_ghz[20]:.1f} GHz")
figure.colorbar(image, ax=left, label="temperature [µK]")
right.stairs(density, 10**edges, baseline=None)
right.set(xscale="log", yscale="log", xlabel=r"luminosity [$L_\odot$]", ylabel=r"sources per dex [Mpc$^{-3}$]")
right.set_title("the luminosity function behind it")
plt.show()

# %% [markdown]
# Faint sources are missing on the left of the figure, where halos below the mass floor would shine. Next: train a network
# to read such a function off maps ([train, evaluate, audit](train_evaluate_audit.md)), or off [your own
# cube](your_own_cube.md).
