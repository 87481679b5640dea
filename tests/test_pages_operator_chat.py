"""The operator on the chat page: a forced group, and the view of a tester."""

from tests.support.experiment_page import ALL, Open, ask, metadata_of
from tests.support.experiment_page import begin as begin
from tests.support.page_runs import page_text, press, run_page


def test_an_operator_forces_a_group_and_the_readout_is_reported(begin: Open) -> None:
    app = begin(ALL)
    page = ask(run_page(group="Test"))
    assert not page.exception
    assert ":material/science: Forced: Test" in page_text(page) or "Forced: Test" in page_text(page)
    [met] = metadata_of(app, "exposure")
    assert (met["group"], met["forced"], met["rule_id"]) == ("Test", True, "override")
    [ended] = metadata_of(app, "chat_completion")
    assert ended["group"] == "Test"
    press(page, "Use my own group")
    assert "group" not in page.query_params
    assert page.session_state["on_page"].conversation.assignment.forced
    assert "Forced: Test" in page_text(page)  # of the conversation that is on the page


def test_the_group_chosen_on_the_experiment_page_holds_on_the_chat_page(begin: Open) -> None:
    app = begin(ALL)
    page = run_page("experiment")
    page.selectbox(key="force").select("Control").run()
    assert "Forced: Control" in page_text(page)
    page = ask(page.switch_page("chat/page.py").run())
    assert page.query_params["group"] == "Control"
    assert [met["forced"] for met in metadata_of(app, "exposure")] == [True]


def test_a_conversation_that_began_otherwise_keeps_its_group(begin: Open) -> None:
    app = begin(ALL)
    page = ask(run_page())
    own = page.session_state["on_page"].conversation.assignment.group
    other = "Test" if own == "Control" else "Control"
    page.query_params["group"] = other
    page = ask(page.run())
    assert {ended["group"] for ended in metadata_of(app, "chat_completion")} == {own}
    assert f"This conversation keeps {own}" in page_text(page)


def test_a_group_that_is_not_there_is_reported_and_forces_nothing(begin: Open) -> None:
    app = begin(ALL)
    page = ask(run_page(group="Nobody's"))
    assert "There is no group Nobody's in this experiment." in page_text(page)
    assert [met["forced"] for met in metadata_of(app, "exposure")] == [False]


def test_no_other_visitor_can_force_a_group(begin: Open) -> None:
    app = begin(ALL)
    pages = [ask(run_page(operator=False, group=group)) for group in ("Test", "Control", "Test", "Control")]
    assert {met["forced"] for met in metadata_of(app, "exposure")} == {False}
    assert all("orced" not in page_text(page) and "Test" not in page_text(page) for page in pages)


def test_an_operator_can_see_what_testers_see(begin: Open) -> None:
    begin(ALL)
    page = ask(run_page())
    assert "| Group |" in page_text(page)
    page.toggle(key="as_tester").set_value(True).run()
    assert "| Group |" not in page_text(page) and "gpt" not in page_text(page)
    page.switch_page("experiment/page.py").run()
    page.switch_page("chat/page.py").run()
    assert page.toggle(key="as_tester").value and "| Group |" not in page_text(page)


def test_testers_who_are_not_blind_see_the_details_and_no_switch(begin: Open) -> None:
    begin(ALL, PARLEY_BLIND="false")
    page = ask(run_page(operator=False))
    assert "| Group |" in page_text(page)
    assert not page.toggle
