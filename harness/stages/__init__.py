"""The stages of the corridor: train, export, profile. Each reads one kind of file and writes the next; only this package knows them all."""

from harness.stages.data import Progress, data_folder, data_of, prepare_data, silent
from harness.stages.exporting import artifact_folder, export
from harness.stages.profiling import foreign_subject, profile_cells
from harness.stages.training import train

__all__ = ["Progress", "artifact_folder", "data_folder", "data_of", "export", "foreign_subject", "prepare_data", "profile_cells", "silent", "train"]
