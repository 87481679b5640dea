"""Thinking in the text of an answer is separated from the answer, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.models.thinking import TAGS, Thinking


def read(text: str, size: int = 10_000, *, held: bool = False) -> tuple[str, str]:
    """Return the answer and the thinking."""
    thoughts: list[str] = []
    thinking, shown = Thinking(thoughts.append, held=held), ""
    for at in range(0, len(text), size):
        piece = thinking.feed(text[at : at + size])
        shown = piece if thinking.withdrawn else shown + piece
    return shown + thinking.rest(), "".join(thoughts)


THOUGHT = {
    "a block": ("<think>Hm.</think>Yes.", "Yes.", "Hm."),
    "lines around it": ("\n \n<think>\nHm.\n</think>\n\nYes.", "Yes.", "\nHm.\n"),
    "capitals": ("<THINK>Hm.</Think>Yes.", "Yes.", "Hm."),
    "an empty block": ("<think>\n\n</think>\n\nYes.", "Yes.", "\n\n"),
    "two blocks": ("<think>a</think>\n<think>b</think>\nYes.", "Yes.", "ab"),
    "indented code after it": ("<think>a</think>\n\n    code", "    code", "a"),
    "code with the tag inside it": ("<think>`<think>` is a tag</think>Yes.", "Yes.", "`<think>` is a tag"),
    "a tag in the answer": ("<think>a</think>Use <think> and </think>.", "Use <think> and </think>.", "a"),
    "no opening tag": ("Let me see.\n</think>\n\nYes.", "Yes.", "Let me see.\n"),
    "no opening tag, no line": ("Let me see.</think>Yes.", "Yes.", "Let me see."),
    "no opening tag, and a mention later": ("Hm.\n</think>\nA </think> B", "A </think> B", "Hm.\n"),
    "one inside another": ("<think>a <think>b</think> c</think>\n\nYes.", "Yes.", "a <think>bc"),
    "an opening tag that is spoken of": ("<think>a <think> tag</think>\n\nYes. No.", "Yes. No.", "a <think> tag"),
    "a closing tag in code": ("<think>use `</think>` here</think>Yes.", "Yes.", "use `</think>` here"),
    "an answer in tags": ("<think>a</think>\n<answer>\nYes.</answer>\n", "Yes.", "a"),
    "a response in tags": ("<think>a</think><response>Use </response> b</response>", "Use </response> b", "a"),
    "channels": ("<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>",
                 "Yes.", "Hm.<|end|><|start|>assistant"),
    "channels from their start": ("<|start|>assistant<|channel|>analysis<|message|>Hm.<|channel|>final<|message|>Yes.",
                                  "Yes.", "Hm."),
    "channels without marks": ("analysisWe see.assistantfinalYes.", "Yes.", "analysisWe see."),
    "Gemma's channel": ("<|channel>thought\nHm.<channel|>Yes.", "Yes.", "\nHm."),
    "Cohere's marks": ("<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Yes.<|END_RESPONSE|>", "Yes.", "Hm."),
    "never closed": ("<think>and so on", "", "and so on"),
    "cut off in a tag": ("<think>and so on</thi", "", "and so on</thi"),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 7, 10_000])
@pytest.mark.parametrize("what", THOUGHT)
def test_thinking_stays_outside_the_answer(what: str, size: int) -> None:
    text, answer, thought = THOUGHT[what]
    assert read(text, size) == (answer, thought)


@pytest.mark.parametrize("opening", TAGS)
def test_every_pair_of_tags_is_known(opening: str) -> None:
    assert read(f"{opening}Hm.{TAGS[opening]}\nYes.", 2) == ("Yes.", "Hm.")
    assert read(f"Hm.{TAGS[opening]}\nYes.", 2) == ("Yes.", "Hm.")


TEXT = [
    "analysis of it", "analysisResult = 1", "an", "analysis", "<answer>Yes.</answer>", "a <|return|>",
    "", "   ", "Yes.", "a < b and [1]", "<thin air", "<b>bold</b>", "[think about it]",
    "The tag <think> opens, </think> closes.",
    "Write `</think>` at the end.",
    "Write `<think>` first.\n\n```\n<think>\nHm.\n</think>\n```\nDone.",
    "```html\n<p>\n</think>\n</p>\n```",
    "It ends with a </think> tag.",
    'It is spelt "</think>", always.',
    "Done.\n</think",
]  # fmt: skip


@pytest.mark.parametrize("size", [1, 3, 10_000])
@pytest.mark.parametrize("text", TEXT)
def test_everything_else_is_text(text: str, size: int) -> None:
    assert read(text, size) == (text if text.strip() else "", "")


@pytest.mark.parametrize("size", [1, 3, 10_000])
def test_a_final_channel_alone_is_the_answer(size: int) -> None:
    for text in ("<|channel|>final<|message|>Yes.", "<|start|>assistant<|channel|>final<|message|>Yes.<|end|>\n"):
        assert read(text, size) == ("Yes.", "")


def test_a_closing_tag_at_the_very_end_closes_nothing() -> None:
    assert read("The answer is 4.\n</think>", 3) == ("The answer is 4.\n", "")


def test_a_model_that_is_known_to_leave_the_opening_tag_out_is_waited_for() -> None:
    thoughts: list[str] = []
    thinking = Thinking(thoughts.append, held=True)
    assert [thinking.feed(piece) for piece in ("Let me", " see.\n</th", "ink>\n", "Yes", ".")] == [
        "",
        "",
        "",
        "Yes",
        ".",
    ]
    assert (thinking.withdrawn, thinking.unopened, "".join(thoughts)) == (False, True, "Let me see.\n")


def test_held_text_without_a_closing_tag_is_the_answer() -> None:
    assert read("Yes.\nAnd more.", 3, held=True) == ("Yes.\nAnd more.", "")


@given(st.text(alphabet="<>/thinkT[] \n`a.|", max_size=60), st.integers(1, 9))
def test_the_size_of_the_pieces_changes_nothing(text: str, size: int) -> None:
    assert read(text, size) == read(text)


@given(st.lists(st.sampled_from([*TAGS, *TAGS.values(), "<answer>", "</answer>", "<|end|>", "`", " ", "Yes. ", "\n"])),
       st.integers(1, 9))  # fmt: skip
def test_the_size_of_the_pieces_changes_nothing_between_tags(parts: list[str], size: int) -> None:
    assert read("".join(parts), size) == read("".join(parts))
