"""The study's page: blind, complete, and finished with the keyboard in headless Chromium."""

import json
import re
import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path

import av
import numpy as np
import pytest
from media_factory import moving_pattern
from page_browser import chromium
from page_factory import served
from scipy.io import wavfile
from typer.testing import CliRunner

from reports.study.make import Study, degrade, make_study
from reports.study.merge import merge
from t2av_bench.cli.study import study_app
from t2av_bench.errors import ItemError
from t2av_bench.media.clip import Clip
from t2av_bench.media.encode import write_mp4
from t2av_bench.results.store import Store

SYSTEMS = ("zebrafinch", "quokka <b>", "Σigma")
ITEMS = ("walrus-one", "walrus two", "海象", "walrus</script>")
FRAMES = 12


def write_clip(path: Path, seed: int, system: str, odd: bool = False) -> None:
    """A short clip whose tags give its system away, as those of real generators do."""
    seconds = np.arange(FRAMES * 16000 // 25) / 16000
    audio = (0.3 * np.sin(2 * np.pi * (300 + 50 * seed) * seconds)).astype(np.float32)
    pictures = moving_pattern(FRAMES, seed=seed)
    write_mp4(path, pictures, audio, preset="ultrafast", crf=12 if odd else 20)
    tagged = path.with_name("tagged.mp4")
    with av.open(str(path)) as source, av.open(str(tagged), "w") as target:
        target.metadata.update({"title": system, "comment": f"made by {system}"})
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    tagged.replace(path)
    assert system.encode() in path.read_bytes()


def write_run(
    folder: Path, system: str, items: tuple[str, ...] = ITEMS, without: tuple[str, ...] = (), **about: object
) -> Path:  # fmt: skip
    media = folder / f"clips of {system.replace('<', '')}"
    media.mkdir(parents=True)
    with Store(folder / "results.db", create=True) as store:
        store.set("claim", {"name": system, "generated": str(media), "reference": None, "manifest": None})
        rows = []
        for index, item in enumerate(items):
            path = media / f"{system[:3]} {index}.mp4"
            if item not in without:
                write_clip(path, index, system, odd=system == SYSTEMS[0])
            rows.append((item, {"id": item, "text": f"text {item}", "language": "en", **about},
                         None if item in without else str(path), None, None))  # fmt: skip
        store.put_clips(rows)
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("study runs")
    return [write_run(folder / f"run{index}", system) for index, system in enumerate(SYSTEMS)]


@pytest.fixture(scope="module")
def study(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(runs, tmp_path_factory.mktemp("made") / "study", trials=5, checks=2, secret="5ec7e7")


def key_of(study: Study) -> dict:
    return json.loads(study.key.read_text(encoding="utf-8"))


def published(study: Study) -> dict:
    page = study.index.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="study">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_nothing_in_the_published_folder_gives_a_system_away(study: Study, runs: list[Path]) -> None:
    page = study.index.parent
    assert study.key.parent == page.parent and not list(page.rglob("key*"))
    files = [path for path in page.rglob("*") if path.is_file()]
    assert len(files) == 4 + 12 + 4
    hidden = [*SYSTEMS, *ITEMS, "walrus", "quokka", "igma", "run0", "run1", "clips of", key_of(study)["secret"]]
    hidden += [str(run.parent) for run in runs]
    for path in files:
        content = path.read_bytes().lower() + str(path.relative_to(page)).encode().lower()
        for word in hidden:
            for form in {word, json.dumps(word)[1:-1]}:
                assert form.lower().encode() not in content, (path, word)
    media = [path for path in files if path.suffix == ".mp4"]
    assert all(re.fullmatch("[0-9a-f]{16}", path.stem) for path in media)
    described = set()
    for path in media:
        with av.open(str(path)) as container:
            described.add((str(container.metadata), *(
                (stream.codec_context.name, stream.codec_context.profile, str(stream.time_base), str(stream.metadata))
                for stream in container.streams
            )))  # fmt: skip
    assert len(described) == 1


def test_systems_are_not_told_by_their_places(study: Study) -> None:
    key, data = key_of(study), published(study)
    assert data.keys() == {"lists", "question", "study", "ties", "title", "trials"}
    first = Counter()
    for id, sides in data["trials"].items():
        trial = key["trials"][id]
        assert sorted(sides) == sorted(trial["media"])
        first[trial["check"], trial["media"].index(sides[0])] += 1
    assert all(first[check, side] for check in (False, True) for side in (0, 1))
    assert list(data["trials"]) == sorted(data["trials"])


def test_every_combination_is_asked_and_lists_hold_their_checks(study: Study) -> None:
    key = key_of(study)
    asked = Counter(id for each in key["lists"] for id in each)
    trials = {id: trial for id, trial in key["trials"].items() if not trial["check"]}
    assert {(trial["item"], *trial["systems"]) for trial in trials.values()} == {
        (item, *pair) for item in ITEMS for pair in combinations(sorted(SYSTEMS), 2)
    }
    assert {asked[id] for id in trials} == {1, 2}  # 18 trials in 4 lists of 5
    for each in key["lists"]:
        assert len(set(each)) == 7 and sum(key["trials"][id]["check"] for id in each) == 2
    places = {each.index(id) for each in key["lists"] for id in each if key["trials"][id]["check"]}
    assert len(places) > 2, "checks do not stand at a fixed place"


def test_clips_are_what_the_key_says_and_checks_are_degraded(study: Study, runs: list[Path]) -> None:
    key = key_of(study)
    media = study.index.parent / "media"
    check = next(trial for trial in key["trials"].values() if trial["check"])
    source = Clip(next((runs[SYSTEMS.index(check["systems"][0])]).glob(f"clips*/* {ITEMS.index(check['item'])}.mp4")))
    good, bad = (Clip(media / f"{name}.mp4") for name in check["media"])
    want, kept, frozen = (np.concatenate(list(clip.frames())).astype(float) for clip in (source, good, bad))
    assert want.shape == kept.shape == frozen.shape
    assert np.abs(want - kept).mean() < 6 and np.abs(want - frozen).mean() > 25
    assert np.abs(np.diff(kept, axis=0)).mean() > 5 * np.abs(np.diff(frozen, axis=0)).mean()
    assert np.corrcoef(source.audio()[1000:7000], good.audio()[1000:7000])[0, 1] > 0.99
    assert np.corrcoef(source.audio()[1000:7000], bad.audio()[1000:7000])[0, 1] < 0.8


def test_sound_in_a_file_of_its_own_is_heard(runs: list[Path], tmp_path: Path) -> None:
    apart = write_run(tmp_path / "apart", "apart", ITEMS[:1])
    seen, sound = next(apart.glob("clips*/*.mp4")), tmp_path / "a.wav"
    samples = (10000 * np.sin(np.arange(7680) / 3)).astype(np.int16)
    wavfile.write(sound, 16000, samples)
    with Store(apart / "results.db", create=True) as store:
        store.put_clips([(ITEMS[0], {"id": ITEMS[0], "text": f"text {ITEMS[0]}", "language": "en",
                                     "audio": str(sound)}, str(seen), None, None)])  # fmt: skip
        store.put_digests(ITEMS[0], Clip(seen, sound_path=sound).digest, None)
    made = make_study([runs[0], apart], tmp_path / "out", trials=1, checks=1)
    trial = next(trial for trial in key_of(made)["trials"].values() if not trial["check"])
    shown = dict(zip(trial["systems"], trial["media"], strict=True))["apart"]
    heard = Clip(made.index.parent / "media" / f"{shown}.mp4").audio()[1000:7000]
    assert np.corrcoef(heard, samples[1000:7000])[0, 1] > 0.99


def test_noise_lies_5_db_above_the_speech() -> None:
    clean = (0.1 * np.sin(np.arange(48000) / 20)).astype(np.float32)
    _, noisy = degrade(iter([]), clean)
    assert noisy is not None and np.abs(noisy).max() <= 1
    ratio = 10 * np.log10(np.mean((noisy - clean) ** 2) / np.mean(clean**2))
    assert ratio == pytest.approx(5, abs=0.2)


def test_the_secret_alone_decides(study: Study, runs: list[Path], tmp_path: Path) -> None:
    again = make_study(runs, tmp_path / "again", trials=5, checks=2, secret="5ec7e7")
    for path in study.index.parent.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (again.index.parent / path.relative_to(study.index.parent)).read_bytes(), path
    assert again.key.read_bytes() == study.key.read_bytes()
    other = make_study(runs[:2], tmp_path / "other", trials=2, items=2)
    assert not set(key_of(other)["trials"]) & set(key_of(study)["trials"])
    assert len(key_of(other)["items"]) == 2 and key_of(other)["secret"] != key_of(study)["secret"]


def test_items_that_a_system_lacks_are_left_out_and_said(runs: list[Path], tmp_path: Path) -> None:
    poor = write_run(tmp_path / "poor", "poor", without=ITEMS[1:2])
    changed = next(poor.glob("clips*/* 0.mp4"))
    with Store(poor / "results.db", create=True) as store:
        store.put_digests(ITEMS[0], "0" * 64, None)
        store.put_digests(ITEMS[2], Clip(changed.with_name(changed.name.replace("0", "2"))).digest, None)
    made = make_study([runs[0], poor], tmp_path / "out", trials=2, checks=1)
    assert key_of(made)["items"] == [ITEMS[2], ITEMS[3]]
    assert made.notes[:2] == [
        f"1 item left out, poor: the file has changed since it was scored (such as {ITEMS[0]})",
        f"1 item left out, poor has no clip (such as {ITEMS[1]})",
    ]


def test_a_study_says_what_its_licence_lets_a_publication_show(tmp_path: Path) -> None:
    about = {"figures_max": 5, "licence": "Lent-1K"}
    pair = [write_run(tmp_path / system[:1], system, ITEMS[:3], **about) for system in ("one", "two")]
    said = "the licence Lent-1K allows 5 pictures or videos in a publication, and this study shows 6"
    made = make_study(pair, tmp_path / "out", trials=3, checks=1)
    assert any(note.startswith(said) and "participants alone" in note for note in made.notes)
    fewer = make_study(pair, tmp_path / "fewer", trials=2, checks=1, items=2)
    assert not any("licence" in note for note in fewer.notes)


def test_what_cannot_be_made_is_said(runs: list[Path], study: Study, tmp_path: Path) -> None:
    for message, wanted, options in (
        ("two or more systems of different names, got zebrafinch", runs[:1], {}),
        ("got zebrafinch, zebrafinch", [runs[0], runs[0]], {}),
        ("20 trials .* 2 systems on 4 items make 1 to 4: use --trials", runs[:2], {}),
        ("--checks 9, but only 4 items", runs, {"checks": 9}),
        ("unknown question 'x'; choose overall", runs, {"question": "x"}),
    ):
        with pytest.raises(ItemError, match=message):
            make_study(wanted, tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()
    with pytest.raises(ItemError, match="is not empty; a study is never overwritten"):
        make_study(runs, study.key.parent, trials=5)


def test_commands(runs: list[Path], tmp_path: Path) -> None:
    runner = CliRunner()
    out = tmp_path / "study"
    made = runner.invoke(study_app, ["make", *map(str, runs[:2]), "--out", str(out), "--trials", "4", "--checks", "0",
                                     "--question", "lip-sync", "--no-ties"])  # fmt: skip
    assert made.exit_code == 0 and made.stdout.strip() == str(out / "page" / "index.html")
    assert "No difference" not in (out / "page" / "index.html").read_text(encoding="utf-8")
    from reports.page.server import Site

    assert Site.open(out / "page").find("/index.html") == (out / "page" / "index.html").resolve()
    key = json.loads((out / "key.json").read_text(encoding="utf-8"))
    assert key["question"] == "In which clip do the lips match the speech better?"
    (out / "answers").mkdir()

    def answer(name: str, wins: int) -> None:
        rows = [{"trial": id, "shown": key["trials"][id]["media"], "choice": "AB"[place >= wins], "seconds": 1}
                for place, id in enumerate(key["lists"][0])]  # fmt: skip
        document = {"format": "t2av-bench study answers", "version": 1, "study": key["study"], "participant": name,
                    "list": 0, "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:00:00Z",
                    "answers": rows}  # fmt: skip
        (out / "answers" / f"{name}.json").write_text(json.dumps(document))

    answer("p", 4)
    merged = runner.invoke(study_app, ["merge", str(out / "answers")])
    assert merged.exit_code == 1 and "never lost or tied against" in merged.stdout
    answer("q", 2)
    merged = runner.invoke(study_app, ["merge", str(out / "answers"), "--out", str(tmp_path / "scores.json")])
    assert merged.exit_code == 0 and "| 75.0% | 8 | 2 |" in merged.stdout
    assert json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))["trials"] == 8
    shutil.move(out / "key.json", tmp_path / "elsewhere.json")
    lost = runner.invoke(study_app, ["merge", str(out / "answers")])
    assert lost.exit_code == 2 and "name it with --key" in lost.stderr


# --- in the browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def tab(browser):
    context = browser.new_context(viewport={"width": 360, "height": 740}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(15_000)
    errors: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    yield page
    context.close()
    assert errors == []
    assert requests and all(address.startswith(("file:", "data:", "blob:")) for address in requests)


SOURCES = "[...document.querySelectorAll('video')].map((video) => video.src)"
JUMP = "(() => { const v = document.querySelector('video'); v.currentTime = v.duration - .05; v.play(); })()"


def test_a_participant_finishes_with_the_keyboard(tab, study: Study, tmp_path: Path) -> None:
    key = key_of(study)
    better = {name: trial["systems"][index] for trial in key["trials"].values() if not trial["check"]
              for index, name in enumerate(trial["media"])}  # fmt: skip
    bad = {trial["media"][1] for trial in key["trials"].values() if trial["check"]}
    tab.goto(study.index.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    tab.locator("#participant").focus()
    tab.keyboard.type("Ana 7")
    tab.keyboard.press("Enter")
    given = []
    for step in range(7):
        tab.wait_for_function(f"document.querySelector('#heading').textContent === 'Comparison {step + 1} of 7'")
        tab.keyboard.press("a")  # too early: neither clip was seen
        assert tab.get_by_role("button", name="Clip A").is_disabled()
        assert tab.locator("#status").inner_text() == "Play A and B to the end to answer."
        if step == 2:
            shown = tab.evaluate(SOURCES)
            tab.reload()
            assert tab.locator("#heading").inner_text() == "Comparison 3 of 7"
            assert tab.evaluate(SOURCES) == shown
        if step == 3:
            # Jumping to the end is not watching.
            tab.evaluate(JUMP)
            tab.wait_for_function("document.querySelector('video').ended")
            assert tab.locator("#status").inner_text() == "Play A and B to the end to answer."
        tab.keyboard.press(" ")
        tab.wait_for_selector("[data-choice=A]:enabled")
        assert tab.evaluate("document.documentElement.scrollWidth") == 360
        names = [Path(source).stem for source in tab.evaluate(SOURCES)]
        if bad & set(names):
            choice = "a" if names[1] in bad else "b"
        else:
            choice = "t" if step == 0 else "ab"[better[names[1]] == max(better[name] for name in names)]
        given.append((names, choice))
        tab.keyboard.press(choice)
    tab.wait_for_selector("#end:not([hidden])")
    tab.reload()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download the answers").click()
    assert download.value.suggested_filename == "answers-Ana_7.json"
    path = tmp_path / "answers.json"
    download.value.save_as(path)
    assert path.read_text(encoding="utf-8") == tab.locator("#answers").input_value()
    answers = json.loads(path.read_text(encoding="utf-8"))
    assert [(row["shown"], row["choice"][:1].lower()) for row in answers["answers"]] == given
    document = merge([path], study.key)
    assert document["dropped"] == {} and document["participants"] == ["Ana 7"] and document["trials"] == 5
    for row in answers["answers"]:
        trial = key["trials"][row["trial"]]
        if not trial["check"] and row["choice"] in "AB":
            winner, loser = sorted(trial["systems"], reverse=True)
            assert document["wins"][SYSTEMS.index(winner)][SYSTEMS.index(loser)] > 0


def test_order_and_sides_are_random_and_the_participants_own(tab, study: Study) -> None:
    tab.goto(study.index.as_uri())
    plans = tab.evaluate("[...Array(400)].map((_, index) => window.studyPlan(`p${index}`))")
    assert tab.evaluate("window.studyPlan('p3')") == plans[3]
    data = published(study)
    used = Counter(plan["list"] for plan in plans)
    assert set(used) == set(range(len(data["lists"]))) and max(used.values()) < 1.4 * 400 / len(data["lists"])
    turned, first = Counter(), Counter()
    for plan in plans:
        assert sorted(row["trial"] for row in plan["trials"]) == sorted(data["lists"][plan["list"]])
        flips = [row["shown"] != data["trials"][row["trial"]] for row in plan["trials"]]
        assert sum(flips) in (3, 4)
        for row, flip in zip(plan["trials"], flips, strict=True):
            turned[row["trial"], flip] += 1
        first[plan["list"], plan["trials"][0]["trial"]] += 1
    for id in data["trials"]:
        shown = turned[id, True] + turned[id, False]
        assert abs(turned[id, True] / shown - 0.5) < 4 * 0.5 / shown**0.5
    for number, each in enumerate(data["lists"]):
        assert all(first[number, id] > 0 for id in each)
    assert tab.evaluate("window.studyPlan('p3', '2').list") == 2


def test_a_clip_that_cannot_be_played_can_be_passed_over(browser, study: Study, tmp_path: Path) -> None:
    shutil.copytree(study.index.parent, tmp_path / "page")
    for path in (tmp_path / "page" / "media").iterdir():
        path.write_bytes(b"broken")
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{(tmp_path / 'page' / 'index.html').as_uri()}?participant=7&list=1")
    page.get_by_role("button", name="Start").click()
    for _ in range(7):
        page.get_by_role("button", name="Go on without an answer").click()
    answers = json.loads(page.locator("#answers").input_value())
    assert answers["list"] == 1 and {row["choice"] for row in answers["answers"]} == {"unplayable"}
    context.close()


def test_it_works_when_served_under_the_strict_policy(browser, study: Study) -> None:
    with served(study.index.parent) as server:
        context = browser.new_context(color_scheme="dark")
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"{server.url}?participant=served")
        page.get_by_role("button", name="Start").click()
        page.get_by_role("button", name="Play A").click()
        page.get_by_text("Play B to the end to answer.", exact=True).wait_for()
        page.get_by_role("button", name="Play B").click()
        page.get_by_role("button", name="No difference").click()
        assert page.locator("#heading").inner_text() == "Comparison 2 of 7"
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert sum(map(int, background[4:-1].split(","))) < 200
        context.close()
    assert errors == []
