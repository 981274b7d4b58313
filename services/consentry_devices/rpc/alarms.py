"""AlarmService: what is wrong, and what was. Nothing that last changed before the consent opens."""

from typing import Any

from consentry.devices.v1 import alarms_pb2 as pb
from consentry.devices.v1 import alarms_pb2_grpc
from consentry_core.values import names
from consentry_core.values.errors import NotFound
from consentry_devices.domain.alarms import AlarmEvent
from consentry_devices.domain.state import State
from consentry_devices.rpc.converters import to_alarm, to_alarm_event
from consentry_devices.rpc.reading import Pages, hands_out, let_in
from consentry_guard import GuardedCall
from consentry_rule import CustomerId, DataClass


class AlarmServicer(alarms_pb2_grpc.AlarmServiceServicer):
    """See the proto."""

    def __init__(self, state: State, pages: Pages) -> None:
        self._state = state
        self._pages = pages

    async def ListAlarms(self, request: pb.ListAlarmsRequest, context: Any) -> pb.ListAlarmsResponse:  # noqa: N802 - the proto's name
        """See the proto."""
        customer = CustomerId(names.CUSTOMER.parse(request.parent, "parent")[0])
        call = await let_in(customer, DataClass.ALARMS)
        question = ("ListAlarms", request.parent, str(request.active_only))
        page = self._pages.asked(call, request.page_size, request.page_token, *question)
        alarms, messages, token = await page.fill(
            lambda after, limit: self._state.alarms(customer, active_only=request.active_only, after=after, limit=limit),
            lambda event: event.alarm.id,
            lambda event: to_alarm(customer, event.alarm),
            lambda event: event.time >= call.opened_from(customer),
        )
        hands_out(call, (customer, DataClass.ALARMS), (event.alarm.device for event in alarms))
        return pb.ListAlarmsResponse(alarms=messages, next_page_token=token)

    async def GetAlarm(self, request: pb.GetAlarmRequest, context: Any) -> pb.GetAlarmResponse:  # noqa: N802 - the proto's name
        """See the proto."""
        owner, alarm_id = names.ALARM.parse(request.name, "name")
        customer = CustomerId(owner)
        call = await let_in(customer, DataClass.ALARMS)
        newest = await self._newest(call, customer, alarm_id)
        hands_out(call, (customer, DataClass.ALARMS), (newest.alarm.device,))
        return pb.GetAlarmResponse(alarm=to_alarm(customer, newest.alarm))

    async def ListAlarmEvents(self, request: pb.ListAlarmEventsRequest, context: Any) -> pb.ListAlarmEventsResponse:  # noqa: N802 - the proto's name
        """See the proto."""
        owner, alarm_id = names.ALARM.parse(request.parent, "parent")
        customer = CustomerId(owner)
        call = await let_in(customer, DataClass.ALARMS)
        page = self._pages.asked(call, request.page_size, request.page_token, "ListAlarmEvents", request.parent)
        await self._newest(call, customer, alarm_id)
        events, messages, token = await page.fill(
            lambda after, limit: self._state.alarm_events(customer, alarm_id, after=int(after or 0), limit=limit),
            lambda event: str(event.number),
            lambda event: to_alarm_event(customer, event),
            lambda event: event.time >= call.opened_from(customer),
        )
        hands_out(call, (customer, DataClass.ALARMS), (event.alarm.device for event in events))
        return pb.ListAlarmEventsResponse(alarm_events=messages, next_page_token=token)

    async def _newest(self, call: GuardedCall, customer: CustomerId, alarm: str) -> AlarmEvent:
        newest = await self._state.alarm(customer, alarm)
        # One that is not open is answered like one that is not there: its very id may be older than the consent.
        if newest is None or newest.time < call.opened_from(customer):
            raise NotFound(
                f"there is no alarm {names.ALARM.format(customer, alarm)} among what the consent opens; "
                "AlarmService.ListAlarms lists those there are"
            )
        return newest
