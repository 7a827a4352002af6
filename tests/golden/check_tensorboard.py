"""Reads the event files of tests/data/tensorboard with TensorBoard's own reader and checks what it finds.

    .peers/bin/pip install tensorboard
    mkdir -p tests/data/tensorboard
    STENO_WRITE_GOLDEN=$PWD/tests/data/tensorboard build/release/src/train/train_test --gtest_filter='Tensorboard*Write*'
    .peers/bin/python tests/golden/check_tensorboard.py

The files were written by steno; this makes them golden. Checked are the framing (a wrong checksum ends the reading),
values, steps, texts, and that steps which came again after a restart replace the earlier ones.
"""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

FOLDER = Path(__file__).resolve().parent.parent / "data" / "tensorboard"


def main():
    run = EventAccumulator(str(FOLDER), size_guidance={"tensors": 0, "scalars": 0})
    run.Reload()
    tags = run.Tags()
    assert set(tags["scalars"]) == {"train/loss", "lr"}, tags
    assert tags["tensors"] == ["sample/0"], tags
    losses = [(event.step, event.value) for event in run.Scalars("train/loss")]
    assert losses == [(1, 2.75), (2, 2.5), (3, 2.25), (4, 4.0), (5, 5.0), (6, 6.0)], losses
    rates = [(event.step, round(event.value, 9)) for event in run.Scalars("lr")]
    assert rates == [(1, 1e-4), (2, 1e-4), (3, 1e-4)], rates
    texts = [(event.step, event.tensor_proto.string_val[0].decode()) for event in run.Tensors("sample/0")]
    assert texts == [(300, "x" * 300)], texts
    assert run.SummaryMetadata("sample/0").plugin_data.plugin_name == "text"
    assert all(event.wall_time == 1700000000.25 for event in run.Scalars("lr"))
    print("TensorBoard reads", len(losses), "losses,", len(rates), "rates and", len(texts), "text")


if __name__ == "__main__":
    main()
