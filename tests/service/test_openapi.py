"""The OpenAPI document: what clients are generated from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

PATHS = {
    "/v1/images": {"post"},
    "/v1/videos": {"post"},
    "/v1/analyses": {"get"},
    "/v1/analyses/{analysis_id}": {"get", "delete"},
    "/v1/analyses/{analysis_id}/cancel": {"post"},
    "/v1/analyses/{analysis_id}/result": {"get"},
    "/v1/analyses/{analysis_id}/tracks": {"get"},
    "/v1/analyses/{analysis_id}/frames": {"get"},
    "/v1/analyses/{analysis_id}/events": {"get"},
    "/v1/analyses/{analysis_id}/heatmaps": {"get", "post"},
    "/v1/analyses/{analysis_id}/heatmaps/{number}.png": {"get"},
    "/v1/analyses/{analysis_id}/heatmaps/{number}/{map_number}.png": {"get"},
    "/v1/analyses/{analysis_id}/pictures/frames/{frame}.jpg": {"get"},
    "/v1/analyses/{analysis_id}/pictures/faces/{frame}-{track_id}.png": {"get"},
    "/v1/analyses/{analysis_id}/pictures/noise/{frame}-{track_id}.png": {"get"},
    "/v1/analyses/{analysis_id}/report.html": {"get"},
    "/v1/analyses/{analysis_id}/report.json": {"get"},
    "/v1/analyses/{analysis_id}/report.pdf": {"get"},
    "/v1/model": {"get"},
    "/v1/models": {"get"},
    "/v1/models/{version}/card": {"get"},
    "/v1/usage": {"get"},
    "/v1/feedback": {"post"},
    "/metrics": {"get"},
    "/livez": {"get"},
    "/readyz": {"get"},
}


@pytest.fixture
def document(start_service: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = start_service(work=False).client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def test_every_path_is_documented(document: dict[str, Any]) -> None:
    assert {path: set(methods) for path, methods in document["paths"].items()} == PATHS


def test_every_failure_refers_to_one_schema(document: dict[str, Any]) -> None:
    """Some generators of clients drop failures whose schema is written out again."""
    for name, operation in operations(document):
        failures = {status: each for status, each in operation["responses"].items() if status >= "400"}
        for status, response in failures.items():
            content = response["content"]
            assert list(content) == ["application/problem+json"], (name, status)
            assert content["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
        if name.split(" ")[1].startswith("/v1/"):
            assert {"400", "401", "403", "413", "421", "422", "429", "500", "503"} <= set(failures), name
    titles = [schema.get("title") for schema in document["components"]["schemas"].values()]
    assert len(titles) == len(set(titles))
    assert "ValidationError" not in str(document)


def test_operations_have_names_of_their_own_and_words(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names))
    assert all(name == name.lower() and "v1" not in name for name in names)
    assert all(operation.get("description") for _, operation in operations(document))


def test_every_field_and_parameter_is_described(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field, value in schema.get("properties", {}).items():
            described = value.get("description") or "$ref" in value
            assert described, f"{name}.{field}"
    for name, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), f"{name}: {parameter['name']}"


def test_files_are_sent_as_a_form_or_bare(document: dict[str, Any]) -> None:
    for path, bare in (("/v1/images", "image/jpeg"), ("/v1/videos", "video/mp4")):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        assert content["multipart/form-data"]["schema"]["properties"]["file"]["format"] == "binary"
        assert content[bare]["schema"] == {"type": "string", "format": "binary"}


def test_every_endpoint_of_the_api_refuses_a_parameter_that_is_not_in_the_document(
    start_service: Callable[..., Any],
) -> None:
    client = start_service(work=False).client
    for name, operation in operations(client.get("/openapi.json").json()):
        method, path = name.split(" ")
        if not path.startswith("/v1/"):
            continue
        known = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
        is_upload = path in ("/v1/images", "/v1/videos")
        body = {"files": {"file": b"x"}} if is_upload else {"json": {}} if "requestBody" in operation else {}
        answer = client.request(method, path, params={"operating_point": "low_fpr"}, **body)
        assert answer.status_code == 422, name
        problem = answer.json()
        assert problem["type"] == "urn:deepfakestream:problem:bad-parameter"
        assert "'operating_point'" in problem["detail"]
        assert all(each in problem["detail"] for each in known), name


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    import re

    names = re.findall(r"#/components/schemas/([\w.-]+)", str(document))
    assert set(names) <= set(document["components"]["schemas"])


def test_the_reasons_of_an_answer_are_those_that_a_scan_can_give(document: dict[str, Any]) -> None:
    reasons = set(document["components"]["schemas"]["Reason"]["enum"])
    assert "no_face" in reasons
