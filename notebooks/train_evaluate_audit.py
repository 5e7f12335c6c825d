# ---
# jupyter:
#   jupytext: {text_representation: {extension: .py, format_name: percent}}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Train, evaluate, audit, and ask for a posterior
#
# A whole study in half a minute, on data whose right answer is known: Gaussian random fields with a power-law spectrum. The
# network reads the spectrum's amplitude and slope off a noisy field, and theory gives the exact posterior to hold it
# against. Line maps, or a probe of your own, go the same way.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import limelight

# %% [markdown]
# **The study** is one YAML file; [the config](../config.md) lists every key. What is not written has a default.

# %%
folder = Path(tempfile.mkdtemp())
STUDY = """
study: notebook
probe: gaussian_field
seed: 1
realisations: {train: "0-7", validation: [8], test: [9]}
data:
  fields: {pixels: 16, fields: 256}
training: {epochs: 10, batch_size: 64, learning_rate: 4.0e-3}
networks:
  reader: {architecture: convnet, data: [fields], noise: 0.5}
tests:
  same_noise: {data: fields, noise: 0.5}
posteriors:
  mixture: {network: reader, kind: mdn, presentations: 2}
resources: {training_threads: 1}
"""
(folder / "study.yaml").write_text(STUDY)
study = limelight.load_study(folder / "study.yaml")

# %% [markdown]
# **Simulate** one file for each realisation. Training, validation and test never share one.

# %%
shards = {split: [folder / f"{number}.h5" for number in numbers] for split, numbers in study.splits.items()}
for split, numbers in study.splits.items():
    for number, path in zip(numbers, shards[split]):
        rows = limelight.simulate(study, "fields", number, path)
print(f"{len(rows)} fields of {rows.x.shape[1:]} in each file")

# %% [markdown]
# **Train.** Interrupt it as you like: the same call goes on from its last checkpoint. Noise is drawn afresh each time a
# field is shown.

# %%
model, history = folder / "model.pt", folder / "history.csv"
epochs = limelight.train(study, "reader", shards["train"], shards["validation"], model)

# %% [markdown]
# **Evaluate** it on fields that it has never seen. `error_over_bound` holds its root mean square error against the Cramér-
# Rao bound, the least that an unbiased estimate could have. A network may lie below it: it knows the prior, and leans
# towards its mean.

# %%
result = limelight.evaluate(study, "same_noise", model, history, shards["test"])
print(f"squared error {result.totals['gain_target']:.0f} times below that of always answering the training mean")
for name, share in zip(result.axis.names, result.statistics["error_over_bound"]):
    print(f"{name}: error {share:.2f} of the Cramér-Rao bound")

# %% [markdown]
# **Audit**: does it read the fields, or repeat what it remembers? `reads` is the verdict that you want; [the
# audit](../audit.md) says what it rests on.

# %%
found = limelight.audit(study, model, shards["test"])
for name, verdict, r_squared in zip(found.axis.names, found.verdict, found.columns["r_squared"]):
    print(f"{name}: {verdict}, explains {r_squared:.0%} of the variance")

# %% [markdown]
# **A posterior** on the trained network: a mixture density that turns its answer into a distribution. It is calibrated if
# 68 % of the truths lie in the 68 % intervals.

# %%
posterior = folder / "posterior.pt"
limelight.train_posterior(study, "mixture", model, shards["train"], shards["validation"], posterior)
intervals = limelight.draw_posterior(study, "same_noise", posterior, shards["test"])
low, high = intervals.quantiles[..., 1], intervals.quantiles[..., 3]
inside = np.mean((low <= intervals.truth) & (intervals.truth <= high), axis=0)
for name, share in zip(result.axis.names, inside):
    print(f"{name}: {share:.0%} of truths in the 68 % intervals")

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
axes[0].plot([row["epoch"] for row in epochs], [row["train_loss"] for row in epochs], label="training")
axes[0].plot([row["epoch"] for row in epochs], [row["validation_loss"] for row in epochs], label="validation")
axes[0].set(xlabel="epoch", ylabel="loss", yscale="log")
axes[0].legend()
shown = slice(0, 60)
for panel, number, name in zip(axes[1:], range(2), result.axis.names):
    truth, median = intervals.truth[shown, number], intervals.quantiles[shown, number, 2]
    bars = np.abs(intervals.quantiles[shown, number][:, [1, 3]] - median[:, None]).T
    panel.errorbar(truth, median, bars, fmt=".", lw=0.8)
    panel.axline((truth.mean(), truth.mean()), slope=1, color="black", lw=0.8)
    panel.set(xlabel=f"true {name}", ylabel="median and 68 %")
plt.show()

# %% [markdown]
# The same from the command line: `.venv/bin/snakemake --configfile config/gaussian_field.yaml --cores all`, which adds
# every figure and a report. [Inference](../inference.md) explains the kinds of posteriors.
