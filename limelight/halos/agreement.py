"""The cosmology of foreign files against the study's: checked, or adopted with what the files lack named."""

import math

from limelight.cosmology import Cosmology
from limelight.errors import problem
from limelight.halos.formats.common import Foreign, combined_cosmology

TOLERANCE = {"omega_m": 1e-3, "omega_b": 1e-3, "h": 1e-3, "ns": 5e-3, "sigma8": 5e-3}
POSSIBLE = {"omega_m": (0.01, 1.0), "omega_b": (1e-4, 0.5), "omega_l": (0.0, 0.99), "h": (0.1, 2.0), "ns": (0.5, 1.5)}
POSSIBLE |= {"sigma8": (0.1, 3.0)}


def agreed_cosmology(pieces: list[Foreign], config: Cosmology, adopt: bool) -> Cosmology:
    """The config's cosmology if the files agree with it, the files' if the study adopts it; refuses anything but flat."""
    for piece in pieces:
        found = piece.cosmology
        for name, value in found.items():
            low, high = POSSIBLE[name]
            if not (math.isfinite(value) and low <= value <= high):  # NaN would pass every comparison below
                fix = "mend the header, or leave the entry out of it"
                raise problem(piece.path, f"{name} = {value:g} in the header", f"{low:g} to {high:g}", fix)
        if "omega_l" in found and "omega_m" in found and abs(found["omega_l"] + found["omega_m"] - 1) > 2e-3:
            text = f"Ωm {found['omega_m']:g} and ΩΛ {found['omega_l']:g}"
            raise problem(piece.path, text, "a flat universe, Ωm + ΩΛ = 1", "use a flat simulation")
        theirs = combined_cosmology(config, found)
        other = combined_cosmology(config, pieces[0].cosmology)
        if theirs != other:
            text = f"files of two cosmologies ({theirs} and {other})"
            raise problem(piece.path, text, "one", "give one simulation's files")
        differing = [
            name for name, limit in TOLERANCE.items() if abs(getattr(theirs, name) - getattr(config, name)) > limit
        ]
        if differing and not adopt:
            text = ", ".join(f"{name} {getattr(theirs, name):.5g}" for name in differing)
            wanted = ", ".join(f"{name} {getattr(config, name):.5g}" for name in differing)
            fix = "change the config's cosmology, or set lightcones.catalogue.cosmology: adopt"
            raise problem(piece.path, f"a header with {text}", f"{wanted} as in the config's cosmology", fix)
    return combined_cosmology(config, pieces[0].cosmology) if adopt else config


def adopted_text(cosmology: Cosmology, header: dict) -> str:
    """Which parameters an adopted cosmology has from the files, and which from the config for want of them."""

    def listed(names: list[str]) -> str:
        return ", ".join(f"{name} {getattr(cosmology, name):.5g}" for name in names)

    theirs = [name for name in TOLERANCE if name in header]
    ours = [name for name in TOLERANCE if name not in header]
    text = f"cosmology: adopt: {listed(theirs) or 'nothing'} from the files"
    return text + (f"; their headers lack {listed(ours)}, taken from the config" if ours else "")
