"""The commands that README and docs show: the lines of their blocks of code, and code in a sentence that begins like one."""

import re
import shlex
from pathlib import Path

from limelight.files import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("snakemake", "python", "limelight", "make", "pip", "tensorboard", "git", "cd", "export")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def whole_commands(page: Path) -> list[str]:
    """Those of a page's blocks, to be typed as they stand: without remarks, and `A && B` is two."""
    found = []
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language in ("", "sh") and is_command(block):
            lines = re.sub(r"\\\n\s*", "", block).splitlines()
            found += [one for line in lines for one in re.sub(r"\s+#.*", "", line).split(" && ") if one.strip()]
    return [plain(command) for command in found]


def mentioned_commands(page: Path) -> list[str]:
    """Those in sentences, which may leave out what does not matter there."""
    found = re.findall(r"`([^`]+)`", BLOCK.sub("", page.read_text(encoding="utf-8")))
    return [plain(code) for code in found if is_command(code)]


def is_command(code: str) -> bool:
    """Whether code is a program with arguments; the name of a script alone is only a name."""
    program, *arguments = plain(code).split()
    if program == "python" and arguments[:1] != ["-m"]:
        program, *arguments = arguments or [""]
    return bool(arguments) and (program in PROGRAMS or bool(re.fullmatch(r"scripts/\w+\.py", program)))


def plain(command: str) -> str:
    """A command on one line, without the folder of the environment."""
    return " ".join(command.replace(".venv/bin/", "").split())


def words_of(command: str) -> list[str]:
    """Its words; a script that begins it is run by python."""
    words = shlex.split(command)
    return ["python", *words] if words[0].startswith("scripts/") else words
