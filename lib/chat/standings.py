"""The experiment's groups as they are sent to models now, and the state of their models, for operators.

Owns the sentences. Reads the providers' lists of models in the background only.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lib.chat.generation import Generations
from lib.chat.preparation import Preparation
from lib.chat.sameness import Sameness, same_groups
from lib.experiments.evaluator import Experiments
from lib.models.catalogue import Standing
from lib.models.parameters import Parameters
from lib.models.providers import Providers

log = logging.getLogger("parley.models")
conversation_log = logging.getLogger("parley.conversation")

Served = Callable[[], Mapping[str | None, Parameters]]
"""A function that returns the parameters of each group now, and under None those of units outside the experiment."""


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
        standing, group = self.standing, "Units outside of the experiment" if self.group is None else self.group
        if standing.state == "there":
            return f"{group}: {standing.model} is there"
        if standing.fault:
            return f"{group}: {standing.provider} does not list its models, so questions may fail. {standing.fault}"
        if standing.state == "unknown":
            return f"{group}: {standing.provider} does not say whether it has {standing.model}"
        change = f"Change the group's model{_such_as(standing)}"
        if standing.state == "ending":
            end = f"{standing.provider} shuts {standing.model} down on {standing.shutdown}"
            return f"{group}: {end}. {change} before that day"
        gone = standing.state == "gone"
        state = f"was shut down on {standing.shutdown}" if gone else f"is not at {standing.provider}"
        return f"{group}: {standing.model} {state}. {self._instead()} {change}"

    def _instead(self) -> str:
        if self.fallback is None:
            return "It is also the fallback, so its questions fail."
        if self.fallback.usable:
            return f"The default, {self.fallback.model}, answers instead."
        problem = "was shut down, too" if self.fallback.state == "gone" else "does not exist either"
        return f"Its questions fail: the default, {self.fallback.model} at {self.fallback.provider}, {problem}."


def _such_as(standing: Standing) -> str:
    return f": {standing.provider} has {', '.join(standing.near)}" if standing.near else ""


def group_models(models: Providers, served: Mapping[str | None, Parameters]) -> list[GroupModel]:
    """Return every group's model by the lists that were read last, and the default's where no group has it."""
    default = models.standing(served[None])
    standings = {group: models.standing(parameters) for group, parameters in served.items() if group is not None}
    models_of_groups = [
        GroupModel(group, standing, None if _same(standing, default) else default)
        for group, standing in standings.items()
    ]
    covered = any(_same(standing, default) for standing in standings.values())
    return models_of_groups if covered else [*models_of_groups, GroupModel(None, default)]


def _same(first: Standing, second: Standing) -> bool:
    return (first.provider, first.model) == (second.provider, second.model)


class ServedGroups:
    """The parameters of the experiment's groups as they are sent now, and what an operator should change about them."""

    def __init__(self, experiment: str, experiments: Experiments, models: Providers, preparation: Preparation) -> None:
        self._configured, self._experiments = experiment, experiments
        self._models, self._preparation = models, preparation
        self._logged: set[Sameness] = set()

    def parameters(self) -> dict[str | None, Parameters]:
        """Return the parameters of each group now, and under None those of units outside the experiment."""
        definition = self._experiments.definition(self._experiments.live or self._configured)
        if definition is None:
            return {None: self._models.check({}, {})}
        sets: dict[str | None, Mapping[str, object]] = {None: {}}
        sets |= {group.name: group.parameters for group in definition.groups}
        return {name: self._models.check(parameters, definition.default) for name, parameters in sets.items()}

    def problems(self) -> dict[str, str]:
        """Return by group the names of its parameters that are invalid and so not sent."""
        return {group: checked.error for group, checked in self.parameters().items() if group and checked.error}

    def unpriced(self) -> list[str]:
        """Return the models that have no price, so that no budget in US dollars can be kept."""
        unpriced = (each for each in self.parameters().values() if self._models.price(each) is None)
        return list(dict.fromkeys(each.model for each in unpriced))

    def log_unpriced(self) -> None:
        """Log the models that have no price."""
        for parameters in self.parameters().values():
            self._preparation.log_unpriced(parameters)

    def same(self) -> list[Sameness]:
        """Return the groups that have become the same, because of what their models refused in this process."""
        return same_groups(self.parameters(), self._models.accepted)

    def log_same(self) -> None:
        """Log each set of equal groups once."""
        for same in self.same():
            if same not in self._logged:
                self._logged.add(same)
                conversation_log.warning(
                    same.sentence(), extra={"groups": ", ".join(same.groups), "parameters": ", ".join(same.dropped)}
                )


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
        """Return the group models that an operator should change."""
        return [group for group in self.groups() if group.worrying]

    async def _look(self) -> None:
        await self._models.look()
        for sentence in [group.sentence() for group in self.worries()]:
            if sentence not in self._logged:
                self._logged.add(sentence)
                log.warning("%s", sentence)
