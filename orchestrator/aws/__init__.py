"""The cloud backend: a run in a stack's bucket, submitted, watched and fetched from the user's machine.

    session.CloudSession       run, resume: submit what is missing, begin, watch, fetch
    session.WatchSession       watch, attach: watch, fetch
      |- target                from `--on` to a stack: on AWS (`site`) or rehearsed here (`rehearsal`)
      |- folder                DIR/cloud.json, a run's address
      |- run                   the run's objects and its executions (`executions`)
      |- submission            references (`references`), code (`package`), what was prepared, chunks
      |- watching              how far it is, until something is published or nobody drives it
      `- fetch                 what is published, as files in DIR
    commands                   cancel, attach, show

The same interface as `orchestrator.local`, so that `run.Run` serves both. boto3 is the extra `aws`, and is
imported by `orchestrator.stack.aws` when it is used.
"""
