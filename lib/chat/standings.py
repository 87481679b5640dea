"""The state of the experiment's models, for operators.

Owns the sentences. Reads the providers' lists of models in the background only.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lib.chat.generation import Generations
from lib.models.catalogue import Standing
from lib.models.parameters import Parameters
from lib.models.providers import Providers

log = logging.getLogger("parley.models")

Served = Callable[[], Mapping[str | None, Parameters]]
"""Returns the parameters of each group now; under None those of units outside the experiment."""


@dataclass(frozen=True, slots=True)
class GroupModel:
    """One group's model, and the `fallback` that answers where it does not exist; None where it is the same model."""

    group: str | None
    standing: Standing
    fallback: Standing | None = None

    @property
    def answers(self) -> bool:
        """False where every question of this group fails."""
        return self.standing.usable or (self.fallback is not None and self.fallback.usable)

    @property
    def worrying(self) -> bool:
        """True where an operator should change something."""
        return self.standing.state in ("missing", "gone", "ending") or self.standing.fault is not None

    def sentence(self) -> str:
        """Return the problem and the remedy, for an operator; only the state where there is no problem."""
        one, who = self.standing, "Units outside of the experiment" if self.group is None else self.group
        if one.state == "there":
            return f"{who}: {one.model} is there"
        if one.fault:
            return f"{who}: {one.provider} does not list its models, so questions may fail. {one.fault}"
        if one.state == "unknown":
            return f"{who}: {one.provider} does not say whether it has {one.model}"
        change = f"Change the group's model{_such_as(one)}"
        if one.state == "ending":
            return f"{who}: {one.provider} shuts {one.model} down on {one.shutdown}. {change} before that day"
        what = f"was shut down on {one.shutdown}" if one.state == "gone" else f"is not at {one.provider}"
        return f"{who}: {one.model} {what}. {self._instead()} {change}"

    def _instead(self) -> str:
        if self.fallback is None:
            return "It is also the fallback, so its questions fail."
        if self.fallback.usable:
            return f"The default, {self.fallback.model}, answers instead."
        gone = "was shut down, too" if self.fallback.state == "gone" else "does not exist either"
        return f"Its questions fail: the default, {self.fallback.model} at {self.fallback.provider}, {gone}."


def _such_as(standing: Standing) -> str:
    return f": {standing.provider} has {', '.join(standing.near)}" if standing.near else ""


def group_models(models: Providers, served: Mapping[str | None, Parameters]) -> list[GroupModel]:
    """Return every group's model by the lists that were read last, and the default's where no group has it."""
    last = models.standing(served[None])
    standings = {group: models.standing(parameters) for group, parameters in served.items() if group is not None}
    found = [GroupModel(group, own, None if _same(own, last) else last) for group, own in standings.items()]
    covered = any(_same(own, last) for own in standings.values())
    return found if covered else [*found, GroupModel(None, last)]


def _same(one: Standing, other: Standing) -> bool:
    return (one.provider, one.model) == (other.provider, other.model)


class Standings:
    """The group models of a running app. With the `demo`, whose models are known, no list is read."""

    def __init__(self, models: Providers, generations: Generations, served: Served, demo: bool) -> None:
        self._models, self._generations, self._served, self._demo = models, generations, served, demo
        self._logged: set[str] = set()

    def refresh(self) -> None:
        """Read the lists of models in the background, unless they are recent. Returns at once."""
        if not self._demo and self._models.outdated:
            self._generations.beside(self._look())

    @property
    def looked(self) -> bool:
        """True where the lists were read at least once."""
        return self._models.looked

    def groups(self) -> list[GroupModel]:
        """Return every group's model as known now."""
        return group_models(self._models, self._served())

    def worries(self) -> list[GroupModel]:
        """Return those that an operator should change."""
        return [one for one in self.groups() if one.worrying]

    async def _look(self) -> None:
        await self._models.look()
        for sentence in [one.sentence() for one in self.worries()]:
            if sentence not in self._logged:
                self._logged.add(sentence)
                log.warning("%s", sentence)
