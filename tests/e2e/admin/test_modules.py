"""The pure parts of the console's modules, run where they run."""

from typing import Any

import pytest
import pytest_asyncio

pytestmark = [pytest.mark.timeout(60), pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def run(open_console: Any) -> Any:
    """Runs an expression with a module of the console at hand as `m`."""
    page = await open_console(secret="")

    async def run_one(module: str, expression: str) -> Any:
        load = f"const m = await import('/admin/static/{module}.js')"
        return await page.evaluate(f"async () => {{ {load}; return {expression}; }}")

    return run_one


async def test_format(run: Any) -> None:
    """Numbers as people read them."""
    values = await run(
        "core/format",
        "[m.length(65), m.length(3_725), m.length(null), m.delay(0.0234), m.delay(2.449),"
        " m.percent(0.926), m.plural(1, 'call'), m.plural(2, 'call'), m.words('BargeIn'),"
        " m.words('call_ended'), m.ago(null)]",
    )
    assert values == [
        "1:05", "1:02:05", "–", "23 ms", "2.4 s",
        "93 %", "1 call", "2 calls", "barge in", "call ended", "never",
    ]  # fmt: skip


async def test_a_redrawn_link_keeps_the_keyboard(run: Any) -> None:
    """What looks again by itself does not throw the person out of it."""
    draw = "m.show(window.box, m.h('a', {href: '/1'}, 'one'), m.h('a', {href: '/2'}, 'two'))"
    begin = f"window.box = document.body.appendChild(m.h('div')), {draw}, box.lastChild.focus()"
    kept = await run("core/dom", f"({begin}, {draw}, document.activeElement === box.lastChild)")
    assert kept is True


async def test_patch(run: Any) -> None:
    """The merge patch says what changed, and null for what is gone."""
    patch = await run(
        "core/patch",
        "m.patchOf({a: 1, b: {c: 2, d: 3}, e: [1], f: null}, {a: 1, b: {c: 2}, e: [1, 2], g: 4})",
    )
    assert patch == {"b": {"d": None}, "e": [1, 2], "g": 4}


async def test_addresses(run: Any) -> None:
    """Patterns fit addresses piece by piece; a broken escape is kept as it is."""
    found = await run(
        "core/router",
        "[m.match('/calls/:id', '/calls/a%2Fb'), m.match('/calls', '/calls/1'),"
        " m.match('/x/:y', '/x/%')]",
    )
    assert found == [{"id": "a/b"}, None, {"y": "%"}]


async def test_words_that_differ(run: Any) -> None:
    """Only the words that differ are marked, and both texts can be read out of it."""
    found = await run("parts/diff", "m.wordDiff('a warm big welcome', 'a warm welcome to you')")
    assert found[0] == ["", "a warm "]
    assert "".join(text for kind, text in found if kind != "ins") == "a warm big welcome"
    assert "".join(text for kind, text in found if kind != "del") == "a warm welcome to you"


async def test_stretches(run: Any) -> None:
    """Speech becomes stretches; an open one goes on, a call's end closes it, notices come late."""
    found = await run(
        "parts/lanes",
        """m.stretches([
          {kind: "speech", at: 2_000, data: {party: "agent", speaking: true, ago_s: 0.5}},
          {kind: "speech", at: 4_000, data: {party: "agent", speaking: false}},
          {kind: "speech", at: 5_000, data: {party: "caller", speaking: true}},
          {kind: "turn", at: 5_000, data: {kind: "BargeIn"}},
          {kind: "call_ended", at: 6_000, data: {}},
        ], 0)""",
    )
    assert found == {"agent": [[1.5, 4]], "caller": [[5, 6]], "barge_ins": [5]}
    open_ended = await run("parts/lanes", "m.talked_s([[1, 2], [4, Infinity]], 6)")
    assert open_ended == 3


async def test_turns(run: Any) -> None:
    """What one party says until the other one begins is one turn."""
    found = await run(
        "parts/timeline",
        """m.turns([
          {kind: "speech", at: 0, data: {party: "agent", speaking: true}},
          {kind: "speech", at: 1_000, data: {party: "agent", speaking: false}},
          {kind: "speech", at: 2_000, data: {party: "agent", speaking: true}},
          {kind: "speech", at: 4_000, data: {party: "agent", speaking: false}},
          {kind: "speech", at: 5_000, data: {party: "caller", speaking: true}},
        ], 0)""",
    )
    assert found == [
        {"at_s": 0, "party": "agent", "text": "The agent talks for 4.0 s"},
        {"at_s": 5, "party": "caller", "text": "The caller is talking"},
    ]


async def test_days_of_the_history(run: Any) -> None:
    """Both days are whole ones, in the browser's time zone; what is empty asks for nothing."""
    days = "m.queryOf({q: '', from: '2026-11-30', to: '2026-11-30'})"
    hours = f"(new Date({days}.until) - new Date({days}.since)) / 3_600_000"
    assert await run("pages/calls", hours) == 24
    assert await run("pages/calls", "m.queryOf({from: '', to: 'x'})") == {"since": "", "until": ""}


async def test_week(run: Any) -> None:
    """Hours past midnight go on the next day, and Sunday's on Monday."""
    spans = await run(
        "parts/week",
        "m.spansOf([{days: ['sunday'], opens: '22:00', closes: '02:00'},"
        " {days: ['monday'], opens: '00:00', closes: '24:00'},"
        " {days: ['friday'], opens: '9', closes: '17:00'}])",
    )
    assert spans[6] == [[1320, 1440]]
    assert spans[0] == [[0, 120], [0, 1440]]
    assert spans[4] == []


async def test_chart_tops(run: Any) -> None:
    """A chart ends at a round number."""
    tops = await run("parts/chart", "[0, 0.3, 1, 7, 20, 21, 0.05].map(m.niceTop)")
    assert tops == pytest.approx([1, 0.5, 1, 10, 20, 50, 0.05])


async def test_persona_content(run: Any) -> None:
    """A content goes through the form and comes out the same; empty fields are left out."""
    found = await run(
        "parts/persona_form",
        """(() => {
          const variables = {v: {description: "d", max_chars: 9}};
          const content = {name: "a", facts: {x: "y"}, variables, sampling: {text_top_k: 3},
                           limits: {}, dialogue: {intents: []}};
          const form = m.editable(content);
          const same = JSON.stringify(m.contentOf(form)) === JSON.stringify({...content});
          form.limits.max_call_s = null;
          form.dialogue = "not { JSON";
          const after = m.contentOf(form);
          return [same, after.limits, after.dialogue];
        })()""",
    )
    assert found == [True, {}, "not { JSON"]
