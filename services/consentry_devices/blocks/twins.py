"""Twins of the API's telemetry messages, with columns as `bytes`.

They are described here, in a descriptor pool of their own, and not in a proto file: they are no part of the API, and reflection
must not show them. A test holds them equal to the public messages, field by field.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

BLOCK_FIELD = 6
"""Number of the field `DeviceTelemetry.block`."""


def _describe_twins() -> tuple[Any, ...]:
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="columns.proto", package="consentry.devices.twin", syntax="proto3")

    def message(name: str, **fields: tuple[int, str]) -> None:
        described = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            kind = kind.rstrip("*")  # noqa: PLW2901
            if kind[0].isupper():
                described.field.add(
                    name=field, number=number, label=label, type=kinds.TYPE_MESSAGE, type_name=f".{file.package}.{kind}"
                )
            else:
                described.field.add(name=field, number=number, label=label, type=kinds.Type.Value(f"TYPE_{kind.upper()}"))

    message("Text", sensor_index=(1, "uint32"), time_unix_nano=(2, "sfixed64"), text=(3, "string"))
    message(
        "TelemetryBlock",
        sensors=(1, "string*"),
        sensor_indexes=(2, "bytes"),
        times_unix_nano=(3, "bytes"),
        values=(4, "bytes"),
        texts=(5, "Text*"),
    )
    message(
        "DeviceTelemetry",
        device=(1, "string"),
        reading_count=(2, "uint32"),
        min_time_unix_nano=(3, "sfixed64"),
        max_time_unix_nano=(4, "sfixed64"),
        historical=(5, "bool"),
        block=(BLOCK_FIELD, "TelemetryBlock"),
    )
    message(
        "DeviceSteps",
        device=(1, "string"),
        sensors=(2, "string*"),
        sensor_indexes=(3, "bytes"),
        times_unix_nano=(4, "bytes"),
        mins=(5, "bytes"),
        maxs=(6, "bytes"),
        means=(7, "bytes"),
        lasts=(8, "bytes"),
        counts=(9, "bytes"),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("TelemetryBlock", "DeviceTelemetry", "DeviceSteps")
    return tuple(message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.{name}")) for name in names)


TWIN_BLOCK, TWIN_TELEMETRY, TWIN_STEPS = _describe_twins()
