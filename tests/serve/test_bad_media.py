"""Media that must not be read, posted together with some that can be."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest
import torch
from intent.bad_media import BAD, GOOD
from serve.serving import client_of, save_model, settings_of

from metalore.intent.errors import IntentError
from metalore.intent.fusion import Fusion
from metalore.intent.image import ImageEncoder
from metalore.intent.motion import MotionEncoder
from metalore.intent.speech import SpeechEncoder
from metalore.serve import create_app

LIMITS = {"has far more than the": "has far more than the 12,000,000 pixels"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A forecaster, and encoders of all three that are not trained."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("kept")
    save_model(root / "model", intent=True)
    for name, kind in (("image", ImageEncoder), ("speech", SpeechEncoder), ("motion", MotionEncoder)):
        kind.small(device="cpu").save(root / "encoders" / name)  # type: ignore[attr-defined]  # all of them have it
    Fusion.small(hidden=8, device="cpu").save(root / "encoders" / "fusion")
    return root / "model", root / "encoders"


def test_of_each_bad_file_one_sentence_is_said_and_the_rest_is_done(folders: tuple[Path, Path]) -> None:
    bad = [(modality, *one) for modality, files in BAD.items() for one in files.values()]
    contents = [(modality, content) for modality, content, _ in bad]
    contents += [(modality, content) for modality, (_, content) in GOOD.items()]
    items = [{modality: base64.b64encode(content).decode()} for modality, content in contents]
    with client_of(folders[0], intent=folders[1]) as client:
        answer = client.post("/embed", json={"items": items})
    assert answer.status_code == 200, answer.text
    answers = answer.json()["items"]
    for place, (modality, _, sentence) in enumerate(bad):
        assert answers[place]["embedding"] is None
        (why,) = answers[place]["problems"]
        assert why["where"] == f"items.{place}.{modality}"
        assert why["detail"].startswith(f"the {modality} of item {place} {LIMITS.get(sentence, sentence)}")
    assert [len(one["embedding"]) for one in answers[len(bad) :]] == [1024] * len(GOOD)


@pytest.mark.parametrize("name", ["image", "speech", "motion", "fusion"])
def test_half_downloaded_weights_are_refused_at_the_start(
    folders: tuple[Path, Path], name: str, tmp_path: Path
) -> None:
    shutil.copytree(folders[1], tmp_path / "encoders")
    weights = tmp_path / "encoders" / name / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(IntentError, match=f"{name}/model.safetensors is not what its card was written for"):
        create_app(settings_of(folders[0], intent=tmp_path / "encoders"))
