"""What each path answers, and what it refuses."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from serve.serving import COLUMNS, STEP_S, ZONES, client_of, problem, rows_at, save_model
from starlette.testclient import TestClient

from metalore.cli.serve import serve
from metalore.forecast import INTENT_SIZE, Stream, load_forecaster
from metalore.serve import ServeError, ServeSettings, create_app

EMBEDDING = [0.5] * INTENT_SIZE


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "kept"
    save_model(folder)
    return folder


@pytest.fixture
def client(checkpoint: Path) -> Iterator[TestClient]:
    with client_of(checkpoint) as client:
        yield client


def fed(client: TestClient, intervals: int = 6) -> list[dict[str, Any]]:
    """Feed rows; they are returned."""
    rows = [row for t in range(intervals) for row in rows_at(STEP_S * t, 5 + 0.1 * t)]
    assert client.post("/observe", json={"rows": rows}).json()["taken"] == len(rows)
    return rows


def quantiles_of(answer: dict[str, Any]) -> np.ndarray:
    """[h, f, q]."""
    return np.array([[list(h[c].values()) for c in COLUMNS] for h in answer["forecasts"]])


def test_a_prediction_is_the_forecast_after_such_a_row(client: TestClient, checkpoint: Path) -> None:
    rows = fed(client)
    question = {"zone_name": "south", "active_users": 80, "zone_features": {"cpu_cores": 7.5, "requests": 3}}
    answer = client.post("/predict", json=question).json()
    stream = Stream(load_forecaster(checkpoint))
    stream.observe([{**dict.fromkeys(stream.columns), **row} for row in rows])
    stream.observe([rows_at(300, 7.5)[1] | {"active_users": 80.0}])
    expected = stream.forecast()
    np.testing.assert_allclose(quantiles_of(answer), expected.quantiles[1], rtol=1e-4)
    assert [h["time_s"] for h in answer["forecasts"]] == [360.0, 480.0]
    assert [h["horizon_s"] for h in answer["forecasts"]] == [60.0, 180.0]
    assert (answer["zone"], answer["made_at_s"], answer["fallback"]) == ("south", 300.0, False)
    assert answer["unused"] == ["requests"]
    assert answer["units"] == {"cpu_cores": "cores", "latency_ms": "ms"}
    assert answer["model"] == client.get("/model").json()["model"]
    same = client.post("/predict", json={"zone_name": "south", "active_users": 50}).json()
    assert np.abs(quantiles_of(same) - quantiles_of(answer)).max() > 1e-3


def test_an_empty_window_gives_usual_values(client: TestClient) -> None:
    answer = client.post("/predict", json={"zone_name": "north", "active_users": 50}).json()
    assert answer["fallback"] is True
    assert answer["made_at_s"] == 0.0
    assert (np.abs(quantiles_of(answer)[..., 1] - 5) < 4).all()
    assert problem(client.get("/forecasts"), 503)["type"].endswith("not-ready")
    assert problem(client.get("/readyz"), 503)
    client.post("/observe", json={"rows": rows_at(0)[:1]})
    known = [client.post("/predict", json={"zone_name": zone, "active_users": 1}).json() for zone in ZONES]
    assert [answer["fallback"] for answer in known] == [False, True, True]


def test_a_batch_is_as_if_asked_alone(client: TestClient) -> None:
    fed(client)
    questions = [{"zone_name": zone, "active_users": users} for zone in ZONES for users in (1, 90)]
    alone = [client.post("/predict", json=question).json() for question in questions]
    together = client.post("/predict/batch", json={"zones": questions}).json()
    assert together["made_at_s"] == 300.0
    for one, other in zip(alone, together["zones"], strict=True):
        np.testing.assert_allclose(quantiles_of(one), quantiles_of(other), rtol=1e-4)
        assert (one["zone"], one["fallback"]) == (other["zone"], other["fallback"])
    wrong = problem(
        client.post("/predict/batch", json={"zones": [questions[0], {"zone_name": "w", "active_users": 1}]}), 422
    )
    assert wrong["where"] == "zones.1.zone_name"


def test_the_short_cut_answers_as_fastapi_does(client: TestClient) -> None:
    fed(client)
    body = {"zone_name": "west", "active_users": 3}
    inside = TestClient(client.app.behind_the_gate)
    posts: dict[str, Any] = {"/predict": body, "/predict/batch": {"zones": [body]}, "/observe": {"rows": rows_at(0)}}
    for path, content in posts.items():
        assert inside.post(path, json=content).json() == client.post(path, json=content).json()
    assert problem(inside.post("/predict", json={}), 422)
    assert problem(inside.post("/predict", json={"zone_name": "w", "active_users": 1}), 422)


def test_forecasts_of_all_zones_are_cached_until_something_comes(client: TestClient, checkpoint: Path) -> None:
    rows = fed(client)
    first = client.get("/forecasts").json()
    stream = Stream(load_forecaster(checkpoint))
    stream.observe(rows)
    found = np.stack([quantiles_of(zone) for zone in first["zones"]])
    np.testing.assert_allclose(found, stream.forecast().quantiles, rtol=1e-5)
    engine = client.app.service.engine
    kept = engine.forecast()
    assert engine.forecast() is kept
    assert client.post("/observe", json={"rows": rows_at(360)}).status_code == 200
    assert engine.forecast() is not kept
    assert client.get("/forecasts").json()["made_at_s"] == 360.0


def test_rows_late_repeated_and_wrong(client: TestClient) -> None:
    fed(client)
    counts = client.post("/observe", json={"rows": rows_at(300) + rows_at(60)[:1] + rows_at(360)}).json()
    assert (counts["taken"], counts["repeated"], counts["late"]) == (7, 4, 1)
    bad = [{"time_s": 361, "zone": "north"}, {"time_s": 360, "zone": "nroth"}, *rows_at(420)]
    assert "did you mean 'north'" in problem(client.post("/observe", json={"rows": bad[1:]}), 422)["detail"]
    assert problem(client.post("/observe", json={"rows": bad}), 422)["type"].endswith("refused-rows")
    assert client.get("/zones").json()["newest_s"] == 360.0
    counts = client.post("/observe", json={"rows": bad, "strict": False}).json()
    assert (counts["taken"], counts["unknown_zone"], counts["off_grid"]) == (3, 1, 1)
    assert client.post("/observe", json={"rows": []}).json()["taken"] == 0
    assert len(client.app.service.window.rows()) == 3 * 8


def test_zones_model_and_health(client: TestClient, checkpoint: Path) -> None:
    client.post("/observe", json={"rows": [*rows_at(0), *rows_at(60)[:1]]})
    zones = client.get("/zones").json()
    assert [zone["zone"] for zone in zones["zones"]] == list(ZONES)
    assert [zone["age_s"] for zone in zones["zones"]] == [0.0, 60.0, 60.0]
    assert all(0 <= zone["received_ago_s"] < 60 for zone in zones["zones"])
    assert zones["zones"][2]["x"] == 4.0
    about = client.get("/model").json()
    assert about["card"] == json.loads((checkpoint / "card.json").read_text())
    assert about["bundled"] is False
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_metrics(client: TestClient) -> None:
    fed(client)
    client.post("/observe", json={"rows": rows_at(360, 9.0)})  # forecast from 300 s before, and judged
    client.get("/nowhere")
    page = client.get("/metrics").text
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in page.splitlines() if line[0] != "#"}
    forecast = client.get("/forecasts").json()["zones"][1]["forecasts"][0]
    for column in COLUMNS:
        gauge = values[f'stgnn_{column}{{horizon="60",quantile="0.9",zone="south"}}']
        assert gauge == pytest.approx(forecast[column]["p90"], rel=1e-5)
    assert values['metalore_rows_total{outcome="taken"}'] == 21
    assert values['metalore_requests_total{method="POST",path="/observe",status="200"}'] == 2
    assert values['metalore_requests_total{method="GET",path="other",status="404"}'] == 1
    assert 0 <= values['metalore_staleness_seconds{zone="west"}'] < 60
    assert values['metalore_forecast_judged_total{horizon="60",target="cpu_cores"}'] == 3
    assert 6 < values['metalore_forecast_absolute_error_total{horizon="60",target="cpu_cores"}'] < 18
    assert values['metalore_forecast_above_p90_total{horizon="60",target="cpu_cores"}'] == 3
    client.post("/observe", json={"rows": rows_at(360, 9.0)})
    assert 'judged_total{horizon="60",target="cpu_cores"} 3.0' in client.get("/metrics").text


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "no JSON"),
        (b"\xff\xfe", 400, "no JSON"),
        (b"", 400, "no JSON"),
        (b"[]", 422, "object"),
        (b'{"zone_name":"north"}', 422, "active_users"),
        (b'{"zone_name":"nroth","active_users":1}', 422, "did you mean 'north'"),
        (b'{"zone_name":"north","active_users":-1}', 422, "active_users"),
        (b'{"zone_name":"north","active_users":NaN}', 422, "active_users"),
        (b'{"zone_name":"north","active_users":1e999}', 422, "active_users"),
        (b'{"zone_name":"north","active_users":"many"}', 422, "active_users"),
        (b'{"zone_name":"north","active_users":1,"user":1}', 422, "user"),
        (b'{"zone_name":"north","active_users":1,"zone_features":{"cpu_core":1}}', 422, "did you mean 'cpu_cores'"),
        (b'{"zone_name":"north","active_users":1,"zone_features":{"cpu_cores":-1}}', 422, "negative"),
        (b'{"zone_name":"north","active_users":1,"zone_features":{"jitter_ms":-1}}', 422, "negative"),
        (json.dumps({"zone_name": "north", "active_users": 1, "embedding": [0.0] * 1023}).encode(), 422, "embedding"),
        (b'{"zone_name":"north","active_users":1,"embedding":[' + b",".join([b"NaN"] * 1024) + b"]}", 422, "embedding"),
        (b'{"zone_name":"north","active_users":1e300}', 422, "less than"),
    ],
)  # fmt: skip
def test_wrong_questions(client: TestClient, body: bytes, status: int, words: str) -> None:
    assert words in problem(client.post("/predict", content=body), status)["detail"]
    assert client.get("/healthz").status_code == 200


def test_wrong_paths_methods_and_rows(client: TestClient) -> None:
    assert problem(client.get("/nowhere"), 404)
    answer = client.get("/predict")
    assert problem(answer, 405)
    assert answer.headers["allow"] == "POST"
    for row in (
        {"time_s": 0},
        {"time_s": 0, "zone": "north", "active_users": -3},
        {"time_s": 0, "zone": "north", "x": "y"},
    ):
        assert problem(client.post("/observe", json={"rows": [row]}), 422)["where"].startswith("rows.0")
    assert problem(client.post("/observe", content=b'{"rows":[{"time_s":NaN,"zone":"north"}]}'), 422)
    assert problem(client.post("/predict/batch", json={"zones": []}), 422)


def test_bodies_that_are_too_large(client: TestClient) -> None:
    large = b'{"zone_name":"' + b"x" * 10_000_000 + b'"}'

    def parts() -> Iterator[bytes]:
        for i in range(0, len(large), 1_000_000):
            yield large[i : i + 1_000_000]

    assert problem(client.post("/predict", content=large), 413)
    assert problem(client.post("/predict", content=parts()), 413)
    assert problem(client.post("/observe", content=parts()), 413)


def test_more_zones_than_allowed(checkpoint: Path) -> None:
    with client_of(checkpoint, max_batch_zones=2) as client:
        questions = [{"zone_name": "north", "active_users": 1}] * 3
        assert "at most 2" in problem(client.post("/predict/batch", json={"zones": questions}), 422)["detail"]


def test_a_token(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("open sesame\n")
    for given in ({"token": "open sesame"}, {"token_file": tmp_path / "token"}):
        with client_of(checkpoint, **given) as client:
            assert problem(client.get("/zones"), 401)
            for wrong in ("Bearer open", "open sesame", "Basic open sesame", "Bearer "):
                answer = client.get("/model", headers={"authorization": wrong})
                assert problem(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
            assert problem(client.get("/nowhere"), 401)
            assert problem(client.post("/predict", json={}), 401)
            assert client.get("/zones", headers={"authorization": "Bearer open sesame"}).status_code == 200
            assert client.get("/healthz").status_code == 200
    with pytest.raises(ServeError, match="cannot be read"):
        create_app(ServeSettings(checkpoint=checkpoint, token_file=tmp_path / "none"))


def test_a_failure_is_a_problem_and_the_service_lives(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = client.app.service.engine

    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(engine, "answer", fail)
    monkeypatch.setattr(engine, "about_zones", fail)
    for answer in (client.post("/predict", json={"zone_name": "north", "active_users": 1}), client.get("/zones")):
        assert "secret" not in problem(answer, 500)["detail"]
    monkeypatch.undo()
    assert client.post("/predict", json={"zone_name": "north", "active_users": 1}).status_code == 200


def test_a_request_that_takes_too_long(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with client_of(checkpoint, request_timeout_s=0.05) as client:

        async def wait(*_: object) -> bytes:
            await asyncio.sleep(5)
            return b""

        monkeypatch.setattr(client.app.service, "zones", wait)
        assert problem(client.get("/zones"), 408)


def test_an_embedding_counts_where_the_model_takes_it(tmp_path: Path, client: TestClient) -> None:
    question = {"zone_name": "north", "active_users": 1, "embedding": EMBEDDING}
    assert client.post("/predict", json=question).json()["unused"] == ["embedding"]
    save_model(tmp_path / "kept", intent=True)
    with client_of(tmp_path / "kept") as taking:
        answer = taking.post("/predict", json=question).json()
        other = taking.post("/predict", json=question | {"embedding": [-3.0] * INTENT_SIZE}).json()
        assert answer["unused"] == []
        assert np.abs(quantiles_of(answer) - quantiles_of(other)).max() > 1e-3


@pytest.mark.parametrize("name", ["last-value", "ridge"])
def test_other_forecasters_are_served_too(tmp_path: Path, name: str) -> None:
    save_model(tmp_path / "kept", name=name, users=False)
    with client_of(tmp_path / "kept") as client:
        rows = [row for t in range(3) for row in rows_at(STEP_S * t)]
        client.post("/observe", json={"rows": rows})
        answer = client.post(
            "/predict", json={"zone_name": "north", "active_users": 1, "zone_features": {"cpu_cores": 9.0}}
        ).json()
        assert answer["unused"] == ["active_users"]
        if name == "last-value":
            assert quantiles_of(answer)[0, 0, 1] == pytest.approx(9.0)


def test_unix_times(checkpoint: Path) -> None:
    with client_of(checkpoint, clock="unix") as client:
        monday = 1_700_000_000 // 604_800 * 604_800 + 4 * 86_400
        assert client.post("/observe", json={"rows": rows_at(monday)}).json()["taken"] == 3
        frame = client.app.service.engine.stream.frame
        steps = np.array([monday / STEP_S])
        assert frame.day_of_week(steps)[0] == 0
        assert frame.hour_of_day(steps)[0] == 0


def test_settings_come_from_the_environment() -> None:
    given = {"METALORE_SERVE_PORT": "9", "METALORE_SERVE_TOKEN": "abc", "OTHER": "1"}
    settings = ServeSettings.from_environment(given, port=10)
    assert (settings.port, settings.secret(), settings.host) == (10, "abc", "127.0.0.1")
    assert "abc" not in repr(settings)
    with pytest.raises(ValueError, match="did you mean 'port'"):
        ServeSettings.from_environment({"METALORE_SERVE_PROT": "9"})


def test_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ServeError, match="`make model` makes it"):
        create_app(ServeSettings())
    save_model(tmp_path / "results" / "model")
    with TestClient(create_app(ServeSettings(reload_s=0))) as client:
        assert client.get("/model").json()["bundled"] is True
        assert "bundled" in client.get("/model").json()["note"]


PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")


def test_the_table_of_settings_is_true() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `?([^|`]*)`? \| `?([^|`]*)`? \| (.*) \|$", PAGE.split("## Settings")[1], re.MULTILINE
    )
    listed = {name: (default, option, about) for name, default, option, about in rows}
    for name, field in ServeSettings.model_fields.items():
        default, option, about = listed[name]
        assert default == ("" if field.default is None else str(field.default))
        assert about == field.description
        assert option == (f"--{name.replace('_', '-')}" if name in inspect.signature(serve).parameters else "")


def test_the_examples_work(client: TestClient) -> None:
    commands = re.findall(r"^curl -s localhost:8000(\S+)(?: -d '([^']*)')?", PAGE, re.MULTILINE)
    assert {path for path, _ in commands} == {
        "/observe", "/predict", "/predict/batch", "/forecasts", "/zones", "/model", "/healthz", "/readyz", "/metrics"
    }  # fmt: skip
    for path, body in commands:
        content = body.replace("arena", "north").encode()
        answer = client.post(path, content=content) if body else client.get(path)
        assert answer.status_code == 200, answer.text
