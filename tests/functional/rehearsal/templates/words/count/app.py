import os

import boto3
from counting import count_words

s3 = boto3.client("s3")


class Flaky(Exception):
    pass


def handler(event, _context):
    text = s3.get_object(Bucket=os.environ["BUCKET"], Key=event["Key"])["Body"].read().decode()
    if "flaky" in text:
        s3.put_object(
            Bucket=os.environ["BUCKET"], Key=event["Key"], Body=text.replace("flaky", "mended").encode()
        )
        raise Flaky(text)
    if "broken" in text:
        raise ValueError(text)
    return {"key": event["Key"], "words": count_words(text)}
