"""`metalore intent`: from made media to fused embeddings with tiny encoders, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from cli.calling import call, refusal
from PIL import Image

from metalore.forecast import Panel
from metalore.intent.errors import IntentError
from metalore.intent.fusion import WIDTHS, Fusion
from metalore.intent.image import ImageEncoder
from metalore.intent.library import ACTIVITIES, PARTS
from metalore.intent.motion import MotionEncoder
from metalore.scenario import load
from metalore.telemetry import Recording, TelemetryError, record

ITEMS = 36


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of tiny images in colours and motions at speeds by activity; its speech is missing."""
    folder, rng, items = tmp_path_factory.mktemp("media") / "library", np.random.default_rng(0), []
    for name in ("images", "motions"):
        (folder / name).mkdir(parents=True)
    for number in range(ITEMS):
        activity = number % len(ACTIVITIES)
        item = {"id": f"{number:05d}", "activity": ACTIVITIES[activity], "part": PARTS[number // len(ACTIVITIES) % 3]}
        item |= {"image": f"images/{item['id']}.png", "caption": "a place", "motion": f"motions/{item['id']}.npy"}
        items.append(item | {"description": f"goes {activity} times"})
        colours = 40 * activity + rng.integers(0, 40, (8, 8, 3))
        Image.fromarray(colours.astype(np.uint8)).save(folder / item["image"])
        body = rng.standard_normal((21, 3)) + activity * np.linspace(0, 1, 18)[:, None, None]
        np.save(folder / item["motion"], body.astype(np.float32))
    index = {"format": "metalore-media-1", "seed": 0, "items": items}
    (folder / "library.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def kept(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of encoders: an image encoder that is not trained, a motion encoder and a fusion that are."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("kept") / "encoders"
    ImageEncoder.small().save(folder / "image")
    for words in (["motion"], ["fusion", "--encoders", folder]):
        result = call("intent", "train", *words, "--data", media, "--out", folder / words[0], "--epochs", 2)
        assert result.exit_code == 0, result.output
        assert "epoch 2 of 2" in result.stderr
        assert "validation part" in result.stdout
    return folder


def test_help_fits_and_shows_examples() -> None:
    for name in ("library", "train", "evaluate", "attach", "encode", "fuse"):
        result = call("intent", name, "--help")
        assert result.exit_code == 0
        assert max(map(len, result.stdout.splitlines())) <= 80
        assert f"metalore intent {name} " in result.stdout.partition("Example")[2]


def test_a_library_is_made(tmp_path: Path) -> None:
    result = call("intent", "library", tmp_path / "media", "--items", 6, "--modality", "motion", "--seed", 3)
    assert result.exit_code == 0, result.output
    index = json.loads((tmp_path / "media" / "library.json").read_text())
    assert len(index["items"]) == len(list((tmp_path / "media" / "motions").iterdir())) == 6
    assert index["seed"] == 3
    assert "no modality 'smell'" in refusal("intent", "library", tmp_path / "other", "--modality", "smell")


def test_an_interrupted_training_goes_on(media: Path, kept: Path, tmp_path: Path) -> None:
    words = ("intent", "train", "fusion", "--data", media, "--encoders", kept, "--out", tmp_path / "mine")
    assert "holds no epoch to go on from" in refusal(*words, "--resume")
    assert call(*words, "--epochs", 1).exit_code == 0
    assert "holds no epoch to go on from" in refusal(*words, "--epochs", 1, "--resume")  # it is finished


def test_images_of_a_library_are_learned_from_scratch(media: Path, tmp_path: Path) -> None:
    result = call("intent", "train", "image", "--data", media, "--out", tmp_path / "image", "--epochs", 1)
    assert result.exit_code == 0, result.output
    assert "activity" in result.stdout
    (caption,) = ImageEncoder.load(tmp_path / "image", "cpu").describe([media / "images" / "00000.png"])
    assert set(caption.split()) <= {"a", "place"}  # the words of its captions


def test_real_data_are_learned_from_published_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[object, ...]] = []

    def pretrained(*name: object) -> None:
        begun.append(name)
        raise IntentError("no network here")

    monkeypatch.setattr(ImageEncoder, "pretrained", pretrained)
    voc = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "ImageSets/Main"):
        (voc / folder).mkdir(parents=True)
    for part, names in (("train", ["a"]), ("val", ["b", "c"])):
        (voc / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names))
        for name in names:
            Image.new("RGB", (8, 8)).save(voc / "JPEGImages" / f"{name}.jpg")
    (tmp_path / "captions.json").write_text(json.dumps(dict.fromkeys("abc", "a dog")))
    words = ("intent", "train", "image", "--data", tmp_path, "--captions", tmp_path / "captions.json")
    for more in ([], ["--from", "mine/blip"]):
        with pytest.raises(IntentError, match="no network here"):
            call(*words, "--out", tmp_path / "new", *more)
    assert begun == [(), ("mine/blip",)]


def test_encoders_are_judged(media: Path, kept: Path) -> None:
    motion = call("intent", "evaluate", kept / "motion", "--data", media, "--part", "validation")
    assert motion.exit_code == 0, motion.output
    assert "r_precision_1" in motion.stdout
    fusion = call("intent", "evaluate", kept / "fusion", "--data", media, "--encoders", kept)
    assert fusion.exit_code == 0, fusion.output
    rows = [line.split("  ")[0].strip() for line in fusion.stdout.splitlines()]
    assert {"fused", "concatenation", "image", "motion"} <= set(rows)
    assert "speech" not in rows


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_from_files_to_fused_embeddings(ending: str, media: Path, kept: Path, tmp_path: Path) -> None:
    tables = {}
    for what, folder in (("image", "images"), ("motion", "motions")):
        tables[what] = tmp_path / (what + ending)
        sources = [media / folder] if what == "motion" else sorted((media / folder).iterdir())[:5]
        result = call("intent", "encode", *sources, "--encoder", kept / what, "--out", tables[what])
        assert result.exit_code == 0, result.output
    image = pd.read_csv(tables["image"], dtype={"item": str}) if ending == ".csv" else pd.read_parquet(tables["image"])
    assert list(image.columns[:4]) == ["item", "file", "modality", "text"]
    assert image.shape == (5, 4 + 768)
    assert list(image["item"][:2]) == ["00000", "00001"]
    out = tmp_path / f"fused{ending}"
    result = call("intent", "fuse", *tables.values(), "--fusion", kept / "fusion", "--out", out)
    assert result.exit_code == 0, result.output
    fused = pd.read_csv(out) if ending == ".csv" else pd.read_parquet(out)
    assert list(fused["modalities"][:6]) == ["image motion"] * 5 + ["motion"]
    images = np.full((ITEMS, WIDTHS["image"]), np.nan)
    images[:5] = ImageEncoder.load(kept / "image").embed(sorted((media / "images").iterdir())[:5])
    motion = MotionEncoder.load(kept / "motion").embed(sorted((media / "motions").iterdir()))
    expected = Fusion.load(kept / "fusion").fuse(image=images, motion=motion)
    np.testing.assert_allclose(fused.filter(regex=r"^e\d+$").to_numpy(), expected, atol=1e-5)


def test_a_bad_file_is_named_and_the_rest_is_done(media: Path, kept: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    Image.new("RGB", (8, 8)).save(tmp_path / "fine.png")
    sources = [tmp_path / "missing.png", tmp_path, media / "images" / "00003.png"]
    out = tmp_path / "table.parquet"
    result = call("intent", "encode", *sources, "--encoder", kept / "image", "--out", out, "--no-texts")
    assert result.exit_code == 1
    missing, broken, done = result.stderr.splitlines()
    assert missing.startswith(f"metalore: {tmp_path / 'missing.png'} cannot be read")
    assert broken.startswith(f"metalore: {tmp_path / 'broken.png'} is no image")
    assert done == f"2 rows are in {out}"
    table = pd.read_parquet(out)
    assert list(table["item"]) == ["fine", "00003"]
    assert "text" not in table


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of a city; matches in its first zone of events."""
    folder, scenario = tmp_path_factory.mktemp("city") / "run", load("city-30", step_s=10, users__count=20)
    assert scenario.city is not None
    zone = scenario.city.events[0].zone
    soon = {"name": "match", "zone": zone, "from_s": 300.0, "duration_s": 60.0, "lead_s": 0.0, "every_s": 360.0}
    record(
        scenario.updated(city=scenario.city.model_dump() | {"events": [soon]}), folder, duration_s=600, interval_s=60
    )
    return folder


def test_a_fusion_learns_to_expect_demand(media: Path, kept: Path, run: Path, tmp_path: Path) -> None:
    words = ("intent", "train", "fusion", "--data", media, "--encoders", kept, "--out", tmp_path / "new")
    result = call(*words, "--epochs", 2, "--demand", run, "--horizon", 1)
    assert result.exit_code == 0, result.output
    assert "demand" in result.stdout
    fusion = Fusion.load(tmp_path / "new")
    assert fusion.shape.demands == 1
    assert fusion.network.demand_mean.item() > 0
    seen = ImageEncoder.load(kept / "image").embed(sorted((media / "images").iterdir())[:3])
    assert fusion.expect(fusion.fuse(image=seen)).shape == (3, 1)
    assert "no zone needs anything 9 intervals" in refusal(*words, "--demand", run, "--horizon", 9)
    assert "it is 1 interval or more" in refusal(*words, "--demand", run, "--horizon", 0)
    assert "--demand is for fusion; motion is trained without" in refusal(
        "intent", "train", "motion", "--data", media, "--out", tmp_path / "motion", "--demand", run
    )


def test_zones_of_a_recorded_city_show_media(media: Path, kept: Path, run: Path) -> None:
    scenario = Recording.load(run).scenario
    assert scenario.city is not None
    zone = scenario.city.events[0].zone
    words = ("intent", "attach", run, "--data", media, "--encoders", kept, "--unseen", 0.3)
    result = call(*words, "--ahead", 120)
    assert result.exit_code == 0, result.output
    assert "in 100 % of the time; announced events: 2" in result.stderr  # at 300 s and 660 s
    panel = Panel.of(run)
    assert panel.intent is not None
    assert panel.intent_of is not None
    assert panel.intent.shape == (ITEMS, 1024)
    np.testing.assert_allclose(np.linalg.norm(panel.intent, axis=1), 1, rtol=1e-5)
    going_on = Recording.load(run).table().pivot(index="time_s", columns="zone", values="activity")[list(panel.zones)]
    shown = np.array([None, *ACTIVITIES])[np.where(panel.intent_of < 0, 0, 1 + panel.intent_of % len(ACTIVITIES))]
    expected = going_on.to_numpy(object)
    expected[[3, 4, 5, 9], panel.zones.index(zone)] = "sport"
    np.testing.assert_array_equal(shown, expected)
    parts = np.array(PARTS)[panel.intent_of // len(ACTIVITIES) % 3]
    there = panel.intent_of >= 0
    assert set(parts[:7][there[:7]]) == {"train"}
    assert set(parts[7:][there[7:]]) == {"test"}
    np.testing.assert_array_equal(Panel.of(run, zones=panel.zones[3:5]).intent_of, panel.intent_of[:, 3:5])
    assert "--shows is 'match'; say EVENT=ACTIVITY" in refusal(*words, "--shows", "match")
    assert "--unseen below 1" in refusal(*words, "--unseen", 1)
    np.savez(run / "intent.npz", intent=panel.intent, intent_of=panel.intent_of[:5])
    with pytest.raises(TelemetryError, match=r"their numbers \[10, 30\].* and \[5, 30\]"):
        Panel.of(run)
    np.savez(run / "intent.npz", intent=panel.intent)
    with pytest.raises(TelemetryError, match="holds no embeddings"):
        Panel.of(run)


def test_what_is_refused(media: Path, kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    image, motion = media / "images" / "00000.png", media / "motions"
    encode = ("intent", "encode")
    assert "no known ending" in refusal(*encode, image, "--encoder", kept / "image", "--out", tmp_path / "x.txt")
    assert "holds no encoder" in refusal(*encode, image, "--encoder", media, "--out", out)
    assert "use `metalore intent fuse`" in refusal(*encode, image, "--encoder", kept / "fusion", "--out", out)
    assert "no files that end in .png" in refusal(*encode, motion, "--encoder", kept / "image", "--out", out)
    train = ("intent", "train")
    where = ("--data", media, "--out", tmp_path / "new")
    assert "'smell' cannot be trained" in refusal(*train, "smell", *where)
    assert "--epochs is 0" in refusal(*train, "image", *where, "--epochs", 0)
    assert "--seed is -1" in refusal(*train, "image", *where, "--seed", -1)
    assert "fusion needs --encoders" in refusal(*train, "fusion", *where)
    assert "has no encoders" in refusal(*train, "fusion", *where, "--encoders", media)
    assert "--captions are for PASCAL VOC" in refusal(*train, "image", *where, "--captions", "x.json")
    assert "the part 'train' has no utterances" in refusal(*train, "speech", *where)
    assert "holds no data that is known" in refusal(*train, "image", "--data", tmp_path, "--out", tmp_path / "new")
    (tmp_path / "kit" / "new_joints").mkdir(parents=True)
    assert "is KIT-ML, which is for motion, not for image" in refusal(
        *train, "image", "--data", tmp_path / "kit", "--out", tmp_path / "new"
    )
    assert "lacks texts" in refusal(*train, "motion", "--data", tmp_path / "kit", "--out", tmp_path / "new")
    assert "is no made library" in refusal(
        *train, "fusion", "--data", tmp_path / "kit", "--encoders", kept, "--out", tmp_path / "new"
    )
    assert "there is no part 'tests'" in refusal(
        "intent", "evaluate", kept / "image", "--data", media, "--part", "tests"
    )


def test_tables_that_cannot_be_fused(media: Path, kept: Path, tmp_path: Path) -> None:
    table, out = tmp_path / "motion.csv", tmp_path / "out.csv"
    fuse = ("intent", "fuse")
    how = ("--fusion", kept / "fusion", "--out", out)
    call("intent", "encode", media / "motions" / "00000.npy", "--encoder", kept / "motion", "--out", table)
    assert "the item 00000 comes twice with motion" in refusal(*fuse, table, table, *how)
    assert "holds an encoder of motion" in refusal(*fuse, table, "--fusion", kept / "motion", "--out", out)
    (tmp_path / "empty.csv").write_text("")
    assert "cannot be read as a table" in refusal(*fuse, tmp_path / "empty.csv", *how)
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert "has no columns item, modality" in refusal(*fuse, tmp_path / "other.csv", *how)
    (tmp_path / "smell.csv").write_text("item,modality,e0\na,smell,1\n")
    assert "rows of the modality 'smell'" in refusal(*fuse, tmp_path / "smell.csv", *how)
    (tmp_path / "narrow.csv").write_text("item,modality,e0\na,motion,1\n")
    assert "embeddings of motion are float32 [1, 1]" in refusal(*fuse, tmp_path / "narrow.csv", *how)
    assert "No such file" in refusal(*fuse, tmp_path / "missing.csv", *how)


def test_a_folder_of_encoders_has_each_under_its_name(media: Path, kept: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "speech").symlink_to(kept / "image")
    assert "holds an encoder of image; a folder of encoders has each under its name" in refusal(
        "intent", "train", "fusion", "--data", media, "--encoders", tmp_path / "wrong", "--out", tmp_path / "new"
    )
