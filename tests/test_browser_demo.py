"""The app without any setting, in a real browser: the demo model answers, and its Markdown is drawn."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.support.app_process import AppProcess
from tests.support.chromium import picture

pytestmark = pytest.mark.browser


def ask(page: Page, app: AppProcess, question: str) -> None:
    """Ask a question in a new conversation, and wait until its answer is complete."""
    page.goto(app.url)
    box = page.get_by_test_id("stChatInputTextArea")
    box.fill(question)
    box.press("Enter")
    expect(page).to_have_url(re.compile(r"\?c=\w+"))
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    expect(page.get_by_test_id("stFeedback")).to_be_visible()


def test_a_suggestion_is_answered_and_the_page_says_that_it_is_the_demo(page: Page, app: AppProcess) -> None:
    page.goto(app.url)
    expect(page.get_by_text("built-in demo model").last).to_be_visible()
    page.screenshot(path=picture("empty"))
    page.get_by_role("button", name="What is Parley?").or_(page.get_by_role("radio", name="What is Parley?")).click()
    answer = page.get_by_test_id("stChatMessage").last
    expect(answer).to_contain_text("which model, prompt and")
    expect(page.get_by_test_id("stFeedback")).to_be_visible()
    page.screenshot(path=picture("demo-answer"))


def test_code_is_drawn_as_code(page: Page, app: AppProcess) -> None:
    ask(page, app, "Write a haiku in Python")
    expect(page.get_by_test_id("stCode").last).to_contain_text("the loop comes home to its start")


def test_a_table_is_drawn_as_a_table(page: Page, app: AppProcess) -> None:
    ask(page, app, "Show me a table of planets")
    expect(page.get_by_test_id("stChatMessage").last.get_by_role("cell", name="Neptune").last).to_be_visible()
    page.screenshot(path=picture("demo-table"))


def test_a_formula_is_drawn_as_a_formula(page: Page, app: AppProcess) -> None:
    ask(page, app, "Explain Bayes' theorem with a formula")
    expect(page.locator(".katex-display").first).to_be_visible()
    expect(page.locator(".katex-error")).to_have_count(0)
    page.screenshot(path=picture("demo-formula"))
