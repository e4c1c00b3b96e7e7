#!/usr/bin/env python3
"""Writes tests/golden/events.tfevents with TensorBoard's own protocol buffers and record writer (tensorboard 2.21.0, protobuf 7.36.2):
the run log of tests/runlog/tensorboard_test.cpp. With a file as argument, prints what TensorBoard's reader finds in it.

  python3 tools/oracles/tensorboard_events.py [EVENT_FILE]
"""

import calendar
import sys
import time
from pathlib import Path


def write(path):
    from tensorboard.compat.proto import event_pb2
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb
    from tensorboard.summary.writer.record_writer import RecordWriter

    start = calendar.timegm(time.strptime("2026-11-22T07:13:54Z", "%Y-%m-%dT%H:%M:%SZ"))
    with open(path, "wb") as file:
        writer = RecordWriter(file)
        writer.write(event_pb2.Event(wall_time=start, file_version="brain.Event:2").SerializeToString())

        def event(step, seconds):
            result = event_pb2.Event(wall_time=start + seconds, step=step)
            return result, result.summary.value.add()

        # Ascending steps; at one step columns, tables, spectra, each by name, and texts last.
        for step, seconds, tag, value in [
            (1, 0.5, "train/loss", 7.25), (1, 0.5, "train/lr", 1e-5), (1, 0.5, "train/seconds", 0.5),
            (300, 2.5, "eval/nll", 3.0), (300, 2.5, "train/loss", float("nan")), (300, 2.5, "train/seconds", 2.5), (300, 2.5, "weights/matrix", 0.02),
            (300, 2.5, "anisotropy/resid_post.0", 0.5), (300, 2.5, "anisotropy/resid_post.1", float("inf")), (300, 2.5, "weight_rms/w", 0.02),
        ]:  # fmt: skip
            each, scalar = event(step, seconds)
            scalar.tag, scalar.simple_value = tag, value
            writer.write(each.SerializeToString())
        for row, values in [("w", [30, 15.5, 1, 1, 0.25, 0]), ("x", [2, 2])]:
            each = event_pb2.Event(wall_time=start + 2.5, step=300)
            each.summary.CopyFrom(histogram_pb(f"gradient/{row}", values))
            writer.write(each.SerializeToString())
        each, text = event(300, 2.5)
        text.tag = "sample"
        text.metadata.plugin_data.plugin_name = "text"
        text.tensor.dtype = 7
        text.tensor.tensor_shape.dim.add(size=1)
        text.tensor.string_val.append("And it came to pass, ein schöner Tag".encode())
        writer.write(each.SerializeToString())


def show(path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    for tag in events.Tags()["scalars"]:
        points = events.Scalars(tag)
        print(f"{tag}: {len(points)} values, steps {points[0].step} to {points[-1].step}, last {points[-1].value}")
    for tag in events.Tags()["tensors"]:
        for point in events.Tensors(tag):
            if events.SummaryMetadata(tag).plugin_data.plugin_name == "histograms":
                rows = make_ndarray(point.tensor_proto)
                print(f"{tag}: step {point.step}: {rows[:, 2].sum():.0f} values from {rows[0, 0]} to {rows[-1, 1]}")
            else:
                print(f"{tag}: step {point.step}: {point.tensor_proto.string_val[0].decode()!r}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        show(sys.argv[1])
    else:
        write(Path(__file__).resolve().parents[2] / "tests/golden/events.tfevents")
