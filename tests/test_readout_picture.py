"""The picture of a stored readout: its numbers are those of the JSON, and it is accessible."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lib.readout.panels import panels
from lib.readout.picture import _DARK, _LIGHT, NARROW, WIDE, Form, Look, described, draw

GOLDEN = Path(__file__).parent / "golden"
SVG = "{http://www.w3.org/2000/svg}"


def golden_readout(case: str = "aa") -> dict[str, Any]:
    """Return a readout's JSON with a sentence, as a decision stores it."""
    report: dict[str, Any] = json.loads((GOLDEN / f"{case}.json").read_text())
    return report | {"sentence": "b is better.", "as_of": "2026-11-28"}


def draw_svg(readout: dict[str, Any], look: Look = "auto", form: Form = WIDE) -> ElementTree.Element:
    return ElementTree.fromstring(draw(readout, look, form))


def texts(root: ElementTree.Element) -> list[str]:
    return [one.text or "" for one in root.iter(f"{SVG}text")]


def test_the_differences_that_decide_are_drawn_and_described_by_the_same_numbers() -> None:
    readout = golden_readout()
    root = draw_svg(readout)
    assert {"Satisfaction", "Errors", "Response time"} <= set(texts(root))
    assert "Cost per answer" not in texts(root)  # it decides nothing
    numbers = [bar.numbers for panel in panels(readout) for bar in panel.bars]
    assert numbers[0] == "−0.1 points (−8 to +7)" and set(numbers) <= set(texts(root))
    description = root.findtext(f"{SVG}desc") or ""
    assert description == described(readout) and all(one in description for one in numbers)
    assert root.get("role") == "img" and root.get("aria-labelledby") == "title desc"
    assert root.findtext(f"{SVG}title") == "The readout of golden_aa, run 1"


def test_the_narrow_picture_says_the_same_and_is_no_wider_than_a_phone() -> None:
    readout = golden_readout() | {"experiment": "an_experiment_with_a_long_name_and_then_some_more"}
    wide, narrow = draw_svg(readout), draw_svg(readout, form=NARROW)
    letters = [sorted("".join(texts(one)).replace(" ", "")) for one in (wide, narrow)]  # in lines of other lengths
    assert letters[0] == letters[1]
    assert float(narrow.get("width") or 0) <= 328
    for one in narrow.iter(f"{SVG}text"):  # letters of the system's font are 7 pixels wide at most, on average
        wide_by = (9 if one.get("class") == "ink title" else 7) * len(one.text or "")
        assert wide_by <= NARROW.right - NARROW.margin, one.text


@pytest.mark.parametrize("form", [WIDE, NARROW])
def test_better_is_on_the_right_and_every_interval_is_inside_the_scale(form: Form) -> None:
    readout = golden_readout()
    slower = readout["metrics"]["response_time"]["vs_control"]["b"]
    slower |= {"diff": 2.0, "cs_low": 1.0, "cs_high": 3.0, "verdict": "worse", "guardrail": "harmed"}
    readout["held"] = None
    spans = [one for one in draw_svg(readout, form=form).iter(f"{SVG}line") if "span" in (one.get("class") or "")]
    ends = [sorted(float(one.get(end) or 0) for end in ("x1", "x2")) for one in spans]
    middle = (form.left + form.right) / 2
    assert ends[2][1] < middle and all(form.left <= low < high <= form.right for low, high in ends)
    assert "harmed" in texts(draw_svg(readout, form=form))


def test_the_held_interval_decides_as_it_does_on_the_page() -> None:
    readout = golden_readout()
    readout["held"] = {"satisfaction": {"b": {"low": 0.01, "high": 0.05, "since": None}}}
    (bar,) = next(iter(panels(readout))).bars
    assert bar.interval == pytest.approx((1.0, 5.0, 1.0))  # the difference is moved inside


def test_votes_have_a_panel_of_their_own() -> None:
    assert "+42 points (+7 to +77)" in texts(draw_svg(golden_readout("compare-small")))


@pytest.mark.parametrize("readout", [{}, {"sentence": "No readout could be made: <away>"}, golden_readout("small")])
def test_without_an_interval_the_picture_says_so(readout: dict[str, Any]) -> None:
    root = draw_svg(readout)
    assert not [one for one in root.iter(f"{SVG}line") if "span" in (one.get("class") or "")]
    assert any(word in " ".join(texts(root)) for word in ("No readout", "not enough data"))


def test_a_broken_split_shows_no_winner() -> None:
    readout = golden_readout()
    for metric in readout["metrics"].values():
        metric["vs_control"]["b"] |= {"verdict": "broken"} | ({"guardrail": "broken"} if "guardrail" in metric else {})
    assert not list(draw_svg(readout).iter(f"{SVG}circle"))


def test_names_are_text_and_long_ones_are_cut_in_the_drawing_alone() -> None:
    readout = golden_readout()
    versus = readout["metrics"]["satisfaction"]["vs_control"]
    versus["<script>alert(1)</script> & so on"] = versus["b"]
    root = draw_svg(readout)
    assert "<script>alert(1)</s…" in texts(root) and "<script" not in draw(readout)
    assert "<script>alert(1)</script> & so on" in (root.findtext(f"{SVG}desc") or "")


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.03928 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("palette", [_LIGHT, _DARK])
def test_light_and_dark_are_readable(palette: dict[str, Any]) -> None:
    paper = palette["paper"]
    assert min(contrast(palette[one], paper) for one in ("ink", "quiet")) >= 4.5
    assert min(contrast(one, palette["band"]) for one in palette["groups"]) >= 3


def test_the_file_follows_the_readers_colours_and_the_page_its_own() -> None:
    assert "prefers-color-scheme: dark" in draw(golden_readout())
    assert "prefers-color-scheme" not in draw(golden_readout(), "dark") and str(_DARK["paper"]) in draw(
        golden_readout(), "dark"
    )
