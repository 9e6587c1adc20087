"""A page of named tables: one name for a system in tables, players and plots; what its maker says; nothing cut off."""

import json
import re
from pathlib import Path

import pytest
from page_browser import Watched
from page_factory import ITEMS, SYSTEMS, make_run

from reports.page.content import gather
from reports.page.site import NamedTable, build_report
from reports.page.tables import _blocks
from reports.tables import specification
from reports.tables.build import build
from reports.tables.model import TableColumn
from reports.tables.rows import names_by
from t2av_bench.results.run import open_run

NAMES = {"real": "Real clips", "ours (seed 0)": "A Model with a Rather Long Name", "theirs": "Another Long Name, again"}
COLUMNS = """
[[columns]]
quantity = "sync_c"
label = "Confidence"
direction = "higher"
[[columns]]
quantity = "wer"
label = "Misheard"
direction = "lower"
"""
ABOUT = "The **first** words, <img src=x>\n\n| row | what |\n|---|---|\n| Real clips | as they are |\n"


def table(folder: Path, rows: dict[str, str]) -> str:
    """A specification with some rows, by the runs that they take."""
    file = folder / f"{len(list(folder.iterdir()))}.toml"
    lines = "".join(f'[[rows]]\nname = "{name}"\nruns = ["{run}"]\n' for run, name in rows.items())
    file.write_text(f'title = "T"\n{lines}{COLUMNS}', encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def page(workspace, tmp_path_factory) -> Path:
    """Two tables of three runs, which share the real clips."""
    folder = tmp_path_factory.mktemp("named")
    runs = [make_run(folder / "runs" / str(number), number, workspace.clips[number], name=name)
            for number, name in enumerate(NAMES)]  # fmt: skip
    (folder / "tables").mkdir()
    asked = [
        NamedTable(table(folder / "tables", dict(list(NAMES.items())[:2])), "First table", runs[:2]),
        NamedTable(
            table(folder / "tables", {"real": NAMES["real"], "theirs": NAMES["theirs"]}), "", [runs[0], runs[2]]
        ),
    ]
    build_report(runs, folder / "page", real="real", tables=asked, plain=False, about=ABOUT, closing="    next this\n")
    return folder / "page"


def test_a_system_has_one_name_in_tables_players_and_plots(page: Path) -> None:
    text = (page / "index.html").read_text(encoding="utf-8")
    rows = re.findall(r'<th scope="row">([^<]+)<', text)
    assert rows == [*list(NAMES.values())[:2], NAMES["real"], NAMES["theirs"]]
    data = (page / "data" / "index.js").read_text(encoding="utf-8")
    index = json.loads(data[data.index("(") + 1 : data.rindex(")")])
    assert [each["name"] for each in index["systems"]] == list(NAMES.values())
    assert not any(each["real"] for each in index["systems"]), "the name says it already: no tag repeats it"
    drawn = " ".join(file.read_text(encoding="utf-8") for file in (page / "plots").glob("*-light.svg"))
    assert all(re.search(rf">\s*{re.escape(name[:20])}", drawn) for name in NAMES.values())
    assert not any(f">{label}<" in text + drawn for label in ("real", "ours (seed 0)", "theirs"))


def test_quantities_too_and_plots_keep_to_their_table(page: Path) -> None:
    text = (page / "index.html").read_text(encoding="utf-8")
    assert text.count("Confidence\u00a0↑") == 2 and "Sync-C" not in re.sub(r"<pre.*?</pre>", "", text, flags=re.S)
    first, second = (page / "plots" / f"profile{part}-light.svg" for part in ("", "-1"))
    assert NAMES["theirs"] not in first.read_text() and NAMES["ours (seed 0)"][:20] not in second.read_text()
    assert "Comparison · First table" in text and "Comparison · T<" in text


def test_what_the_maker_says_is_markdown_and_its_markup_is_text(page: Path) -> None:
    text = (page / "index.html").read_text(encoding="utf-8")
    assert "The <strong>first</strong> words, &lt;img src=x&gt;" in text and "<td>as they are</td>" in text
    assert text.index("first</strong>") < text.index("First table") < text.index('id="runs-heading"')
    assert text.index("next this") > text.index('id="runs-heading"')


def test_runs_that_share_a_row_say_which_they_are(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    asked = specification.load(table(tmp_path / "tables", {"ours*": "Ours", "real": "Real clips"})).specification
    runs = [make_run(tmp_path / str(number), 0, [None] * 4, name=name, labels=[{"language": language}] * 4)
            for number, (name, language) in enumerate([
                ("ours (seed 0)", "en"), ("ours (seed 1)", "en"), ("ours-late", "en"), ("real", "en"), ("real", "zh"),
                ("theirs", "en"), ("theirs", "en"),
            ])]  # fmt: skip
    assert names_by([asked], [open_run(run) for run in runs]) == [
        "Ours (seed 0)", "Ours (seed 1)", "Ours (ours-late)", "Real clips (en)", "Real clips (zh)",
        f"theirs ({runs[5]})", f"theirs ({runs[6]})",
    ]  # fmt: skip
    assert names_by([asked], [open_run(runs[1])]) == ["Ours"], "a single run is its row"
    content = gather(runs[:2], "Ours (seed 1)", [asked])
    assert [(system.name, system.real) for system in content.systems] == [
        ("Ours (seed 1)", True),
        ("Ours (seed 0)", False),
    ]


def test_without_a_table_systems_are_called_as_their_runs(workspace) -> None:
    runs = [open_run(run) for run in workspace.runs]
    assert names_by([], runs) == list(SYSTEMS) == [row.name for row in build(runs).rows]


def test_wide_tables_are_parted_between_kinds() -> None:
    def columns(*kinds: tuple[str, int]) -> list[TableColumn]:
        return [
            TableColumn(f"{kind}{n}", kind, "none", metric=f"{kind}/x") for kind, many in kinds for n in range(many)
        ]

    assert _blocks(columns(("a", 5), ("b", 3))) == [[*range(8)]]
    assert _blocks(columns(("a", 5), ("b", 3), ("c", 1))) == [[*range(8)], [8]]
    assert _blocks(columns(("a", 5), ("b", 4))) == [[*range(5)], [*range(5, 9)]]
    assert _blocks(
        columns(
            ("a", 17),
        )
    ) == [[*range(8)], [*range(8, 16)], [16]]


@pytest.mark.parametrize("width", [1200, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(browser, page: Path, width: int, scheme: str) -> None:
    tab = Watched(browser, viewport={"width": width, "height": 900}, color_scheme=scheme)
    for name in ("index.html", "clips.html"):
        tab.page.goto((page / name).as_uri())
        tab.page.wait_for_selector("#scores table" if name == "index.html" else ".item .clip")
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        # What is wider than its place scrolls in a box of its own.
        cut = tab.page.evaluate("""() => [...document.querySelectorAll("main :is(table, pre, img, p, li)")]
          .filter((node) => node.getBoundingClientRect().right > innerWidth + 1)
          .filter((node) => !node.closest(".scroll, .strip, figure")).map((node) => node.outerHTML.slice(0, 80))""")
        assert cut == []
    assert tab.errors == []
    tab.context.close()


def test_items_are_those_of_the_page(page: Path) -> None:
    assert len(list((page / "data").glob("item-*.js"))) == len(ITEMS)
