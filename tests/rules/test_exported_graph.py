"""An exported graph says nothing about the machine that exported it."""

from __future__ import annotations

from onnx import StringStringEntryProto, TensorProto, helper

from deepfakestream.model.export import forget_origin


def test_notes_of_the_exporter_are_removed() -> None:
    note = StringStringEntryProto(key="stack_trace", value="/somewhere/model.py")
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    node = helper.make_node("Identity", ["x"], ["y"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    for part in (value, node, out):
        part.metadata_props.append(note)
    model = helper.make_model(helper.make_graph([node], "graph", [value], [out]))
    model.metadata_props.append(note)
    forget_origin(model)
    assert b"somewhere" not in model.SerializeToString()
