"""The local runner: Beam's bundle-based streaming runner, with big pulls, acknowledgement after the work, and a drain.

With one worker the source is scheduled only when nothing else runs. So at the next pull everything pulled before is
done, and is acknowledged then; after a failure nothing is acknowledged any more, and it comes again. This stands on
private hooks of one Beam version: another version is refused until tests/pipeline/test_local_runner.py passes on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import apache_beam as beam
from apache_beam.runners.direct import direct_runner, executor, transform_evaluator
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.timestamp import MAX_TIMESTAMP, Timestamp

from pipelines.read_events import ReadFiles
from runners.readers import Reader
from schemas.errors import InvariantError
from schemas.messages import SourceMessage

TESTED_BEAM = "2.77."
PULL_MAX = 1_000


class LocalRun:
    """One run's controls: its reader, and whether it is to stop.

    Beam tries a failed pull again, and a reader that broke in the middle of a piece would then acknowledge what no
    step has seen, or seem to have ended: its failure is kept and raised at each attempt, until Beam gives up.

    Args:
      on_done: called before each pull, when all steps are done with everything pulled before.
    """

    def __init__(self, reader: Reader, on_done: Callable[[], None] = lambda: None) -> None:
        self.reader = reader
        self._on_done = on_done
        self.draining = threading.Event()
        self.failure: BaseException | None = None
        self._broken: Exception | None = None

    def next_piece(self) -> list[SourceMessage] | None:
        """Acknowledge all that was pulled before and pull the next; None when there is nothing more to pull."""
        if self._broken is not None:
            raise self._broken
        try:
            self.reader.acknowledge()
            self._on_done()
            return None if self.reader.ended or self.draining.is_set() else self.reader.pull(PULL_MAX)
        except Exception as error:
            self._broken = error
            raise

    def drain(self) -> None:
        """Take nothing more, finish what was taken, end."""
        self.draining.set()


class LocalStreamRunner(direct_runner.BundleBasedDirectRunner):  # type: ignore[misc]
    """Runs one streaming pipeline with one source in this process."""

    def __init__(self, run: LocalRun) -> None:
        super().__init__()
        if not beam.__version__.startswith(TESTED_BEAM):
            raise InvariantError(f"the local runner stands on Beam {TESTED_BEAM}x; this is {beam.__version__}")
        self._run = run

    def run_pipeline(self, pipeline: beam.Pipeline, options: Any) -> Any:
        """Start the pipeline; its result's wait_until_finish returns when the reader has ended or is drained."""
        run = self._run

        class Pull(_PullEvaluator):
            control = run

        overrides = transform_evaluator.TransformEvaluatorRegistry._test_evaluators_overrides
        overrides[ReadFiles] = Pull
        overrides[direct_runner._DirectReadFromPubSub] = Pull
        _note_failures(run)
        return super().run_pipeline(pipeline, options)


def _note_failures(run: LocalRun) -> None:
    """A bundle that failed must not be acknowledged: remember the failure before Beam handles it."""
    original = getattr(executor._CompletionCallback, "_incentives_original", None)
    original = original or executor._CompletionCallback.handle_exception

    def handle_exception(self: Any, work: Any, error: BaseException) -> None:
        run.failure = error
        original(self, work, error)

    executor._CompletionCallback._incentives_original = staticmethod(original)
    executor._CompletionCallback.handle_exception = handle_exception


class _PullEvaluator(transform_evaluator._TransformEvaluator):  # type: ignore[misc]
    control: LocalRun

    def start_bundle(self) -> None:
        pass

    def process_element(self, element: Any) -> None:
        pass

    def finish_bundle(self) -> Any:
        messages = self.control.next_piece() if self.control.failure is None else None
        if messages is None:
            return self._ended()
        bundles = [self._bundle(messages)] if messages else []
        transform = self._applied_ptransform.transform
        again = self._evaluation_context.create_bundle(beam.pvalue.PBegin(transform.pipeline))
        return transform_evaluator.TransformResult(self, bundles, [again], None, {None: Timestamp(0)})

    def _bundle(self, messages: list[SourceMessage]) -> Any:
        bundle = self._evaluation_context.create_bundle(next(iter(self._outputs)))
        of_pubsub = not isinstance(self._applied_ptransform.transform, ReadFiles)
        for message in messages:
            bundle.output(GlobalWindows.windowed_value(_as_pubsub(message) if of_pubsub else message))
        return bundle

    def _ended(self) -> Any:
        return transform_evaluator.TransformResult(self, [], [], None, {None: MAX_TIMESTAMP})


def _as_pubsub(message: SourceMessage) -> Any:
    from apache_beam.io.gcp.pubsub import PubsubMessage

    return PubsubMessage(message.payload, message.attributes)
