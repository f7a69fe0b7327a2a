"""Which artifact, runtime and settings run a checkpoint fastest on this machine within limits; `stage.tune` is the stage.

In scope: what there is to choose from, judging it, racing it, and the profile of the winner. Out of scope: how a call is timed
(`harness.profiling`) and how an artifact is made (`harness.stages.export`).
"""
