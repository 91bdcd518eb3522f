"""What AWS allows: one dated table of the quotas that shape a run, each with its source.

    SQS -> Lambda   how fast pollers begin tasks           Ramp, STANDARD, PROVISIONED
    Lambda, S3, SQS, Step Functions                        QUOTAS: what is counted, the limit, what lifts it

An execution's 25,000 events limit no run: a tick makes 11, and after 1,000 ticks a successor goes on.

Read from AWS's documentation, autumn 2026. Account-wide quotas are their defaults: `aliquot doctor` reads
an account's own. Owns these figures and nothing else; imports the standard library. When it is wrong, plans
promise what AWS does not give.
"""

from __future__ import annotations

from dataclasses import dataclass

AS_OF = "2026-10"


@dataclass(frozen=True)
class Ramp:
    """How many tasks of a queue may run at a time after it got its first message.

    Args:
        first: at once.
        per_s: further ones, each second.
        most: in the end.
    """

    first: float
    per_s: float
    most: int

    def allowed_at(self, seconds: float) -> float:
        """Tasks that may run by then."""
        return min(self.most, self.first + self.per_s * seconds)


# docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html: 5 at first, 300 more a minute, 1,250 at most
STANDARD = Ramp(5, 300 / 60, 1250)
# the same page: a provisioned poller drives up to 10 tasks; 1,000 tasks more a minute; the template keeps 2
PROVISIONED = Ramp(2 * 10, 1000 / 60, 20_000)


@dataclass(frozen=True)
class Quota:
    """A limit, where it is written, and what lifts it."""

    name: str
    limit: float
    source: str
    lifted_by: str


QUOTAS = {
    quota.name: quota
    for quota in (
        Quota(
            "concurrent executions",
            1000,
            "docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html; new accounts may have 10",
            "a quota increase (Service Quotas, L-B99A9384)",
        ),
        Quota(
            "tasks of a run at a time",
            1000,
            "MaximumConcurrency of a mapping is 2 to 1,000, and so is a run's window",
            "nothing yet: a run's window ends there",
        ),
        Quota(
            "standard pollers",
            STANDARD.most,
            "docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html",
            "Pollers=provisioned",
        ),
        Quota(
            "GETs a second of a prefix",
            5500,
            "docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html",
            "S3 splits a prefix by itself under lasting load",
        ),
        Quota(
            "PUTs and LISTs a second of a prefix",
            3500,
            "docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html",
            "S3 splits a prefix by itself under lasting load",
        ),
        Quota(
            "messages in flight of a queue",
            120_000,
            "docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html",
            "a quota increase",
        ),
        Quota(
            "bytes of a group list",
            512 << 20,
            "docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html: a JSON file of items",
            "a second level of merging",
        ),
        Quota(
            "chunks of a run",
            10**8,
            "eight digits in a chunk's key (aliquot.keys)",
            "longer chunks",
        ),
        Quota(
            "seconds of a tally",
            900,
            "docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
            "listings that begin at the first chunk that is not answered",
        ),
        Quota(
            "memory of a tally, MB",
            1769,
            "template.yaml",
            "listings that begin at the first chunk that is not answered",
        ),
        Quota(
            "seconds of a publication",
            900,
            "docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html",
            "a second level of merging",
        ),
    )
}
