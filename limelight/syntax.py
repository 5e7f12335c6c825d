"""What of a module's syntax tree can change the output of a run.

Left out are docstrings, annotations, the words of errors (a run that raises writes no output), lines for the log, and the
help of command lines. What a function works out for these alone is left out too, but only where it is known to be plain text
building: nothing that could draw a random number or change state is ever dropped.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from limelight.trees import BLOCKS, called, dotted, walk

# Functions and methods that draw no random numbers and change no state
BUILTINS = frozenset(
    ("abs", "all", "any", "bool", "dict", "enumerate", "float", "int", "isinstance", "len", "list", "map", "max", "min")
    + ("range", "repr", "reversed", "round", "set", "sorted", "str", "sum", "tuple", "type", "zip")
)
METHODS = frozenset(("format", "items", "keys", "values"))
TEXT_METHODS = frozenset(  # given text alone: ndarray.partition, which is given a number, changes its array
    ("endswith", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "rpartition", "rstrip", "split")
    + ("splitlines", "startswith", "strip", "upper")
)
FUNCTIONS = frozenset(("numpy.degrees", "time.monotonic", "time.perf_counter", "time.time"))
EXPRESSIONS = (
    *(ast.Attribute, ast.BinOp, ast.BoolOp, ast.Compare, ast.Constant, ast.Dict, ast.FormattedValue, ast.IfExp),
    *(ast.JoinedStr, ast.Lambda, ast.List, ast.Name, ast.Set, ast.Slice, ast.Starred, ast.Subscript, ast.Tuple),
    *(ast.UnaryOp, ast.DictComp, ast.GeneratorExp, ast.ListComp, ast.SetComp),
    *(ast.arg, ast.arguments, ast.boolop, ast.cmpop, ast.comprehension, ast.expr_context, ast.keyword, ast.operator),
    ast.unaryop,
)
LOOKS_UP_NAMES = frozenset(("eval", "exec", "globals", "locals"))  # what they read cannot be seen in a tree
COMMAND_LINE = (
    "Arguments",
    "ArgumentParser",
    "add_argument",
    "add_argument_group",
    "add_output",
    "add_parser",
    "add_subparsers",
)
HELP = ("description", "epilog", "help", "metavar", "title", "usage")
RECORDS = ("dataclasses.dataclass", "typing.NamedTuple")
FIELD_KINDS = ("ClassVar", "InitVar", "KW_ONLY")  # annotations that a dataclass reads
UNWRITTEN = ("ctx", "kind", "type_comment", "type_params")  # fields of nodes that say nothing of what is computed


@dataclass(frozen=True)
class Names:
    """What names mean in one module.

    own: names that the module binds somewhere, so that they may not be the builtins; imports: {name: the dotted name that it
    stands for everywhere}; pure: functions that only work something out; logs: functions, and ".methods", that only print.
    """

    own: frozenset[str] = frozenset()
    imports: Mapping[str, str] = field(default_factory=dict)
    pure: frozenset[str] = frozenset()
    logs: frozenset[str] = frozenset()

    def meaning(self, name: str) -> str:
        """The absolute form of a dotted name that begins with an imported one: `np.pi` -> "numpy.pi"; others as they are."""
        first, dot, rest = name.partition(".")
        return f"{self.imports.get(first, first)}{dot}{rest}"


class Statements(ast.NodeTransformer):
    """A transformer that visits statements and leaves expressions alone."""

    def generic_visit(self, node: ast.stmt) -> ast.stmt:
        for block in BLOCKS:
            if inside := getattr(node, block, None):
                setattr(node, block, [kept for item in inside if (kept := self.visit(item))])
        return node


class Essence(Statements):
    """Strips statements of one module, in place. `visit` returns None for one of which nothing is left."""

    def __init__(self, names: Names):
        self.names = names
        self.left_out: set[str] = set()  # names that were read by what has been left out of the function at hand

    def leave_out(self, *nodes: ast.AST | None) -> None:
        """Take note of what nodes read that are about to go."""
        self.left_out.update(*(names_read(node) for node in nodes if node))

    def visit_Pass(self, node: ast.Pass | ast.Import | ast.ImportFrom) -> None:
        return None  # an import counts by the names that are used

    visit_Import = visit_ImportFrom = visit_Pass

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        if isinstance(node.value, ast.Constant) or only_prints(node.value, self.names):
            return self.leave_out(node)
        return node

    def visit_If(self, node: ast.If) -> ast.If | None:
        self.generic_visit(node)
        empty = not (node.body or node.orelse) and is_pure(node.test, self.names)
        return self.leave_out(node.test) if empty else node

    def visit_Raise(self, node: ast.Raise) -> ast.Raise:
        """Keep the kind of error, which decides who catches it. Functions that make one make a LimelightError."""
        self.leave_out(node.exc, node.cause)
        node.cause = None
        kind = dotted(node.exc.func).rpartition(".")[2] if isinstance(node.exc, ast.Call) else ""
        if kind and not kind.lstrip("_")[:1].isupper():
            node.exc = ast.Name("LimelightError", ast.Load())
        elif kind and not node.exc.keywords and all(map(is_text, node.exc.args)):
            node.exc = node.exc.func
        return node

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        self.leave_out(node.msg)
        node.msg = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.Assign | None:
        return ast.Assign([node.target], node.value) if node.value else None

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        """Annotations make the fields of a record, whatever types they say. Other classes may read what they say."""
        makers = [called(maker) for maker in (*node.decorator_list, *node.bases)]
        is_record = any(self.names.meaning(maker) in RECORDS for maker in makers)
        fields = {item for item in node.body if isinstance(item, ast.AnnAssign)}
        plain = {item for item in fields if not any(kind in ast.unparse(item.annotation) for kind in FIELD_KINDS)}
        new = {item: ast.AnnAssign(item.target, ast.Constant("a field"), item.value, 1) for item in plain if is_record}
        node.body = [
            kept for item in node.body if (kept := new.get(item, item) if item in fields else self.visit(item))
        ]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Strip a function, then drop what it works out for nothing but what was left out."""
        outside, self.left_out = self.left_out, set()
        node.returns = None
        self.generic_visit(node)
        while self.left_out and self.drop_unread(node):
            pass
        self.left_out |= outside
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def drop_unread(self, function: ast.FunctionDef) -> bool:
        """Drop assignments of plain text building to names that only left-out code read; whether there were any."""
        read = names_read(function)
        dropper = Unread(set() if read & LOOKS_UP_NAMES else self.left_out - read, self.names)
        dropper.generic_visit(function)
        self.leave_out(*dropper.dropped)
        return bool(dropper.dropped)


class Unread(Statements):
    """Drops assignments of plain text building to some names of a function, and questions that lead to nothing else."""

    def __init__(self, unread: set[str], names: Names):
        self.unread, self.names = unread, names
        self.dropped: list[ast.expr] = []

    def visit_Assign(self, node: ast.Assign) -> ast.Assign | None:
        target, value = node.targets[0], node.value
        if len(node.targets) > 1:
            return node
        if self._is_unread(target) and is_pure(value, self.names):
            self.dropped.append(value)
            return None
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            pairs = list(zip(target.elts, value.elts, strict=True))
            unread = [(t, v) for t, v in pairs if self._is_unread(t) and is_pure(v, self.names)]
            target.elts, value.elts = map(list, zip(*(pair for pair in pairs if pair not in unread), strict=True))
            self.dropped += [v for _, v in unread]
            if len(target.elts) == 1:  # as if it had been written alone
                node.targets, node.value = target.elts, value.elts[0]
        return node

    def visit_If(self, node: ast.If) -> ast.If | None:
        self.generic_visit(node)
        if node.body or node.orelse or not is_pure(node.test, self.names):
            return node
        self.dropped.append(node.test)
        return None

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        return node  # its names are attributes

    def _is_unread(self, target: ast.expr) -> bool:
        if isinstance(target, ast.Tuple):
            return all(map(self._is_unread, target.elts))
        return isinstance(target, ast.Name) and target.id in self.unread


class Writer:
    """Writes stripped trees as text, which depends neither on the layout of the source nor on the version of Python.

    `used` gathers the names that they use, each with all attributes that are taken of it: "np.random.default_rng".
    """

    def __init__(self, names: Names):
        self.names = names
        self.used: set[str] = set()

    def text(self, tree: object) -> str:
        """A node, a list of nodes, or the value of a field, as text."""
        if isinstance(tree, list):
            return f"[{','.join([self.text(item) for item in tree])}]"
        if not isinstance(tree, ast.AST):
            return repr(tree)
        if name := dotted(tree):
            self.used.add(name)
            return f"<{name}>"
        if isinstance(tree, ast.Call):
            return self.call(tree)
        if isinstance(tree, ast.arg):
            return f"arg {tree.arg}"
        fields = [(name, value) for name, value in ast.iter_fields(tree) if value is not None and name not in UNWRITTEN]
        inside = [f"{name}={self.text(value)}" for name, value in fields if value != []]
        return f"{type(tree).__name__}({','.join(inside)})"

    def call(self, call: ast.Call) -> str:
        """A call; of one that shows progress, what it yields; of one that defines the command line, all but the help."""
        name, keywords = dotted(call.func), call.keywords
        if self.names.meaning(name) == "limelight.progress.progress" and call.args:
            told = (*call.args[1:], *keywords)
            if all(is_pure(part, self.names) for part in told):
                return self.text(call.args[0])
        if is_namespace(call):
            self.used.add("locals")
        if name.rpartition(".")[2] in COMMAND_LINE or self.names.meaning(name) == "pydantic.Field":
            keywords = [k for k in keywords if k.arg not in HELP or not is_pure(k.value, self.names)]
        return f"Call({self.text(call.func)},{self.text(call.args)},{self.text(keywords)})"


def only_prints(node: ast.expr, names: Names) -> bool:
    """Whether an expression says something on the terminal and does nothing else."""
    if not isinstance(node, ast.Call):
        return False
    name, parts = dotted(node.func), [*node.args, *node.keywords]
    if isinstance(node.func, ast.Attribute):
        name, parts = f".{node.func.attr}", [*parts, node.func.value]
    files = [dotted(keyword.value) for keyword in node.keywords if keyword.arg == "file"]
    to_terminal = "print" not in names.own and all(file in ("sys.stderr", "sys.stdout") for file in files)
    says = (name == "print" and to_terminal) or name in names.logs
    return says and all(is_pure(part, names) for part in parts)


def is_log(function: ast.stmt, names: Names) -> bool:
    """Whether a statement defines a function that prints and does nothing else."""

    def says(statement: ast.stmt) -> bool:
        if isinstance(statement, ast.If):
            return is_pure(statement.test, names) and all(map(says, (*statement.body, *statement.orelse)))
        return is_docstring(statement) or (isinstance(statement, ast.Expr) and only_prints(statement.value, names))

    plain = isinstance(function, ast.FunctionDef) and not function.decorator_list
    return plain and all(map(says, function.body)) and any(isinstance(part, ast.Call) for part in walk(function))


def is_pure_function(function: ast.stmt, names: Names) -> bool:
    """Whether a statement defines a function that works something out from its arguments and does nothing else."""

    def works_out(statement: ast.stmt) -> bool:
        if isinstance(statement, ast.If):
            return is_pure(statement.test, names) and all(map(works_out, (*statement.body, *statement.orelse)))
        if isinstance(statement, ast.Assign) and not all(isinstance(target, ast.Name) for target in statement.targets):
            return False
        value = getattr(statement, "value", None)
        known = isinstance(statement, ast.Assign | ast.Return) and value is not None
        return is_docstring(statement) or (known and is_pure(value, names))

    return isinstance(function, ast.FunctionDef) and not function.decorator_list and all(map(works_out, function.body))


def is_docstring(statement: ast.stmt) -> bool:
    """Whether a statement is a text, or another constant, by itself."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def is_text(node: ast.expr) -> bool:
    """Whether an expression is text by its form."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return is_text(node.left) and is_text(node.right)
    if isinstance(node, ast.Call):
        of_text = isinstance(node.func, ast.Attribute) and is_text(node.func.value)
        return dotted(node.func) in ("str", "repr") or of_text
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def is_pure(node: ast.AST, names: Names) -> bool:
    """Whether an expression is known to draw no random number and to change no state."""
    return all(
        _is_pure_call(part, names) if isinstance(part, ast.Call) else isinstance(part, EXPRESSIONS)
        for part in walk(node)
    )


def _is_pure_call(call: ast.Call, names: Names) -> bool:
    name = dotted(call.func)
    functions = [keyword.value for keyword in call.keywords if keyword.arg == "key"]
    functions += call.args[:1] if name == "map" else []
    if not all(isinstance(one, ast.Lambda) or dotted(one) in BUILTINS - names.own for one in functions):
        return False
    if not isinstance(call.func, ast.Attribute):
        return name in BUILTINS - names.own or name in names.pure
    method, texts = call.func.attr, all(map(is_text, call.args))
    return (
        method in METHODS
        or names.meaning(name) in FUNCTIONS
        or (method in TEXT_METHODS and texts)
        or (method == "join" and is_text(call.func.value))
        or (method == "replace" and texts and len(call.args) == 2)  # Path.replace is given one
    )


def names_read(tree: ast.AST) -> set[str]:
    """The names that are read anywhere in a tree, or that code outside it may read."""
    read = set()
    for node in walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store):
            read.add(node.id)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            read.add(node.target.id)
        elif isinstance(node, ast.Global | ast.Nonlocal):
            read.update(node.names)
        elif isinstance(node, ast.Call) and is_namespace(node):
            read.add("locals")
    return read


def names_of(tree: ast.Module, imports: Mapping[str, set[str]]) -> Names:
    """What names mean in a module; imports: the dotted names that each imported name may stand for."""
    bound = Counter(names_bound(tree))
    names = Names(frozenset(bound), {name: origin for name, (origin, *_) in imports.items() if bound[name] == 1})
    for _ in range(2):  # those that only call others of them are found the second time
        pure = {one.name for one in tree.body if is_pure_function(one, names) and bound[one.name] == 1}
        names = replace(names, pure=frozenset(pure))
    logs = {one.name for one in tree.body if is_log(one, names)}
    methods = (item for one in tree.body if isinstance(one, ast.ClassDef) for item in one.body)
    logs |= {f".{method.name}" for method in methods if is_log(method, names)}
    return replace(names, logs=frozenset(name for name in logs if bound[name.strip(".")] == 1))


def names_bound(tree: ast.Module) -> Iterator[str]:
    """The names that a module gives a meaning anywhere, once for each time."""
    for node in walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler) and node.name:
            yield node.name


def is_namespace(call: ast.Call) -> bool:
    """Whether a call is `vars()`, which is `locals()`; given an argument it reads that alone."""
    return dotted(call.func) == "vars" and not call.args
