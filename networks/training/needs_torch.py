"""PyTorch, or one sentence that says how to get it."""

from __future__ import annotations

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

__all__ = ["Tensor", "functional", "nn", "torch"]
