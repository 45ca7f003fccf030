"""The agent, with tools and instructions that the shipped suite does not have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_realtime_eval.embedded.agent import AgentReply, AgentView, decide

TODAY = "Today is Monday, March 16, 2026."
CONFIRM = "Confirm the details with the caller before you call reserve_room."
TEXT = {"type": "string"}


def function(
    name: str, description: str, required: list[str], **props: dict[str, Any]
) -> dict[str, Any]:
    parameters = {"type": "object", "properties": props, "required": required}
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": parameters,
    }


HOTEL = (
    function(
        "reserve_room",
        "Reserve a hotel room.",
        ["check_in", "check_out", "guests", "room_type"],
        check_in={**TEXT, "format": "date", "description": "arrival day"},
        check_out={**TEXT, "format": "date", "description": "departure day"},
        guests={"type": "integer", "description": "number of guests"},
        room_type={**TEXT, "enum": ["single", "double", "suite"]},
        breakfast={"type": "boolean"},
    ),
    function("get_weather", "Weather forecast for a city.", ["city"], city=TEXT),
    function(
        "transfer_money",
        "Transfer money to somebody.",
        ["amount", "recipient_name"],
        amount={"type": "number", "description": "amount in euros"},
        recipient_name=TEXT,
    ),
    function("send_invoice", "Send the invoice.", ["email"], email={**TEXT, "format": "email"}),
    function("set_alarm", "Set an alarm clock.", ["time"], time={**TEXT, "format": "time"}),
    function(
        "track_package",
        "Track a package.",
        ["tracking_code"],
        tracking_code={**TEXT, "description": "such as PK-100200"},
    ),
    function(
        "add_items",
        "Add items to the shopping list.",
        ["items"],
        items={"type": "array", "items": TEXT},
    ),
)


class Line:
    """A telephone line to the agent: says something, returns what it hears."""

    def __init__(
        self, instructions: str = TODAY, tools: tuple[dict[str, Any], ...] = HOTEL
    ) -> None:
        self.instructions, self.tools = instructions, tools
        self.items: list[dict[str, Any]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.outputs: dict[str, list[Any]] = {}

    def say(self, text: str) -> str:
        self.items.append(message("user", text))
        return self._until_silent()

    def _until_silent(self) -> str:
        said = []
        for _ in range(8):
            reply = self.decide()
            if reply.text:
                said.append(reply.text)
                self.items.append(message("assistant", reply.text))
            for name, arguments in reply.calls:
                self._call(name, arguments)
            if not reply.calls:
                return " ".join(said)
        raise AssertionError("the agent calls without end")

    def decide(self) -> AgentReply:
        return decide(AgentView(self.instructions, self.tools, tuple(self.items)))

    def _call(self, name: str, arguments: dict[str, Any]) -> None:
        self.calls.append((name, arguments))
        outputs = self.outputs.get(name, [{"status": "ok"}])
        output = outputs.pop(0) if len(outputs) > 1 else outputs[0]
        call_id = f"call_{len(self.calls)}"
        self.items += [
            {
                "type": "function_call",
                "name": name,
                "arguments": json.dumps(arguments),
                "call_id": call_id,
            },
            {"type": "function_call_output", "call_id": call_id, "output": json.dumps(output)},
        ]


def message(role: str, text: str) -> dict[str, Any]:
    kind = "input_audio" if role == "user" else "output_audio"
    return {"type": "message", "role": role, "content": [{"type": kind, "transcript": text}]}


def test_asks_for_one_missing_property_after_the_other_and_then_calls() -> None:
    line = Line()
    assert line.say("Hi, I need a hotel room from Friday to Sunday.") == "How many guests?"
    assert "single, double or suite?" in line.say("for two people")
    assert not line.calls
    line.say("a double, please, with breakfast")
    assert line.calls == [
        (
            "reserve_room",
            {
                "check_in": "2026-03-20",
                "check_out": "2026-03-22",
                "guests": 2,
                "room_type": "double",
                "breakfast": True,
            },
        )
    ]


def test_an_optional_property_is_never_asked_for_and_may_be_refused() -> None:
    line = Line()
    line.say("reserve a suite for two guests from friday to sunday without breakfast")
    assert line.calls[0][1]["breakfast"] is False


def test_without_an_instruction_to_confirm_it_calls_at_once_and_with_one_it_does_not() -> None:
    request = "Reserve a suite for two guests from Friday to Sunday."
    at_once, careful = Line(), Line(f"{TODAY}\n{CONFIRM}")
    at_once.say(request)
    said = careful.say(request)
    assert len(at_once.calls) == 1
    assert careful.calls == []
    assert "Friday, March 20" in said
    assert said.endswith("Shall I go ahead?")
    careful.say("Yes, please.")
    assert careful.calls == at_once.calls


def test_the_last_correction_wins_in_one_breath_and_at_the_read_back() -> None:
    line = Line(f"{TODAY}\n{CONFIRM}")
    line.say("a suite from friday to sunday for two guests, no sorry, make it three guests")
    said = line.say("no, make it a double")
    assert "the room type is double" in said
    assert line.calls == []
    line.say("yes")
    assert line.calls[0][1]["guests"] == 3
    assert line.calls[0][1]["room_type"] == "double"


def test_a_yes_with_a_change_is_read_back_again() -> None:
    line = Line(f"{TODAY}\n{CONFIRM}")
    line.say("a suite from friday to sunday for two guests")
    assert line.say("yes, but make it four guests").endswith("Shall I go ahead?")
    assert line.calls == []


def test_a_no_asks_what_to_change_and_never_mind_drops_it() -> None:
    line = Line(f"{TODAY}\n{CONFIRM}")
    line.say("a suite from friday to sunday for two guests")
    assert line.say("No.") == "What should I change?"
    assert "leave it" in line.say("never mind")
    line.say("yes")
    assert line.calls == []


@pytest.mark.parametrize(
    ("said", "call"),
    [
        ("what is the weather in Lisbon", ("get_weather", {"city": "Lisbon"})),
        ("Send the invoice to ann@example.com", ("send_invoice", {"email": "ann@example.com"})),
        ("set an alarm for half past six in the morning", ("set_alarm", {"time": "06:30"})),
        ("set an alarm for 7:15 p.m.", ("set_alarm", {"time": "19:15"})),
        ("where is my package P. K. 100200", ("track_package", {"tracking_code": "PK-100200"})),
        ("track my parcel, PK100201.", ("track_package", {"tracking_code": "PK-100201"})),
    ],
)
def test_picks_the_tool_and_fills_it_from_one_sentence(
    said: str, call: tuple[str, dict[str, Any]]
) -> None:
    line = Line()
    line.say(said)
    assert line.calls == [call]


@pytest.mark.parametrize(
    ("request_", "answer", "arguments"),
    [
        ("where is my package", "one zero zero two zero one", {"tracking_code": "PK-100201"}),
        ("send me the invoice", "ann dot lee at example dot com", {"email": "ann.lee@example.com"}),
        ("what will the weather be like", "in Lisbon", {"city": "Lisbon"}),
        ("add something to my list", "milk, bread and tea", {"items": ["milk", "bread", "tea"]}),
        ("set an alarm", "quarter to seven in the evening", {"time": "18:45"}),
    ],
)
def test_takes_a_bare_answer_to_its_question(
    request_: str, answer: str, arguments: dict[str, Any]
) -> None:
    line = Line()
    assert line.say(request_).endswith("?")
    line.say(answer)
    assert line.calls[0][1] == arguments


def test_an_amount_has_its_cents() -> None:
    line = Line()
    line.say("transfer forty two euros and fifty cents")
    line.say("Ann Lee")
    assert line.calls == [("transfer_money", {"amount": 42.5, "recipient_name": "Ann Lee"})]


def test_does_not_call_with_a_value_that_the_caller_does_not_know() -> None:
    line = Line()
    line.say("where is my package")
    assert "Without the tracking code" in line.say("I'm sorry, I don't know.")
    assert line.calls == []


def test_says_what_came_back_and_not_what_it_sent() -> None:
    line = Line()
    line.outputs["get_weather"] = [{"city": "Lisbon", "forecast": "sunny", "wind": None}]
    said = line.say("what is the weather in Lisbon")
    assert said.startswith("The forecast is sunny.")
    assert "city" not in said


def test_money_dates_and_lists_are_said_as_people_say_them() -> None:
    line = Line()
    line.outputs["track_package"] = [
        {"arrives_on": "2026-03-20", "cost": 4.5, "currency": "euros", "stops": ["Rome", "Pisa"]}
    ]
    said = line.say("track my package PK 100200")
    assert "it arrives on Friday, March 20".lower() in said.lower()
    assert "4.50 euros" in said
    assert "the stops are Rome and Pisa" in said


def test_a_failed_call_is_admitted_and_repeated_only_when_wanted() -> None:
    line = Line()
    line.outputs["set_alarm"] = [{"error": "the clock is busy"}, {"alarm": "AL-1"}]
    said = line.say("set an alarm for seven pm")
    assert "the clock is busy" in said
    assert said.endswith("Shall I try again?")
    assert len(line.calls) == 1
    assert "AL-1" in line.say("yes please")
    assert len(line.calls) == 2


def test_a_failed_call_is_left_when_the_caller_says_no() -> None:
    line = Line()
    line.outputs["set_alarm"] = [{"error": "the clock is busy"}]
    line.say("set an alarm for seven pm")
    assert "leave it" in line.say("no thanks")
    assert len(line.calls) == 1


def test_the_instructions_can_ask_for_a_silent_retry() -> None:
    line = Line(f"{TODAY}\nWhen set_alarm fails, try again once.")
    line.outputs["set_alarm"] = [{"error": "busy"}, {"alarm": "AL-1"}]
    assert "AL-1" in line.say("set an alarm for seven pm")
    assert len(line.calls) == 2


def test_it_gives_up_after_three_failures() -> None:
    line = Line()
    line.outputs["set_alarm"] = [{"error": "the clock is busy"}]
    line.say("set an alarm for seven pm")
    line.say("yes")
    assert "anything else" in line.say("yes")
    line.say("yes")
    assert len(line.calls) == 3


def test_a_tool_that_is_not_supported_is_not_tried_again() -> None:
    line = Line()
    line.outputs["set_alarm"] = [{"status": "Unsupported tool"}]
    assert "anything else" in line.say("set an alarm for seven pm")


def test_asks_again_for_a_code_that_was_not_found() -> None:
    line = Line()
    line.outputs["track_package"] = [{"error": "no package has that code"}, {"place": "Rome"}]
    assert line.say("track my package PK 100209").endswith("What is the tracking code, please?")
    assert "Rome" in line.say("it's PK 100200")


def test_offers_the_alternatives_of_an_output() -> None:
    line = Line()
    line.outputs["set_alarm"] = [
        {"status": "unavailable", "alternatives": ["19:30", "20:00"]},
        {"alarm": "AL-2"},
    ]
    assert "7:30 PM or 8 PM" in line.say("set an alarm for seven pm")
    line.say("eight, then")
    assert [arguments["time"] for _, arguments in line.calls] == ["19:00", "20:00"]


SHELF = (
    function("find_loan", "Look up a loan.", ["card_number"], card_number=TEXT),
    function("extend_loan", "Extend a loan.", ["loan_id", "weeks"], loan_id=TEXT,
             weeks={"type": "integer", "description": "number of weeks"}),
    function("send_receipt", "Send a receipt.", ["loan_id"], loan_id=TEXT),
)  # fmt: skip


@pytest.mark.parametrize(
    "order",
    [
        "Use find_loan before extend_loan.",
        "Before you call extend_loan, call find_loan.",
        "Call extend_loan only after find_loan.",
        "First find_loan, then extend_loan.",
    ],
)
def test_tools_go_in_the_order_of_the_instructions_and_outputs_feed_the_next(order: str) -> None:
    line = Line(order, SHELF)
    line.outputs["find_loan"] = [{"loan": {"id": "L-77", "title": "Emma"}}]
    assert line.say("I'd like to extend my loan by two weeks").startswith("What is the card")
    line.say("it's 4455")
    assert line.calls == [
        ("find_loan", {"card_number": "4455"}),
        ("extend_loan", {"loan_id": "L-77", "weeks": 2}),
    ]


def test_a_tool_can_follow_another_of_itself() -> None:
    line = Line("After extend_loan, always call send_receipt.", SHELF)
    line.say("extend my loan L 77 by two weeks")
    assert [name for name, _ in line.calls] == ["extend_loan", "send_receipt"]


def test_a_rule_on_an_output_forbids_the_next_tool_and_gives_the_reason() -> None:
    rule = "If the state is reserved, do not call extend_loan; say that somebody is waiting for it."
    free, reserved = (Line(f"Use find_loan before extend_loan.\n- {rule}", SHELF) for _ in "ab")
    free.outputs["find_loan"] = [{"loan_id": "L-77", "state": "free"}]
    reserved.outputs["find_loan"] = [{"loan_id": "L-77", "state": "reserved"}]
    for line in (free, reserved):
        line.say("extend my loan by two weeks, the card number is 4455")
    assert "Somebody is waiting for it." in reserved.items[-1]["content"][0]["transcript"]
    assert [name for name, _ in reserved.calls] == ["find_loan"]
    assert [name for name, _ in free.calls] == ["find_loan", "extend_loan"]


def test_confirmation_after_a_look_up_is_for_the_second_tool_alone() -> None:
    line = Line("Use find_loan before extend_loan. Ask to confirm before extend_loan.", SHELF)
    line.outputs["find_loan"] = [{"loan_id": "L-77"}]
    said = line.say("extend my loan by two weeks, the card number is 4455")
    assert [name for name, _ in line.calls] == ["find_loan"]
    assert said.endswith("Shall I go ahead?")


def test_another_request_may_follow_or_interrupt() -> None:
    line = Line(f"{TODAY}\n{CONFIRM}")
    line.say("a suite from friday to sunday for two guests")
    line.say("actually, what is the weather in Rome")
    line.say("and send the invoice to bob@example.org")
    assert [name for name, _ in line.calls] == ["get_weather", "send_invoice"]


def test_answers_a_question_with_a_fact_and_goes_on_asking() -> None:
    line = Line(f"{TODAY}\nFacts:\n- The pool is open until 10 PM.\n- Say goodbye politely.")
    assert line.say("until when is the pool open?").startswith("The pool is open until 10 PM.")
    line.say("reserve a suite from friday to sunday")
    said = line.say("is there a pool?")
    assert said == "The pool is open until 10 PM. How many guests?"


def test_says_what_it_can_do_when_it_understands_nothing() -> None:
    said = Line().say("tell me a joke")
    assert "reserve a hotel room" in said
    assert "add items" in said


def test_small_talk() -> None:
    line = Line()
    assert line.say("Hello!").startswith("Hello")
    assert line.say("thank you").startswith("You're welcome")
    assert line.say("goodbye").endswith("Goodbye!")


@pytest.mark.parametrize("text", ["", "...", "你好", "no", "yes", "42", "at", "\n"])
def test_survives_whatever_the_ear_heard(text: str) -> None:
    assert Line().say(text)
    assert Line(tools=()).say(text)


def test_survives_items_and_tools_that_it_cannot_use() -> None:
    odd: tuple[dict[str, Any], ...] = (
        {"type": "function", "name": "x"},
        {"type": "mcp"},
        function("y", "", ["a"], a={"type": ["string", "null"]}, b={"type": "object"}),
    )
    items: tuple[dict[str, Any], ...] = (
        {"type": "message", "role": "system", "content": []},
        {"type": "function_call_output", "call_id": "1", "output": "no json"},
        {"type": "function_call", "name": "gone", "arguments": "{", "call_id": "2"},
        message("user", "hello"),
    )
    assert decide(AgentView("", odd, items)).text


def test_equal_views_give_equal_replies() -> None:
    view = AgentView(TODAY, HOTEL, (message("user", "a suite from friday to sunday"),))
    assert decide(view) == decide(view)


def test_says_exactly_what_the_response_asks_for() -> None:
    view = AgentView("Say exactly the following, word for word, and nothing else:\nHi there.")
    assert decide(view) == AgentReply("Hi there.")


@given(st.lists(st.text(max_size=40), max_size=4))
def test_any_words_are_answered_and_no_call_lacks_what_it_requires(said: list[str]) -> None:
    line = Line(f"{TODAY}\n{CONFIRM}")
    for text in ("a suite please", *said):
        assert line.say(text)
    required = {tool["name"]: tool["parameters"]["required"] for tool in HOTEL}
    assert all(set(required[name]) <= arguments.keys() for name, arguments in line.calls)
