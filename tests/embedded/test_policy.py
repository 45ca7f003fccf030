from __future__ import annotations

import pytest

from pytest_realtime_eval.embedded.policy import Policy, Tool, read_policy

TOOLS = tuple(Tool(name, {"name": name}) for name in ("find_loan", "extend_loan", "send_receipt"))


def policy(instructions: str) -> Policy:
    return read_policy(instructions, TOOLS)


@pytest.mark.parametrize(
    ("line", "confirmed"),
    [
        ("Confirm before you call extend_loan.", {"extend_loan"}),
        ("Read the details back before you extend a loan.", {"extend_loan"}),
        ("Never change anything without confirmation.", {"extend_loan", "send_receipt"}),
        ("Do not ask for confirmation.", set()),
        ("Do not extend a loan without confirming it.", {"extend_loan"}),
        ("Say that the book can be sent back.", set()),
        ("Be kind.", set()),
    ],
)
def test_which_tools_are_confirmed(line: str, confirmed: set[str]) -> None:
    assert policy(line).confirm == confirmed


@pytest.mark.parametrize(
    ("line", "before", "after"),
    [
        ("Use find_loan before extend_loan.", {"extend_loan": ("find_loan",)}, {}),
        ("After extend_loan, call send_receipt.", {}, {"extend_loan": ("send_receipt",)}),
        ("Ask before you call extend_loan or send_receipt.", {}, {}),
    ],
)
def test_the_order_of_tools(
    line: str, before: dict[str, tuple[str, ...]], after: dict[str, tuple[str, ...]]
) -> None:
    found = policy(line)
    assert (found.before, found.after) == (before, after)


def test_rules_on_outputs() -> None:
    (rule,) = policy(
        "If the state is lost or reserved, do not call extend_loan; explain that it is wanted."
    ).rules
    assert rule.applies("state", "reserved")
    assert rule.applies("state", "Lost")
    assert not rule.applies("state", "free")
    assert not rule.applies("title", "lost")
    assert rule.tools == {"extend_loan"}
    assert rule.says == "it is wanted"


def test_retries_and_alternatives() -> None:
    assert policy("If send_receipt fails, try again once.").retry == {"send_receipt"}
    assert policy("If send_receipt fails, offer to try again.").retry == frozenset()
    assert policy("If extend_loan fails, use send_receipt.").instead == {
        "extend_loan": "send_receipt"
    }


def test_facts_are_statements_and_not_orders() -> None:
    text = "You are kind.\n- The hall opens at nine.\n- Never shout at people.\nWhat to know here:"
    assert policy(text).facts == ("The hall opens at nine.",)
