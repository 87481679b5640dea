"""Events from which a readout drew a wrong conclusion, made from a seed: unequal rates of rating, busy testers, rare
slow answers, groups on both sides of control, answers that were stopped because they were slow."""

import random
from collections.abc import Callable, Iterator, Sequence

from tests.support.invented_events import Line, answered, exposed, rated

Made = Iterator[Line]
Behave = Callable[[random.Random, str, str], Made]


def crowd(groups: Sequence[str], users: int, seed: int, behave: Behave) -> list[Line]:
    """Return the events of `users` units in each group: an exposure, and then what `behave` yields."""
    chance, events = random.Random(seed), []
    for group in groups:
        for number in range(users):
            user = f"{group}-{number}"
            events.append(exposed(f"x-{user}", user, group, number))
            events += behave(chance, user, group)
    return events


def answer(user: str, turn: int, group: str, seconds: float, reason: str = "stop") -> Line:
    return answered(f"{user}-{turn}", user, 10_000 + turn, reason, response_time=round(seconds, 3), group=group)


def thumb(user: str, turn: int, up: bool) -> Line:
    name = "satisfaction" if up else "dissatisfaction"
    return rated(f"r-{user}-{turn}", f"{user}-{turn}", user, 20_000 + turn, name)


def uneven_raters(rates: Callable[[str, bool], float], users: int = 900) -> list[Line]:
    """Make groups that are equally satisfied. `rates` returns the probability of a rating, given the group and
    whether it would be a thumb up."""

    def behave(chance: random.Random, user: str, group: str) -> Made:
        share = chance.betavariate(2, 1)
        for turn in range(3):
            yield answer(user, turn, group, 3)
            up = chance.random() < share
            if chance.random() < rates(group, up):
                yield thumb(user, turn, up)

    return crowd(("Control", "Test"), users, 1, behave)


def busy(thumbs: int, units: int = 1) -> list[Line]:
    """Make 50 users in each group, and in Test `units` more of which each gives `thumbs` thumbs up."""

    def behave(chance: random.Random, user: str, group: str) -> Made:
        for turn in range(3):
            yield answer(user, turn, group, 3)
            yield thumb(user, turn, chance.random() < 0.6)

    events = crowd(("Control", "Test"), 50, 2, behave)
    for number in range(units):
        user = f"bot{number}"
        events.append(exposed(f"x-{user}", user, "Test", 5))
        for turn in range(thumbs):
            events += [answer(user, turn, "Test", 3), thumb(user, turn, True)]
    return events


def rare_minutes(small: int, large: int, seed: int) -> list[Line]:
    """Make groups that do not differ, of which Test has not yet met the one answer in 100 that takes a minute."""
    chance, events = random.Random(seed), []
    for group, users in (("Control", large), ("Test", small)):
        for number in range(users):
            user = f"{group}-{number}"
            events.append(exposed(f"x-{user}", user, group, number))
            for turn in range(3):
                slow = group == "Control" and chance.random() < 0.01
                events.append(answer(user, turn, group, 60 if slow else 3 * chance.lognormvariate(0, 0.2)))
                events.append(thumb(user, turn, chance.random() < 0.6))
    return events


def on_both_sides(shares: dict[str, float], users: int = 400) -> list[Line]:
    """Make groups whose users like these shares of their answers."""

    def behave(chance: random.Random, user: str, group: str) -> Made:
        for turn in range(2):
            yield answer(user, turn, group, 3)
            yield thumb(user, turn, chance.random() < shares[group])

    return crowd(tuple(shares), users, 3, behave)


def stopped_when_slow(slower: str = "Test", users: int = 300) -> list[Line]:
    """Make a group that is 2.6 s slower, whose testers stop each answer at 6 s."""

    def behave(chance: random.Random, user: str, group: str) -> Made:
        for turn in range(3):
            seconds = 5 * chance.lognormvariate(0, 0.2) + (2.6 if group == slower else 0)
            stops = seconds > 6 and group == slower
            yield answer(user, turn, group, min(seconds, 6) if stops else seconds, "stopped" if stops else "stop")
            yield thumb(user, turn, chance.random() < 0.6)

    return crowd(("Control", "Test"), users, 4, behave)
