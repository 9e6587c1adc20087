"""Where clips are cut: by hand-made speech, faces and shots whose right answer is known."""

import numpy as np
import pytest

from t2av_bench.preparation.benchmarks.cutting import CutRule, Seen, given_square, phrases, pieces, square, steady_spans

RULE = CutRule(least_face=50)


def seen(frames=500, boxes=None, shots=None, size=(640, 480)):
    """One face of 100 pixels at every look, unless ``boxes`` (look -> boxes) says otherwise."""
    looks = -(-frames // RULE.look)
    found = [np.array([[200.0, 100.0, 300.0, 200.0]]) for _ in range(looks)]
    for look, given in (boxes or {}).items():
        found[look] = np.array(given, float).reshape(-1, 4)
    return Seen(found, shots or [(0, frames)], *size)


def test_short_silences_do_not_part_phrases():
    assert phrases([(0, 1), (1.2, 2), (2.25, 3)], 0.25) == [(0, 2), (2.25, 3)]
    assert phrases([], 0.25) == []


def test_one_steady_face_is_one_span_and_trouble_parts_it():
    assert steady_spans(seen(), RULE) == ([(0, 500)], None)
    assert steady_spans(seen(shots=[(0, 203), (203, 500)]), RULE)[0] == [(0, 203), (203, 500)]
    # Nobody at look 40 (frame 200): the span ends with the look before it, and begins again with the next.
    assert steady_spans(seen(boxes={40: []}), RULE)[0] == [(0, 196), (205, 500)]
    two = [[200, 100, 300, 200], [400, 100, 500, 200]]
    assert steady_spans(seen(boxes={40: two}), RULE)[0] == [(0, 196), (205, 500)]
    # Another face in the place of the first one, elsewhere in the picture.
    other = {look: [[400, 100, 500, 200]] for look in range(40, 100)}
    assert steady_spans(seen(boxes=other), RULE)[0] == [(0, 196), (200, 500)]


@pytest.mark.parametrize(("given", "reason"), [
    (seen(shots=[(start, start + 50) for start in range(0, 500, 50)]), "no shot lasts 3 s"),
    (seen(boxes=dict.fromkeys(range(100), [])), "no face is seen"),
    (seen(boxes=dict.fromkeys(range(60), [[0, 0, 99, 99], [300, 0, 399, 99]])) , None),
    (seen(boxes=dict.fromkeys(range(100), [[0, 0, 99, 99], [300, 0, 399, 99]])), "more than one face is seen"),
    (seen(boxes=dict.fromkeys(range(100), [[0, 0, 30, 49]])), "the face is smaller than 50 pixels"),
    (seen(boxes=dict.fromkeys(range(0, 100, 5), [])), "one face is not seen alone for 3 s without a gap"),
])  # fmt: skip
def test_the_reason_says_what_was_seen(given, reason):
    assert steady_spans(given, RULE)[1] == reason


def test_pieces_end_in_pauses_and_are_short_and_long_in_turn():
    speech = [(0.5, 2.0), (2.5, 4.0), (5.0, 9.0), (9.5, 13.5), (14.0, 18.0)]
    found, reason = pieces([(0, 500)], speech, 500, RULE)
    assert reason is None
    # From 0.5: 1.74 s is too short, so 0.38 to 4.12. From 5.0 the longest: 4.88 to 13.62 is 8.74 s.
    # Then 13.88 to 18.12.
    assert found == [(10, 103), (122, 340), (347, 453)]
    for first, end in found:
        assert 3 <= (end - first) / 25 <= 10
        assert not any(begin < time / 25 < stop for time in (first, end) for begin, stop in speech)


def test_a_piece_lies_in_one_span():
    speech = [(0.5, 4.0), (4.5, 8.0)]
    assert pieces([(0, 105), (105, 250)], speech, 250, RULE)[0] == [(10, 103), (110, 203)]
    # The cut at frame 90 lies inside the first phrase.
    assert pieces([(0, 90), (90, 250)], speech, 250, RULE)[0] == [(110, 203)]


@pytest.mark.parametrize(("speech", "reason"), [
    ([], "no speech is heard"),
    ([(0.5, 15.0)], "no 3 to 10 s between pauses show one face"),
    ([(0.5, 1.0), (6.0, 6.4)], "no 3 to 10 s between pauses show one face"),
])  # fmt: skip
def test_speech_that_gives_no_piece_has_a_reason(speech, reason):
    found, told = pieces([(0, 500)], speech, 500, RULE)
    assert found == [] and reason in told


def test_the_square_is_moved_into_the_picture_and_never_padded():
    assert square(seen(), (0, 100), RULE) == (160, 60, 340, 240)
    corner = dict.fromkeys(range(100), [[0, 0, 100, 100]])
    assert square(seen(boxes=corner), (0, 100), RULE) == (0, 0, 180, 180)
    assert "too close" in square(seen(boxes=dict.fromkeys(range(100), [[0, 0, 300, 300]])), (0, 100), RULE)
    away = {10: [[380, 100, 480, 200]]}
    assert "leaves its square" in square(seen(boxes=away), (0, 100), RULE)
    assert square(seen(boxes=away), (55, 150), RULE) == (160, 60, 340, 240), "looks outside the piece do not count"


def test_a_sets_own_window_is_scaled_to_the_file():
    """A window of 360 pixels at (300, 100) in pictures 960 high, and a file of 480."""
    assert given_square((300, 100, 360, 360), 960, seen(), (0, 100), RULE) == (150, 50, 330, 230)
    assert given_square((150, 50, 180, 180), 480, seen(), (0, 100), RULE) == (150, 50, 330, 230)
    assert "leaves its square" in given_square((0, 0, 200, 200), 960, seen(), (0, 100), RULE)


def test_what_was_seen_survives_json():
    given = seen(50, {3: []})
    again = Seen.from_json(given.to_json())
    assert all(np.array_equal(a, b) for a, b in zip(given.boxes, again.boxes, strict=True))
    assert (again.shots, again.width, again.height) == ([(0, 50)], 640, 480)
