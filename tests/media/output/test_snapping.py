"""Ends of a reel's segments move to shot changes that are near, and its length stays."""

from __future__ import annotations

from highlight_lit.media.output.segments import Segment
from highlight_lit.media.output.snapping import snap_to_shots
from tests.tolerance import assert_near


def test_ends_move_to_shot_changes_nearby_and_the_length_stays():
    segments = [Segment(10, 14, 0.9), Segment(30, 36, 0.5)]
    moved = snap_to_shots(segments, [9.6, 14.3, 29.7, 50.0], 10, 3, 100)
    assert moved[0].start == 9.6
    assert moved[0].end == 14.3
    assert moved[1].start == 29.7
    assert_near(sum(each.length for each in moved), 10.0, 4, scale=36.0)


def test_a_shot_change_far_away_moves_nothing():
    segments = [Segment(10, 14, 0.9)]
    assert snap_to_shots(segments, [9.24, 14.76], 4, 3, 100) == segments
