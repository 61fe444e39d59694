"""The API fuzzed from its own description."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CHECKS, load_all_checks
from serve.serving import Process, rows_at, save_model

from metalore.intent.fusion import Fusion
from metalore.intent.motion import MotionEncoder

load_all_checks()
WANTED = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
PATHS = (
    "/predict",
    "/predict/batch",
    "/embed",
    "/observe",
    "/forecasts",
    "/zones",
    "/model",
    "/healthz",
    "/readyz",
    "/metrics",
)
CASES = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    folder = tmp_path_factory.mktemp("model") / "kept"
    save_model(folder)
    encoders = folder.parent / "encoders"
    MotionEncoder.small(device="cpu").save(encoders / "motion")
    Fusion.small(device="cpu").save(encoders / "fusion")
    server = Process(folder, reload_s=0, intent=encoders)
    server.client.post("/observe", json={"rows": rows_at(0)})
    yield schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    server.kill()


def test_all_paths_are_described(api: schemathesis.BaseSchema) -> None:
    assert {result.ok().path for result in api.get_all_operations()} == set(PATHS)


@pytest.mark.parametrize("path", PATHS)
def test_nothing_breaks_it(api: schemathesis.BaseSchema, path: str) -> None:
    checks = [CHECKS.get_one(name) for name in WANTED]
    (operation,) = [result.ok() for result in api.get_all_operations() if result.ok().path == path]

    @CASES
    @given(case=operation.as_strategy())
    def fuzz(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=checks)

    fuzz()
