import json
import os
import urllib.parse

import boto3

s3 = boto3.client("s3")


def handler(event, _context):
    for message in event["Records"]:
        announced = json.loads(message["body"])
        for record in announced.get(
            "Records", []
        ):  # S3's test event, sent when notifications are set, has none
            bucket, key = (
                record["s3"]["bucket"]["name"],
                urllib.parse.unquote_plus(record["s3"]["object"]["key"]),
            )
            picture = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            s3.put_object(Bucket=os.environ["THUMBNAILS"], Key=key, Body=picture[:4])
