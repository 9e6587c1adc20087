"""What the documents show is what there is."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from t2av_bench.benchmarks.manifest import Item
from t2av_bench.cli.main import app
from t2av_bench.metrics.document import document

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def commands() -> list[tuple[str, str]]:
    """Every ``t2av-bench`` line of every console block: (page, command line)."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:console|bash|sh|shell)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            found += [(page.name, match[1]) for line in lines if (match := re.match(r"\$? ?(t2av-bench .*)", line))]
    return found


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_that_is_shown_can_be_parsed(page, line):
    words = shlex.split(line, comments=True)[1:]
    command = get_command(app)
    context = command.make_context("t2av-bench", [], resilient_parsing=True)
    while hasattr(command, "commands"):
        assert words[0] in command.commands, f"{page}: there is no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
        context = command.make_context(command.name, list(words), parent=context, resilient_parsing=True)
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    for word in words:
        if word.startswith("--"):
            assert word.split("=")[0] in options, f"{page}: {command.name} has no option {word}"


def test_there_are_commands_to_check():
    assert {line.split()[1] for _, line in commands()} >= {"evaluate", "table", "weights", "regress", "generate"}


def test_the_metrics_page_is_what_the_metrics_say():
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == document(), (
        "docs/metrics.md is stale: python -m t2av_bench.metrics.document > docs/metrics.md"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_page_on_manifests_names_every_key():
    page = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
    keys = page.split("| key | meaning | default |", 1)[1].split("\n\n", 1)[0]
    named = [name for row in keys.split("\n")[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(Item.model_fields)


def test_the_manifest_lines_that_are_shown_are_items():
    (line,) = re.findall(r"```json\n(.*?)\n```", (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8"))
    assert Item.model_validate(json.loads(line)).reference == "real/042.mov"
    (line,) = re.findall(r'`(\{"id": .*?\})`', (ROOT / "README.md").read_text(encoding="utf-8"))
    assert Item.model_validate(json.loads(line)).id == "042"
