"""Plain questions to Python's syntax trees: what is in one, and which names it writes out."""

import ast
import contextlib
from collections.abc import Iterator

BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # fields of statements that hold statements


def walk(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree, in no particular order; ast.walk takes twice the time."""
    queue = [tree]
    while queue:
        node = queue.pop()
        yield node
        for field_name in node._fields:
            value = getattr(node, field_name, None)
            if type(value) is list:
                queue += [item for item in value if isinstance(item, ast.AST)]
            elif isinstance(value, ast.AST):
                queue.append(value)


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """All statements within a module or statement, however deep."""
    for block in BLOCKS:
        for item in getattr(node, block, ()):
            yield item
            yield from statements(item)


def dotted_names(annotation: ast.expr) -> set[str]:
    """The dotted names in an annotation, those in quotes as well."""
    found, queue = set(), [annotation]
    while queue:
        node = queue.pop()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            with contextlib.suppress(SyntaxError):  # other text than a type
                queue.append(ast.parse(node.value, mode="eval").body)
        elif name := dotted(node):
            found.add(name)
        else:
            queue.extend(ast.iter_child_nodes(node))
    return found


def dotted(node: ast.AST) -> str:
    """`a.b.c` as written, and "" for what is no chain of names."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def called(node: ast.expr) -> str:
    """The dotted name of a decorator, base or function, without the arguments that it is given."""
    return dotted(node.func if isinstance(node, ast.Call) else node)
