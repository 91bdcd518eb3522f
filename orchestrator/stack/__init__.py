"""The stack on AWS, from the user's machine: its files, deploying, its outputs, its health, its end.

- `files`, `parameters`: what is deployed, in a checkout and in an installed wheel.
- `rights`, `deploy`: who may deploy it, and the commands of SAM that do.
- `aws`, `outputs`: a session, AWS's refusals as sentences; a stack's outputs and its versions.
- `doctor`, `machine`: what could go wrong, there and here.
- `destroy`: the end of a stack that nobody needs any more.

Imports the core's errors and versions, and boto3 only where it is used: it is the extra `aws`.
"""
