"""Exports every model of Cryo-Bench and says what came of it: `python -m tests.zoo_check`, the page docs/zoo.md and its data docs/zoo.json."""
