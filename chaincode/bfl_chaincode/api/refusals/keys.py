"""Refusals about keys, their ceremonies and openings by shares: existence (3xx), step and time (4xx), rules (5xx)."""

from __future__ import annotations

from bfl_chaincode.api.refusals.base import RuleRefusal

# --- 3xx: missing, or already there --------------------------------------------------------------


class CeremonyMissing(RuleRefusal):
    code = 329
    rule = "the key ceremony was opened"
    remedy = "read key:ListCeremonies"


class CeremonyExists(RuleRefusal):
    code = 330
    rule = "the number of a key ceremony is used once, also when it fails"
    remedy = "read key:ListCeremonies and go on with the newest"


class KeyCommitmentExists(RuleRefusal):
    code = 331
    rule = "a member commits to one key share in a ceremony"
    remedy = "go on with the committed share"


class KeyRevealExists(RuleRefusal):
    code = 332
    rule = "a member reveals its key share once"
    remedy = "nothing is left to do"


class KeyConfirmationExists(RuleRefusal):
    code = 333
    rule = "a member confirms the joint key once"
    remedy = "nothing is left to do"


class ComplaintExists(RuleRefusal):
    code = 334
    rule = "a member complains once about another"
    remedy = "nothing is left to do"


class KeyGrantExists(RuleRefusal):
    code = 335
    rule = "a silo is granted the key of an epoch once"
    remedy = "nothing is left to do"


class OfferExists(RuleRefusal):
    code = 336
    rule = "a member offers once to answer in an attempt"
    remedy = "go on with the offer on the ledger"


class OpeningMissing(RuleRefusal):
    code = 337
    rule = "the attempt was begun"
    remedy = "submit opening:Begin once enough members offer"


class OpeningExists(RuleRefusal):
    code = 338
    rule = "an attempt is begun once"
    remedy = "read round:Get for its active set"


class ShareExists(RuleRefusal):
    code = 339
    rule = "a member answers once for scores and once for the sum"
    remedy = "nothing is left to do"


class BlameExists(RuleRefusal):
    code = 340
    rule = "a member blames another once in an attempt"
    remedy = "nothing is left to do"


# --- 4xx: step and time --------------------------------------------------------------------------


class CeremonyRunning(RuleRefusal):
    code = 409
    rule = "a task has one open key ceremony at a time"
    remedy = "finish the one named, or submit key:CloseCeremony after its deadline"


class CeremonyOver(RuleRefusal):
    code = 410
    rule = "a key ceremony that is CLOSED or FAILED takes no more steps"
    remedy = "read key:GetCeremony, and open the next if it failed"


class StepNotReached(RuleRefusal):
    code = 411
    rule = "all members commit before any reveals, and all reveal before any confirms or complains"
    remedy = "wait for those named, or submit key:CloseCeremony after the deadline"


class CeremonyUnfinished(RuleRefusal):
    code = 412
    rule = "a ceremony ends when all confirm, when enough complain, or at its deadline"
    remedy = "try again then"


class KeyEpochRetired(RuleRefusal):
    code = 413
    rule = "a retired key is done with"
    remedy = "make the next key, for a shared one by a new ceremony (key:OpenCeremony)"


class KeyEpochExpired(RuleRefusal):
    code = 414
    rule = "no round is opened under a key that has expired"
    remedy = "make the next key, for a shared one by a new ceremony (key:OpenCeremony)"


class ExpiryPassed(RuleRefusal):
    code = 415
    rule = "a key expires later than its ceremony is opened, or never (0)"
    remedy = "send a later moment"


class AttemptNotDue(RuleRefusal):
    code = 416
    rule = "an attempt is the first, or follows one that has failed"
    remedy = "answer in the attempt named, or wait until it has failed"


class AttemptFailed(RuleRefusal):
    code = 417
    rule = "an attempt ends when an active member does not answer in time, or most others blame one"
    remedy = "offer to answer in the next attempt"


class SharesMissing(RuleRefusal):
    code = 418
    rule = "every member of the newest attempt's active set answers before the result is posted"
    remedy = "wait for the shares, or offer to answer in the next attempt once this one has failed"


# --- 5xx: the rules of keys and openings ---------------------------------------------------------


class WrongScheme(RuleRefusal):
    code = 518
    rule = "single keys are opened, shared keys made by ceremonies and packed keys granted, as the task's scheme says"
    remedy = "read the task's encryption terms"


class TooFewKeyMembers(RuleRefusal):
    code = 519
    rule = "at least encryption.threshold active key members make a key"
    remedy = "admit organizations again, or abandon the task"


class KeyShareDiffers(RuleRefusal):
    code = 520
    rule = "a member reveals the key share that it committed to"
    remedy = "reveal that one"


class NotAKeyMember(RuleRefusal):
    code = 521
    rule = "steps of a ceremony and of an opening are its key members'"
    remedy = "leave it to the members"


class NotAnotherMember(RuleRefusal):
    code = 522
    rule = "a member complains about another member of the ceremony"
    remedy = "name one of them"


class MaskMisplaced(RuleRefusal):
    code = 523
    rule = "an update has a mask part of its own exactly when the task's scheme is threshold"
    remedy = "send digest and size of the mask part, or neither"


class TransportKeyMissing(RuleRefusal):
    code = 524
    rule = "a silo registers for a task of scheme packed with its transport key"
    remedy = "send the public key that its key is to be encrypted to"


class ActiveSetMisnamed(RuleRefusal):
    code = 525
    rule = "who begins the first attempt names encryption.threshold members of the key, and nobody in a later one"
    remedy = "name so many different members that can answer, or leave it to the offers"


class OffersMissing(RuleRefusal):
    code = 526
    rule = "an attempt begins with encryption.threshold offers that name the same sum of masks"
    remedy = "wait for offers"


class MemberExcluded(RuleRefusal):
    code = 527
    rule = "a member that most others blame answers no more in this round"
    remedy = "leave it to the other members"


class NotActive(RuleRefusal):
    code = 528
    rule = "shares are posted by the attempt's active set"
    remedy = "wait for another attempt"


class ShareNotDue(RuleRefusal):
    code = 529
    rule = "scores are answered for in a round with a direction, until they are posted"
    remedy = "post a share of the sum"


class BlameMisplaced(RuleRefusal):
    code = 530
    rule = "a member blames another one of the active set that posted a share"
    remedy = "name one of them"
