"""The families of agents that the gateway knows, one file each. A new family is a new file here and a line in `PROFILES`."""

from consentry_gateway.profiles.apc_cooling import INROW_RC, INROW_RP
from consentry_gateway.profiles.apc_modbus import APC_SMART_UPS
from consentry_gateway.profiles.apc_rack_pdu import APC_RACK_PDU, APC_RACK_PDU_GEN1
from consentry_gateway.profiles.apc_ups import APC_UPS
from consentry_gateway.profiles.cyberpower import CYBERPOWER_PDU, CYBERPOWER_UPS
from consentry_gateway.profiles.eaton_epdu import EATON_EPDU, HPE_PDU
from consentry_gateway.profiles.eaton_ups import HPE_UPS, MG_SNMP, XUPS
from consentry_gateway.profiles.form import AlarmList, Limits, Meaning, Metric, Profile, Source, Table, Total
from consentry_gateway.profiles.geist import GEIST, GEIST_PDU
from consentry_gateway.profiles.huawei_ups import HUAWEI_UPS
from consentry_gateway.profiles.liebert import LIEBERT_COOLING, LIEBERT_UPS
from consentry_gateway.profiles.nut import NUT_PDU, NUT_UPS
from consentry_gateway.profiles.raritan import RARITAN
from consentry_gateway.profiles.redfish import REDFISH
from consentry_gateway.profiles.schneider_meter import SCHNEIDER_PM5000
from consentry_gateway.profiles.sentry import SENTRY4
from consentry_gateway.profiles.small_ups import EMERSON_UPS, PHOENIXTEC
from consentry_gateway.profiles.ups_mib import UPS_MIB

PROFILES: tuple[Profile, ...] = (
    APC_RACK_PDU,
    APC_RACK_PDU_GEN1,
    APC_UPS,
    INROW_RC,
    INROW_RP,
    CYBERPOWER_UPS,
    CYBERPOWER_PDU,
    EATON_EPDU,
    HPE_PDU,
    LIEBERT_COOLING,
    LIEBERT_UPS,
    RARITAN,
    SENTRY4,
    GEIST,
    GEIST_PDU,
    HUAWEI_UPS,
    MG_SNMP,
    XUPS,
    HPE_UPS,
    PHOENIXTEC,
    EMERSON_UPS,
    UPS_MIB,
    NUT_PDU,
    NUT_UPS,
    APC_SMART_UPS,
    SCHNEIDER_PM5000,
    REDFISH,
)
"""In the order in which they are tried: what a vendor says of its own devices goes before the standard."""

__all__ = ["PROFILES", "AlarmList", "Limits", "Meaning", "Metric", "Profile", "Source", "Table", "Total"]
