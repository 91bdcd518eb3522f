"""Hostile input, guided by coverage: every reader of bytes and messages, and the handlers, under atheris.

    make fuzz                                     # all targets, 60 s each
    make fuzz SECONDS=600 ONLY="codec chunk"      # these two, longer
    python -m benchmarks.fuzz --only codec --input BASE64    # a finding again; needs no atheris

    targets   what a target is, and the list of them
    objects   readers of chunks, outcomes and what they hold
    messages  readers of frames, tasks, events and requests
    notes     readers of keys, and of notes in a bucket or a run's folder
    decoding  what `aliquot decode` makes of all of these
    handlers  the handlers, on a stack in memory
    stacks    that stack, with a run on it
    memory    its bucket and its queue
    forge     several byte strings in one input; objects whose checksums fit
    mutate    changes that leave an input readable
    watch     one target, in a process of its own with little memory

A target's corpus is written by the project's own writers, in build/fuzz. What a reader raises beyond what it
documents, takes longer than 5 s or more memory than there is room for is a finding.

Imports the project; nothing imports it but tests/unit/hostile.
"""
