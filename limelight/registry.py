"""What a config chooses by name, each entry loaded only when it is asked for."""

import difflib
import importlib
from collections.abc import Iterator, Mapping

from limelight.errors import problem


class Registry(Mapping[str, str]):
    """The names that may stand for one key of a config: {name: "package.module:attribute"}, read-only.

    key: the config's key, as errors call it; further: what else may stand there, in words for errors.
    """

    def __init__(self, key: str, entries: Mapping[str, str], further: str = ""):
        self._key, self._entries, self._further = key, dict(entries), further
        self._loaded: dict[str, object] = {}

    def __getitem__(self, name: str) -> str:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def dotted(self, name: str) -> str:
        """The "package.module:attribute" of a name. Raises LimelightError for an unknown one."""
        if not isinstance(name, str) or name not in self._entries:
            close = difflib.get_close_matches(str(name), self._entries, n=1)
            expected = f"one of {', '.join(self._entries)}" + (f", or {self._further}" if self._further else "")
            fix = f"did you mean '{close[0]}'?" if close else "choose one of them"
            raise problem(self._key, f"'{name}'", expected, fix)
        return self._entries[name]

    def load(self, name: str) -> object:
        """What a name stands for; its module is imported now. Raises LimelightError for an unknown name."""
        dotted = self.dotted(name)
        if name not in self._loaded:
            module, _, attribute = dotted.partition(":")
            self._loaded[name] = getattr(importlib.import_module(module), attribute)
        return self._loaded[name]
