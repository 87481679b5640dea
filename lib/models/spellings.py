"""Names of parameters as model servers spell them in errors: in camel case, by an older name, or in a phrase; and the
sentences that are about a parameter rather than about the question. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping

_LIMITS = ("max_tokens", "max_completion_tokens")
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "max_output_tokens": _LIMITS, "max_new_tokens": _LIMITS,  # Gemini, Anthropic; Hugging Face
    "thinking_level": ("reasoning_effort",), "thinking_budget": ("reasoning_effort",),  # Gemini
    "stop_sequences": ("stop",),
}  # fmt: skip
"""Names that servers use for a parameter, in snake case."""
_PHRASES: Mapping[str, tuple[str, ...]] = {
    r"thinking (?:level|mode|budget)|support (?:thinking|reasoning)\b|reasoning (?:value|level|effort|mode)"
    r"|budget \d+ is invalid": ("reasoning_effort",),
    r"\bpenalty is not\b": ("presence_penalty", "frequency_penalty"),
}  # fmt: skip
"""Sentences of Gemini and Ollama about a parameter that they do not name."""
_OBJECTS: Mapping[str, tuple[str, ...]] = {**_ALIASES, "reasoning": ("reasoning_effort",)}
"""Names that servers use in a path, where `reasoning.effort` is a field of the newer API."""
_AROUND = {"body", "request", "params", "parameters", "generation_config", "config", "options", "root", "input", "text"}
"""Words before the name in a path such as `body.seed`."""
_REPEATED = re.compile(
    r"[\"']\w+[\"']\s*:\s*(?:-?\d[\d.]*|true\b|false\b|[\"'](?:none|minimal|low|medium|high|xhigh|max)[\"'])"
    r"(?=\s*(?:[,}\]…]|\Z))",
    re.I,
)
"""A parameter in a repetition of the request, with its value."""
_OF_THE_QUESTION = r"\b(?:prompt|content|text|question|query|word)s?\s*[:=]?\s*[\"'`]?{name}\b"
"""A word that the server names as a part of the question."""
_REFUSED = (
    r"(?:unsupported|unknown|unrecognized|unexpected|invalid|not (?:support(?:ed)?|allowed|accept)|deprecated|extra)"
    r"[\w ]{{0,40}}(?:param\w*|argument\w*|field\w*|key\w*|input\w*|value\w*)[\w ]{{0,20}}:?\s*[\[\"'`]*{name}\b"
    r"|\b{name}[\"'`\])]*:?\s*(?:is|are|was|does|cannot|must|should|extra inputs|unknown|unsupported|not)\b"
)
"""Sentences about a parameter."""
_MARKED = (
    r"[\"'`\[(](?:[$\w#\[\]]+[./])*{name}[\"'`\])]"  # 'temperature', 'generation_config.temperature'
    r"|(?:[\w\])$#]\.|/){name}\b(?![./]\w)"  # Request.temperature, #/temperature
    r"|\b{name}[\"'`\])]*\s*[:=<>≤≥]"  # temperature: …
    r"|\b{name}[\"'`\])]*\s*(?:param\w*|argument|field|property|value|参数)"
    r"|\b{name}[\"'`\])]*\s*(?:has|have|needs?|expects?|out of|above|below|exceeds|too)\b"
    r"|(?:param\w*|argument|field|property|option|key|attribute|got|参数)\s*[\"'`]?{name}\b"
    r"|(?:range|values?|type|limit|maximum|minimum) (?:of|for) [\"'`]?{name}\b"
    r"|\b(?:for|at)\s+[\"'`]?{name}[\"'`]?\s*(?:[.,;:(]|\Z)"
    r"|(?:\A|\n)\s*{name}\s*\n\s"  # a validation error, which begins with the name alone
)
"""A word in the place of a parameter's name."""
_RULE = (
    r"expect|require|\bmust\b|should|ha(?:s|ve) to be|valid|wrong|\brange|minimum|maximum|limit"
    r"|at (?:most|least)|between|(?:less|greater|more|smaller|larger|lower|higher) (?:than|or)\b"
    r"|above|below|exceed|too (?:large|big|small|high|low|long)|out of|one of|\btype\b"
    r"|\b(?:int(?:eger)?|float|[fiu]|double)\d*\b|\b(?:number|numeric|decimal|bool(?:ean)?|string|str|null)\b"
    r"|unmarshal|deserializ|allow|permit|accept|support|unknown|unrecogni[sz]ed|extra"
    r"|[<>≤≥]|非法|无效|不合法|不支持|范围|必须|应"
)
"""Words of a rule that a parameter's name, type or range has broken."""
_FLAGS = re.IGNORECASE | re.ASCII
_SENTENCE_END = re.compile(r"(?<=[^\W\d][.!?;])\s+|(?<=[\"'`)\]][.!?;])\s+|。")


def snake(word: str) -> str:
    """Return a name in snake case.

    >>> [snake(word) for word in ("presencePenalty", "TopP", "seed", "MaxTokens")]
    ['presence_penalty', 'top_p', 'seed', 'max_tokens']
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).lower()


def named_in(text: str, names: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the parameters that a text names: the spelling in the text, and the parameter.

    >>> list(named_in('{"seed": 7} has seed, maxOutputTokens', ["seed", "max_tokens"]))
    [('seed', 'seed'), ('maxOutputTokens', 'max_tokens')]
    >>> list(named_in("Thinking level LOW is not supported", ["reasoning_effort"]))
    [('Thinking level', 'reasoning_effort')]
    """
    text = without_request(text)
    for word in re.findall(r"\w+", text, re.ASCII):
        plain = snake(word)
        yield from ((word, name) for name in (plain, *_ALIASES.get(plain, ())) if name in names)
    for phrase, parameters in _PHRASES.items():
        if match := re.search(phrase, text, re.IGNORECASE):
            yield from ((match[0], name) for name in parameters if name in names)


def without_request(text: str) -> str:
    """Return the text without the parameters of a repeated request.

    >>> without_request('{"seed": 7, "top_p": 1} is odd'), without_request("'seed': 7 is too large")
    ('{, } is odd', "'seed': 7 is too large")
    """
    return _REPEATED.sub("", text)


def is_about(word: str, text: str) -> bool:
    """Return True where a sentence is about a parameter of this name, so that the word is the server's own although the
    question has it too: the word stands where a name does, and the sentence is about a rule that it has broken.

    >>> [is_about("seed", text) for text in ("seed: expected int", "not a valid integer: `seed`", "Not 'seed'.")]
    [True, True, False]
    >>> [is_about("seed", text) for text in ("cannot read text seed", "Odd: 'seed'. It must be JSON.", "word seed is")]
    [False, False, False]
    """
    name = re.escape(word)
    text = re.sub(_OF_THE_QUESTION.format(name=name), "", text, flags=_FLAGS)
    if re.search(_REFUSED.format(name=name), text, _FLAGS):
        return True
    marked = re.compile(_MARKED.format(name=name), _FLAGS)
    return any(marked.search(part) and re.search(_RULE, part, _FLAGS) for part in _SENTENCE_END.split(text))


def named_by(path: str, names: Collection[str]) -> str | None:
    """Return the parameter that a path leads to; None where it leads elsewhere.

    >>> [named_by(path, ["seed", "reasoning_effort"]) for path in ("body.seed", "$.seed", "/seed", "reasoning.effort")]
    ['seed', 'seed', 'seed', 'reasoning_effort']
    >>> named_by("messages[0].seed", ["seed"]), named_by("text.verbosity", ["verbosity"])
    (None, 'verbosity')
    """
    words = [snake(word) for word in re.findall(r"\w+", path)]
    first = next((word for word in words if word not in _AROUND), "")
    return next((name for name in (first, *_OBJECTS.get(first, ())) if name in names), None)
