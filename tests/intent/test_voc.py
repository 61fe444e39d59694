"""PASCAL VOC 2012 in its own layout: a tiny tree that the tests write."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image

from metalore.intent.errors import IntentError
from metalore.intent.voc import WORDS, caption_of, load_voc

OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult>
<bndbox><xmin>{left}</xmin><ymin>10</ymin><xmax>{right}</xmax><ymax>60</ymax></bndbox>
<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>400</xmax><ymax>400</ymax></bndbox></part></object>"""

IMAGES = {
    "2007_000001": [("person", 0, 50, 0), ("dog", 0, 70, 0), ("person", 100, 180, 0)],
    "2007_000002": [("sheep", 0, 9, 0)],
    "2007_000003": [("bus", 0, 90, 0), ("car", 0, 5, 1)],
    "2007_000004": [("car", 0, 5, 1)],
}
LISTS = {"train": ["2007_000001"], "val": ["2007_000002", "2007_000003", "2007_000004"]}


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name, objects in IMAGES.items():
        Image.new("RGB", (200, 100)).save(root / "JPEGImages" / f"{name}.jpg")
        found = "".join(
            OBJECT.format(name=kind, left=left, right=right, difficult=difficult)
            for kind, left, right, difficult in objects
        )
        text = f"<annotation><filename>{name}.jpg</filename>{found}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
    for part, names in LISTS.items():
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(names) + "\n")
    return root


def test_parts_and_captions_are_those_of_the_lists_and_boxes(tree):
    data = load_voc(tree)
    said = {part: [(picture.image.stem, *picture.captions) for picture in data[part]] for part in data}
    assert said == {
        "train": [("2007_000001", "two people and a dog")],
        "validation": [("2007_000002", "a sheep"), ("2007_000004", "a car")],
        "test": [("2007_000003", "a bus")],
    }


def test_the_folder_above_will_do(tree):
    assert load_voc(tree.parent) == load_voc(tree) == load_voc(tree.parent.parent)


def test_captions_of_a_file_come_before_those_made_from_boxes(tree, tmp_path):
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"2007_000001.jpg": ["Two men walk a dog. ", "A dog"], "2007_000003": "A red bus"}))
    data = load_voc(tree, path)
    assert data["train"][0].captions == ("Two men walk a dog.", "A dog")
    assert data["test"][0].captions == ("A red bus",)
    assert data["validation"][0].captions == ("a sheep",)


def test_captions_count_and_put_first_what_takes_up_most():
    assert caption_of([("cat", 9.0)]) == "a cat"
    assert caption_of([("cat", 9.0), ("sofa", 50.0)]) == "a sofa and a cat"
    assert caption_of([("cat", 9.0), ("sofa", 50.0), ("tvmonitor", 20.0)]) == "a sofa, a television and a cat"
    assert caption_of([("sheep", 1.0)] * 3) == "three sheep"
    assert caption_of([("person", 1.0)] * 9) == "several people"
    assert caption_of([("bus", 5.0), *[("cow", 2.0)] * 3]) == "three cows and a bus"


def test_all_twenty_classes_have_words():
    assert len(WORDS) == 20
    with pytest.raises(IntentError, match="VOC has no class 'zebra'; it has aeroplane"):
        caption_of([("zebra", 1.0)])


def test_what_is_missing_or_damaged_is_named(tree, tmp_path):
    with pytest.raises(IntentError, match="holds no PASCAL VOC"):
        load_voc(tmp_path / "none")
    annotation = tree / "Annotations" / "2007_000001.xml"
    for content, words in (
        ("<annotation><object>", "cannot be read"),
        ("<annotation><object><name>cow</name></object></annotation>", "cannot be read"),
        ("<annotation></annotation>", "has no object"),
    ):
        annotation.write_text(content)
        with pytest.raises(IntentError, match=f"2007_000001.xml {words}"):
            load_voc(tree)
    annotation.unlink()
    with pytest.raises(IntentError, match=r"2007_000001.xml cannot be read .*No such file"):
        load_voc(tree)
    (tree / "JPEGImages" / "2007_000001.jpg").unlink()
    with pytest.raises(IntentError, match=r"2007_000001.jpg is listed and not there"):
        load_voc(tree)
    (tree / "ImageSets" / "Main" / "train.txt").write_text("\n")
    with pytest.raises(IntentError, match=r"train.txt is empty"):
        load_voc(tree)
    shutil.rmtree(tree / "ImageSets")
    with pytest.raises(IntentError, match=r"the list .*val.txt cannot be read"):
        load_voc(tree)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "they must be JSON"),
        ("[]", "no JSON object"),
        ('{"a": []}', "no sentence for 'a'"),
        ('{"a": [" "]}', "no sentence for 'a'"),
        ('{"a": 3}', "no sentence for 'a'"),
    ],
)
def test_captions_that_are_none_are_refused(tree, tmp_path, content, words):
    path = tmp_path / "captions.json"
    path.write_text(content)
    with pytest.raises(IntentError, match=words):
        load_voc(tree, path)
