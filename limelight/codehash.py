"""A hash of the code behind a stage, which changes only with what can change the stage's output.

From a script the hash follows the names that it uses to the functions, classes and values that they stand for, in whatever
limelight module those are, and from these to all that they use. The classes that annotate arguments and fields are followed
too: their methods may be called. `limelight.syntax` says what of each counts.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from limelight.kept import kept
from limelight.syntax import (
    LOOKS_UP_NAMES,
    Essence,
    Names,
    Writer,
    is_docstring,
    names_of,
)
from limelight.trees import called, dotted, dotted_names, statements

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "limelight"
# Not followed: what words errors, reads command lines and shows progress, this hash, and what is chosen by name, which
# stages give as `chosen`
UNFOLLOWED = ("arguments", "codehash", "errors", "kept", "own_code", "probe", "progress", "registry", "syntax", "trees")
LEFT_OUT = tuple(f"limelight.{name}" for name in UNFOLLOWED)
AT_IMPORT, WHOLE = "(at import)", "(whole)"  # stand for names where a place is no definition

Place = tuple[str, str]  # a module, and the name of a definition in it


@functools.cache
def code_hash(*files: str, chosen: tuple[str, ...] = ()) -> str:
    """Hash of stage scripts, of the code that they use, of the data files named, and of what a study chose by name.

    files: relative to the repository; what ends in .py is code. chosen: "package.module:attribute" of entries of registries
    (`Registry.dotted`), of which only those chosen count; or "package.module:Class.method" (`Probe.code`), of which that
    method counts, inherited or not, and what it uses of its class and elsewhere.
    """
    tables = [_checkout().path(name).read_bytes() for name in files if not name.endswith(".py")]
    return kept((files, chosen, tables), lambda: _checkout().hash(files, chosen))


def code_used_by(file: Path) -> str:
    """Hash of the code of the package that a Python file from elsewhere uses; nothing of the file itself counts."""
    found = Code(ROOT).followed([(str(file.resolve()), WHOLE)])
    texts = (f"{place}{text}\n" for place, text in sorted(found.items()) if place[0].partition(".")[0] == PACKAGE)
    return hashlib.sha256("".join(texts).encode()).hexdigest()[:16]


class Module:
    """One source file, taken apart.

    definitions: statements by the name that they define; members: those in classes, by "Class.name"; at_import: statements
    that act when the module is imported; imports: {name: the dotted names that it may stand for}; modules: what import
    statements import, wherever they stand.
    """

    def __init__(self, name: str, package: list[str], tree: ast.Module):
        self.name, self.tree = name, tree
        self.imports, self.modules = imports_of(tree, package)
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.members: dict[str, ast.stmt] = {}
        self.classes = {one.name: one for one in tree.body if isinstance(one, ast.ClassDef)}
        self.at_import: list[ast.stmt] = []
        self.parts: dict[str, tuple[str, set[str]]] = {}
        for statement in tree.body:
            defined = _defined(statement)
            counts = [] if self._is_registry(statement) else [statement]
            for each in defined:
                self.definitions.setdefault(each, []).extend(counts)
            if _acts(statement) and not defined or self._is_decorated_here(statement):
                self.at_import.append(statement)
        for name, one in self.classes.items():
            self.members.update((f"{name}.{each}", item) for item in one.body for each in _defined(item))

    @functools.cached_property
    def names(self) -> Names:
        """What names mean here."""
        return names_of(self.tree, self.imports)

    def part(self, name: str) -> tuple[str, set[str]]:
        """(text of what counts of a definition or member, names that it uses); made once."""
        if name not in self.parts:
            found = [self.members[name]] if name in self.members else self.definitions.get(name, self.at_import)
            if holds_settings(self.name) and name in self.classes:
                found = [
                    item for key, item in self.members.items() if key.startswith(f"{name}.") and _is_function(item)
                ]
            names = self.names if found else Names()
            writer, essence = Writer(names), Essence(names)
            kept = [statement for statement in map(essence.visit, found) if statement]
            text = "".join(map(writer.text, kept))
            self.parts[name] = text, writer.used
        return self.parts[name]

    def types(self, name: str) -> set[str]:
        """The names in the annotations of a function's arguments, or of the fields and methods of a class, and its bases."""
        one = self.classes.get(name)
        inside = [item for key, item in self.members.items() if key.startswith(f"{name}.")]
        found = inside or ([self.members[name]] if name in self.members else self.definitions.get(name, []))
        annotations = [annotation for item in found for annotation in _annotations(item)]
        return {each for node in (*annotations, *(one.bases if one else ())) for each in dotted_names(node)}

    def _is_registry(self, statement: ast.stmt) -> bool:
        """Whether a statement makes a Registry: of that, only the entries that a study chose count."""
        value = getattr(statement, "value", None)
        return isinstance(value, ast.Call) and self.imports.get(dotted(value.func)) == {"limelight.registry.Registry"}

    def _is_decorated_here(self, statement: ast.stmt) -> bool:
        """Whether code of the package decorates a definition. It could enter it in a table, to be found by another name."""
        decorators = {called(one).partition(".")[0] for one in getattr(statement, "decorator_list", [])}
        own = {name for name, origins in self.imports.items() if any(o.partition(".")[0] == PACKAGE for o in origins)}
        return bool(decorators & (own | set(self.definitions)))


class Code:
    """The code of one checkout."""

    def __init__(self, root: Path):
        self.root = root
        self.modules: dict[str, Module | None] = {}
        self.parts: dict[Place, tuple[str, list[Place]]] = {}

    def hash(self, files: Iterable[str], chosen: Iterable[str] = ()) -> str:
        """See `code_hash`."""
        digest = hashlib.sha256()
        for place, text in sorted(self.reached(files, chosen).items()):
            digest.update(f"{place}{text}\n".encode())
        digest.update(repr(sorted(chosen)).encode())
        for name in files:
            if not name.endswith(".py"):
                digest.update(name.encode() + self.path(name).read_bytes())
        return digest.hexdigest()[:16]

    def reached(self, files: Iterable[str], chosen: Iterable[str] = ()) -> dict[Place, str]:
        """Text of every definition that the scripts among the files, or the chosen entries, use."""
        queue = [(name, AT_IMPORT) for name in files if name.endswith(".py")]
        for entry in chosen:
            module, _, name = entry.partition(":")
            queue.extend([(module, name)] if "." in name else self._places_of(f"{module}.{name}"))
        return self.followed(queue)

    def followed(self, queue: list[Place]) -> dict[Place, str]:
        """Text of the places in the queue and of all that they use."""
        found: dict[Place, str] = {}
        while queue:
            place = queue.pop()
            if place not in self.parts:
                text, further = self._part(*place)
                self.parts[place] = text, [one for one in further if self._is_followed(one, place)]
            if place not in found:
                found[place], further = self.parts[place]
                queue.extend(further)
        return {place: text for place, text in found.items() if text}

    def _is_followed(self, place: Place, by: Place) -> bool:
        """Not what is left out. Of settings, which every stage tracks itself, only the methods of classes are."""
        (module, name), (own, _) = place, by
        if module == own:
            return True
        if any(f"{module}.".startswith(f"{left}.") for left in LEFT_OUT):
            return False
        return not holds_settings(module) or (name not in (AT_IMPORT, WHOLE) and name in self._module(module).classes)

    def _part(self, module_name: str, name: str) -> tuple[str, list[Place]]:
        """(text of a place, the places that it uses)."""
        module = self._module(module_name)
        if name == WHOLE:
            return "", [(module_name, each) for each in (*module.definitions, AT_IMPORT)]
        if "." in name:
            return self._member(module, *name.split("."))
        places = self._places_used(module, name)
        if name == AT_IMPORT:  # importing a module runs its packages and the modules that it imports
            further = [(one, AT_IMPORT) for one in (*_packages(module_name), *module.modules)]
            further += [(star, WHOLE) for star in module.imports.get("*", ())]
            places += [one for one in further if self._is_followed(one, (module_name, name)) and self._module(one[0])]
        return self._text(module, name), places

    def _member(self, module: Module, own: str, name: str) -> tuple[str, list[Place]]:
        """The same of a member of a class, or of one of its bases; the whole class where it cannot be told."""
        where = self._definer(module, own, name)
        if where is None:
            return "", [(module.name, own)]
        member = f"{where[1]}.{name}"
        _, used = where[0].part(member)
        through_self = {each.split(".")[1] for each in used if each.startswith(("self.", "cls."))}
        places = self._places_used(where[0], member) + [(module.name, f"{own}.{each}") for each in through_self]
        return self._text(where[0], member), places + ([(module.name, own)] if "super" in used else [])

    def _definer(self, module: Module, own: str, name: str) -> tuple[Module, str] | None:
        """The class, of this one and its bases, that defines a member, and its module."""
        if f"{own}.{name}" in module.members:
            return module, own
        for base in module.classes[own].bases if own in module.classes else ():
            for there, its_name in self._places_in(module, dotted(base)):
                if its_name != own or there != module.name:
                    found = self._definer(self._module(there), its_name, name)
                    if found:
                        return found
        return None

    def _text(self, module: Module, name: str) -> str:
        """What counts of a definition, and what the imported names in it stand for."""
        text, used = module.part(name)
        imported = sorted({each.partition(".")[0] for each in used} & set(module.imports))
        return text + "".join(f" {first}={sorted(module.imports[first])}" for first in imported)

    def _places_used(self, module: Module, name: str) -> list[Place]:
        """Where the names stand that a definition uses, and the classes that annotate it."""
        places = [(module.name, AT_IMPORT)]
        for each in module.part(name)[1]:
            places.extend(self._places_in(module, each))
        for each in module.types(name):
            places.extend(
                (there, of) for there, of in self._places_in(module, each) if of in self._module(there).classes
            )
        return places

    def _places_in(self, module: Module, name: str, seen: frozenset = frozenset()) -> Iterator[Place]:
        """The places that a dotted name leads to within a module; none for a builtin or a name within a function."""
        first, _, rest = name.partition(".")
        if first in module.definitions:
            yield module.name, first
        if first in LOOKS_UP_NAMES:
            yield module.name, WHOLE
        if (module.name, first) not in seen:
            for origin in module.imports.get(first, ()):
                yield from self._places_of(f"{origin}.{rest}" if rest else origin, seen | {(module.name, first)})

    def _places_of(self, name: str, seen: frozenset = frozenset()) -> Iterator[Place]:
        """The places that an absolute dotted name leads to: a definition, or a whole module where it cannot be told."""
        parts = name.split(".")
        module = self._module(parts[0])
        if module is None:
            return
        for number, part in enumerate(parts[1:], start=1):
            below = self._module(f"{module.name}.{part}")
            if part in module.definitions or part in module.imports:
                yield from self._places_in(module, ".".join(parts[number:]), seen)
                if below is None:
                    return
            elif below is None:
                break
            module = below
        yield module.name, WHOLE

    def _module(self, name: str) -> Module | None:
        """A module of the package, or a script by its path; None for what is not followed."""
        if name not in self.modules:
            self.modules[name] = self._read(name)
        return self.modules[name]

    def path(self, name: str) -> Path:
        """A script or data file: in the checkout, or inside the installed package."""
        inside = self.root / PACKAGE / name
        return inside if inside.is_file() else self.root / name

    def _read(self, name: str) -> Module | None:
        if name.endswith(".py"):
            return _parsed(name, False, self.path(name).read_text(encoding="utf-8"))
        if name.partition(".")[0] != PACKAGE:
            return None
        path = self.root.joinpath(*name.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return _parsed(name, file.name == "__init__.py", file.read_text(encoding="utf-8"))
        return None


@functools.cache
def _checkout() -> Code:
    return Code(ROOT)


def holds_settings(module: str) -> bool:
    """Whether a module is about the config: what its functions and fields decide is the settings of stages."""
    about = module == "limelight.section" or module.startswith("limelight.study.")
    return about or module.rpartition(".")[2] in ("config", "settings")


def _packages(module: str) -> list[str]:
    """The packages that a module stands in, the outermost first."""
    parts = [] if module.endswith(".py") else module.split(".")
    return [".".join(parts[:number]) for number in range(1, len(parts))]


@functools.cache
def _parsed(name: str, is_package: bool, text: str) -> Module:
    return Module(name, name.split(".") if is_package else name.split(".")[:-1], ast.parse(text))


def imports_of(tree: ast.Module, package: list[str]) -> tuple[dict[str, set[str]], set[str]]:
    """({name: what import statements say it is}, modules that they import) of a module that stands in a package."""
    imports: dict[str, set[str]] = {}
    modules = set()
    for statement in statements(tree):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                modules.add(alias.name)
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                imports.setdefault(alias.asname or name, set()).add(name)
        elif isinstance(statement, ast.ImportFrom):
            above = package[: len(package) - statement.level + 1] if statement.level else []
            origin = ".".join([*above, *([statement.module] if statement.module else [])])
            for alias in statement.names:
                modules |= {origin, f"{origin}.{alias.name}"}
                where = origin if alias.name == "*" else f"{origin}.{alias.name}"
                imports.setdefault(alias.asname or alias.name, set()).add(where)
    return imports, modules


def _is_function(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef)


def _annotations(statement: ast.stmt) -> Iterator[ast.expr]:
    """The annotations of a function's arguments, or of a field."""
    if _is_function(statement):
        its = statement.args
        arguments = (*its.posonlyargs, *its.args, *its.kwonlyargs, *filter(None, (its.vararg, its.kwarg)))
        yield from (argument.annotation for argument in arguments if argument.annotation)
    elif isinstance(statement, ast.AnnAssign):
        yield statement.annotation


def _acts(statement: ast.stmt) -> bool:
    """Whether a statement does more than import or document."""
    return not (is_docstring(statement) or isinstance(statement, ast.Import | ast.ImportFrom))


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a statement of a module defines; none for one that does anything else as well."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return []
    each = [item for target in targets for item in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [item.id for item in each] if all(isinstance(item, ast.Name) for item in each) else []
