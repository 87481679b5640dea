"""The visitor of one session, under the ids that an experiment may randomise by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

UnitType = Literal["userID", "stableID", "sessionID"]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks: one browser in one Streamlit session, with the ids that an experiment may randomise by.

    `visitor_id` owns conversations (the cookie's id; the session's where there is no cookie). `user_id` is what
    `PARLEY_UNIT` selects. `custom` holds what targeting may need and nothing that names a person. `place` is the
    network that the limits of an open link count under, empty where none hold: never stored, never sent. `known` is
    False for a browser that keeps no cookie.
    """

    visitor_id: str
    user_id: str
    stable_id: str
    session_id: str
    custom: Mapping[str, str] = field(default_factory=dict)
    place: str = field(default="", repr=False)
    known: bool = True

    def ids(self) -> dict[str, str]:
        """The three ids under Statsig's names."""
        return {"userID": self.user_id, "stableID": self.stable_id, "sessionID": self.session_id}
