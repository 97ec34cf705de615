"""Refusals that the records decide: existence (3xx), phase and time (4xx), a round's rules (5xx), accounts (6xx);
and the contract's own faults (9xx)."""

from __future__ import annotations

from bfl_chaincode.api.refusals.base import RuleRefusal

# --- 3xx: missing, or already there ---------------------------------------------------------------


class FederationMissing(RuleRefusal):
    code = 301
    rule = "the federation is founded before anything else"
    remedy = "submit federation:Found"


class FederationExists(RuleRefusal):
    code = 302
    rule = "a channel's federation is founded once"
    remedy = "read federation:GetFederation"


class OrganizationMissing(RuleRefusal):
    code = 303
    rule = "the organization is a member of the federation"
    remedy = "read federation:ListOrganizations"


class OrganizationExists(RuleRefusal):
    code = 304
    rule = "an active member is not admitted again"
    remedy = "nothing is left to do"


class ParticipantMissing(RuleRefusal):
    code = 305
    rule = "the participant is enrolled"
    remedy = "read federation:ListParticipants"


class ParticipantExists(RuleRefusal):
    code = 306
    rule = "a participant id is enrolled once, and belongs to one organization for ever"
    remedy = "choose another id, or go on if it is yours"


class TaskMissing(RuleRefusal):
    code = 307
    rule = "the task exists"
    remedy = "read task:List"


class TaskExists(RuleRefusal):
    code = 308
    rule = "a task id is used once"
    remedy = "choose another id, or go on if the task is yours"


class KeyEpochMissing(RuleRefusal):
    code = 309
    rule = "the key epoch is open"
    remedy = "have the key holder submit key:OpenEpoch, or the key members hold a ceremony (key:OpenCeremony)"


class KeyEpochExists(RuleRefusal):
    code = 310
    rule = "a key epoch is opened once"
    remedy = "read key:Get and go on with that key"


class RoundMissing(RuleRefusal):
    code = 311
    rule = "the round was opened"
    remedy = "read round:GetCurrent"


class UpdateMissing(RuleRefusal):
    code = 312
    rule = "an update is committed before it is acknowledged"
    remedy = "wait for the participant's round:CommitUpdate"


class UpdateExists(RuleRefusal):
    code = 313
    rule = "a participant commits one update a round"
    remedy = "go on with the committed digest"


class DigestSeen(RuleRefusal):
    code = 314
    rule = "an update's digest is used once in a task, so that nobody submits another's ciphertext"
    remedy = "encrypt afresh"


class ReceiptExists(RuleRefusal):
    code = 315
    rule = "an organization acknowledges an update once"
    remedy = "nothing is left to do"


class AttestationExists(RuleRefusal):
    code = 316
    rule = "an organization attests a round once"
    remedy = "nothing is left to do"


class ScoresExist(RuleRefusal):
    code = 317
    rule = "the scores of a round are opened once"
    remedy = "go on with the posted scores"


class SettlementMissing(RuleRefusal):
    code = 318
    rule = "the round was settled"
    remedy = "submit reward:Settle once the round is PUBLISHED"


class SettlementExists(RuleRefusal):
    code = 319
    rule = "a round is settled once"
    remedy = "read reward:GetSettlement"


class ModelMissing(RuleRefusal):
    code = 320
    rule = "the round published a model"
    remedy = "read model:Lineage"


class RegistrationExists(RuleRefusal):
    code = 321
    rule = "a participant registers for a task once"
    remedy = "withdraw first to change the sample count"


class RegistrationMissing(RuleRefusal):
    code = 322
    rule = "the participant is registered for the task"
    remedy = "submit task:Register before the task starts"


class ReputationMissing(RuleRefusal):
    code = 323
    rule = "a participant has a reputation after its first settled round"
    remedy = "read reputation:List"


class EvaluationExists(RuleRefusal):
    code = 324
    rule = "an auditor records a report once"
    remedy = "nothing is left to do"


class AlreadyInactive(RuleRefusal):
    code = 325
    rule = "only what is active can leave or be suspended"
    remedy = "nothing is left to do"


class UpgradeMissing(RuleRefusal):
    code = 326
    rule = "an upgrade is proposed before it is voted on"
    remedy = "read governance:ListUpgrades, or submit governance:ProposeUpgrade"


class UpgradeExists(RuleRefusal):
    code = 327
    rule = "a version is proposed once for a sequence"
    remedy = "vote for it with governance:ApproveUpgrade, or propose another version"


class UpgradeVoted(RuleRefusal):
    code = 328
    rule = "an organization votes once for an upgrade"
    remedy = "nothing is left to do"


# --- 4xx: phase, status and time ------------------------------------------------------------------


class WrongPhase(RuleRefusal):
    code = 401
    rule = "a round moves along the table of phases only"
    remedy = "read round:Get and act in the phase named"


class WrongStatus(RuleRefusal):
    code = 402
    rule = "a task moves along the table of statuses only"
    remedy = "read task:Get and act in the status named"


class DeadlinePassed(RuleRefusal):
    code = 403
    rule = "updates are committed before the round's deadline"
    remedy = "wait for the next round"


class DeadlineNotReached(RuleRefusal):
    code = 404
    rule = "a round is sealed once every member of its cohort has delivered, or at its deadline"
    remedy = "try again then"


class RoundRunning(RuleRefusal):
    code = 405
    rule = "a task's newest round is SETTLED or ABORTED before this is done"
    remedy = "finish or abort the round"


class RoundsExhausted(RuleRefusal):
    code = 406
    rule = "a task settles schedule.rounds rounds and no more"
    remedy = "submit task:Close"


class RoundsLeft(RuleRefusal):
    code = 407
    rule = "a task is closed after its last round"
    remedy = "open the next round, or abandon the task with a reason"


class UpgradeStale(RuleRefusal):
    code = 408
    rule = "an upgrade's sequence is higher than that of every approved upgrade"
    remedy = "propose the version again for the sequence after the channel's present one"


# --- 5xx: the rules of a round --------------------------------------------------------------------


class NotAHolder(RuleRefusal):
    code = 501
    rule = "receipts come from the aggregator of the aggregator's organization and the verifiers of the other holders"
    remedy = "leave it to the round's holders"


class DigestDiffers(RuleRefusal):
    code = 502
    rule = "the digest is the one on the ledger"
    remedy = "discard these bytes and fetch those that were committed"


class WeightDiffers(RuleRefusal):
    code = 503
    rule = "an update's weight is the sample count that its participant registered"
    remedy = "commit with the registered weight"


class TooFewSamples(RuleRefusal):
    code = 504
    rule = "a participant has at least data.minimum_samples samples"
    remedy = "register with more data"


class WeightExceeded(RuleRefusal):
    code = 505
    rule = "weights that are added together stay within encryption.max_total_weight"
    remedy = "have participants withdraw, or publish a task with a larger limit"


class TooFewParticipants(RuleRefusal):
    code = 506
    rule = "at least cohort.minimum registered participants are active"
    remedy = "wait for more registrations"


class ParametersDiffer(RuleRefusal):
    code = 507
    rule = "a key epoch has the encryption parameters of its task"
    remedy = "make the key from the task's parameters"


class EpochOutOfOrder(RuleRefusal):
    code = 508
    rule = "single keys of a task, and its key ceremonies, are numbered 1, 2, 3 without gaps"
    remedy = "open the epoch named"


class TooFewHolders(RuleRefusal):
    code = 509
    rule = "verification.receipts active organizations, the aggregator's among them, hold a round's updates"
    remedy = "admit organizations again, or abandon the task"


class ScoresDigestMisplaced(RuleRefusal):
    code = 510
    rule = "there is a scores digest exactly when a single key holder scores the round against a direction"
    remedy = 'send the digest of the score list, or "" without direction and under a shared key'


class OwnAggregate(RuleRefusal):
    code = 511
    rule = "the aggregator's organization does not attest its own aggregate: its proposal is its statement"
    remedy = "leave it to the verifiers of the others"


class QuorumMissing(RuleRefusal):
    code = 512
    rule = "verification.attestations organizations, the aggregator's and another among them, state the same digests"
    remedy = "wait for attestations, or have the coordinator abort"


class MembersDiffer(RuleRefusal):
    code = 513
    rule = "scores are given for exactly the round's members, each once"
    remedy = "score every member of the sealed set"


class NoDirection(RuleRefusal):
    code = 514
    rule = "a round without a previous direction has no scores"
    remedy = "release the sum without scores"


class ScoresNotPosted(RuleRefusal):
    code = 515
    rule = "the scores are posted before the sum is released"
    remedy = "submit round:PostScores"


class SizeDiffers(RuleRefusal):
    code = 516
    rule = "a sum has 8 bytes and a model 4 bytes for every parameter"
    remedy = "send the length of the whole blob"


class SourceDiffers(RuleRefusal):
    code = 517
    rule = "an organization votes for the source that it has: the digest is the proposal's"
    remedy = "install the proposed version of the contract, or propose your own"


# --- 6xx: accounts and payouts --------------------------------------------------------------------


class InsufficientBalance(RuleRefusal):
    code = 601
    rule = "an account never goes below zero"
    remedy = "have an administrator of the organization submit reward:Mint"


class PoolNotFunded(RuleRefusal):
    code = 602
    rule = "a task starts once its pool holds incentive.pool"
    remedy = "submit reward:Fund"


class BalanceTooLarge(RuleRefusal):
    code = 603
    rule = "an account holds at most 10^12 units"
    remedy = "mint or fund less"


class PoolExhausted(RuleRefusal):
    code = 604
    rule = "payouts never exceed the pool"
    remedy = "audit the pool's statement: this task's entries contradict its terms"


# --- 9xx: faults of the contract ------------------------------------------------------------------


class ContractFault(RuleRefusal):
    code = 901
    rule = "a transaction ends with a result or a coded refusal"
    remedy = "nothing was written: report the transaction id to the maintainers"


class ReadAfterWrite(RuleRefusal):
    code = 902
    rule = "a transaction reads before it writes, because reads do not see its own writes"
    remedy = "nothing was written: report the transaction id to the maintainers"


class UnreadableRecord(RuleRefusal):
    code = 903
    rule = "every value in the state is the canonical JSON of its record"
    remedy = "run the auditor: this peer's state or its contract version is not the channel's"


class UnbalancedEntries(RuleRefusal):
    code = 904
    rule = "the entries of one transaction sum to zero"
    remedy = "nothing was written: report the transaction id to the maintainers"
