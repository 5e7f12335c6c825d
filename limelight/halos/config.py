"""The sections of a config that say which halos there are: light-cones, foreign catalogues, and the fields cut from them."""

from typing import Annotated, Literal

from pydantic import Field

from limelight.section import Different, Either, NonNegative, Number, Numbers, Pair, Positive, Section, Whole

Triple = Annotated[list[Number], Field(min_length=3, max_length=3)]


class Units(Section):
    """Units of a table's columns."""

    position: str = Field("Mpc", description="Mpc, Mpc/h, kpc or kpc/h, all comoving.")
    velocity: str = Field(
        "km/s", description="km/s (peculiar), km/s sqrt(a) (Gadget snapshots) or km/s/a (Subfind's GroupVel)."
    )
    mass: str = Field("Msun", description="Msun, Msun/h, 1e10 Msun, 1e10 Msun/h, log10 Msun or log10 Msun/h.")


class Catalogue(Section):
    """How foreign catalogues (a source other than generate) are read. What a file says itself is not needed here."""

    cosmology: Literal["check", "adopt"] = Field(
        "check",
        description="What becomes of a cosmology in a file's header that differs from the study's: check refuses it,"
        " adopt makes the light-cones in it.",
    )
    mass_column: str = Field(
        "",
        description="Column of the mass; empty: M (Peak Patch), mvir (Rockstar), m (UniverseMachine), Group_M_Mean200"
        " (Subfind), N (Abacus).",
    )
    subhalos: bool = Field(
        False, description="Keep subhalos of Rockstar and UniverseMachine catalogues beside their hosts."
    )
    redshift: (
        Annotated[
            NonNegative
            | Annotated[list[NonNegative], Field(min_length=1)]
            | Annotated[dict[str, NonNegative], Field(min_length=1)],
            Either("a number of 0 or more, a list of such numbers, or a map of file names to them"),
        ]
        | None
    ) = Field(
        None,
        description="Redshift of snapshots whose files do not say it. For several: a map of file names to redshifts"
        " ({halos_9.csv: 3.15, halos_10.csv: 2.75}; a name may hold *), or a list in the order of a list of files"
        " without *.",
    )
    box_mpc: Positive | None = Field(
        None,
        description="Side of the periodic box where the file does not say it, comoving Mpc without h. A table or .pksc"
        " with it is a box, without it a light-cone.",
    )
    redshift_reach: Number = Field(0.75, gt=0, description="How far in redshift a snapshot may stand in for others.")
    frozen_evolution: bool = Field(
        False,
        description="Let snapshots stand for redshifts where the mass function differs from theirs by more than 20 %, one"
        " snapshot for a whole band for example. Without it such light-cones are made with a warning.",
    )
    line_of_sight: Triple = Field(
        [0.0, 0.0, 1.0],
        description="Where the field's centre lies in a foreign light-cone, as a direction from the observer.",
    )
    observer_mpc: Triple = Field(
        [0.0, 0.0, 0.0],
        description="Where the observer of a foreign light-cone stands in its coordinates, Mpc.",
    )
    center_deg: Pair = Field(
        [0.0, 0.0], description="Centre (ra, dec) of the field in a table with ra and dec, degrees."
    )
    columns: dict[str, str] = Field(
        {},
        description="Of a table: our column (x y z, vx vy vz or ra dec redshift, redshift_observed; mass) to its"
        " column; name[0] picks from a 2-D array.",
    )
    units: Units = Units()
    abundance_factor: Number = Field(
        1.4,
        ge=1.1,
        description="How far the number of halos may be off the mass function, as a factor beyond its scatter.",
    )
    abundance_unchecked: str = Field(
        "",
        description="A reason not to compare the number of halos with the mass function; the light-cones record it.",
    )


class Lightcones(Section):
    """The halo catalogues, and which of them train, choose and judge."""

    source: Literal["generate", "painted", "peakpatch", "rockstar", "universemachine", "subfind", "abacus", "table"] = (
        Field(
            "generate",
            description="Where the light-cones come from: limelight's generator, its density with halos painted by a network"
            " (docs/halos.md), or catalogues of this format (docs/catalogues.md).",
        )
    )
    painter: str | None = Field(
        None,
        description="Of source: painted: the painter, model.pt of a trained network (docs/halos.md). It is on cells of"
        " cell_mpc; halos below its lightest band are the generator's.",
    )
    files: Annotated[str | Annotated[list[str], Field(min_length=1)], Either("a path or a list of paths")] | None = (
        Field(
            None,
            description="Foreign catalogue(s): a path or a list; {lightcone} stands for the light-cone's number, * for"
            " anything. Pieces of a snapshot are joined; of several snapshots, each fills the redshifts nearest to it.",
        )
    )
    catalogue: Catalogue = Catalogue()
    field_deg: Number = Field(
        gt=0,
        le=60,
        description="Side of the square field on the tangent plane, degrees; of generated light-cones at most 20.",
    )
    mass_min_msun: Number = Field(2.5e10, ge=1.0e9, le=1.0e14, description="Mass floor, Msun.")
    mass_function: str = Field("tinker08", description="A spherical-overdensity (200m) mass function of colossus.")
    cell_mpc: Number = Field(2.5, ge=0.5, le=10, description="Cell of the density grid, Mpc.")
    method: Literal["contrast", "barrier", "exclusion"] = Field(
        "contrast",
        description="Where halos form: by the density against its surroundings, by the Sheth-Tormen barrier (tier 1),"
        " or by the barrier with mass exclusion (tier 2).",
    )
    train: Numbers = Field(description='Light-cones to train on: a list, or a range such as "0-7".')
    validation: Numbers = Field(
        description="Light-cones that choose (history, best epoch); no network is trained on them."
    )
    test: Numbers = Field(description="Light-cones that judge; nothing has seen them before.")


class Subfields(Section):
    """How each light-cone is cut into map fields."""

    size_deg: Number = Field(gt=0, description="Side of one subfield on the tangent plane, degrees.")
    per_side: Whole = Field(
        ge=1, description="Subfields along a side of the grid that is centred on the line of sight."
    )
    rotations_deg: Annotated[list[Number], Field(min_length=1), Different] = Field(
        [0.0],
        description="Turns of the light-cone about the line of sight; subfields that then stick out are left out.",
    )
    reflections: bool = Field(False, description="Also cut the mirror image of each turned light-cone.")
