import common


def handler(_event, _context):
    return {"answer": common.ANSWER}
