# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Your own cube
#
# A network is bound to a field, a band, voxels and a beam. This notebook trains a small one, writes a FITS cube as a survey
# might, and reads the luminosity function off it. With the network of `make demo` and your own file, begin at *Predict*.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from astropy.io import fits

import limelight

folder = Path(tempfile.mkdtemp())

# %% [markdown]
# **A small study**: five light-cones at a quarter of the demo's resolution. Its network is good enough to show the way, no
# more.

# %%
STUDY = """
study: cube
seed: 2
lightcones: {field_deg: 1.4, mass_min_msun: 2.0e+11, cell_mpc: 5.0, train: "0-2", validation: [3], test: [4]}
subfields: {size_deg: 0.7, per_side: 2, rotations_deg: [0]}
grid: {pixels: 32, channels: 20, freq_min_ghz: 26.0, freq_max_ghz: 34.0, pool_pixels: 2, pool_channels: 2}
line_models:
  li10: {model: li, prior: 10%, draws: 16}
labels: {log10_lum_min: 4.5, log10_lum_max: 6.5, bins: 16}
training: {epochs: 10, batch_size: 16, learning_rate: 4.0e-3}
networks:
  small: {architecture: limelight, options: {filters: 4}, line_models: [li10]}
tests:
  clean: {line_model: li10}
resources: {training_threads: 1}
"""
(folder / "study.yaml").write_text(STUDY)
study = limelight.load_study(folder / "study.yaml")
shards = {split: [folder / f"{number}.h5" for number in numbers] for split, numbers in study.splits.items()}
for split, numbers in study.splits.items():
    for number, path in zip(numbers, shards[split]):
        limelight.simulate(study, "li10", number, path)
model = folder / "model.pt"
limelight.train(study, "small", shards["train"], shards["validation"], model)

# %% [markdown]
# **A cube.** Here it is a map of the test light-cone, written as any FITS cube is: temperatures in µK on axes RA, Dec and
# frequency. What stands in the shard are sums over the blocks of 2 × 2 × 2 fine voxels that pooling adds up.

# %%
truth = limelight.read_shards(shards["test"])
temperature = truth.x[0, 0] / 2**3
header = fits.Header()
for axis, (name, middle) in enumerate(zip(("RA---TAN", "DEC--TAN"), truth.rows["center_deg"][0]), start=1):
    pixel = 0.7 / 16
    header[f"CTYPE{axis}"], header[f"CUNIT{axis}"], header[f"CRVAL{axis}"] = name, "deg", 0.0
    header[f"CDELT{axis}"], header[f"CRPIX{axis}"] = pixel, 0.5 - (middle - 0.35) / pixel
header["CTYPE3"], header["CUNIT3"], header["BUNIT"], header["RESTFRQ"] = "FREQ", "Hz", "uK", 115.27e9
header["CRPIX3"], header["CRVAL3"], header["CDELT3"] = 1.0, 26.4e9, 0.8e9
fits.PrimaryHDU(temperature.T, header).writeto(folder / "my_map.fits")

# %% [markdown]
# **Predict.** The answer is a table; notes say what was done to the cube, warnings what is unlike the maps of training.

# %%
answer = limelight.predict(folder / "my_map.fits", network=model)
for line in answer.notes:
    print("note:", line.replace(f"{folder}/", ""))
for line in answer.warnings:
    print("warning:", line.replace(f"{folder}/", ""))

# %% [markdown]
# **A cube without its mean**, as most pipelines leave it. This network uses the absolute zero level, so its answer is worth
# nothing; the warnings say so. Networks with `preprocessing: {remove_means: channels}` need no zero level.

# %%
header["OBJECT"] = "mean removed"
fits.PrimaryHDU((temperature - temperature.mean()).T, header).writeto(folder / "no_mean.fits")
wrong = limelight.predict(folder / "no_mean.fits", network=model)
for line in wrong.warnings:
    print("warning:", line.replace(f"{folder}/", ""))

# %%
n_above = truth.y["n_above"][0]
edges = 10 ** np.append(answer.table["log10_lum_lower"], answer.table["log10_lum_upper"][-1])
figure, panel = plt.subplots(figsize=(5, 3.6), layout="constrained")
panel.stairs(-np.diff(n_above)[: len(edges) - 1], edges, baseline=None, color="black", label="true")
panel.plot(answer.table["luminosity_lsun"], answer.table["dn"], "o", label="read off the cube")
panel.plot(wrong.table["luminosity_lsun"], wrong.table["dn"], "x", label="its mean removed")
panel.set(xscale="log", yscale="log", ylim=(0.5, None), xlabel=r"luminosity [$L_\odot$]", ylabel="sources per bin")
panel.legend()
plt.show()

# %% [markdown]
# The same from the command line: `.venv/bin/limelight predict --network model.pt --cube my_map.fits --output lf.csv`.
# Surveys' maps with σ and mask, and how to make a study for them: [your map](../your_map.md).
