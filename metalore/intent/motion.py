"""Motions and words as embeddings that lie close where they tell the same: 128 numbers each.

Axes: `m` motions, `t` frames (12.5 a second), `j` joints, `f` features of a frame, `r` rows: frames or windows of all
motions, one motion after the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import layer_norm, normalize, silu

from metalore.intent import _hub
from metalore.intent.errors import IntentError
from metalore.intent.kan import KANLayer
from metalore.intent.media import MOTION_HZ, read_motion
from metalore.intent.motions import JOINTS

EMBEDDING = 128
_MOVING = tuple(JOINTS.index(name) for name in JOINTS if name.split()[-1] in ("root", "wrist", "toes"))
"""Joints whose velocities are shown; those of the others follow from windows."""
FEATURES = 2 + 3 * (len(JOINTS) - 1) + 3 * len(_MOVING)
CORES = ("kan", "mlp")
FORMAT = "metalore-motion-1"

_WINDOW, _STRIDES = 4, (4, 2)
FEWEST_FRAMES = _WINDOW + _STRIDES[0] * (_WINDOW - 1)
"""Fewer give no window of windows."""

_LEFT, _RIGHT = (5, 11), (8, 16)  # shoulder and hip
_REACH = 3.0
_BATCH = 64


# -- motions as numbers ------------------------------------------------------------------------------------------------


def features(motion: np.ndarray) -> np.ndarray:
    """What a network sees of each frame, wherever the motion is and wherever it heads.

    Height of the root and how fast the body turns; the other joints as seen from the root, with the body looking along
    z; velocities of the root, the wrists and the toes likewise. After Guo et al. 2022, "Generating Diverse and Natural
    3D Human Motions from Text". Differently from the original: no joint rotations, no foot contacts, few velocities.

    Args:
        motion: in metres [t, 21, 3]; one below 16 frames stands still at its end until there are 16.

    Returns:
        Metres, metres a second and radians a second [t, 77], float32.
    """
    motion = np.concatenate([motion, np.repeat(motion[-1:], max(0, FEWEST_FRAMES - len(motion)), axis=0)])
    left, right = (motion[:, pair].sum(axis=1) for pair in (_LEFT, _RIGHT))
    across = left - right
    heading = np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))
    turned = _about_y(-heading)
    seen = np.einsum("tab,tjb->tja", turned, motion - motion[:, :1])[:, 1:]
    speed = np.einsum("tab,tjb->tja", turned, _rate(motion[:, _MOVING]))
    columns = (motion[:, 0, 1], _rate(heading), seen.reshape(len(seen), -1), speed.reshape(len(speed), -1))
    return np.column_stack(columns).astype(np.float32)


def mirrored(rows: np.ndarray) -> np.ndarray:
    """Features `rows` [..., 77] of the same motion in a mirror: left is right."""
    return np.asarray(rows[..., _MIRROR] * _SIGNS)


def mirrored_words(text: str) -> str:
    """A description of the same motion in a mirror."""
    swap = {"left": "right", "right": "left"}
    return re.sub(r"\b(left|right)", lambda found: swap[found[1]], text.lower())


def _about_y(angle: np.ndarray) -> np.ndarray:
    zero = np.zeros_like(angle)
    rows = (np.cos(angle), zero, np.sin(angle)), (zero, zero + 1, zero), (-np.sin(angle), zero, np.cos(angle))
    return np.moveaxis(np.array(rows), -1, 0)


def _rate(values: np.ndarray) -> np.ndarray:
    """Change a second over frames; the first frame's is the second's."""
    change = np.diff(values, axis=0) * MOTION_HZ
    return np.concatenate([change[:1], change])


def _mirror() -> tuple[np.ndarray, np.ndarray]:
    """From which column each is taken, and with which sign."""
    names = [name.replace("left", "?").replace("right", "left").replace("?", "right") for name in JOINTS]
    other = np.array([JOINTS.index(name) for name in names])
    xyz = np.arange(3)
    seen = 2 + (3 * (other[1:, None] - 1) + xyz).ravel()
    moving = np.array([_MOVING.index(other[joint]) for joint in _MOVING])
    speed = 2 + 3 * (len(JOINTS) - 1) + (3 * moving[:, None] + xyz).ravel()
    signs = np.tile([-1, 1, 1], len(JOINTS) - 1 + len(_MOVING))
    return np.concatenate([[0, 1], seen, speed]), np.concatenate([[1, -1], signs]).astype(np.float32)


_MIRROR, _SIGNS = _mirror()


def joined(motions: Sequence[np.ndarray]) -> tuple[Tensor, np.ndarray]:
    """Features of several motions one after the other [r, f], and how many rows each has [m]."""
    return torch.from_numpy(np.concatenate(motions)), np.array([len(motion) for motion in motions])


# -- networks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """What a motion network is made of.

    Attributes:
        core: `kan`: learned functions on edges; `mlp`: two linear layers in place of each KAN layer, with as many
            parameters.
        frame, hidden: width of a frame, and of windows.
        grid, order: of the splines.
        words: width of a word.
    """

    core: str = "kan"
    frame: int = 32
    hidden: int = 64
    grid: int = 5
    order: int = 3
    words: int = 64

    def __post_init__(self) -> None:
        if self.core not in CORES:
            raise IntentError(f"a motion encoder has no core {self.core!r}; it has {' or '.join(CORES)}")
        if min(self.frame, self.hidden, self.grid, self.order, self.words) < 1:
            raise IntentError("the widths, the grid and the order of a motion encoder must be above 0")

    def layer(self, inputs: int, outputs: int) -> nn.Module:
        """A KAN layer from `inputs` to `outputs`, or two linear layers of as many parameters as nodes allow."""
        if self.core == "kan":
            return KANLayer(inputs, outputs, self.grid, self.order, _REACH)
        nodes = round((inputs * outputs * (self.grid + self.order + 1) - outputs) / (inputs + outputs + 1))
        return nn.Sequential(nn.Linear(inputs, max(1, nodes)), nn.SiLU(), nn.Linear(max(1, nodes), outputs))


class MotionNetwork(nn.Module):
    """Features of frames in, one embedding for each motion out.

    A layer on each frame; a layer on 4 frames; another on 4 such windows, every second of them; the mean and the
    largest of each number over time; a last layer. What enters a layer is normalized, so that splines meet
    it on their grid. A motion's embedding does not depend on what is in the same batch.

    Args:
        shape: of what size.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))
        self.frame = shape.layer(FEATURES, shape.frame)
        self.near = shape.layer(_WINDOW * shape.frame, shape.hidden)
        self.far = shape.layer(_WINDOW * shape.hidden, shape.hidden)
        self.out = shape.layer(2 * shape.hidden, EMBEDDING)

    def forward(self, rows: Tensor, lengths: np.ndarray) -> Tensor:
        """Embeddings [m, 128] of length 1.

        Args:
            rows: features of all frames [r, f].
            lengths: frames of each motion [m].
        """
        x = self.frame((rows - self.mean) / self.deviation)
        for layer, stride in zip((self.near, self.far), _STRIDES, strict=True):
            windows, lengths = _windows(lengths, stride)
            x = layer(_normed(x[windows.to(x.device)].flatten(1)))
        counts = torch.from_numpy(lengths).to(x.device)
        pooled = [torch.segment_reduce(x, how, lengths=counts) for how in ("mean", "max")]
        return normalize(self.out(_normed(torch.cat(pooled, dim=1))))

    def kan_layers(self, rows: Tensor, lengths: np.ndarray) -> list[tuple[KANLayer, Tensor]]:
        """Each KAN layer with what enters it."""
        found: list[tuple[KANLayer, Tensor]] = []
        layers = [layer for layer in self.children() if isinstance(layer, KANLayer)]
        hooks = [layer.register_forward_pre_hook(lambda own, args: found.append((own, args[0]))) for layer in layers]
        try:
            self(rows, lengths)
        finally:
            for hook in hooks:
                hook.remove()
        return found


def _normed(x: Tensor) -> Tensor:
    return layer_norm(x, x.shape[-1:])


def _windows(lengths: np.ndarray, stride: int) -> tuple[Tensor, np.ndarray]:
    """Rows that each window reads [r, 4], none of them of two motions, and how many windows each motion has [m]."""
    counts = (lengths - _WINDOW) // stride + 1
    firsts = np.repeat(np.cumsum(lengths) - lengths, counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return torch.from_numpy((firsts + stride * within)[:, None] + np.arange(_WINDOW)), counts


class TextNetwork(nn.Module):
    """Descriptions in, one embedding for each out: the mean of learned words and word pairs, through two layers.

    Follows Joulin, Grave, Bojanowski and Mikolov 2017, "Bag of Tricks for Efficient Text Classification". Differently
    from the original: no hashing, the embedding is not a class, and the mean goes through a hidden layer.

    Args:
        words: known words and pairs; all others count as one.
        width: of a word.
    """

    def __init__(self, words: Sequence[str], width: int) -> None:
        super().__init__()
        self._numbers = {word: number for number, word in enumerate(words, start=1)}
        self.words = nn.EmbeddingBag(len(words) + 1, width, mode="mean")
        self.hidden = nn.Linear(width, 2 * width)
        self.out = nn.Linear(2 * width, EMBEDDING)

    def forward(self, descriptions: Sequence[Sequence[str]]) -> Tensor:
        """Embeddings [m, 128] of length 1, of the words of each; see :func:`words_of`."""
        numbers = [[self._numbers.get(word, 0) for word in words] or [0] for words in descriptions]
        starts = np.cumsum([0, *map(len, numbers[:-1])])
        device = self.out.weight.device
        flat = torch.tensor([number for each in numbers for number in each], device=device)
        mean = self.words(flat, torch.from_numpy(starts).to(device))
        return normalize(self.out(silu(self.hidden(mean))))


def words_of(text: str) -> list[str]:
    """Words of a description, in lower case, and pairs of neighbours."""
    words = re.findall(r"[\w']+", text.lower())
    return words + [f"{one} {other}" for one, other in pairwise(words)]


# -- the encoder -------------------------------------------------------------------------------------------------------


class MotionEncoder:
    """Motions [t, 21, 3] in metres at 12.5 Hz to embeddings, and to the nearest of known descriptions.

    Args:
        shape: of the network; or its fields as a dictionary.
        words: that its text network knows; it learns them in training.
        gallery: descriptions to choose from; those of the training data.
        device: of torch; unset: a GPU if there is one.
    """

    def __init__(
        self,
        shape: Shape | Mapping[str, Any] | None = None,
        words: Sequence[str] = (),
        gallery: Sequence[str] = (),
        device: str | None = None,
    ) -> None:
        self.shape = shape if isinstance(shape, Shape) else Shape(**(shape or {}))
        self.device = torch.device(_hub.device_of(device))
        self.network = MotionNetwork(self.shape).to(self.device)
        self.training: dict[str, Any] = {}
        """How it was trained, for the card."""
        self.learn_words(words)
        self.gallery = tuple(gallery)

    @classmethod
    def small(cls, seed: int = 0, core: str = "kan", device: str | None = None) -> MotionEncoder:
        """An untrained one.

        Args:
            seed: of its first weights.
            core: see :class:`Shape`.
            device: of torch.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(Shape(core=core), device=device)

    @classmethod
    def pretrained(cls, folder: Path | str, device: str | None = None) -> MotionEncoder:
        """One that is trained, from its folder: see :meth:`load`. Nobody publishes weights for it."""
        return cls.load(folder, device)

    @property
    def parameters(self) -> int:
        """Of the motion network."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    def learn_words(self, words: Sequence[str]) -> None:
        """Begin a text network anew, for these words and pairs."""
        self.words = tuple(words)
        self.text = TextNetwork(self.words, self.shape.words).to(self.device)
        self.gallery = ()

    @property
    def gallery(self) -> tuple[str, ...]:
        """Descriptions to choose from."""
        return self._gallery

    @gallery.setter
    def gallery(self, descriptions: tuple[str, ...]) -> None:
        self._gallery: tuple[str, ...] = descriptions
        self._places: np.ndarray | None = None

    def embed(self, batch: Sequence[np.ndarray | Path | str]) -> np.ndarray:
        """Embeddings of motions, as arrays or files, float32 [m, 128], each of length 1.

        Raises:
            IntentError: one is no motion; see :func:`metalore.intent.media.read_motion`.
        """
        names = [f"motion {number}" if isinstance(one, np.ndarray) else str(one) for number, one in enumerate(batch)]
        return self.embed_features(
            [features(read_motion(one, name=name)) for one, name in zip(batch, names, strict=True)]
        )

    @torch.inference_mode()
    def embed_features(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        """The same, of motions given as `rows` [t, 77], one after the other, by :func:`features`."""
        self.network.eval()
        found = [np.empty((0, EMBEDDING), np.float32)]
        for first in range(0, len(rows), _BATCH):
            frames, lengths = joined(rows[first : first + _BATCH])
            found.append(self.network(frames.to(self.device), lengths).cpu().numpy())
        return np.concatenate(found)

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings of descriptions, float32 [n, 128], each of length 1; a motion's is close to its description's."""
        self.text.eval()
        if not texts:
            return np.empty((0, EMBEDDING), np.float32)
        found: np.ndarray = self.text([words_of(text) for text in texts]).cpu().numpy()
        return found

    def describe(self, batch: Sequence[np.ndarray | Path | str]) -> list[str]:
        """The nearest description of the gallery for each motion.

        Raises:
            IntentError: no gallery, since it is untrained; or as :meth:`embed`.
        """
        if not self.gallery:
            raise IntentError("this motion encoder knows no descriptions yet; train it, or load one that is trained")
        if self._places is None:
            self._places = self.embed_text(self.gallery)
        return [self.gallery[number] for number in (self.embed(batch) @ self._places.T).argmax(axis=1)]

    def state(self) -> dict[str, Tensor]:
        """Weights of both networks by name, as they are now."""
        networks = {"motion": self.network, "text": self.text}
        named = ((f"{name}.{key}", value) for name, own in networks.items() for key, value in own.state_dict().items())
        return {name: value.detach().cpu().clone().contiguous() for name, value in named}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take weights that :meth:`state` gave.

        Raises:
            RuntimeError: of another shape.
        """
        for name, network in (("motion.", self.network), ("text.", self.text)):
            own = {key.removeprefix(name): value for key, value in state.items() if key.startswith(name)}
            network.load_state_dict(own)

    # -- on disk -------------------------------------------------------------------------------------------------------

    def save(self, folder: Path | str) -> None:
        """Weights (safetensors) and `card.json`; an encoder that was there is replaced.

        Raises:
            IntentError: the folder holds something else.
            OSError: it cannot be written.
        """
        facts = {
            "what": f"motions of {len(JOINTS)} joints at {MOTION_HZ} Hz to {EMBEDDING} numbers, beside descriptions",
            "shape": asdict(self.shape),
            "parameters": self.parameters,
            **self.training,
            "words": self.words,
            "gallery": self.gallery,
        }
        _hub.save_tensors(folder, self.state(), FORMAT, facts)

    @classmethod
    def load(cls, folder: Path | str, device: str | None = None) -> MotionEncoder:
        """Read what :meth:`save` wrote; it gives the same to the last bit on the same machine.

        Raises:
            IntentError: no motion encoder there, of another format, or damaged.
        """
        card = _hub.read_card(folder, FORMAT)
        try:
            with torch.random.fork_rng(devices=[]):
                encoder = cls(card["shape"], card["words"], device=device)
            encoder.restore(load_file(Path(folder) / _hub.WEIGHTS))
            encoder.gallery = tuple(card["gallery"])
        except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise IntentError(f"{folder} is damaged ({type(error).__name__}: {reason}); save it again") from None
        encoder.training = {
            name: card[name] for name in ("data", "recipe", "seed", "seconds", "scores") if name in card
        }
        return encoder
