"""Media in requests: fused embeddings that /predict takes, and what is said of what cannot be read."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from serve.serving import client_of, problem, rows_at, save_model, settings_of
from starlette.testclient import TestClient

from metalore.intent.errors import IntentError
from metalore.intent.fusion import Fusion
from metalore.intent.image import ImageEncoder
from metalore.intent.motion import MotionEncoder
from metalore.serve import ServeError, create_app


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "kept"
    save_model(folder, intent=True)
    return folder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Image and motion, and a fusion; none is trained, and there is none of speech."""
    folder = tmp_path_factory.mktemp("encoders")
    motion = MotionEncoder.small(device="cpu")
    motion.learn_words(["walks"])
    motion.gallery = ("somebody walks",)
    motion.save(folder / "motion")
    ImageEncoder.small(device="cpu").save(folder / "image")
    Fusion.small(hidden=8, device="cpu").save(folder / "fusion")
    return folder


@pytest.fixture(scope="module")
def client(checkpoint: Path, encoders: Path) -> Iterator[TestClient]:
    torch.set_num_threads(1)
    with client_of(checkpoint, intent=encoders, max_media_items=4, max_media_bytes=100_000) as client:
        yield client


PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
BODY = np.linspace(0, 1, 20 * 63, dtype=np.float32).reshape(20, 21, 3)


def image() -> str:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def motion(array: np.ndarray = BODY, allow_pickle: bool = False) -> str:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return base64.b64encode(file.getvalue()).decode()


def embedded(client: TestClient, *items: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    answer = client.post("/embed", json={"items": items, **more})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_what_is_embedded_is_what_the_encoders_give(client: TestClient, encoders: Path) -> None:
    both, seen = embedded(client, {"name": "north", "image": image(), "motion": motion()}, {"image": image()})
    rows = {
        "image": ImageEncoder.load(encoders / "image", "cpu").embed([Image.fromarray(PIXELS)]),
        "motion": MotionEncoder.load(encoders / "motion", "cpu").embed([BODY]),
    }
    fusion = Fusion.load(encoders / "fusion", "cpu")
    np.testing.assert_allclose(both["embedding"], fusion.fuse(**rows)[0], atol=1e-5)
    np.testing.assert_allclose(seen["embedding"], fusion.fuse(image=rows["image"])[0], atol=1e-5)
    assert (both["name"], seen["name"]) == ("north", None)
    assert both["texts"] == seen["texts"] == {}
    assert both["problems"] == seen["problems"] == []


def test_an_embedding_is_ready_for_a_prediction(client: TestClient) -> None:
    client.post("/observe", json={"rows": rows_at(0)})
    (item,) = embedded(client, {"name": "north", "image": image()})
    question = {"zone_name": item["name"], "active_users": 50}
    with_intent = client.post("/predict", json=question | {"embedding": item["embedding"]}).json()
    assert "embedding" not in with_intent["unused"]
    assert with_intent["forecasts"] != client.post("/predict", json=question).json()["forecasts"]


def test_texts_come_if_they_are_asked_for(client: TestClient) -> None:
    (item,) = embedded(client, {"image": image(), "motion": motion()}, describe=True)
    assert item["texts"]["motion"] == "somebody walks"
    assert isinstance(item["texts"]["image"], str)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"image": base64.b64encode(b"no image").decode()}, "the image of item 1 is no image that can be read"),
        ({"image": "***"}, "the image is no base64"),
        ({"image": "ä"}, "the image is no base64"),
        ({"speech": image()}, "this service has no encoder of speech"),
        ({"motion": motion(BODY[:, :20])}, r"the motion of item 1 has the shape (20, 20, 3)"),
        ({"motion": motion(np.full((3, 21, 3), np.nan))}, "positions that are no numbers"),
        ({"motion": motion(np.array([{}]), True)}, "the motion of item 1 is no motion that can be read"),
    ],
)
def test_one_bad_item_does_not_spoil_the_others(client: TestClient, given: dict[str, str], sentence: str) -> None:
    first, bad, last = embedded(client, {"image": image()}, given, {"motion": motion()})
    assert bad["embedding"] is None
    (why,) = bad["problems"]
    assert why["type"] == "urn:metalore:problem:unreadable-media"
    assert why["status"] == 422
    assert why["where"] == f"items.1.{next(iter(given))}"
    assert sentence in why["detail"]
    assert first["problems"] == last["problems"] == []
    assert len(first["embedding"]) == len(last["embedding"]) == 1024


def test_what_can_be_read_of_an_item_is_fused(client: TestClient) -> None:
    whole, half = embedded(client, {"image": image()}, {"image": image(), "motion": "AAAA"})
    assert half["embedding"] == pytest.approx(whole["embedding"], abs=1e-6)
    assert [why["where"] for why in half["problems"]] == ["items.1.motion"]
    (nothing,) = embedded(client, {"name": "empty"})
    assert nothing == {"name": "empty", "embedding": None, "texts": {}, "problems": [], "verdict": None}


def test_an_image_that_unpacks_to_too_much_is_refused(client: TestClient) -> None:
    file = io.BytesIO()
    Image.new("1", (4000, 4000)).save(file, "PNG")
    (item,) = embedded(client, {"image": base64.b64encode(file.getvalue()).decode()})
    assert "has 4000 x 4000 pixels; at most 12,000,000" in item["problems"][0]["detail"]


def test_requests_that_are_refused_as_a_whole(client: TestClient) -> None:
    assert problem(client.post("/embed", json={"items": []}), 422)["where"] == "items"
    assert "at most 4" in problem(client.post("/embed", json={"items": [{}] * 5}), 422)["detail"]
    assert problem(client.post("/embed", json={"items": [{"smell": "AAAA"}]}), 422)["where"] == "items.0.smell"
    assert problem(client.post("/embed", content=b"{"), 400)["type"].endswith("invalid-json")
    assert problem(client.post("/embed", content=b" " * 100_001), 413)
    assert client.post("/observe", content=b" " * 100_001).status_code == 400  # its own limit is larger
    assert problem(client.get("/embed"), 405)


def test_forecasts_do_not_wait_for_media(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    going, done = threading.Event(), threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        going.set()
        assert done.wait(30)
        raise RuntimeError("a bug")

    monkeypatch.setattr("metalore.serve.media.embed_each", slow)
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(client.post("/embed", json={"items": [{"image": image()}]}).status_code)
    )
    asking.start()
    assert going.wait(30)
    assert client.post("/predict", json={"zone_name": "north", "active_users": 1}).status_code == 200
    assert not answers
    done.set()
    asking.join(30)
    assert answers == [500]


def test_without_encoders_nothing_is_embedded(checkpoint: Path) -> None:
    with client_of(checkpoint) as client:
        refused = problem(client.post("/embed", json={"items": [{}]}), 404)
    assert refused["type"] == "urn:metalore:problem:no-intent"
    assert "--intent FOLDER" in refused["detail"]


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By name, and what each changes; all are about walking."""
    changes = {"some": {"north": 0.5}, "elsewhere": {"nowhere": 0.5}}
    entries: dict[str, Any] = {name: {"words": "somebody walks", "changes": own} for name, own in changes.items()}
    entries["talk"] = {"words": "a speech before parliament", "changes": {"north": 0.05}}
    path = tmp_path_factory.mktemp("policies") / "policies.json"
    path.write_text(json.dumps({"policies": entries}))
    return path


def test_only_what_is_accepted_has_an_embedding(checkpoint: Path, encoders: Path, policies: Path) -> None:
    with client_of(checkpoint, intent=encoders, policies=policies) as client:
        item = {"motion": motion()}
        asked = {"items": [item | {"policy": "some"}]}
        assert problem(client.post("/embed", json=asked), 503)["detail"].startswith("nothing was observed yet")
        for time_s in range(0, 300, 60):
            client.post("/observe", json={"rows": rows_at(time_s)})
        names = ("some", "elsewhere", "talk")
        plain, *judged = embedded(client, item, *(item | {"policy": name} for name in names), {"policy": "some"})
        refused = problem(client.post("/embed", json={"items": [item, item | {"policy": "sum"}]}), 422)
    accepted, *rejected = judged
    assert plain["verdict"] is None
    assert accepted["verdict"]["accepted"]
    assert accepted["embedding"] == plain["embedding"]
    assert accepted["texts"] == {"motion": "somebody walks"}
    assert [one["embedding"] for one in rejected] == [None] * 3
    assert not any(one["verdict"]["accepted"] for one in rejected)
    sentences = ("no forecast expects to change in nowhere", "is not about", "it says nothing")
    for one, sentence in zip(rejected, sentences, strict=True):
        assert sentence in one["verdict"]["reason"]
    assert refused["detail"] == "there is no policy 'sum' here; this service knows some, elsewhere, talk"
    assert refused["where"] == "items.1.policy"


def test_a_service_without_policies_judges_nothing(client: TestClient) -> None:
    refused = problem(client.post("/embed", json={"items": [{"policy": "some"}]}), 422)
    assert "this service knows none, start it with --policies FILE" in refused["detail"]


def test_policies_that_cannot_be(checkpoint: Path, encoders: Path, policies: Path, tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="policies judge media of /embed, which needs encoders"):
        create_app(settings_of(checkpoint, policies=policies))
    (tmp_path / "policies.json").write_text("[]")
    with pytest.raises(IntentError, match=r"policies\.json: the file: input should be an object"):
        create_app(settings_of(checkpoint, intent=encoders, policies=tmp_path / "policies.json"))


def test_encoders_that_cannot_be(checkpoint: Path, encoders: Path, tmp_path: Path) -> None:
    with pytest.raises(IntentError, match="has no encoders"):
        create_app(settings_of(checkpoint, intent=tmp_path))
    (tmp_path / "motion").symlink_to(encoders / "motion")
    with pytest.raises(ServeError, match="holds no fusion; train one"):
        create_app(settings_of(checkpoint, intent=tmp_path))


def test_a_motion_encoder_without_descriptions_says_so(checkpoint: Path, encoders: Path, tmp_path: Path) -> None:
    MotionEncoder.small(device="cpu").save(tmp_path / "motion")
    (tmp_path / "fusion").symlink_to(encoders / "fusion")
    with client_of(checkpoint, intent=tmp_path) as client:
        body = {"items": [{"motion": motion()}], "describe": True}
        assert "knows no descriptions yet" in problem(client.post("/embed", json=body), 422)["detail"]
