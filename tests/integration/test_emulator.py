"""The local runner and the sink against a real Pub/Sub emulator: whatever is killed or fails, nothing is lost."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from google.cloud import pubsub_v1

from pipelines.read_events import PubSubSource, read_events
from pipelines.sinks import PubSubSink
from runners.local import LocalRun, LocalStreamRunner
from runners.readers import PubSubReader
from schemas.codec import RecordCodec, own_schema
from schemas.errors import PublishError
from tests.support import steps
from tests.support.emulator import EMULATOR_VARIABLE, pubsub_emulator
from tests.support.waiting import wait_until

PROJECT = "test-project"
REPO = Path(__file__).parents[2]
REDELIVERY_BOUND_S = 60.0
"""The shortest acknowledgement deadline is 10 s."""


class Channel(NamedTuple):
    """A topic and its subscription, of one test's own."""

    topic: str
    subscription: str


@pytest.fixture(scope="module", autouse=True)
def _emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pubsub_emulator(tmp_path_factory.mktemp("emulator") / "log") as address:
        before = os.environ.get(EMULATOR_VARIABLE)
        os.environ[EMULATOR_VARIABLE] = address
        yield
        if before is None:
            del os.environ[EMULATOR_VARIABLE]
        else:
            os.environ[EMULATOR_VARIABLE] = before


@pytest.fixture
def channel() -> Channel:
    name = f"t{uuid.uuid4().hex[:8]}"
    channel = Channel(f"projects/{PROJECT}/topics/{name}", f"projects/{PROJECT}/subscriptions/{name}")
    pubsub_v1.PublisherClient().create_topic(name=channel.topic)
    request: dict[str, Any] = {"name": channel.subscription, "topic": channel.topic}
    request |= {"ack_deadline_seconds": 10, "enable_message_ordering": True}
    pubsub_v1.SubscriberClient().create_subscription(request=request)
    return channel


def _publish(channel: Channel, count: int) -> set[bytes]:
    payloads = [b'{"event_id":"e%d"}' % number for number in range(count)]
    client = pubsub_v1.PublisherClient()
    for future in [client.publish(channel.topic, payload, kind="test") for payload in payloads]:
        future.result(timeout=30)
    return set(payloads)


def _start(channel: Channel, step: beam.DoFn) -> tuple[LocalRun, Any]:
    steps.SEEN.clear()
    steps.BUNDLES.clear()
    run = LocalRun(PubSubReader(channel.subscription))
    pipeline = beam.Pipeline(runner=LocalStreamRunner(run), options=PipelineOptions(["--streaming"]))
    pipeline | read_events(PubSubSource(channel.subscription)) | beam.ParDo(step)
    return run, pipeline.run()


def _left(channel: Channel) -> int:
    """Messages that are handed out now; those under a lease are not."""
    client = pubsub_v1.SubscriberClient()
    request = {"subscription": channel.subscription, "max_messages": 10, "return_immediately": True}
    return len(client.pull(request=request, timeout=10).received_messages)


def _child(channel: Channel, seen: Path, stop_at: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.support.live_child", channel.subscription, str(seen), stop_at]
    return subprocess.Popen(command, cwd=REPO, env={**os.environ, "PYTHONPATH": str(REPO)})


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def test_what_was_worked_on_is_acknowledged_and_a_drain_ends_done(channel: Channel) -> None:
    published = _publish(channel, 1_500)
    run, result = _start(channel, steps.SeeFn())
    wait_until(lambda: set(steps.SEEN) == published, "all messages are worked on", 30.0)
    run.drain()
    assert result.wait_until_finish() == "DONE"
    assert sorted(steps.SEEN) == sorted(published), "once each: nothing was redelivered meanwhile"
    assert _left(channel) == 0


def test_after_an_exception_nothing_is_acknowledged_and_all_of_it_comes_again(channel: Channel) -> None:
    published = _publish(channel, 900)
    logging.disable(logging.CRITICAL)
    try:
        _, result = _start(channel, steps.SeeFn(steps.fail_at_e700))
        with pytest.raises(ValueError, match="e700"):
            result.wait_until_finish()
    finally:
        logging.disable(logging.NOTSET)
    done_before = sum(steps.BUNDLES)
    run, result = _start(channel, steps.SeeFn())
    wait_until(lambda: len(set(steps.SEEN)) >= 900 - done_before, "what was not done comes again", REDELIVERY_BOUND_S)
    run.drain()
    assert result.wait_until_finish() == "DONE"
    assert b'{"event_id":"e700"}' in steps.SEEN
    assert set(steps.SEEN) <= published


def test_after_kill_9_in_the_middle_of_a_bundle_nothing_is_lost(channel: Channel, tmp_path: Path) -> None:
    published = _publish(channel, 600)
    seen = tmp_path / "seen"
    first = _child(channel, seen, '{"event_id":"e350"}')
    wait_until(lambda: b'{"event_id":"e350"}' in _lines(seen), "the first process is in the middle", 60.0)
    first.kill()
    first.wait()
    assert set(_lines(seen)) < published
    second = _child(channel, seen, "")
    try:
        wait_until(lambda: set(_lines(seen)) == published, "the second process works on the rest", REDELIVERY_BOUND_S)
        second.terminate()
        assert second.wait(timeout=20) == 0, "SIGTERM drains"
    finally:
        second.kill()


def test_a_subscription_that_is_not_there_is_told(channel: Channel) -> None:
    logging.disable(logging.CRITICAL)
    try:
        _, result = _start(Channel(channel.topic, f"{channel.subscription}-none"), steps.SeeFn())
        with pytest.raises(Exception, match="(?i)not.?found|does not exist"):
            result.wait_until_finish()
    finally:
        logging.disable(logging.NOTSET)


def _denial(number: int, user: str) -> dict[str, Any]:
    return {
        "grant_id": f"{number:032x}", "tenant": "t", "campaign_id": "c", "campaign_version": "v", "user_id": user,
        "event_id": f"e{number}", "event_time": "2017-01-01T00:00:00Z", "asked": 5, "unit": "EUR", "reason": "amount",
        "account": "campaign:c", "period": "total", "use": 10, "cap": 10,
    }  # fmt: skip


def test_confirmed_records_are_on_the_topic_in_order_by_user(channel: Channel) -> None:
    records = [_denial(number, f"u{number % 3}") for number in range(60)]
    sink = PubSubSink({"denial": channel.topic})
    sink.send("denial", records)
    sink.confirm()
    codec, by_user = RecordCodec(own_schema("denial")), dict[str, list[str]]()
    client, got = pubsub_v1.SubscriberClient(), 0
    while got < len(records):
        request = {"subscription": channel.subscription, "max_messages": 100}
        answer = client.pull(request=request, timeout=20).received_messages
        for received in answer:
            record = codec.decode_binary(received.message.data)
            assert received.message.attributes["grant_id"] == record["grant_id"]
            assert received.message.ordering_key == record["user_id"]
            by_user.setdefault(record["user_id"], []).append(record["event_id"])
        got += len(answer)
        client.acknowledge(subscription=channel.subscription, ack_ids=[received.ack_id for received in answer])
    assert by_user == {f"u{user}": [f"e{number}" for number in range(user, 60, 3)] for user in range(3)}


def test_a_topic_that_is_not_there_is_a_publish_error_and_the_next_records_go_out(channel: Channel) -> None:
    missing = PubSubSink({"denial": f"{channel.topic}-none"})
    missing.send("denial", [_denial(1, "u1")])
    with pytest.raises(PublishError):
        missing.confirm()
    sink = PubSubSink({"denial": channel.topic})
    sink.send("denial", [_denial(2, "u1")])
    sink.confirm()
    assert _left(channel) == 1
