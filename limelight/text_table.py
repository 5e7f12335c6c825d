"""Small tables for a terminal: columns under their headings, words to the left and numbers to the right."""

import re
from collections.abc import Mapping, Sequence

NONE = "–"  # stands where a row has nothing to say
NUMBER = re.compile(r"[-+−\d.,e%× ]+|nan|" + NONE)


def text_table(rows: Sequence[Mapping[str, str]], indent: str = "") -> str:
    """Rows of {heading: text} as aligned lines below a line of headings; empty for no rows.

    Columns stand in the order in which they first appear. A column of numbers alone (with % or ×) is aligned to the right.
    """
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    lines = [headings, *([row.get(heading) or NONE for heading in headings] for row in rows)]
    columns = list(zip(*lines, strict=True)) if rows else []
    padded = []
    for column in columns:
        width, numbers = max(map(len, column)), all(NUMBER.fullmatch(text) for text in column[1:])
        padded.append([text.rjust(width) if numbers else text.ljust(width) for text in column])
    return "\n".join(f"{indent}{'   '.join(texts)}".rstrip() for texts in zip(*padded, strict=True))
