"""The number of users over the time of a run. This module does not need Locust."""

import math
import os
from typing import NamedTuple

SECONDS, USERS, STARTS_A_SECOND = 60.0, 40, 20.0


class Stage(NamedTuple):
    """A stage of a run: its end, as a share of the run's time, and its users, as a share of the maximum."""

    until: float
    users: float


SHAPES = {
    "steady": (Stage(1.0, 1.0),),
    "step": (Stage(0.25, 0.25), Stage(0.5, 0.5), Stage(0.75, 0.75), Stage(1.0, 1.0)),
    "spike": (Stage(0.4, 0.2), Stage(0.6, 1.0), Stage(1.0, 0.2)),
    "soak": (Stage(1.0, 0.5),),
}


def number(name: str, default: float) -> float:
    """The value of an environment variable. Raises `SystemExit` if it is not a number above zero."""
    text = os.environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise SystemExit(f"{name} is {text}: it must be a number above zero")
    return value


def users_at(stages: tuple[Stage, ...], *, share: float, users: int) -> tuple[int, float] | None:
    """The number of users at this share of the run's time, and of starts a second. None at its end."""
    for stage in stages:
        if share < stage.until:
            return max(1, round(stage.users * users)), STARTS_A_SECOND
    return None
