"""How many people there are, and when. Nothing here needs Locust."""

import math
import os
from typing import NamedTuple

SECONDS, USERS, STARTED_A_SECOND = 60.0, 40, 20.0


class Stage(NamedTuple):
    """Until this part of the run's time, this part of all its people."""

    until: float
    users: float


SHAPES = {
    "steady": (Stage(1.0, 1.0),),
    "step": (Stage(0.25, 0.25), Stage(0.5, 0.5), Stage(0.75, 0.75), Stage(1.0, 1.0)),
    "spike": (Stage(0.4, 0.2), Stage(0.6, 1.0), Stage(1.0, 0.2)),
    "soak": (Stage(1.0, 0.5),),
}


def number(name: str, default: float) -> float:
    """What a variable of the environment says. Raises `SystemExit` when that is no number above zero."""
    told = os.environ.get(name) or str(default)
    try:
        found = float(told)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise SystemExit(f"{name} is {told}: it must be a number above zero")
    return found


def planned(stages: tuple[Stage, ...], *, part: float, users: int) -> tuple[int, float] | None:
    """How many people there are when this part of the run is over, and how many start a second; None at its end."""
    for stage in stages:
        if part < stage.until:
            return max(1, round(stage.users * users)), STARTED_A_SECOND
    return None
