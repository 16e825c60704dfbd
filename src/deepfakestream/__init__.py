"""DeepfakeStream finds face-swap deepfakes in videos and images and keeps its model honest over time."""

from typing import TYPE_CHECKING, Any

from deepfakestream.telemetry import switch_off

if TYPE_CHECKING:
    from deepfakestream.api import Model, ScanResult, open_model, scan

__all__ = ["Model", "ScanResult", "__version__", "open_model", "scan"]
__version__ = "0.1.0"

# The libraries read their switches when they are imported, so these must be set before any of them is.
switch_off()


def __getattr__(name: str) -> Any:
    """Import the API when it is first used: every command imports this module, few need NumPy and ONNX."""
    if name in __all__:
        from deepfakestream import api

        return getattr(api, name)
    raise AttributeError(f"module 'deepfakestream' has no attribute '{name}'")
