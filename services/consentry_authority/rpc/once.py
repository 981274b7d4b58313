"""Requests that say by an id that they may come twice."""

import copy
import hashlib
import re
from typing import Any

from google.protobuf.message import Message

from consentry_authority.admission.gate import calling
from consentry_authority.commands.once import Asked
from consentry_core.rpc.server.open_call import current_call
from consentry_core.values.errors import InvalidArgument

_is_request_id = re.compile(r"[A-Za-z0-9._:-]{1,100}").fullmatch


def asked_once(request: Message) -> Asked | None:
    """What the request's `request_id` stands for; None when it has none.

    The id belongs to the organisation whose administrator chose it, so that it counts for whoever goes on in its name. How long
    a caller waits for enforcement is no part of what it asks for.
    """
    message: Any = request
    if not message.request_id:
        return None
    if _is_request_id(message.request_id) is None:
        raise InvalidArgument(
            "request_id", "must be 1 to 100 letters, digits, '.', '_', ':' and '-'; a UUID will do", reason="REQUEST_ID_INVALID"
        )
    actor = calling()
    asked: Any = copy.deepcopy(message)
    for field in ("request_id", "enforcement_timeout"):
        if field in asked.DESCRIPTOR.fields_by_name:
            asked.ClearField(field)
    what = current_call.get().method.encode() + b"\0" + asked.SerializeToString(deterministic=True)
    return Asked(f"{actor.kind.name} {actor.organization}", message.request_id, hashlib.sha256(what).hexdigest())
