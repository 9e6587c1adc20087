"""The page docs/reference_model.md: its code runs, its files exist, its settings are those of the recipes."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest
import torch
from random_models import random_model
from test_prompt import make_tokenizer
from test_sampling import config

import reference_model
from reference_model.checkpoints import load_model, save_model
from reference_model.inference import recipes
from reference_model.inference.prompt import PLACEHOLDER
from reference_model.inference.recipes import RECIPES, Recipe
from reference_model.modules import flow_matching
from reference_model.modules.flow_matching import SamplerSettings
from reference_model.training import forward as training_forward

PACKAGE = Path(reference_model.__file__).parent
PAGE = (PACKAGE.parent / "docs" / "reference_model.md").read_text()


def test_every_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoint").mkdir()
    save_model(random_model(config(), seed=5), "checkpoint/model.safetensors")
    make_tokenizer([PLACEHOLDER]).save_pretrained("checkpoint")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    draw = torch.Generator().manual_seed(0)
    names = {"speaker": torch.randn(256, generator=draw), "identity": torch.randn(40, generator=draw)}
    for block in blocks:
        exec(compile(block, "docs/reference_model.md", "exec"), names)
    result, dubbed, driven = names["result"], names["dubbed"], names["driven"]
    assert result.stop_reason in ("predictor", "limit") and len(result.speech) == 4 * result.patches > 0
    assert torch.equal(dubbed.motion, result.motion) and torch.equal(driven.speech, result.speech)
    assert dubbed.stop_reason == driven.stop_reason == "given"
    assert f"{result.patches} {result.stop_reason}" in capsys.readouterr().out
    assert load_model("as_released.safetensors").config == config()


def test_every_file_and_name_exists():
    words = set(re.findall(r"`([^`\n]+)`", PAGE))
    files = {word for word in words if word.endswith((".py", "/")) and " " not in word}
    assert len(files) > 15
    for file in files:
        assert (PACKAGE / file).exists() or (PACKAGE.parent / file).exists(), file
    owners = {"Recipe": Recipe, "SamplerSettings": SamplerSettings, "LossRecipe": training_forward.LossRecipe}
    named = {(owner, field) for owner, field in re.findall(r"`(\w+)\.(\w+)`", PAGE) if owner in owners}
    assert len(named) > 10
    for owner, field in named:
        assert hasattr(owners[owner], field) or field in {f.name for f in dataclasses.fields(owners[owner])}, field
    for function in ("noised", "flow_matching_loss", "dropped", "guided", "time_grid", "euler", "PatchSampler"):
        assert f"`{function}`" in PAGE and hasattr(flow_matching, function)


def test_every_setting_that_differs_is_in_the_table():
    """A recipe field in which the release departs from the paper must be named on the page, and so must its value."""
    paper, release = RECIPES["paper"], RECIPES["release"]
    for kind, left, right in ((Recipe, paper, release), (SamplerSettings, paper.sampler, release.sampler)):
        for field in dataclasses.fields(kind):
            if field.name != "sampler" and getattr(left, field.name) != getattr(right, field.name):
                special = {"limit_margin_patches": "patch_limit", "limit_counts_motion": "patch_limit"}
                assert f".{special.get(field.name, field.name)}`" in PAGE, (
                    f"{field.name} differs and is not on the page"
                )
    assert f"| {paper.sampler.temperature} | {release.sampler.temperature} |" in PAGE
    losses = training_forward.LOSS_RECIPES
    assert f"| {losses['paper'].motion_weight:g} | {losses['release'].motion_weight:g} |" in PAGE
    for field in dataclasses.fields(recipes.Recipe):
        assert field.name in Recipe.__doc__ or field.name == "sampler", f"{field.name} is undocumented"


FILES = sorted(path for path in PACKAGE.rglob("*.py") if "training" not in path.parent.parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_says_what_it_is(path):
    """The package's table of contents is complete, and every public function and class has a docstring."""
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no module docstring"
    if path.parent == PACKAGE and path.stem != "__init__":
        assert f"``{path.stem}``" in reference_model.__doc__, f"{path.stem} is missing in the package's docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_") and node.name != "main":
            assert ast.get_docstring(node), f"{node.name} has no docstring"
