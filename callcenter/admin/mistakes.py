"""What a validator found, in sentences of our own: what is wrong and what to do.

pydantic tells its errors apart by a type (`string_too_short`) and gives the bounds beside it. The
texts that it adds name Python's types and are never shown. It knows no model and no route.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Context = Mapping[str, Any]

FORMS = {  # patterns of common fields, in words
    r"^[a-z][a-z0-9_]{0,39}$": (
        "Use small letters, digits and underscores, a letter first; at most 40."
    ),
    r"^\+[1-9][0-9]{5,14}$": "Write the number with its country code, such as +15550100.",
    r"^[a-z]{2,3}(-[A-Z]{2})?$": "Use a language tag, such as en or en-US.",
    r"^[A-Z][A-Z0-9_]{0,63}$": "Use the name of an environment variable, such as CARRIER_SECRET.",
    r"^[A-Za-z0-9+._~*!-]{1,64}$": "Use letters, digits and + . _ ~ * ! -, at most 64.",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$": "Choose a time of the day, such as 09:00.",
    r"^[0-9*#A-D]{1,32}$": "Use the keys 0 to 9, *, # and A to D, at most 32.",
    r"^sips?:([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[1-9][0-9]{0,4})?"
    r"(;transport=(udp|tcp|tls))?$": "Write a SIP address, such as sip:pbx.example.com:5060.",
    r"^[0-9]{1,5}$": "Use 1 to 5 digits, such as 00.",
    r"^\S(.*\S)?$": "Write something, with no space before or after it.",
    r"^[\p{L}][\p{L}'-]*( [\p{L}][\p{L}'-]*)*$": (
        "Write words as a caller says them: letters only, one space between them."
    ),
    r"^[^*]*\*?$": "A star may only stand at the end.",
    r"^(draft|[1-9][0-9]{0,5})$": "Use “draft” or the number of a version.",
    r"^(female|male|neutral)$": "Choose one of: female, male, neutral.",
}
UNKNOWN = "This value cannot be used; look it up in the API's description."
NO_FORM = "This does not have the form that is needed; look it up in the API's description."

# Each sentence may name what pydantic gives beside the type, such as {gt} or {max_length}.
_SENTENCES: dict[str, str] = {}


def _say(sentence: str, *types: str) -> None:
    _SENTENCES.update(dict.fromkeys(types, sentence))


_say("This is missing. Fill it in.", "missing", "missing_argument", "none_required",
     "missing_keyword_only_argument", "missing_positional_only_argument",
     "default_factory_not_called", "missing_sentinel_error")  # fmt: skip
_say("Unknown key; look for a typing error.", "extra_forbidden", "no_such_attribute",
     "unexpected_keyword_argument", "unexpected_positional_argument", "multiple_argument_values",
     "invalid_key")  # fmt: skip
_say("This is not valid JSON. Check commas, quotes and brackets.", "json_invalid")
_say("Send this as JSON text.", "json_type")
_say("This is nested too deeply.", "recursion_loop", "recursion_depth_exceeded")
_say("This cannot be changed.", "frozen_field", "frozen_instance")
_say("Send an object with named fields: {{...}}.", "model_type", "model_attributes_type",
     "dataclass_type", "dataclass_exact_type", "dict_type", "frozen_dict_type",
     "ordered_dict_type", "counter_type", "mapping_type", "named_tuple_type",
     "arguments_type")  # fmt: skip
_say("Send a list: [...].", "iterable_type", "iteration_error", "list_type", "deque_type",
     "tuple_type", "set_type", "frozen_set_type", "set_item_not_hashable")  # fmt: skip
_say("Use a number above {gt}.", "greater_than")
_say("Use {ge} or more.", "greater_than_equal")
_say("Use a number below {lt}.", "less_than")
_say("Use {le} or less.", "less_than_equal")
_say("Use a multiple of {multiple_of}.", "multiple_of")
_say("Use an ordinary number, not infinity.", "finite_number")
_say("Write text.", "string_type", "string_sub_type", "bytes_type", "callable_type")
_say("This holds characters that cannot be stored. Write them again.", "string_unicode",
     "bytes_invalid_encoding")  # fmt: skip
_say("Use plain letters, digits and signs without accents.", "string_not_ascii")
_say("Use {max_length} characters or fewer.", "string_too_long", "bytes_too_long")
_say("Choose yes or no (true or false).", "bool_type", "bool_parsing")
_say("Use a whole number.", "int_type", "int_parsing", "int_from_float")
_say("This number is too large.", "int_parsing_size")
_say("Use a number.", "float_type", "float_parsing", "decimal_type", "decimal_parsing",
     "fraction_type", "fraction_parsing", "complex_type", "complex_str_parsing")  # fmt: skip
_say("This number has too many digits.", "decimal_max_digits", "decimal_max_places",
     "decimal_whole_digits")  # fmt: skip
_say("Choose a date, such as 2026-11-30.", "date_type", "date_parsing",
     "date_from_datetime_parsing", "date_from_datetime_inexact")  # fmt: skip
_say("Choose a date that has passed.", "date_past", "datetime_past")
_say("Choose a date that is still to come.", "date_future", "datetime_future")
_say("Choose a time, such as 09:00.", "time_type", "time_parsing")
_say("Choose a date and a time, such as 2026-11-30T09:00:00Z.", "datetime_type",
     "datetime_parsing", "datetime_object_invalid", "datetime_from_date_parsing")  # fmt: skip
_say("Add the time zone, such as Z or +01:00.", "timezone_aware")
_say("Leave the time zone out.", "timezone_naive")
_say("Use another time zone.", "timezone_offset")
_say("Use a length of time in seconds.", "time_delta_type", "time_delta_parsing")
_say("Choose one of: {expected}.", "literal_error", "enum")
_say("Choose one of the kinds that there are: {expected_tags}.", "union_tag_invalid")
_say("Say of which kind this is, in {discriminator}.", "union_tag_not_found")
_say("Write a web address, such as https://example.com/calls.", "url_type", "url_parsing",
     "url_syntax_violation", "url_scheme")  # fmt: skip
_say("This address is too long.", "url_too_long")
_say("This is not an id of the right form.", "uuid_type", "uuid_parsing", "uuid_version")
_say(UNKNOWN, "needs_python_object", "get_attribute_error", "assertion_error", "ellipsis_error",
     "is_instance_of", "is_subclass_of")  # fmt: skip


def _too_short_text(context: Context) -> str:
    least = int(context.get("min_length", 1))
    return "Fill this in." if least <= 1 else f"Use {least} characters or more."


def _too_few(context: Context) -> str:
    least = int(context.get("min_length", 1))
    return "Add at least one." if least <= 1 else f"Add at least {least}."


def _too_many(context: Context) -> str:
    return f"There may be {context.get('max_length', 'fewer')} at most."


def _form(context: Context) -> str:
    return FORMS.get(str(context.get("pattern")), NO_FORM)


def _ours(context: Context) -> str:
    """What a model's own check says; it is written for people."""
    return str(context.get("error") or UNKNOWN)


_BUILT: dict[str, Callable[[Context], str]] = {
    "string_too_short": _too_short_text,
    "bytes_too_short": _too_short_text,
    "too_short": _too_few,
    "too_long": _too_many,
    "string_pattern_mismatch": _form,
    "value_error": _ours,
}
KNOWN = frozenset(_SENTENCES) | frozenset(_BUILT)


def explained(item: Mapping[str, Any]) -> str:
    """One of pydantic's errors as a sentence.

    Args:
        item: of `ValidationError.errors()`: its `type` and `ctx` are looked at, its `msg` never.
    """
    kind = str(item.get("type"))
    context: Context = item.get("ctx") or {}
    if kind in _BUILT:
        return _BUILT[kind](context)
    try:
        return _SENTENCES.get(kind, UNKNOWN).format_map(_plain(context))
    except (KeyError, IndexError):  # a bound that this release of pydantic does not give
        return UNKNOWN


def _plain(context: Context) -> dict[str, str]:
    """Values as people write them: 10.0 -> 10; "'a', 'b' or 'c'" -> "a, b or c"."""
    return {
        name: f"{value:.6g}"
        if isinstance(value, float)
        else str(value).replace("'', ", "").replace("'", "")
        for name, value in context.items()
    }
