"""Looking before leaping: everything that would make a run fail on a cluster, found in a minute instead of a night."""

from gravdask.preflight.checking import findings_of, preflight, refuse_hopeless, taking_part, tell
from gravdask.preflight.findings import Finding

__all__ = ["Finding", "findings_of", "preflight", "refuse_hopeless", "taking_part", "tell"]
