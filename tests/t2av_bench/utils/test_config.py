"""The one loader of settings: what is wrong is told once, by its name, with what was expected."""

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from t2av_bench.utils.config import ConfigError, assignment, checked, dump_toml, load_toml, near


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    sizes: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _named(self):
        if self.name == "none":
            raise ValueError("'none' is no name")
        return self


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    entries: tuple[Entry, ...] = Field(min_length=1)
    folder: Path | None = None
    share: float = Field(default=0.5, ge=0, le=1, description="of all")
    options: dict[str, dict[str, int | str]] = {}
    needed: bool = Field(description="whether it is needed")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"entries": [{"name": "a", "sise": 1}]}, "entry 'a': unknown key 'sise'; did you mean sizes?"),
        ({"entries": [{}]}, "entry 1: 'name' is missing"),
        ({"entries": [{"name": "a", "sizes": ["x"]}]}, "entry 'a': 'sizes.0': Input should be a valid integer"),
        ({"entries": [{"name": "none"}]}, "entry 'none': 'none' is no name"),
        ({"entries": [3]}, "'entries.0': Input should be a valid dictionary"),
        ({"entries": []}, "'entries': Tuple should have at least 1 item"),
        ({"Share": 1}, "unknown key 'Share'; did you mean share?"),
        ({"zzz": 1}, "unknown key 'zzz'; there are entries, folder, share, options, needed"),
        ({"share": 2}, "'share': Input should be less than or equal to 1, got 2"),
        ({"needed": None}, "'needed': Input should be a valid boolean"),
    ],
)
def test_one_fault_is_one_sentence(values, said):
    with pytest.raises(ConfigError) as error:
        checked(Settings, {"entries": [{"name": "a"}], "needed": True} | values)
    assert str(error.value).startswith(said) and "; 'entries'" not in str(error.value), error.value


def test_every_fault_is_told_and_none_of_the_tried_types_is_a_key():
    with pytest.raises(ConfigError) as error:
        checked(Settings, {"entries": [{"name": "a"}], "options": {"m": {"gain": []}}, "share": "x"})
    told = str(error.value).split("; ")
    assert told[0].startswith("'share': ") and told[-1] == "'needed' is missing: whether it is needed"
    assert {text.split(": ")[0] for text in told[1:-1]} == {"'options.m.gain'"}


def test_a_file_s_paths_are_beside_it_and_what_is_given_goes_before_table_by_table(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('folder = "clips"\nneeded = true\noptions.m = { a = 1, b = 2 }\n[[entries]]\nname = "x"\n')
    found = load_toml(file, Settings, {"options": {"m": {"b": 3}}, "share": None})
    assert found.folder == tmp_path / "clips" and found.options == {"m": {"a": 1, "b": 3}} and found.share == 0.5
    assert load_toml(file, Settings, {"folder": Path("elsewhere")}).folder == Path("elsewhere")
    again = dump_toml(found.model_dump())
    assert Settings.model_validate(tomllib.loads(again)) == found
    with pytest.raises(ConfigError, match=r"settings.toml: unknown key 'shar'; did you mean share\?"):
        load_toml(file, Settings, {"shar": 1})
    file.write_text("= 3")
    with pytest.raises(ConfigError, match="cannot read the list .*settings.toml"):
        load_toml(file, Settings, what="list")


@pytest.mark.parametrize("value", ["8", "0.5", "true", '["a", "b"]', '"8"', "{ a = 1 }", "1979-05-27"])
def test_a_value_is_what_toml_says(value):
    assert assignment(f"a.b = {value}", "--option", "NAME=VALUE") == ("a.b", tomllib.loads(f"x = {value}")["x"])


def test_a_value_that_is_no_toml_is_text_and_one_without_a_name_is_none():
    assert assignment("tts=embedded-espeak", "--option", "NAME=VALUE") == ("tts", "embedded-espeak")
    assert assignment(f"n={'1' * 5000}", "--option", "NAME=VALUE") == ("n", "1" * 5000)
    for text in ("tts", "=1", ""):
        with pytest.raises(ConfigError, match=f"^--option {text!r}: expected NAME=VALUE$"):
            assignment(text, "--option", "NAME=VALUE")


def test_near_names_are_found_whatever_their_case_and_punctuation():
    assert near("LSE-C", ["lse_d", "lse_c"]).startswith("; did you mean lse_c")
    assert near("paper1", ["paper:1", "paper:2"]).startswith("; did you mean paper:1")
    assert near("x", []) == "; there are none"
