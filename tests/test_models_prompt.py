"""The part of a conversation that is sent."""

from lib.models.prompt import estimate, estimate_messages, trim


def turns(count: int, size: int = 400) -> list[tuple[str | None, str | None]]:
    """Return `count` answered turns of about `size` characters each, and a new question."""
    return [(f"{n:04}" + "q" * (size // 2), "a" * (size // 2)) for n in range(count)] + [("new", None)]


def test_a_short_conversation_goes_whole() -> None:
    roles = [message["role"] for message in trim(turns(3), "Be kind.")]
    assert roles == ["system", *["user", "assistant"] * 3, "user"]


def test_the_oldest_turns_are_left_out_first_and_the_budget_is_kept() -> None:
    sent = trim(turns(100), "Be kind.", budget_tokens=1_000)
    assert sent[0] == {"role": "system", "content": "Be kind."}
    contents = [message["content"][:4] for message in sent[1::2]]
    assert contents == [*(f"{n:04}" for n in range(91, 100)), "new"]
    assert estimate_messages(sent) <= 1_000


def test_the_question_and_the_system_prompt_are_kept_at_any_length() -> None:
    assert trim([("old", "answer"), ("q" * 99_999, None)], "s" * 99_999) == [
        {"role": "system", "content": "s" * 99_999},
        {"role": "user", "content": "q" * 99_999},
    ]


def test_no_turn_is_left_out_from_the_middle() -> None:
    history = [("small", "small"), ("big", "b" * 9_999), ("small", "small"), ("new", None)]
    assert [message["content"] for message in trim(history, None, 100)] == ["small", "small", "new"]


def test_only_turns_with_both_texts_go_along() -> None:
    history = [("failed", None), ("blank", " "), ("empty", ""), (None, "kept"), ("asked", "answered"), ("new", None)]
    assert [message["content"] for message in trim(history, None)] == ["asked", "answered", "new"]


def test_an_answer_of_the_new_question_is_not_sent() -> None:
    assert trim([("again", "the answer to be replaced")], None) == [{"role": "user", "content": "again"}]


def test_other_alphabets_count_for_more() -> None:
    assert estimate("word " * 100) == 125
    assert estimate("слово ") == 3
    assert estimate("\ud800") == 1
