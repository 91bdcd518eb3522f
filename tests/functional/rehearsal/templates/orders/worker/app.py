import json
import os

import boto3

s3 = boto3.client("s3")


def handler(event, _context):
    failed = []
    for record in event["Records"]:
        order = json.loads(record["body"])
        if order.get("fails", 0) >= int(record["attributes"]["ApproximateReceiveCount"]):
            failed.append({"itemIdentifier": record["messageId"]})
            continue
        s3.put_object(Bucket=os.environ["BUCKET"], Key=f"orders/{order['id']}", Body=record["body"].encode())
    return {"batchItemFailures": failed}
