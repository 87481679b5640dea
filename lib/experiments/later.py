"""Modules that the SDK imports and Parley never touches: imported when somebody does. Knows nothing of the SDK.

`statsig` imports gRPC for a proxy of its own that Parley does not offer: 10 MB of memory and a tenth of its start. And
requests, which imports charset_normalizer (3 MB) for a server that does not say in which encoding it answers.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands where the module would, until something of it is wanted."""

    def __getattr__(self, name: str) -> Any:
        if name in ("__file__", "__warningregistry__"):  # asked of every module by whoever walks over all of them
            raise AttributeError(name)
        sys.modules.pop(self.__name__, None)
        module = importlib.import_module(self.__name__)
        vars(self).update(vars(module))
        return getattr(module, name)


def later(name: str, **known: object) -> None:
    """Let the module be imported at its first use, unless it is there already; `known` of it can be had without."""
    if name not in sys.modules:
        module = sys.modules[name] = _Later(name)
        vars(module).update(known)
