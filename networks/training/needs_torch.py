"""PyTorch, or one sentence that says how to get it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import sys

try:
    import torch
    from torch import Tensor, nn
    from torch.nn import functional
except ModuleNotFoundError as error:
    advice = (
        f"Training needs {error.name}, which is not installed; run `make train-setup`, or "
        f"`pip install torch==2.13.0`"
    )
    command = getattr(sys.modules["__main__"], "__spec__", None)
    if command is not None and command.name.startswith(f"{__package__}."):
        sys.exit(advice)  # python -m networks.training...: the sentence, and no traceback
    raise ModuleNotFoundError(advice, name=error.name) from None

__all__ = ["Tensor", "functional", "load_plain", "nn", "torch"]


def load_plain(path: Path) -> Any:
    """What torch.save wrote, plain data and tensors alone; no code of a file's is run.

    Raises
    ------
    ValueError
        If the file is damaged, or holds anything else.
    OSError
        If it cannot be read.
    """
    content = io.BytesIO(path.read_bytes())  # torch's own reader calls damage an OSError, at times
    try:
        return torch.load(content, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception:  # whatever its unpickler stumbles over
        raise ValueError(f"{path.name}: torch does not read it as plain data") from None
