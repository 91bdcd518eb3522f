"""The rights of whoever deploys or destroys the stack, as a policy for IAM.

Read off the types of the template's resources, so that a template that grows asks for more; a type that
is missing here fails tests/unit/stack/test_rights.py. Names of resources begin with the stack's name, where
CloudFormation makes them up, and statements are narrowed to that.

Owns which actions a type of resource needs (AWS, "Service Authorization Reference" and each type's handlers
in the CloudFormation registry, autumn 2026). Imports nothing. When it is wrong, a deployment fails midway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rights:
    """Actions on resources; in an ARN `{stack}` is the stack's name, `{small}` the same in small letters."""

    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)


def _spell(service: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{service}:{name}" for name in names)


_FUNCTION = Rights(
    _spell(
        "lambda",
        "CreateFunction",
        "DeleteFunction",
        "GetFunction",
        "GetFunctionCodeSigningConfig",
        "GetFunctionConfiguration",
        "GetFunctionRecursionConfig",
        "GetRuntimeManagementConfig",
        "ListTags",
        "PutFunctionRecursionConfig",
        "TagResource",
        "UntagResource",
        "UpdateFunctionCode",
        "UpdateFunctionConfiguration",
    ),
    ("arn:*:lambda:*:*:function:{stack}-*",),
)
_POLICY = Rights(
    _spell("iam", "DeleteRolePolicy", "GetRolePolicy", "PutRolePolicy"), ("arn:*:iam::*:role/*{stack}-*",)
)

# S3 spells a bucket's name small; SAM names a layer as the template does, without the stack's name
BY_TYPE: Mapping[str, Rights] = {
    "AWS::CloudWatch::Alarm": Rights(
        _spell(
            "cloudwatch",
            "DeleteAlarms",
            "DescribeAlarms",
            "ListTagsForResource",
            "PutMetricAlarm",
            "TagResource",
            "UntagResource",
        ),
        ("arn:*:cloudwatch:*:*:alarm:{stack}-*",),
    ),
    "AWS::Events::Rule": Rights(
        _spell(
            "events",
            "DeleteRule",
            "DescribeRule",
            "ListTagsForResource",
            "ListTargetsByRule",
            "PutRule",
            "PutTargets",
            "RemoveTargets",
            "TagResource",
            "UntagResource",
        ),
        ("arn:*:events:*:*:rule/{stack}-*",),
    ),
    "AWS::IAM::Policy": _POLICY,
    "AWS::IAM::Role": Rights(
        (
            *_spell(
                "iam",
                "CreateRole",
                "DeleteRole",
                "DeleteRolePermissionsBoundary",
                "GetRole",
                "ListAttachedRolePolicies",
                "ListRolePolicies",
                "PassRole",
                "PutRolePermissionsBoundary",
                "SimulatePrincipalPolicy",
                "TagRole",
                "UntagRole",
                "UpdateAssumeRolePolicy",
                "UpdateRole",
            ),
            *_POLICY.actions,
        ),
        _POLICY.resources,
    ),
    "AWS::Lambda::EventInvokeConfig": Rights(
        _spell(
            "lambda",
            "DeleteFunctionEventInvokeConfig",
            "GetFunctionEventInvokeConfig",
            "PutFunctionEventInvokeConfig",
            "UpdateFunctionEventInvokeConfig",
        ),
        _FUNCTION.resources,
    ),
    "AWS::Lambda::EventSourceMapping": Rights(
        _spell(
            "lambda",
            "CreateEventSourceMapping",
            "DeleteEventSourceMapping",
            "GetEventSourceMapping",
            "UpdateEventSourceMapping",
        )
    ),
    "AWS::Lambda::Permission": Rights(
        _spell("lambda", "AddPermission", "GetPolicy", "RemovePermission"), _FUNCTION.resources
    ),
    "AWS::Logs::LogGroup": Rights(
        _spell(
            "logs",
            "CreateLogGroup",
            "DeleteLogGroup",
            "DeleteRetentionPolicy",
            "DescribeLogGroups",
            "ListTagsForResource",
            "PutRetentionPolicy",
            "TagResource",
            "UntagResource",
        )
    ),
    "AWS::S3::Bucket": Rights(
        _spell(
            "s3",
            "CreateBucket",
            "GetBucketOwnershipControls",
            "GetBucketPublicAccessBlock",
            "GetBucketTagging",
            "GetEncryptionConfiguration",
            "GetLifecycleConfiguration",
            "ListBucket",
            "PutBucketNotification",
            "PutBucketOwnershipControls",
            "PutBucketPublicAccessBlock",
            "PutBucketTagging",
            "PutEncryptionConfiguration",
            "PutLifecycleConfiguration",
        ),
        ("arn:*:s3:::{small}-*",),
    ),
    "AWS::S3::BucketPolicy": Rights(
        _spell("s3", "DeleteBucketPolicy", "GetBucketPolicy", "PutBucketPolicy"), ("arn:*:s3:::{small}-*",)
    ),
    "AWS::SNS::Topic": Rights(
        _spell(
            "sns",
            "CreateTopic",
            "DeleteTopic",
            "GetTopicAttributes",
            "ListTagsForResource",
            "SetTopicAttributes",
            "TagResource",
            "UntagResource",
        ),
        ("arn:*:sns:*:*:{stack}-*",),
    ),
    "AWS::SQS::Queue": Rights(
        _spell(
            "sqs",
            "CreateQueue",
            "DeleteQueue",
            "GetQueueAttributes",
            "GetQueueUrl",
            "ListQueueTags",
            "SetQueueAttributes",
            "TagQueue",
            "UntagQueue",
        ),
        ("arn:*:sqs:*:*:{stack}-*",),
    ),
    "AWS::SQS::QueuePolicy": Rights(
        _spell("sqs", "GetQueueAttributes", "SetQueueAttributes"), ("arn:*:sqs:*:*:{stack}-*",)
    ),
    "AWS::Lambda::Function": _FUNCTION,
    "AWS::Serverless::Function": _FUNCTION,
    "AWS::Serverless::LayerVersion": Rights(
        _spell("lambda", "DeleteLayerVersion", "GetLayerVersion", "PublishLayerVersion"),
        ("arn:*:lambda:*:*:layer:*",),
    ),
    "AWS::Serverless::StateMachine": Rights(
        _spell(
            "states",
            "CreateStateMachine",
            "DeleteStateMachine",
            "DescribeStateMachine",
            "ListExecutions",
            "ListTagsForResource",
            "TagResource",
            "UntagResource",
            "UpdateStateMachine",
        ),
        ("arn:*:states:*:*:stateMachine:{stack}-*",),
    ),
}

# what SAM and CloudFormation themselves need: the stack, SAM's own stack with the bucket for what is built,
# and the macro that turns SAM's types into plain ones; and what `doctor` asks of the account
ALWAYS: tuple[Rights, ...] = (
    Rights(
        _spell(
            "cloudformation",
            "CreateChangeSet",
            "DeleteChangeSet",
            "DeleteStack",
            "DescribeChangeSet",
            "DescribeStackEvents",
            "DescribeStackResources",
            "DescribeStacks",
            "DetectStackDrift",
            "DetectStackResourceDrift",
            "ExecuteChangeSet",
            "GetTemplate",
            "GetTemplateSummary",
            "ListStackResources",
            "TagResource",
        ),
        (
            "arn:*:cloudformation:*:*:stack/{stack}/*",
            "arn:*:cloudformation:*:*:stack/aws-sam-cli-managed-default/*",
            "arn:*:cloudformation:*:aws:transform/Serverless-2016-10-31",
        ),
    ),
    Rights(
        (
            *_spell("cloudformation", "DescribeStackDriftDetectionStatus", "ListStacks"),
            "lambda:GetAccountSettings",
            "lambda:ListEventSourceMappings",
            "servicequotas:ListRequestedServiceQuotaChangeHistoryByQuota",
        )
    ),
    Rights(
        _spell(
            "s3",
            "CreateBucket",
            "GetBucketLocation",
            "GetBucketPolicy",
            "GetObject",
            "ListBucket",
            "PutBucketPolicy",
            "PutBucketPublicAccessBlock",
            "PutBucketTagging",
            "PutBucketVersioning",
            "PutEncryptionConfiguration",
            "PutObject",
        ),
        ("arn:*:s3:::aws-sam-cli-managed-default-*",),
    ),
)
# what a parameter adds
WITH_KEY = Rights(_spell("kms", "DescribeKey", "GenerateDataKey"))
WITH_VPC = Rights(
    _spell(
        "ec2", "DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs"
    )  # asked by Lambda in their name
)


def list_rights(types: Iterable[str], parameters: Mapping[str, str]) -> list[Rights]:
    """What deploying resources of these types needs.

    Args:
        types: of the template's resources.
        parameters: what is given to the template; a key and a VPC need more.
    """
    found = [*ALWAYS, *(BY_TYPE[each] for each in sorted(set(types)))]
    if parameters.get("KmsKeyArn"):
        found.append(WITH_KEY)
    if parameters.get("SubnetIds"):
        found.append(WITH_VPC)
    return found


def make_policy(rights: Iterable[Rights], stack: str) -> dict[str, Any]:
    """A policy document with a statement for each set of resources, which names the stack's."""
    by_resources: dict[tuple[str, ...], set[str]] = {}
    for each in rights:
        resources = tuple(name.format(stack=stack, small=stack.lower()) for name in each.resources)
        by_resources.setdefault(resources, set()).update(each.actions)
    statements = [
        {"Effect": "Allow", "Action": sorted(actions), "Resource": list(resources)}
        for resources, actions in by_resources.items()
    ]
    return {"Version": "2012-10-17", "Statement": statements}
