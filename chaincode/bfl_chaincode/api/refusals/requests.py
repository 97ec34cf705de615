"""Refusals of a request for its form (1xx) or for its caller (2xx): they need no record but the caller's own."""

from __future__ import annotations

from bfl_chaincode.api.refusals.base import RuleRefusal

# --- 1xx: the form of the request -----------------------------------------------------------------


class UnknownTransaction(RuleRefusal):
    code = 101
    rule = "a transaction is named contract:Name, exactly as in the contract's README"
    remedy = "correct the name"


class NotOneArgument(RuleRefusal):
    code = 102
    rule = "a transaction takes exactly one argument, a JSON object"
    remedy = "send {} where nothing is asked for"


class ArgumentTooLong(RuleRefusal):
    code = 103
    rule = "an argument has at most 65536 bytes"
    remedy = "keep big things off the ledger and send their digest"


class NotStrictJson(RuleRefusal):
    code = 104
    rule = "the argument is strict JSON: no floats, no key twice, integers within 64 bits"
    remedy = "correct the text"


class WrongFields(RuleRefusal):
    code = 105
    rule = "the object has exactly the fields of its transaction, each of its type"
    remedy = "correct the named field"


class MalformedIdentifier(RuleRefusal):
    code = 106
    rule = "an id is 1 to 63 of a-z, 0-9 and -, and does not begin with -"
    remedy = "choose another id"


class MalformedMspId(RuleRefusal):
    code = 107
    rule = "an MSP id is 1 to 64 of A-Z, a-z, 0-9, . and -, and begins with a letter"
    remedy = "use the id of the organization's MSP"


class MalformedDigest(RuleRefusal):
    code = 108
    rule = "a digest is a SHA-256 in 64 lower-case hexadecimal digits"
    remedy = "send the digest of the whole blob"


class MalformedAddress(RuleRefusal):
    code = 109
    rule = "an address is host:port, IPv6 hosts in brackets, port 1 to 65535"
    remedy = "announce the address that others dial"


class OutOfRange(RuleRefusal):
    code = 110
    rule = "a number lies within the limits of its field"
    remedy = "choose a number within them"


class MalformedText(RuleRefusal):
    code = 111
    rule = "a text has no control characters and a length within the limits of its field"
    remedy = "correct the text"


class WrongCount(RuleRefusal):
    code = 112
    rule = "a list has a number of items within the limits of its field"
    remedy = "send fewer or more"


class MalformedDecimal(RuleRefusal):
    code = 113
    rule = "a decimal is digits, a point and up to 18 digits, not negative, without exponent"
    remedy = "write it like 0.05"


class MalformedAccount(RuleRefusal):
    code = 114
    rule = "an account is mint, org:MSP, pool:TASK or participant:ID"
    remedy = "read reward:ListAccounts for those that exist"


class Repeated(RuleRefusal):
    code = 115
    rule = "names in a list are distinct"
    remedy = "send each once"


class MalformedKey(RuleRefusal):
    code = 116
    rule = "a transport key has 64 to 4096 lower-case hexadecimal digits, an even number"
    remedy = "send the public key's bytes in hex"


class RolesNotSeparated(RuleRefusal):
    code = 120
    rule = "the aggregator's organization is never the key holder's"
    remedy = "name two organizations"


class RoleOrganizationUnknown(RuleRefusal):
    code = 121
    rule = "the organizations of a task's roles are active members of the federation"
    remedy = "name members, or admit the organization first"


class CohortContradiction(RuleRefusal):
    code = 122
    rule = "cohort.target is 0 for all registered, or at least cohort.minimum"
    remedy = "raise the target or lower the minimum"


class DecimalOutOfRange(RuleRefusal):
    code = 123
    rule = "clip and learning_rate are above 0, momentum is below 1"
    remedy = "correct the named decimal"


class GridTooWide(RuleRefusal):
    code = 124
    rule = "2^(value_bits-1) x max_total_weight is at most 2^30, so that an opened sum is exact"
    remedy = "lower value_bits or max_total_weight"


class TensorsDoNotAddUp(RuleRefusal):
    code = 125
    rule = "the tensors' sizes add up to parameter_count"
    remedy = "list every tensor of the model with its shape"


class CommitteeTooLarge(RuleRefusal):
    code = 126
    rule = "no more attestations or receipts are asked for than there are organizations to give them"
    remedy = "lower verification.attestations or verification.receipts, or admit organizations"


class PoolTooSmall(RuleRefusal):
    code = 127
    rule = "incentive.per_round x schedule.rounds is at most incentive.pool"
    remedy = "raise the pool or lower per_round"


class KeyTermsContradict(RuleRefusal):
    code = 128
    rule = "a task of scheme threshold has key_members and a threshold, any other has one key_holder"
    remedy = 'leave key_holder "" and name members and threshold, or name the key holder alone'


class ThresholdOutOfRange(RuleRefusal):
    code = 129
    rule = "encryption.threshold is at least 2 and at most the number of key_members"
    remedy = "name more members or another threshold"


class MembersNotSorted(RuleRefusal):
    code = 130
    rule = "roles.key_members are in sorted order"
    remedy = "sort them"


# --- 2xx: the caller ------------------------------------------------------------------------------


class UnreadableCertificate(RuleRefusal):
    code = 201
    rule = "a caller has an X.509 certificate with one common name, one NodeOU and readable attributes"
    remedy = "have the organization's authority issue another"


class OrganizationUnknown(RuleRefusal):
    code = 202
    rule = "only members of the federation submit transactions"
    remedy = "have an administrator of a member admit the organization"


class OrganizationSuspended(RuleRefusal):
    code = 203
    rule = "a suspended organization's participants, nodes and administrators submit nothing"
    remedy = "have an administrator of an active member admit it again"


class NotAdministrator(RuleRefusal):
    code = 204
    rule = "this transaction is for administrators (certificate OU admin)"
    remedy = "submit it with an administrator's identity"


class WrongRole(RuleRefusal):
    code = 205
    rule = "this transaction is for the role that the certificate's bfl.role names"
    remedy = "submit it with the identity of that role"


class WrongOrganization(RuleRefusal):
    code = 206
    rule = "this transaction is for the organization that the task or the subject names"
    remedy = "submit it with an identity of that organization"


class NotEnrolled(RuleRefusal):
    code = 207
    rule = "a participant acts under its own enrolled, active name and organization"
    remedy = "have an administrator of its organization enrol it"


class NotInCohort(RuleRefusal):
    code = 208
    rule = "only members of a round's cohort take part in it"
    remedy = "wait for a round that draws this participant"


class WrongCommonName(RuleRefusal):
    code = 209
    rule = "a node announces itself under the common name of its certificate"
    remedy = "send the certificate's common name as node_id"


class OwnOrganization(RuleRefusal):
    code = 210
    rule = "an organization is suspended by another one"
    remedy = "ask another member"


class NotAClient(RuleRefusal):
    code = 211
    rule = "transactions come from identities with OU client or admin"
    remedy = "do not submit with a peer's or orderer's identity"
