"""A model server's repetition of the question is not taken for the server's own words."""

import base64
import json
import re
import unicodedata
from typing import Any
from urllib.parse import quote

import pytest

from lib.models.faults import Fault

PROMPT = (
    "Why is my quota gone?\nThe log says: model not found, maximum context length is 8192 tokens, temperature is not "
    'supported. "System role not supported", it says; the API key not valid. What is content management policy?'
)
BODY = {"messages": [{"role": "user", "content": PROMPT}], "temperature": 0.5}
OPTIONS = {"temperature": 0.5, "max_tokens": 5, "seed": 1}


def refusal(message: object, **more: Any) -> Fault:
    """Return a refusal with this message, from which the question has been cut out."""
    fault = Fault.reported({"message": message, **more}, "BadRequestError", 400)
    fault.scrub([], [PROMPT])
    return fault


ECHOES = {
    "whole": f"cannot read {PROMPT}",
    "quoted": f"cannot read '{PROMPT}'",
    "as JSON": f"cannot read {json.dumps(PROMPT)}",
    "as JSON in JSON": f"cannot read {json.dumps(json.dumps(PROMPT))}",
    "as Python": f"cannot read {PROMPT!r}",
    "in a request": "cannot read " + json.dumps(BODY),
    "with an end cut off": f'cannot read "{PROMPT[:150]}…',
    "with a beginning cut off": f"cannot read ...{PROMPT[40:]}",
    "in capitals": f"cannot read {PROMPT.upper()}",
    "on one line": f"cannot read {' '.join(PROMPT.split())}",
    "as HTML's": f"cannot read {PROMPT.replace(chr(34), '&quot;')}",
}  # fmt: skip


@pytest.mark.parametrize("how", ECHOES)
def test_a_repeated_question_decides_nothing(how: str) -> None:
    fault = refusal(ECHOES[how])
    assert (fault.meaning, fault.refused_parameter(OPTIONS)) == (None, None)
    assert fault.message(False) == "The model refused the question. Please tell the person who invited you."


@pytest.mark.parametrize("how", ECHOES)
def test_a_repeated_question_is_not_in_the_operators_line(how: str) -> None:
    line = str(refusal(ECHOES[how])).lower()
    assert "cannot read" in line and "quota gone" not in line and "not found" not in line


ASKED = "Why does my pregnant sister's knee hurt so badly today? Größe"
WORDS = ASKED.split()
DISGUISES = {
    "base64": base64.b64encode(ASKED.encode()).decode(),
    "hexadecimal": ASKED.encode().hex(),
    "an address": quote(ASKED),
    "a slug": "_".join(WORDS),
    "camel case": "".join(map(str.title, WORDS)),
    "joined": "".join(WORDS),
    "spaced": " ".join(ASKED),
    "invisible": "\u200b".join(ASKED),
    "reversed": " ".join(WORDS[::-1]),
    "escaped": "".join(f"\\x{byte:02x}" for byte in ASKED.encode("latin-1")),
    "tokens": str([f"Ġ{word}" for word in WORDS]),
    "bytes": repr(ASKED.encode("utf-16")),
    "apart": " token ".join(WORDS),
    "wide": "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in ASKED),
    "decomposed": unicodedata.normalize("NFD", ASKED),
    "one word": "pregnant",
}


@pytest.mark.parametrize("how", DISGUISES)
def test_a_repeated_question_is_in_no_log_however_it_is_written(how: str) -> None:
    fault = Fault.reported({"message": f"prompt rejected: {DISGUISES[how]}"}, "BadRequestError", 400)
    fault.scrub([], [ASKED])
    line = unicodedata.normalize("NFKD", fault.line).lower()
    assert "prompt rejected" in line
    letters = re.sub("[^a-z0-9]", "", line.partition("rejected")[2])
    assert not [word for word in ("pregnant", "sister", "knee", "hurt", "badly", "today", "gro") if word in letters]
    assert DISGUISES[how][:16].lower() not in line


def test_a_validation_error_that_repeats_its_input_is_logged_without_it() -> None:
    detail = [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted",
               "input": BODY}]  # fmt: skip
    for error in ({"detail": detail}, {"message": str(detail)}, {"message": f"1 validation error: {detail!r}"}):
        fault = Fault.reported(error, "UnprocessableEntityError", 422)
        fault.scrub([], [PROMPT])
        assert fault.refused_parameter(OPTIONS) == "seed"


@pytest.mark.parametrize("word", ["temperature", "max_tokens", "quota", "seed"])
def test_a_question_of_one_word_is_not_a_parameter(word: str) -> None:
    fault = Fault.reported({"message": f"cannot read the text {word} today"}, "BadRequestError", 400)
    fault.scrub([], [word])
    assert fault.refused_parameter(OPTIONS) is None and fault.meaning is None


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported parameter: 'temperature' is not supported with this model.",
        "temperature is not supported",
        "Unknown field temperature",
        "temperature: Extra inputs are not permitted",
        "Unrecognized request argument supplied: temperature",
        "openai does not support parameters: ['temperature'], for model=o3",
        "`temperature` does not support 0.5 with this model",
        "temperature is deprecated for this model.",
        'Invalid JSON payload received. Unknown name "temperature": Cannot find field.',
        "[{'type': 'extra_forbidden', 'loc': ('body', 'temperature'), 'msg': 'Extra inputs are not permitted'}]",
        r'litellm.BadRequestError: BedrockException - {"message":"The model returned the following errors: '
        r'{\"type\":\"error\",\"error\":{\"message\":\"`temperature` is deprecated for this model.\"}}"}',
    ],
)
def test_the_servers_own_words_count_for_any_question(message: str) -> None:
    for prompt in ("temperature", "What is a temperature, and why?", "Hello"):
        fault = Fault.reported({"message": message}, "BadRequestError", 400)
        fault.scrub([], [prompt])
        assert fault.refused_parameter(OPTIONS) == "temperature"


TYPES_AND_RANGES = [
    "max_tokens: expected int",
    "max_tokens: Input should be a valid integer",  # Anthropic
    "Invalid type for 'max_tokens': expected an integer, but got a decimal number instead.",  # OpenAI
    "Invalid 'max_tokens': integer above maximum value. Expected a value <= 4096, but got 9000 instead.",
    "9000 is greater than the maximum of 4096 - 'max_tokens'",  # Azure's older versions
    "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",  # DeepSeek
    'max_tokens: invalid type: string "5", expected u32 at line 13 column 22',
    "<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]",  # DashScope
    "max_tokens参数非法。请检查文档。",  # Zhipu
    "The parameter `max_tokens` specified in the request are not valid: expected an integer, but got `5` instead.",
    "'max_tokens' : value must be a number",  # Groq
    'Expected number, received string at "max_tokens"',  # OpenRouter
    "Malformed input request: #/max_tokens: 9000 is not less or equal to 4096, please reformat your input.",  # Bedrock
    "json: cannot unmarshal string into Go struct field ChatCompletionRequest.max_tokens of type int",  # Ollama
    "value is not a valid integer: `max_tokens` in `parameters`",  # Hugging Face
    "1 validation error for ChatCompletionRequest\nmax_tokens\n  Input should be a valid integer [type=int_parsing]",
    "max_tokens must be at least 1, got 0.",  # vLLM
    "body/max_tokens must be integer",
    "Invalid value at 'generation_config.max_output_tokens' (TYPE_INT32), 5.5",  # Gemini
    "It has a maxOutputTokens value of 9000 but the supported range is from 1 to 8193.",
    "litellm.BadRequestError: TogetherAIException - max_tokens has to be a positive integer",
    "Validation: max_tokens=9000 cannot be accepted, the maximum is 4096",
]


@pytest.mark.parametrize("message", TYPES_AND_RANGES)
@pytest.mark.parametrize("prompt", ["max_tokens", "What is max_tokens, maxOutputTokens or max_output_tokens?", "Hello"])
def test_a_refused_type_or_range_names_its_parameter_for_any_question(message: str, prompt: str) -> None:
    for status in (400, 422):
        fault = Fault.reported({"message": message}, "BadRequestError", status)
        fault.scrub([], [prompt])
        assert (fault.refused_parameter(OPTIONS), fault.about_value or "参数" in message) == ("max_tokens", True)


@pytest.mark.parametrize(
    "message",
    [
        "cannot read the text temperature today",
        "The prompt 'temperature' must be longer than two characters",
        "content: temperature is not a valid request",
        "Cannot read 'temperature'. The body must be valid JSON.",
        "No answer to temperature, because the service is not allowed to give one",
        "temperature? The model does not support such questions.",
    ],
)
def test_a_word_of_the_question_in_a_sentence_about_the_question_names_none(message: str) -> None:
    fault = Fault.reported({"message": message}, "BadRequestError", 400)
    fault.scrub([], ["temperature"])
    assert fault.refused_parameter(OPTIONS) is None


def test_a_key_of_common_letters_does_not_hide_the_words() -> None:
    for key in ("k", "model", "tokens", "key"):
        fault = Fault.reported({"message": "'max_tokens' is not supported by the model"}, "BadRequestError", 400)
        fault.scrub([key], ["Hello"])
        assert fault.refused_parameter(OPTIONS) == "max_tokens"
