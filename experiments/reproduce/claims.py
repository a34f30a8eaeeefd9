"""The supplement's claims, each tested on the corpora at hand: paired over videos and over seeds, corrected for their number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from highlight_lit.evaluation.intervals import Difference, Interval, holm, t_interval

from .numbers import Row, StudyResult

LEVEL = 0.05
System = Mapping[str, str]


@dataclass(frozen=True)
class Claim:
    """What the supplement says: in each comparison the first system of a study is ahead of the second."""

    text: str
    source: str
    study: str
    pairs: Sequence[tuple[System, System]]


def _table1(model: str, modality: str) -> System:
    return {"model": model, "modality": modality}


def _against(key: str, best: str, *others: str) -> list[tuple[System, System]]:
    return [({key: best}, {key: other}) for other in others]


def _when(fusion: str, way: str) -> System:
    return {"fusion": fusion, "data.audio": way}


def _guided(experiment: str, modality: str) -> System:
    return {"experiment": experiment, "modality": modality}


def _labelled(modality: str) -> System:
    return {"method": "labelled", "modality": modality}


OURS, MINI = "highlight_net", "mini_net"
CLAIMS = (
    Claim("Ours beats MINI-Net*", "table 1", "table1", [(_table1(OURS, "av"), _table1(MINI, "av"))]),
    Claim("Both streams beat the visual stream alone", "table 1", "table1", [(_table1(OURS, "av"), _table1(OURS, "visual"))]),
    Claim("The visual stream alone beats the audio stream alone", "table 1", "table1", [(_table1(OURS, "visual"), _table1(OURS, "audio"))]),
    Claim("Ours with the visual stream alone is ahead of MINI-Net* with both", "section 3", "table1", [(_table1(OURS, "visual"), _table1(MINI, "av"))]),
    Claim("Performance gains up to R = 8", "figure 1", "figure1", _against("rank", "8", "1", "2", "4")),
    Claim("Performance drops beyond R = 8", "figure 1", "figure1", _against("rank", "8", "16", "32", "64")),
    Claim("tau = 60 is best", "table 2", "table2", _against("tau", "60", "20", "40", "80")),
    Claim("A smaller beta is better", "table 3", "table3", _against("beta", "1.0e-4", "1.0e-3", "1.0e-2", "1.0e-1")),
    Claim("The gate trains where noisy-or does not", "section 4", "pooling", _against("pooling", "softmax_gate", "noisy_or")),
    Claim("Our question: temporal context helps (T = 2 against none)", "section 1", "context", _against("context.T", "2", "0")),
    Claim("Our question: low-rank fusion beats the visual stream alone", "section 2", "when", [(_when("low_rank", "as_is"), {"modality": "visual"})]),
    Claim("Our question: what its audio gives is when", "section 2", "when", [(_when("low_rank", "as_is"), _when("low_rank", way)) for way in ("shuffled", "mean")]),
    Claim("Our question: guided beats bag labels, both streams", "no clip label", "guided", [(_guided("guided", "av"), _guided("none", "av"))]),
    Claim("Our question: guided beats bag labels, the visual stream alone", "no clip label", "guided", [(_guided("guided", "visual"), _guided("none", "visual"))]),
    Claim("Our question: guided, both streams beat the visual stream alone", "no clip label", "guided", [(_guided("guided", "av"), _guided("guided", "visual"))]),
    Claim("Our question: with clip labels the same network is ahead of the guided one", "ceiling", "guided", [(_labelled(modality), _guided("guided", modality)) for modality in ("av", "visual")]),
)  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One comparison of a claim on one corpus.

    Attributes:
        claim: The claim.
        result: The study's numbers on the corpus.
        ours, theirs: The two systems; the claim has the first ahead.
        videos: Difference with its bootstrap interval over videos (seeds averaged), and its p.
        seeds: Difference with its interval over seeds (videos averaged).
        p: Adjusted for all comparisons of the report (Holm).
    """

    claim: Claim
    result: StudyResult
    ours: Row
    theirs: Row
    videos: Difference
    seeds: Interval
    p: float = 1.0

    @property
    def verdict(self) -> str:
        """Holds, or does not, where both the videos and the seeds say so; else it cannot be told."""
        sign = 1 if self.videos.difference > 0 else -1
        # A single seed has no interval: NaN, which is no evidence.
        by_seeds = sign * self.seeds.low > 0 and sign * self.seeds.high > 0
        if self.p < LEVEL and by_seeds:
            return "holds" if sign > 0 else "does not hold"
        return f"cannot be told with {self.videos.videos} videos and {self.seeds.n} seeds"


def findings(results: Sequence[StudyResult]) -> list[Finding]:
    """Every comparison for which both systems have a whole seed."""
    compared = list(_compared(results))
    adjusted = holm([finding.videos.p for finding in compared]) if compared else ()
    return [replace(finding, p=float(p)) for finding, p in zip(compared, adjusted, strict=True)]


def _compared(results: Sequence[StudyResult]) -> Iterator[Finding]:
    for claim in CLAIMS:
        for result in results:
            for first, second in claim.pairs if result.study.name == claim.study else ():
                ours, theirs = result.row(first), result.row(second)
                if ours is not None and theirs is not None:
                    finding = _finding(claim, result, ours, theirs)
                    if finding is not None:
                        yield finding


def _finding(claim: Claim, result: StudyResult, ours: Row, theirs: Row) -> Finding | None:
    measure = result.primary
    by_seed = ours.by_seed(measure), theirs.by_seed(measure)
    both = [seed for seed in by_seed[0] if seed in by_seed[1]]
    over_videos = ours.less(theirs, measure) if both else None
    if over_videos is None:
        return None
    over_seeds = t_interval([by_seed[0][seed] - by_seed[1][seed] for seed in both])
    return Finding(claim, result, ours, theirs, over_videos, over_seeds)


def by_claim(compared: Sequence[Finding]) -> list[list[Finding]]:
    """The comparisons of each claim on each corpus."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in compared:
        groups.setdefault((finding.claim.text, finding.result.key), []).append(finding)
    return list(groups.values())


def verdict_of(compared: Sequence[Finding]) -> str:
    """Of a claim on one corpus: holds if every comparison does, does not if any does not."""
    verdicts = [finding.verdict for finding in compared]
    if all(verdict == "holds" for verdict in verdicts):
        return "holds"
    if "does not hold" in verdicts:
        return "does not hold"
    return next(verdict for verdict in verdicts if verdict.startswith("cannot"))
