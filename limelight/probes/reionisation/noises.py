"""What posteriors lose that learnt from a bank of noises, beside those that saw fresh noise at each presentation."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from limelight.figures.common import line_style
from limelight.figures.style import COLUMN_IN, style
from limelight.probes.reionisation.config import TauStudy

COLUMNS = ("inputs", "answer", "posterior", "noises", "nats_lost", "nats_error", "width_over_exact", "covered_95")


def noises_of(study: TauStudy, posterior: str) -> int:
    """Realisations of noise that a posterior's network learnt from; 0 where it saw fresh ones."""
    (data, *_) = (study.data[name] for name in study.networks[study.posteriors[posterior].network].data)
    return data.bank.noises * len(study.splits["train"]) if data.bank else 0


def beside_fresh(study: TauStudy) -> list[str]:
    """The posteriors to compare, fewest noises first.

    Compared are networks and answers of a kind that learnt from noise of a kind, if for some of them it was a bank.
    """
    kinds: dict[tuple, list[str]] = {}
    for name, entry in study.posteriors.items():
        network = study.networks[entry.network]
        (data, *_) = (study.data[one] for one in network.data)
        noise = data.bank.instrument if data.bank else network.instrument
        kind = network.inputs, network.architecture, str(network.options), entry.kind, noise
        kinds.setdefault(kind, []).append(name)
    found = [names for names in kinds.values() if any(noises_of(study, name) for name in names)]
    return [name for names in found for name in sorted(names, key=lambda one: noises_of(study, one) or np.inf)]


def noise_rows(study: TauStudy, information: dict[str, np.ndarray]) -> list[dict]:
    """One row for each such posterior, from the columns of the table of what posteriors lose against the exact one."""
    place, rows = {str(name): i for i, name in enumerate(information["posterior"])}, []
    for name in beside_fresh(study):
        if name in place:
            entry = study.posteriors[name]
            row = {"inputs": study.networks[entry.network].inputs, "answer": entry.kind, "posterior": name}
            numbers = {key: float(information[key][place[name]]) for key in COLUMNS[4:]}
            rows.append({**row, "noises": noises_of(study, name) or "fresh", **numbers})
    return rows


def noises_figure(rows: Sequence[dict]) -> Figure:
    """Nats lost against the number of noises; fresh ones stand at the right."""
    counts = sorted({row["noises"] for row in rows if row["noises"] != "fresh"})
    places = {count: i for i, count in enumerate([*counts, "fresh"])}
    with style():
        figure = Figure(figsize=(COLUMN_IN, 2.6))
        panel = figure.subplots()
        for i, (inputs, answer) in enumerate(dict.fromkeys((row["inputs"], row["answer"]) for row in rows)):
            some = [row for row in rows if (row["inputs"], row["answer"]) == (inputs, answer)]
            x, y, error = ([row[key] for row in some] for key in ("noises", "nats_lost", "nats_error"))
            look = line_style(i)
            panel.errorbar([places[one] for one in x], y, yerr=error, label=f"{inputs}, {answer}", **look)
        panel.set_xticks(list(places.values()), [f"{name:,}" if name != "fresh" else name for name in places])
        panel.minorticks_off()
        panel.set(xlabel="noises that taught the network", ylabel="nats lost against the exact", ylim=(0, None))
        panel.legend()
        return figure
