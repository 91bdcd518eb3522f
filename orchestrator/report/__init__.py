"""The run report: one page for people, `DIR/report.html`.

    folder, ledger --gather--> Findings --charts, tables, promises--> sections --page--> report.html
                       job's `pictures`, in a process of its own --^

Whoever ends or watches a run calls `writing`. Nothing here decides anything of a run.
"""
