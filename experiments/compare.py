"""Two settings beside each other: python -m experiments.compare RUNS --ours KEY=VALUE ... --theirs KEY=VALUE ...

Reads the records of a folder of runs alone. Runs are told apart by their configuration (`fusion._target_=LowRankFusion`,
`data.audio=shuffled`; a class by the last part of its name). A video's value is the mean over seeds; the difference is
tested pairwise over videos, drawn within their topics.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from highlight_lit.errors import InputError, command
from highlight_lit.evaluation.intervals import paired_bootstrap
from highlight_lit.runs.cross_fit import put_together
from highlight_lit.runs.ledger import records
from highlight_lit.text import ArgumentParser, say

Videos = dict[tuple[str, str], list[float]]


@command("experiments.compare")
def main(words: Sequence[str] | None = None) -> int:
    """Print both means, the difference and its interval.

    Returns:
        0, or 2 for bad input.
    """
    parser = ArgumentParser(prog="experiments.compare", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", type=Path)
    parser.add_argument("--ours", nargs="+", required=True, metavar="KEY=VALUE")
    parser.add_argument("--theirs", nargs="+", required=True, metavar="KEY=VALUE")
    options = parser.parse_args(words)
    done = [record for record in records(options.runs) if record["status"] == "done" and "evaluation" in record]
    chosen = [put_together(_chosen(done, keys)) for keys in (options.ours, options.theirs)]
    measures = sorted({record["evaluation"]["primary"] for runs in chosen for record in runs})
    if len(measures) > 1:
        raise InputError(f"{options.runs}: runs judged by {', '.join(measures)}; expected one measure for all")
    ours, theirs = (_videos(of, keys) for of, keys in zip(chosen, (options.ours, options.theirs), strict=True))
    shared = sorted(ours.keys() & theirs.keys())
    if len(shared) < len(ours) or len(shared) < len(theirs):
        raise InputError(
            f"{options.runs}: {len(ours)} and {len(theirs)} videos, {len(shared)} in both; expected the same topics"
        )
    means = [[float(np.mean(videos[key])) for key in shared] for videos in (ours, theirs)]
    test = paired_bootstrap(means[0], means[1], [topic for topic, _ in shared])
    for setting, videos in ((options.ours, ours), (options.theirs, theirs)):
        per_seed = np.array([videos[key] for key in shared])  # (videos, seeds)
        seeds = [_mean(shared, column) for column in per_seed.T]
        spread = f" ({100 * np.std(seeds, ddof=1):.1f} over {len(seeds)} seeds)" if len(seeds) > 1 else ""
        say(f"{' '.join(setting)}: {100 * float(np.mean(seeds)):.1f}{spread}")
    say(
        f"difference {100 * test.difference:+.1f} [{100 * test.low:.1f}, {100 * test.high:.1f}], {test.videos} videos, p {test.p:.4f}"
    )
    return 0


def _mean(keys: Sequence[tuple[str, str]], values: Any) -> float:
    """Mean over topics of the mean over their videos."""
    topics: dict[str, list[float]] = defaultdict(list)
    for (topic, _), value in zip(keys, values, strict=True):
        topics[topic].append(float(value))
    return float(np.mean([np.mean(values) for values in topics.values()]))


def _chosen(done: Sequence[dict[str, Any]], setting: Sequence[str]) -> list[dict[str, Any]]:
    return [record for record in done if all(_is(record["config"], *word.partition("=")[::2]) for word in setting)]


def _is(config: Mapping[str, Any], key: str, value: str) -> bool:
    node: Any = config
    for name in key.split("."):
        if not isinstance(node, Mapping) or name not in node:
            return False
        node = node[name]
    return str(node) == value or (key.endswith("_target_") and str(node).rpartition(".")[2] == value)


def _videos(chosen: Sequence[Mapping[str, Any]], setting: Sequence[str]) -> Videos:
    """Values of the primary measure by topic and video, one a seed."""
    values: Videos = defaultdict(list)
    seeds: dict[str, list[int]] = defaultdict(list)
    for record in sorted(chosen, key=lambda record: record["seed"]):
        evaluation = record["evaluation"]
        seeds[record["topic"]].append(record["seed"])
        for video, value in evaluation["measures"][evaluation["primary"]]["videos"][record["topic"]].items():
            if value is not None:
                values[record["topic"], video].append(value)
    if (
        not values
        or len({tuple(of_topic) for of_topic in seeds.values()}) > 1
        or any(len(set(of_topic)) < len(of_topic) for of_topic in seeds.values())
    ):
        raise InputError(
            f"{' '.join(setting)}: {len(chosen)} runs; expected one a topic and seed, the same seeds for each topic"
        )
    return values


if __name__ == "__main__":
    sys.exit(main())
