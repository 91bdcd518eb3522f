import os

import boto3

s3 = boto3.client("s3")


def handler(event, _context):
    lines = event["text"].splitlines()
    for number, line in enumerate(lines):
        s3.put_object(Bucket=os.environ["BUCKET"], Key=f"{event['id']}/{number:04d}", Body=line.encode())
    return {"prefix": f"{event['id']}/", "lines": len(lines)}
