from __future__ import annotations

from typing import Any

import pytest

from pytest_realtime_eval.embedded.moments import Clock
from pytest_realtime_eval.embedded.slots import Kind, Property, fill, properties, say_value


def prop(name: str, **schema: Any) -> Property:  # noqa: ANN401 - a JSON schema
    return Property(name, {"type": "string", **schema}, required=True)


def filled(text: str, *props: Property, asked: str | None = None) -> dict[str, Any]:
    return fill(text, props, Clock(), asked=asked)


@pytest.mark.parametrize(
    ("name", "schema", "kind"),
    [
        ("email", {}, Kind.EMAIL),
        ("contact", {"format": "email"}, Kind.EMAIL),
        ("phone_number", {}, Kind.PHONE),
        ("arrivalDate", {}, Kind.DATE),
        ("start_time", {}, Kind.TIME),
        ("starts", {"format": "date-time"}, Kind.DATE_TIME),
        ("order_id", {}, Kind.IDENTIFIER),
        ("voucher", {"pattern": r"^VC-\d{4}$"}, Kind.IDENTIFIER),
        ("size", {"enum": ["small", "large"]}, Kind.CHOICE),
        ("gift_wrap", {"type": "boolean"}, Kind.YES_NO),
        ("seats", {"type": ["integer", "null"]}, Kind.NUMBER),
        ("guest_name", {}, Kind.NAME),
        ("tags", {"type": "array", "items": {"type": "integer"}}, Kind.NUMBER),
        ("comment", {}, Kind.TEXT),
    ],
)
def test_the_schema_says_what_fills_a_property(
    name: str, schema: dict[str, Any], kind: Kind
) -> None:
    assert prop(name, **schema).kind is kind


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("my name is tom becker", "Tom Becker"),
        ("Hello, this is Anna Ruiz and I need help", "Anna Ruiz"),
        ("a table under the name of Ellen Park, please", "Ellen Park"),
        ("I'm calling about a table", None),
        ("this is urgent", None),
    ],
)
def test_names_that_were_not_asked_for(text: str, name: str | None) -> None:
    assert filled(text, prop("name")).get("name") == name


@pytest.mark.parametrize("text", ["tom becker", "It's Tom Becker.", "yes, my name is tom becker"])
def test_names_that_were_asked_for(text: str) -> None:
    assert filled(text, prop("name"), asked="name") == {"name": "Tom Becker"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("O R D one zero zero four", "ORD-1004"),
        ("the order number is Ord1004.", "ORD-1004"),
        ("O-R-D-1000-4", "ORD-1004"),
        ("my order is ORD-1004", "ORD-1004"),
        ("it is O'Ardie, 1004", None),
    ],
)
def test_identifiers_take_the_shape_that_the_schema_shows(text: str, value: str | None) -> None:
    shown = prop("order_number", description="such as ORD-1001")
    assert filled(text, shown).get("order_number") == value
    assert filled(text, shown, asked="order_number") == {"order_number": "ORD-1004"}


def test_a_choice_is_not_guessed_from_half_of_its_words() -> None:
    reason = prop("reason", enum=["changed mind", "ordered by mistake", "found cheaper"])
    assert filled("i need to cancel my order", reason) == {}
    assert filled("i ordered it by mistake", reason) == {"reason": "ordered by mistake"}
    assert filled("a mistake", reason, asked="reason") == {"reason": "ordered by mistake"}


def test_a_choice_that_is_refused_is_not_taken() -> None:
    seat = prop("seat", enum=["window", "aisle"])
    assert filled("not the window, the aisle please", seat) == {"seat": "aisle"}


def test_numbers_keep_to_the_limits_and_to_what_they_count() -> None:
    size = prop("party_size", type="integer", maximum=12, description="number of people")
    assert filled("a table for two at seven", size) == {"party_size": 2}
    assert filled("room 7 please", size) == {}
    assert filled("forty", size, asked="party_size") == {}


def test_what_a_time_took_is_no_number() -> None:
    size = prop("party_size", type="integer", description="number of people")
    values = filled("for half past seven for three people", size, prop("time"))
    assert values == {"time": "19:30", "party_size": 3}


def test_two_dates_go_by_the_words_before_them() -> None:
    dates = (
        prop("arrival", format="date", description="first night"),
        prop("departure", format="date", description="leaving day"),
    )
    assert filled("arrival on friday and departure on sunday", *dates) == {
        "arrival": "Friday",
        "departure": "Sunday",
    }
    assert filled("departure on sunday, arrival on friday", *dates) == {
        "arrival": "Friday",
        "departure": "Sunday",
    }


def test_a_day_is_no_date_of_birth_unless_it_is_said_so() -> None:
    both = (prop("date"), prop("date_of_birth", format="date"))
    assert filled("on friday or saturday", *both).keys() == {"date"}
    assert filled("date of birth the third of May 1988", *both) == {"date_of_birth": "1988-05-03"}


def test_yes_and_no_are_answers_to_a_question_alone() -> None:
    wrap = prop("gift_wrap", type="boolean")
    assert filled("yes please", wrap) == {}
    assert filled("yes please", wrap, asked="gift_wrap") == {"gift_wrap": True}
    assert filled("no thanks", wrap, asked="gift_wrap") == {"gift_wrap": False}
    assert filled("without gift wrap", wrap) == {"gift_wrap": False}


def test_text_is_the_answer_without_its_lead() -> None:
    address = prop("address")
    assert filled("It's 42 Baker Street.", address, asked="address") == {
        "address": "42 Baker Street"
    }
    assert filled("please deliver to 42 Baker Street", address) == {"address": "42 Baker Street"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "yes"),
        (34.5, "34.50"),
        (12.0, "12"),
        ("2026-03-20", "Friday, March 20"),
        ("19:30", "7:30 PM"),
        ("2026-03-20T09:00:00Z", "Friday, March 20 at 9 AM"),
        ("2026-99-99", "2026-99-99"),
        ("in_transit", "in transit"),
    ],
)
def test_values_are_said_as_people_say_them(value: object, said: str) -> None:
    assert say_value(value) == said


def test_required_properties_come_first_and_odd_schemas_are_survived() -> None:
    tool = {"parameters": {"properties": {"a": {}, "b": True}, "required": ["b"]}}
    assert [one.name for one in properties(tool)] == ["b", "a"]
    assert properties({}) == ()
