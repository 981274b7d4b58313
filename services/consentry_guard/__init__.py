"""The guard: what lets calls in where guarded data is served.

    guard = Guard(target="127.0.0.1:7401", token=..., service="devices", policies=POLICIES)
    await guard.start()
    server = RpcServer(guard, ...)            # or any grpc.aio server with GateInterceptor(guard)

and in a servicer's method

    call = guarded_call()
    await call.follow([customer])
    call.require(customer, DataClass.TELEMETRY)
"""

from consentry_guard.calls.access import Access, CoverageChanges, GuardedCall, Handed
from consentry_guard.guard import Guard, Scopes, guarded_call

__all__ = ["Access", "CoverageChanges", "Guard", "GuardedCall", "Handed", "Scopes", "guarded_call"]
