from __future__ import annotations

from typing import Any

import pytest

from pytest_realtime_eval.embedded.caller import CallerView, reply

PERSONA = """You are Ann Lee, and you are calling a theatre to change your tickets.
Answer only what you are asked.

- Name: Ann Lee
- Date: Friday
- Time: at half past seven
- Number of tickets: two
- Date of birth: the third of May 1988
- Reason: I caught a cold

Your order number is TH-4410.

If asked to confirm, say: "Sorry, make it eight o'clock."
When offered another seat, say: "The balcony is fine."
Before you hang up, ask: "Is there a bar?"

When you have what you came for, say END_CALL.
"""


def turn(role: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": "text", "text": text}]}


def answer(told: str, *own: str, persona: str = PERSONA) -> str:
    items = [turn("assistant", text) for text in own]
    return reply(CallerView(persona, "", (*items, turn("user", told))))


def test_says_the_first_turn_exactly() -> None:
    first = "Hello, it's me: Ann, 2 tickets, please?!"
    instructions = f"Say exactly the following, word for word, and nothing else:\n{first}"
    assert reply(CallerView(PERSONA, instructions)) == first


def test_puts_it_differently_when_it_was_not_heard() -> None:
    question = "What time would you like?"
    assert answer(question, "At half past seven.") == "The time is half past seven."
    assert answer(question, "At half past seven.", "The time is half past seven.") == (
        "At half past seven."
    )


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("May I have your name, please?", "My name is Ann Lee."),
        ("Who am I speaking to?", "My name is Ann Lee."),
        ("For which date?", "It is Friday."),
        ("What is your date of birth?", "The third of May 1988."),
        ("What time would you like?", "At half past seven."),
        ("How many tickets?", "It is two."),
        ("What is the order number, please?", "It is TH-4410."),
        ("Why do you want to change them?", "I caught a cold."),
        ("Do you have an order number?", "It is TH-4410."),
    ],
)
def test_answers_with_the_fact_that_the_question_names(question: str, said: str) -> None:
    assert answer(f"All right. {question}") == said


def test_answers_two_questions_in_one() -> None:
    assert answer("What name and what date is it?") == "My name is Ann Lee. It is Friday."


def test_says_that_it_does_not_know_what_it_has_no_fact_for() -> None:
    assert answer("What is your shoe size?") == "I'm sorry, I don't know."


@pytest.mark.parametrize(
    "question", ["Shall I go ahead?", "Is that right?", "Can you confirm that?", "Is this correct?"]
)
def test_a_scripted_answer_is_given_once(question: str) -> None:
    line = "Sorry, make it eight o'clock."
    assert answer(question) == line
    assert answer(question, line).startswith("Yes")


def test_always_is_every_time() -> None:
    persona = 'When asked to confirm, always say: "Go on."'
    assert answer("Shall I go ahead?", "Go on.", persona=persona) == "Go on."


def test_a_scripted_answer_waits_for_its_cue() -> None:
    assert answer("There is another seat: the balcony or the stalls. Which one?") == (
        "The balcony is fine."
    )


PLAIN = "- Name: Ann Lee\n- Time: at half past seven\n- Party size: for two people\n- Date: Friday"


@pytest.mark.parametrize(
    ("read_back", "said"),
    [
        ("the time is 7:30 PM and the party size is 2. Shall I go ahead?", "Yes, that's right."),
        ("the time is 6:30 PM. Is that right?", "No, the time is at half past seven."),
        ("the party size is 3. Is that correct?", "No, the party size is for two people."),
        ("the date is Friday, March 20 and the name is Ann Lee. Correct?", "Yes, that's right."),
        ("the date is Sunday, March 22. Is that right?", "No, the date is Friday."),
        ("the name is Tom Lee. Is that right?", "No, the name is Ann Lee."),
    ],
)
def test_corrects_a_read_back_that_contradicts_its_facts(read_back: str, said: str) -> None:
    assert answer(f"Let me read that back: {read_back}", persona=PLAIN) == said


def test_corrects_the_same_thing_only_once() -> None:
    told = "Let me read that back: the name is Anne Lea. Is that right?"
    first = answer(told, persona=PLAIN)
    assert first == "No, the name is Ann Lee."
    assert answer(told, first, persona=PLAIN) == "Yes, that's right."


def test_does_not_take_back_what_it_has_said_since() -> None:
    told = "Let me read that back: the time is 8 PM. Is that right?"
    assert answer(told, "Then eight o'clock is fine.", persona=PLAIN) == "Yes, that's right."


def test_takes_the_choice_that_its_facts_name_else_the_first() -> None:
    seats = "Which would you like: balcony, stalls or box?"
    assert answer(seats, persona="- Wish: the stalls, if I can") == "Stalls, please."
    assert answer(seats, persona="- Pet: a cat") == "Balcony, please."


def test_asks_its_further_requests_before_it_ends() -> None:
    done = "Your tickets are changed. Is there anything else I can do for you?"
    assert answer(done) == "Is there a bar?"
    assert "END_CALL" in answer(done, "Is there a bar?")


@pytest.mark.parametrize(
    "told", ["That is done. Goodbye!", "Is there anything else I can do for you?", "", "Done"]
)
def test_ends_the_call_when_nothing_is_asked_of_it(told: str) -> None:
    assert "END_CALL" in answer(told, "Hello.", persona=PLAIN)


def test_a_question_that_is_open_is_no_end() -> None:
    assert "END_CALL" not in answer("What time would you like?", persona=PLAIN)


def test_survives_an_empty_view() -> None:
    assert "END_CALL" in reply(CallerView())
