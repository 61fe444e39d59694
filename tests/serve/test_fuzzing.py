"""The API fuzzed from its own description."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS, load_all_checks
from serve.serving import rows_at, save_model, settings_of
from starlette.testclient import TestClient

from metalore.serve import create_app

load_all_checks()
WANTED = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
CASES = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    folder = tmp_path_factory.mktemp("model") / "kept"
    save_model(folder)
    app = create_app(settings_of(folder, reload_s=0))
    with TestClient(app) as client:
        client.post("/observe", json={"rows": rows_at(0)})
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@CASES
def test_nothing_breaks_it(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=[CHECKS.get_one(name) for name in WANTED])
