"""The command line. In scope: parse, call a stage, print, exit code. Out of scope: everything else."""
