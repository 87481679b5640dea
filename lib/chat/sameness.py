"""Groups that a server has made the same by dropping or renaming their only differences.

Knows the parameters of each group and the refusals of its model, neither pages nor the experiment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lib.models.parameters import Parameters
from lib.models.refusals import Options

Accepts = Callable[[Parameters], Options]
"""A function that returns the options of a group that a model accepts."""


@dataclass(frozen=True, slots=True)
class Sameness:
    """Groups with different parameters and equal requests; `dropped` and `renamed` made them equal."""

    groups: tuple[str, ...]
    dropped: tuple[str, ...]
    renamed: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return the operator's sentence, in Markdown.

        >>> Sameness(("Control", "Test"), ("temperature",)).sentence()
        'Control and Test are now identical: `temperature` was dropped by the server.'
        >>> Sameness(("A", "B", "C"), ("seed", "top_p")).sentence()
        'A, B and C are now identical: `seed` and `top_p` were dropped by the server.'
        """
        names, change = (self.dropped, "dropped") if self.dropped else (self.renamed, "renamed")
        verb = "was" if len(names) == 1 else "were"
        parameters = _listed(tuple(f"`{name}`" for name in names))
        return f"{_listed(self.groups)} are now identical: {parameters} {verb} {change} by the server."


def same_groups(served: Mapping[str | None, Parameters], accepted: Accepts) -> list[Sameness]:
    """Return the groups whose parameters differ and whose requests no longer do.

    >>> served = {"A": Parameters("m", options={"seed": 1}), "B": Parameters("m", options={"seed": 2})}
    >>> same_groups(served, lambda parameters: Options(parameters.options))
    []
    >>> same_groups(served, lambda parameters: Options({}, dropped=("seed",)))
    [Sameness(groups=('A', 'B'), dropped=('seed',), renamed=())]
    """
    alike: dict[str, list[str]] = {}
    options = {group: accepted(parameters) for group, parameters in served.items() if group is not None}
    for group, sent in options.items():
        alike.setdefault(_key(served[group], sent.sent), []).append(group)
    same = []
    for groups in alike.values():
        if len({_key(served[group], served[group].options) for group in groups}) > 1:
            dropped = {name for group in groups for name in options[group].dropped}
            renamed = {name for group in groups for name in options[group].renamed}
            same.append(Sameness(tuple(groups), tuple(sorted(dropped)), tuple(sorted(renamed))))
    return same


def _key(parameters: Parameters, options: Mapping[str, object]) -> str:
    target = parameters.provider, parameters.model, parameters.system_prompt
    return repr((target, sorted(options.items())))


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
