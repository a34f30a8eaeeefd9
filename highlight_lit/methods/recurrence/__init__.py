"""Methods by what comes back across a topic's videos."""
