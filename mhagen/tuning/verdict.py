"""What can become of a candidate."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    """What became of a candidate.

    ok       it computes what the reference does, and was timed
    wrong    it does not
    crashed  it ended its process by a signal, or raised an error
    hung     it took longer than it may
    memory   it asked for more memory than it may have
    refused  it cannot be compiled
    """

    OK = "ok"
    WRONG = "wrong"
    CRASHED = "crashed"
    HUNG = "hung"
    MEMORY = "memory"
    REFUSED = "refused"
