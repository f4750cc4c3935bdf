"""The live graph as Dataflow and other portable runners get it: built without a network, asserted on its proto."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to

from runners.dataflow import DataflowRequest, build_for_dataflow
from schemas.proposals import decode_request
from tests.support.campaigns import a_plan_set, an_event, parsed
from transforms.advance_users import AdvanceUsers
from transforms.plan_source import FixedPlans

CAMPAIGN = "campaign: c\ntrigger: {on: purchase, count: events, every: 2}\ngrant: {points: 1}"
REQUEST = DataflowRequest(
    "projects/some-project/subscriptions/s",
    "projects/some-project/topics/g",
    "projects/some-project/topics/d",
    "projects/some-project/topics/r",
    "projects/some-project/topics/l",
    "rediss://host:6379/0",
)
OPTIONS = [
    "--runner=DataflowRunner", "--project=some-project", "--region=r", "--job_name=j", "--streaming", "--dry_run=True",
    "--temp_location=gs://bucket/t", "--staging_location=gs://bucket/s",
]  # fmt: skip


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The pipeline proto that Dataflow would be sent."""
    plan_set = a_plan_set(tmp_path_factory.mktemp("c"), CAMPAIGN)
    pipeline = beam.Pipeline(options=PipelineOptions(OPTIONS))
    build_for_dataflow(pipeline, REQUEST, plan_set.schema, FixedPlans((plan_set,)))
    return pipeline.run().job.proto_pipeline


def subject_of(element: tuple[str, bytes]) -> str:
    return decode_request(element[1]).key.subject


def stateful(graph: Any) -> list[Any]:
    from apache_beam.portability.api import beam_runner_api_pb2 as api

    found = []
    for transform in graph.components.transforms.values():
        if transform.spec.urn == "beam:transform:pardo:v1":
            payload = api.ParDoPayload.FromString(transform.spec.payload)
            if payload.state_specs or payload.timer_family_specs:
                found.append(transform)
    return found


def test_state_is_keyed_by_text_in_bytes(graph: Any) -> None:
    steps = stateful(graph)
    assert [step.unique_name for step in steps] == ["AdvanceUsers/AdvanceUser/ParDo(_AdvanceUserFn)"]
    components = graph.components
    (source,) = steps[0].inputs.values()
    pair = components.coders[components.pcollections[source].coder_id]
    kinds = [components.coders[of].spec.urn for of in pair.component_coder_ids]
    assert pair.spec.urn == "beam:coder:kv:v1"
    assert kinds == ["beam:coder:string_utf8:v1", "beam:coder:bytes:v1"]


def test_pubsub_is_native_and_no_splittable_step_is_shared(graph: Any) -> None:
    urns = {transform.spec.urn for transform in graph.components.transforms.values()}
    assert "beam:transform:pubsub_read:v1" in urns
    assert not any("splittable" in urn or "sdf" in urn for urn in urns)


def test_step_names_are_stable(graph: Any) -> None:
    names = {transform.unique_name for transform in graph.components.transforms.values()}
    assert {
        "ReadEvents", "ParseEvents/ParseEvent", "ParseEvents/Events", "AdvanceUsers/KeyBySubject", "AdvanceUsers/AdvanceUser",
        "AdvanceUsers/Proposals", "AdvanceUsers/Reshuffle", "SettleProposals/SettleBudgets", "PublishSettled/PublishBatch",
        "DeadLetters", "ArchiveDeadLetters/WriteDeadLetter",
    } <= names  # fmt: skip


def test_beams_own_state_counts_as_the_other_places_do(tmp_path: Path) -> None:
    plan_set = a_plan_set(tmp_path, CAMPAIGN)
    events = parsed(plan_set, [an_event(f"e{i}", f"2026-01-01T00:00:{i:02d}Z", f"u{i % 3}") for i in range(12)])
    with TestPipeline(options=PipelineOptions(["--runner=BundleBasedDirectRunner"])) as pipeline:
        advanced = pipeline | beam.Create([*events, *events[:4]]) | AdvanceUsers(FixedPlans((plan_set,)))
        fired = advanced.proposals | beam.Map(subject_of)
        assert_that(fired, equal_to(["u0", "u0", "u1", "u1", "u2", "u2"]))
