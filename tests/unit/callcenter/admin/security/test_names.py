"""Names that keys may not have."""

import pytest

from callcenter.admin.security.names import problem_with


@pytest.mark.parametrize(
    "name",
    [
        "system",
        "System",
        "SYSTEM",
        "first admin",
        "First  Admin",
        "first_start",
        "first-start",
        "nobody",
        "\uff53\uff59\uff53\uff54\uff45\uff4d",
        " system",
        "a\u200bb",
        "line\nbreak",
    ],
)
def test_names_of_the_program(name: str) -> None:
    """In whatever case, width and spacing; and none with signs that nobody sees."""
    assert problem_with(name)


@pytest.mark.parametrize("name", ["Wallboard", "systems", "Ann (night shift)", "Ä-Team", "admin"])
def test_other_names(name: str) -> None:
    """Are free."""
    assert problem_with(name) == ""
