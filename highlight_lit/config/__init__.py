"""What a run is: its keys and their checks, its identity, and its parts made from the configuration.

A script that asks which run a configuration is calls `identity(plain(config), corpus.fingerprint)`.
"""

from highlight_lit.config.run_identity import as_plain as plain
from highlight_lit.config.run_identity import identity

__all__ = ["identity", "plain"]
