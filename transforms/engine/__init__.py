"""Pure decisions: from a user's state and an input to the next state and proposals, by `advance` alone."""

from transforms.engine.advance import Advanced, Arrival, Profile, Tick, Verdict, advance
from transforms.engine.seeds import seed_of
from transforms.engine.sets import CompiledSet
from transforms.engine.state import UserState, decode_state
from transforms.engine.timeline import Timeline

__all__ = [
    "Advanced",
    "Arrival",
    "CompiledSet",
    "Profile",
    "Tick",
    "Timeline",
    "UserState",
    "Verdict",
    "advance",
    "decode_state",
    "seed_of",
]
