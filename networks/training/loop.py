"""The training loop all recipes share: Adam, one cycle of learning rates, checkpoints, resuming."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tqdm import tqdm

from networks.training.layers import TrainedNetwork
from networks.training.needs_torch import Tensor, functional, load_plain, torch

__all__ = ["Examples", "Recipe", "accuracy", "logits", "train"]

AnyNetwork = TypeVar("AnyNetwork", bound=TrainedNetwork)


class Examples(NamedTuple):
    """Data and what they show.

    Attributes
    ----------
    data : uint8 tensor (batch, *input_shape)
    labels : int64 tensor (batch,)
    """

    data: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a training, chosen by validation accuracy alone.

    Parameters
    ----------
    epochs : int
    batch : int
        Examples of a step; what is left of an epoch is dropped.
    learning_rate : float
        Of Adam, at its highest, a tenth of the way; it falls to 0 along a cosine.
    augmentation : float
        Strength of random distortions of the data, 0 for none; a recipe says which.
    label_smoothing : float
    weight_errors : float
        Share of weights flipped at each step (error-aware training).
    weight_decay : float
    """

    epochs: int = 20
    batch: int = 512
    learning_rate: float = 8e-3
    augmentation: float = 0.0
    label_smoothing: float = 0.0
    weight_errors: float = 0.0
    weight_decay: float = 0.0


def train(
    network: AnyNetwork,
    examples: Examples,
    recipe: Recipe,
    seed: int,
    distort: Callable[[Tensor, float], Tensor] | None = None,
    checkpoint: Path | None = None,
    name: str = "training",
    validation: Examples | None = None,
) -> AnyNetwork:
    """Train a network in place, or go on where a checkpoint left off.

    Parameters
    ----------
    network : TrainedNetwork
        Fresh; it is drawn anew from `seed` by its maker.
    examples : Examples
    recipe : Recipe
    seed : int
        Of the order of examples and of distortions, which do not depend on where it was resumed.
    distort : callable, optional
        (float data, strength) -> distorted data, used where the recipe asks for augmentation.
    checkpoint : Path, optional
        Written after every epoch under another name, then renamed; a training found there goes on.
    name : str
        Of the progress bar.
    validation : Examples, optional
        Looked at after every epoch, for the progress bar only.

    Returns
    -------
    TrainedNetwork
        The same network, ready to be evaluated.

    Raises
    ------
    ValueError
        If the checkpoint is damaged or of another training, or there are fewer examples than a
        batch.
    """
    count = len(examples.labels)
    steps = count // recipe.batch
    if not steps:
        raise ValueError(f"{count} examples are fewer than a batch of {recipe.batch}")
    network.set_weight_errors(recipe.weight_errors)
    optimizer, schedule = _optimizer(network, recipe, steps)
    identity = _identity(network, examples, recipe, seed)
    first = 0
    if checkpoint is not None and checkpoint.exists():
        first = _resume(checkpoint, identity, network, optimizer, schedule)
    with tqdm(
        total=recipe.epochs * steps, initial=first * steps, desc=name, unit="step", disable=None
    ) as bar:
        for epoch in range(first, recipe.epochs):
            torch.manual_seed(1_000_003 * (seed + 1) + epoch)  # the same epoch, resumed or not
            network.train()
            for chosen in torch.randperm(count)[: steps * recipe.batch].split(recipe.batch):
                loss = _loss(network, examples, chosen, recipe, distort)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                network.clamp()
                bar.update()
            if validation is not None:
                bar.set_postfix(validation=f"{accuracy(network, validation):.4f}")
            if checkpoint is not None:
                _save(checkpoint, identity, epoch + 1, network, optimizer, schedule)
    return network.eval()


def _optimizer(network: TrainedNetwork, recipe: Recipe, steps: int) -> tuple[Any, Any]:
    """Adam, and the cycle of its learning rate over epochs of so many steps."""
    optimizer = torch.optim.Adam(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    total = max(2, steps * recipe.epochs)
    total += total == 10  # a tenth of 10 less 1 is 0 steps, by which OneCycleLR divides
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.learning_rate, total_steps=total, pct_start=0.1
    )
    return optimizer, schedule


def _loss(
    network: TrainedNetwork,
    examples: Examples,
    chosen: Tensor,
    recipe: Recipe,
    distort: Callable[[Tensor, float], Tensor] | None,
) -> Tensor:
    """Cross entropy of the chosen examples, distorted if the recipe asks for it."""
    data = examples.data[chosen].float()
    if distort is not None and recipe.augmentation > 0:
        data = distort(data, recipe.augmentation)
    labels = examples.labels[chosen]
    return functional.cross_entropy(network(data), labels, label_smoothing=recipe.label_smoothing)


def logits(network: TrainedNetwork, data: Tensor, batch: int = 1000) -> Tensor:
    """Logits (batch, classes) of a network in evaluation mode."""
    network.eval()
    with torch.no_grad():
        return torch.cat([network(part.float()) for part in data.split(batch)])


def accuracy(network: TrainedNetwork, examples: Examples) -> float:
    """Share of examples whose largest logit is their label's, the lowest of equal ones."""
    predicted = logits(network, examples.data).argmax(dim=1)
    return float((predicted == examples.labels).float().mean())


def _identity(network: TrainedNetwork, examples: Examples, recipe: Recipe, seed: int) -> str:
    """Name a training by all that it depends on."""
    layers: list[Any] = list(network.layers)
    said: dict[str, Any] = {
        "recipe": asdict(recipe),
        "seed": seed,
        "examples": list(examples.data.shape),
        "network": [network.settings(), *(layer.settings() for layer in layers)],
        "shapes": [list(value.shape) for value in network.parameters()],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _save(
    path: Path, identity: str, epochs: int, network: TrainedNetwork, optimizer: Any, schedule: Any
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    state = {
        "identity": identity,
        "epochs": epochs,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }
    torch.save(state, new)
    new.replace(path)


def _resume(
    path: Path, identity: str, network: TrainedNetwork, optimizer: Any, schedule: Any
) -> int:
    """Load a checkpoint; return the epochs it has behind it."""
    state = _read(path)
    if state["identity"] != identity:
        raise ValueError(
            f"{path} is the checkpoint of another training (network, recipe, seed or data differ): "
            f"delete it, or choose another folder"
        )
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(state["epochs"])


def _read(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, whichever training's it is."""
    try:
        state = load_plain(path)
    except ValueError:
        raise ValueError(
            f"{path} is damaged, or no checkpoint: move it away, or choose another folder"
        ) from None
    said = {"identity", "epochs", "network", "optimizer", "schedule"}
    if not isinstance(state, dict) or not said <= set(state):
        raise ValueError(
            f"{path} is a torch file, but not the checkpoint of a training: move it away, or "
            f"choose another folder"
        )
    return state
