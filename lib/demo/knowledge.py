"""The answers of the demo models: prepared topics, chapters of the README and the manual, or "I don't know".

Finds an answer by the words of a question. Knows nothing of HTTP, tokens or time. The same question and seed always get
the same answer.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
ANSWERS = Path(__file__).with_name("answers.md")
COVERED = 0.6
"""Share of a question's words, weighted by rarity, that a topic must cover to be the answer."""
LONGEST = 5000
"""Characters of a chapter that the thorough model quotes."""
ROWS = 8
"""Rows of a table that the quick model quotes."""

_STOP_WORDS = frozenset(
    """
    a an the and or of to in on at by for from with as it its is are was be been do does did can could will would
    should shall may might i me my you your we us our they them their this that these those there here what which who
    whom how why when where not no yes so if then than please tell show give explain about some any into out up down
    just s t
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: the ways to ask for it, a short answer and a thorough one. `body` is searched as well."""

    title: str
    phrases: tuple[frozenset[str], ...]
    short: str
    long: str
    body: frozenset[str] = frozenset()


class Knowledge:
    """The knowledge of the demo models."""

    def __init__(self, readme: Path = README) -> None:
        self._chapters = _chapters(readme)
        self._topics = [*_prepared(ANSWERS.read_text(encoding="utf-8")), *self._chapters]
        documents = [frozenset().union(topic.body, *topic.phrases) for topic in self._topics]
        frequency = Counter(word for words in documents for word in words)
        self._rarity = {word: math.log(1 + len(documents) / count) for word, count in frequency.items()}
        self._unheard = math.log(1 + 2 * len(documents))

    def answer(self, question: str, *, thorough: bool, seed: int | None = None) -> str:
        """Return Markdown in answer to a question: one or two paragraphs, or thorough and structured."""
        topic = self._find(words(question))
        if topic is not None:
            return topic.long if thorough else topic.short
        return self._unknown(random.Random(f"{seed} {question}"), thorough)

    def _find(self, question_words: frozenset[str]) -> Topic | None:
        """Return the topic that covers most of the question's words; among equal ones the first."""
        if not question_words:
            return None
        scores = [self._score(question_words, topic) for topic in self._topics]
        best = max(scores)
        return self._topics[scores.index(best)] if best >= COVERED else None

    def _score(self, question_words: frozenset[str], topic: Topic) -> float:
        """Score a topic by its best phrase (Dice); words that only its text has count a little less."""
        by_phrase = max((self._dice(question_words, phrase) for phrase in topic.phrases), default=0.0)
        if not topic.body:
            return by_phrase
        covered = self._weight(question_words & topic.body) / self._weight(question_words)
        return max(by_phrase, 0.7 * covered + 0.25 * by_phrase)

    def _dice(self, question_words: frozenset[str], phrase: frozenset[str]) -> float:
        return 2 * self._weight(question_words & phrase) / (self._weight(question_words) + self._weight(phrase))

    def _weight(self, some: Iterable[str]) -> float:
        return sum(self._rarity.get(word, self._unheard) for word in some)

    def _unknown(self, chance: random.Random, thorough: bool) -> str:
        opening = chance.choice(_OPENINGS)
        if not thorough:
            return f"{opening} To ask anything else, connect a real model: set `OPENAI_API_KEY` and start again."
        topics = "\n".join(f"- {title}" for title in self._listed_topics())
        return _UNKNOWN.format(opening=opening, known=topics)

    def _listed_topics(self) -> list[str]:
        return [topic.title for topic in self._topics[:3]] + [chapter.title for chapter in self._chapters[:5]]


_OPENINGS = (
    "I don't know: I am the demo model that comes with Parley, and Parley is all I know.",
    "That is beyond me. I am Parley's built-in demo model and only know about Parley itself.",
    "I would have to make that up, and I'd rather not: this demo model only knows about Parley.",
)

_UNKNOWN = """\
### I don't know that

{opening}

**What I can tell you about:**

{known}

**To ask anything else**, connect a real model: set `OPENAI_API_KEY`, or `OPENAI_BASE_URL` for a server of your own, and
start again.
"""


def words(text: str) -> frozenset[str]:
    """Return the significant words of a text, without their endings.

    >>> sorted(words("Which settings does Parley have?"))
    ['hav', 'parle', 'sett']
    >>> words("How does it decide?") == words("deciding")
    True
    """
    tokens = re.findall(r"[^\W_]+", text.lower())
    return frozenset(_stem(word) for word in tokens if word not in _STOP_WORDS)


def _stem(word: str) -> str:
    for ending in ("ings", "ing", "ies", "ed", "es", "e", "s", "y"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _prepared(text: str) -> Iterator[Topic]:
    """Yield the topics of `answers.md`, whose head describes its format."""
    for title, body in sections(text):
        questions, _, answers = body.partition("\n\n")
        phrases = [title, *questions.replace(">", " ").split("|")]
        short, _, thorough = answers.partition("\n***\n")
        yield Topic(title, tuple(map(words, phrases)), short.strip(), thorough.strip())


def manual(readme: Path = README) -> dict[str, Path]:
    """Return the README and the documents of `docs/` and `docs/reference/` by the names that answers quote."""
    folder = readme.parent
    documents = [*sorted(folder.glob("docs/*.md")), *sorted(folder.glob("docs/reference/*.md"))]
    return {"the README": readme} | {path.relative_to(folder).as_posix(): path for path in documents}


def _chapters(readme: Path) -> list[Topic]:
    """Return the chapters of the manual; none without a README."""
    if not readme.exists():
        return []
    return [
        _chapter(title, plain, name)
        for name, path in manual(readme).items()
        for title, body in sections(path.read_text(encoding="utf-8"), depth=4)
        if (plain := _without_pictures(body))
    ]


def _chapter(title: str, body: str, document: str) -> Topic:
    source = f"*From {document}, “{title}”.*"
    short = f"{_beginning(body)}\n\n{source}"
    title_words = words(title)
    phrases = (title_words, title_words | words("table")) if "\n|--" in body or "\n| --" in body else (title_words,)
    return Topic(title, phrases, short, f"### {title}\n\n{_shortened(body)}\n\n{source}", title_words | words(body))


def sections(markdown: str, depth: int = 1) -> Iterator[tuple[str, str]]:
    """Yield each heading of at most `depth` number signs with the text under it; number signs inside code do not count.

    >>> list(sections('''# One
    ... ```sh
    ... # a comment
    ... ```
    ... # Two
    ... text'''))
    [('One', '```sh\\n# a comment\\n```'), ('Two', 'text')]
    """
    title, lines, fenced = "", [], False
    for line in [*markdown.splitlines(), "# "]:
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else re.match(rf"#{{1,{depth}}}(?:\s+(.*))?$", line)
        if not heading:
            lines.append(line)
            continue
        if title:
            yield title, "\n".join(lines).strip()
        title, lines = (heading[1] or "").strip(), []


def _without_pictures(markdown: str) -> str:
    """Drop pictures, HTML and links to other documents, which a chat cannot show."""
    text = re.sub(r"<!--.*?-->|</?[a-z][^<>\n]*>", "", markdown, flags=re.DOTALL)
    text = re.sub(r"\[?!\[[^\]]*\]\([^)]*\)(\]\([^)]*\))?", "", text)
    text = re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)
    return text.strip()


def _blocks(markdown: str) -> list[str]:
    """Return paragraphs, lists, tables and whole code blocks.

    >>> _blocks("one\\n\\n```\\na\\n\\nb\\n```\\n\\ntwo")
    ['one', '```\\na\\n\\nb\\n```', 'two']
    """
    blocks: list[str] = []
    for part in re.split(r"\n{2,}", markdown):
        if blocks and blocks[-1].count("```") % 2:
            blocks[-1] += "\n\n" + part
        else:
            blocks.append(part)
    return blocks


def _beginning(markdown: str) -> str:
    """Return the first paragraph, with the block after it if it ends in a colon; of a table its first rows."""
    blocks = _blocks(markdown)
    chosen = blocks[: 2 if blocks[0].endswith(":") else 1]
    return "\n\n".join(_first_rows(block) for block in chosen)


def _first_rows(block: str) -> str:
    rows = block.split("\n")
    return "\n".join(rows[: ROWS + 2]) if rows[0].startswith("|") else block


def _shortened(markdown: str) -> str:
    """Return as many whole blocks as fit, at least one."""
    blocks = _blocks(markdown)
    lengths = accumulate(len(block) for block in blocks)
    fit = [block for block, length in zip(blocks, lengths, strict=True) if length <= LONGEST]
    return "\n\n".join(fit or blocks[:1])
