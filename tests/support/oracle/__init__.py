"""The whole campaign language as a plain, slow interpreter, written from docs/campaigns.md and apart from the engine.

It keeps no counters: at each event it looks at the whole history again. `interpret` is its one entry.
"""

from tests.support.oracle.model import Answer, Denied, Given, TakenBack, World, an_event_of
from tests.support.oracle.run import interpret, world_of

__all__ = ["Answer", "Denied", "Given", "TakenBack", "World", "an_event_of", "interpret", "world_of"]
