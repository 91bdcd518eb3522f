"""What runs on the user's machine: readers, plan, submit, watch, report and the command line."""
