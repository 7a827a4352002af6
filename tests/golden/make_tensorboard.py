"""Makes tests/data/tensorboard with TensorBoard's own messages and record writer, and reads it back with its reader.

    .peers/bin/pip install tensorboard
    .peers/bin/python tests/golden/make_tensorboard.py

train_test holds the event files that steno writes for the same run against these, byte by byte: five steps, then again
from the third, with a clock that stands still.
"""

import shutil
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

FOLDER = Path(__file__).resolve().parent.parent / "data" / "tensorboard"
TIME = 1700000000.25


def scalars(step, **values):
    summary = summary_pb2.Summary()
    for tag, value in values.items():
        summary.value.add(tag=tag.replace("__", "/"), simple_value=value)
    return event_pb2.Event(wall_time=TIME, step=step, summary=summary)


def text(step, tag, content):
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        string_val=[content.encode()],
        tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)]),
    )
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="text")
    summary = summary_pb2.Summary()
    summary.value.add(tag=tag, tensor=tensor, metadata=summary_pb2.SummaryMetadata(plugin_data=plugin))
    return event_pb2.Event(wall_time=TIME, step=step, summary=summary)


def restart(step):
    log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    return event_pb2.Event(wall_time=TIME, step=step + 1, session_log=log)


def write(name, events):
    with open(FOLDER / name, "wb") as file:
        writer = RecordWriter(file)
        for event in [event_pb2.Event(wall_time=TIME, file_version="brain.Event:2"), *events]:
            writer.write(event.SerializeToString())
        writer.flush()


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    first = [scalars(step, train__loss=3 - 0.25 * step, lr=1e-4) for step in range(1, 6)]
    write("events.out.tfevents.1700000000.golden",
          [restart(0), *first, text(5, "sample/0", "A cat.\n---\nA c\u00e4t.")])  # fmt: skip
    again = [scalars(step, train__loss=step) for step in range(4, 7)]
    write("events.out.tfevents.1700000001.golden", [restart(3), *again, text(300, "sample/0", "x" * 300)])

    run = EventAccumulator(str(FOLDER), size_guidance={"tensors": 0, "scalars": 0})
    run.Reload()
    losses = [(event.step, event.value) for event in run.Scalars("train/loss")]
    assert losses == [(1, 2.75), (2, 2.5), (3, 2.25), (4, 4.0), (5, 5.0), (6, 6.0)], losses
    assert [event.step for event in run.Scalars("lr")] == [1, 2, 3], "steps that come again replace the earlier ones"
    texts = [(event.step, event.tensor_proto.string_val[0].decode()) for event in run.Tensors("sample/0")]
    assert texts == [(5, "A cat.\n---\nA c\u00e4t."), (300, "x" * 300)], texts  # texts are never replaced
    print("TensorBoard reads", len(losses), "losses and", len(texts), "texts")


if __name__ == "__main__":
    main()
