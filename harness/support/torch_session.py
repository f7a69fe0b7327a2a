"""A PyTorch network as a session, for the backends that run one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.core.registry import missing_package

if TYPE_CHECKING:
    import numpy as np
    import torch


def torch_unavailable(what: str, device: str) -> str | None:
    """Why PyTorch can't run on `device`, with the fix; None when it can."""
    try:
        import torch
    except ModuleNotFoundError as error:
        return str(missing_package(what, error))
    if device == "cuda" and not torch.cuda.is_available():
        return f"torch {torch.__version__} sees no CUDA device; check the driver with nvidia-smi"
    return None


def prepare_torch(threads: int, *, tf32: bool) -> None:
    """Set the number of threads, and whether fp32 products on a GPU may be rounded to TF32."""
    import torch

    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def seconds_on(stream: torch.cuda.Stream, launch: Callable[[], None]) -> float:
    """Seconds between two events on `stream`, put there before and after what `launch` puts there."""
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    stream.record_event(begin)
    launch()
    stream.record_event(end)
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


class TorchSession:
    """A network in eval mode, or an exported program's module, on one device; with TF32 only where `prepare_torch` allowed it."""

    def __init__(self, network: torch.nn.Module, device: str) -> None:
        self._network, self._device = network, device
        self._inputs: list[torch.Tensor] = []
        self._found: Any = None

    def bind(self, inputs: Sequence[np.ndarray]) -> None:
        import torch

        self._inputs = [torch.from_numpy(value).to(self._device) for value in inputs]
        self.sync()

    def run(self) -> None:
        import torch

        with torch.inference_mode():
            self._found = self._network(*self._inputs)

    def sync(self) -> None:
        if self._device == "cuda":
            import torch

            torch.cuda.synchronize()

    def device_seconds(self) -> float:
        import torch

        return seconds_on(torch.cuda.current_stream(), self.run)

    def reset_device_peak(self) -> None:
        import torch

        torch.cuda.reset_peak_memory_stats()

    def device_peak(self) -> tuple[int, Mapping[str, Any]]:
        import torch

        weights = sum(value.numel() * value.element_size() for value in (*self._network.parameters(), *self._network.buffers()))
        facts = {"source": "torch.cuda.max_memory_allocated", "reserved": torch.cuda.max_memory_reserved(), "weights": weights}
        return torch.cuda.max_memory_allocated(), facts

    def outputs(self) -> list[np.ndarray]:
        import torch

        assert self._found is not None, "outputs() before run()"
        values = self._found.values() if isinstance(self._found, dict) else self._found if isinstance(self._found, (tuple, list)) else (self._found,)
        return [value.float().cpu().numpy() for value in values if isinstance(value, torch.Tensor)]

    def facts(self) -> Mapping[str, Any]:
        import torch

        return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": self._device, "tf32": torch.backends.cuda.matmul.allow_tf32}
