"""The alignment of a transcript, against jiwer's counts and its own texts."""

import random

import pytest

from reports.page.transcript import align, transcripts


@pytest.mark.parametrize("seed", range(40))
def test_alignment_is_as_cheap_as_jiwers_and_spells_both_texts(seed: int) -> None:
    jiwer = pytest.importorskip("jiwer", reason="the counts come from jiwer: pip install 't2av-bench[speech]'")
    chosen = random.Random(seed)
    asked = [chosen.choice("abcde") for _ in range(chosen.randrange(1, 14))]
    heard = [chosen.choice("abcde") for _ in range(chosen.randrange(0, 14))]
    steps = align(asked, heard)
    found = jiwer.process_words(" ".join(asked), " ".join(heard))
    errors = sum(step.kind != "hit" for step in steps)
    assert errors == found.substitutions + found.deletions + found.insertions
    assert [step.asked for step in steps if step.kind != "insertion"] == asked
    assert [step.heard for step in steps if step.kind != "deletion"] == heard
    assert all(step.asked == step.heard for step in steps if step.kind == "hit")
    assert all(step.asked != step.heard for step in steps if step.kind == "substitution")


def test_each_kind_of_error_is_told_apart() -> None:
    kinds = [step.kind for step in align("a b c d".split(), "a x c d e".split())]
    assert kinds == ["hit", "substitution", "hit", "hit", "insertion"]
    assert [step.kind for step in align("a b".split(), [])] == ["deletion", "deletion"]


def test_a_detail_without_a_transcript_gives_none_and_characters_are_joined_without_spaces() -> None:
    assert transcripts("sync/exact", {"tracks": 1}) == []
    detail = {"transcript": "你好", "reference": "你好吗", "hypothesis": "你好", "flags": ["short"]}
    (found,) = transcripts("cer/x", detail, by_character=True)
    assert found.joiner == "" and found.flags == ("short",)
    assert [step.kind for step in found.steps] == ["hit", "hit", "deletion"]
