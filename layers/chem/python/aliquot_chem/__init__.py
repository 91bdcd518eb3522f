"""Chemistry jobs for Aliquot: functions over molecules and reactions, nothing of the engine.

Of the core these modules import `aliquot.job` and `aliquot.errors` alone. RDKit and NumPy are imported by
the kernel's modules, never by the module that declares a job, so that a command line can show a job's help
without them.
"""
