"""A process that runs the local runner on a subscription and appends what it has worked on to a file.

Arguments: subscription, file, and a payload at which it stops for ever (its test kills it there), or "".
SIGTERM drains.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.read_events import PubSubSource, read_events
from runners.local import LocalRun, LocalStreamRunner
from runners.readers import PubSubReader
from schemas.messages import SourceMessage


class NoteFn(beam.DoFn):  # type: ignore[misc]
    """One write a message, so that a kill leaves whole lines."""

    def __init__(self, path: str, stop_at: bytes) -> None:
        self._path, self._stop_at = path, stop_at

    def process(self, message: SourceMessage) -> None:
        out = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(out, message.payload + b"\n")
        os.close(out)
        if message.payload == self._stop_at:
            threading.Event().wait()


def main() -> None:
    """Run until drained."""
    subscription, path, stop_at = sys.argv[1:]
    run = LocalRun(PubSubReader(subscription))
    signal.signal(signal.SIGTERM, lambda *_: run.drain())
    pipeline = beam.Pipeline(runner=LocalStreamRunner(run), options=PipelineOptions(["--streaming"]))
    pipeline | read_events(PubSubSource(subscription)) | beam.ParDo(NoteFn(path, stop_at.encode()))
    pipeline.run().wait_until_finish()


if __name__ == "__main__":
    from tests.support.live_child import main as imported  # so that Beam finds NoteFn in a module

    imported()
