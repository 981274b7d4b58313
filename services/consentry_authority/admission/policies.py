"""Who may call what. A test holds the table to the services' methods, so that a new method is a decision."""

from consentry_core.callers.policy import ANYONE_KNOWN, Caller, Policies

_OPERATOR = frozenset({Caller.OPERATOR})
_PARTNER = frozenset({Caller.PARTNER_ADMIN})
_CUSTOMER = frozenset({Caller.CUSTOMER_ADMIN})
_ADMINISTRATORS = _OPERATOR | _PARTNER | _CUSTOMER
_KEY = frozenset({Caller.KEY})
_SERVICE = frozenset({Caller.SERVICE})

_BY_SERVICE = {
    "DirectoryService": {
        "CreatePartner": _OPERATOR,
        "GetPartner": _OPERATOR,
        "ListPartners": _OPERATOR,
        "CreateCustomer": _OPERATOR,
        "GetCustomer": _OPERATOR,
        "ListCustomers": _OPERATOR,
        "SetSubscription": _OPERATOR,
        "CancelSubscription": _OPERATOR,
        "ConnectCustomer": _OPERATOR,
        "DisconnectCustomer": _OPERATOR,
        "ListConnections": _ADMINISTRATORS,
    },
    "TokenService": {
        "CreateToken": _ADMINISTRATORS,
        "ListTokens": _ADMINISTRATORS,
        "DeleteToken": _ADMINISTRATORS,
        "WhoAmI": ANYONE_KNOWN,
    },
    "ConsentService": {
        "GrantConsent": _CUSTOMER,
        "RevokeConsent": _CUSTOMER,
        "GetConsent": _CUSTOMER,
        "ListConsents": _CUSTOMER,
        "ListConsentEvents": _CUSTOMER,
        "ListAccesses": _CUSTOMER,
    },
    "KeyService": {
        "CreateKey": _PARTNER,
        "GetKey": _PARTNER,
        "ListKeys": _PARTNER,
        "UpdateKey": _PARTNER,
        "AddKeyCustomers": _PARTNER,
        "RemoveKeyCustomers": _PARTNER,
        "DisableKey": _PARTNER,
        "EnableKey": _PARTNER,
        "DeleteKey": _PARTNER,
        "RotateKey": _PARTNER,
        "RevokeSecret": ANYONE_KNOWN,
        "SetRehearsal": _PARTNER,
    },
    "CoverageService": {
        "ListCoveredCustomers": _KEY,
        "WatchCoverage": _KEY,
    },
    "EnforcementService": {
        "VerifyCredential": _SERVICE,
        "Follow": _SERVICE,
        "ReportAccesses": _SERVICE,
        "GetEnforcement": _ADMINISTRATORS,
        "ListEnforcementPoints": _OPERATOR,
    },
}

POLICIES: Policies = {
    f"/consentry.authority.v1.{service}/{method}": callers
    for service, methods in _BY_SERVICE.items()
    for method, callers in methods.items()
}
