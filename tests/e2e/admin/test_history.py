"""The history and what a person meets when something is slow, away or empty."""

import csv
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.e2e.admin import history
from tests.e2e.admin.steps import go

pytestmark = [pytest.mark.timeout(60), pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def busy_day(demo: Any) -> None:
    """Calls to look for."""
    await history.write(demo.database_url)


@pytest.mark.usefixtures("busy_day")
async def test_the_history(open_console: Any) -> None:
    """Refused callers with the reason; filters, their way back, columns, and the same as a file."""
    page = await open_console(path="/calls")
    main = page.get_by_role("main")
    await page.get_by_label("Outcome").select_option("rejected_capacity")
    refused = main.get_by_role("row").filter(has_text="all lines were busy")
    await expect(refused.first).to_be_visible()
    answered = main.locator(".badge", has_text="answered")
    await expect(answered).to_have_count(0)
    await main.get_by_text("Columns", exact=True).click()
    await main.get_by_label("Trunk", exact=True).check()
    await expect(main.get_by_role("columnheader", name="Trunk")).to_be_visible()
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Export CSV").click()
    with (await (await downloading.value).path()).open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["outcome"] for line in lines} == {"rejected_capacity"}
    assert all(line["caller"].startswith("'+") for line in lines)
    await page.get_by_role("textbox", name="To", exact=True).fill("2020-01-31")
    await expect(main).to_contain_text("No calls match these filters.")
    await page.get_by_role("button", name="Clear filters").click()
    await expect(main.get_by_role("columnheader", name="Trunk")).to_be_visible()  # remembered
    await expect(answered.first).to_be_visible()


@pytest.mark.usefixtures("busy_day")
async def test_ids_are_copied(open_console: Any) -> None:
    """By one press, and the button says so."""
    page = await open_console(path=f"/calls/{history.TALKED}")
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.get_by_role("button", name="Copy call id").click()
    await expect(page.get_by_role("main")).to_contain_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == history.TALKED


async def test_a_slow_page_and_none(open_console: Any) -> None:
    """A click shows at once that it worked; without a network there is a way to try again."""
    page = await open_console(lenient=True)
    held: list[Any] = []

    async def hold(route: Any) -> None:
        held.append(route)

    await page.route("**/v1/limits**", hold)
    await page.get_by_role("link", name="Limits").click()
    main = page.get_by_role("main")
    await expect(main.get_by_role("heading", name="Limits")).to_be_visible()
    await expect(main.get_by_role("status")).to_have_text("Loading …")
    await held[0].abort()
    await expect(main.get_by_role("heading", name="You are offline")).to_be_visible()
    await expect(page.get_by_text("No connection to the admin app")).to_be_visible()
    await page.unroute("**/v1/limits**")
    await page.get_by_role("button", name="Try again").click()
    await expect(main).to_contain_text("No limits yet.")
    await expect(page.get_by_text("No connection to the admin app")).to_have_count(0)
    await expect(page.get_by_role("button", name="Add a limit")).to_have_count(1)


async def test_the_first_steps(open_console: Any) -> None:
    """A new installation says what it needs until it has had a call."""
    page = await open_console(lenient=True)

    async def answer(route: Any) -> None:
        response = await route.fetch()
        body = await response.json()
        body["first_steps"] = {"persona": True, "number": False, "call": False}
        await route.fulfill(response=response, json=body)

    await page.route("**/v1/overview**", answer)
    await go(page, "/calls")
    await go(page, "/")
    steps = page.get_by_role("main").locator(".steps li")
    await expect(steps).to_have_count(3)
    await expect(steps.locator("[data-taken]")).to_have_count(0)
    await expect(page.locator(".steps li[data-taken=yes]")).to_have_count(1)
    await page.get_by_role("link", name="Add a number").click()
    await expect(page.get_by_role("heading", name="Numbers")).to_be_visible()
