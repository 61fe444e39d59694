"""The look of all figures: sizes and type of a printed page, and a colour for every policy.

Colours are those of Okabe and Ito ("Color Universal Design", 2008), which can be told apart with every kind of colour
vision; lines differ in dashes and marks as well, for print without colour.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from metalore.files import replacing

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, RULE = "#5F6670", "#D9DCE1"
REQUESTS, UPDATES = BLUE, ORANGE

TEXT_WIDTH = 6.9
"""Inches that a figure across the page takes."""

Dashes = tuple[float, tuple[float, ...]]
SOLID: Dashes = (0, ())
DASHED: Dashes = (0, (4.5, 1.5))
DOTTED: Dashes = (0, (1.2, 1.2))
MIXED: Dashes = (0, (5, 1.2, 1.2, 1.2))


@dataclass(frozen=True)
class LineStyle:
    """How a policy is drawn, in every figure."""

    colour: str
    dashes: Dashes = SOLID
    marker: str = "o"


STYLES: dict[str, LineStyle] = {
    "fixed(0.5,0.5)": LineStyle(BLACK, SOLID, "o"),
    "fixed(0.3,0.4)": LineStyle(GREY, DASHED, "s"),
    "uniform": LineStyle(SKY, DOTTED, "X"),
    "demand-proportional": LineStyle(GREEN, DASHED, "^"),
    "backlog-proportional": LineStyle(BLUE, SOLID, "D"),
    "max-weight": LineStyle(VERMILLION, SOLID, "v"),
    "max-weight-age": LineStyle(ORANGE, DASHED, "P"),
    "ppo": LineStyle(PURPLE, SOLID, "*"),
    "dqn": LineStyle(PURPLE, DASHED, "h"),
    "best-fixed": LineStyle(GREEN, SOLID, "p"),
}
"""Policies with a look of their own; any other takes what is free."""

_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK, GREY)
_MARKERS = "osD^vPXph*"


def styles_of(policies: Iterable[str]) -> dict[str, LineStyle]:
    """A look for each policy, no two alike; named ones keep theirs, whatever else is in the figure."""
    names = list(dict.fromkeys(policies))
    styles = {name: STYLES[name] for name in names if name in STYLES}
    taken = {(style.colour, style.dashes) for style in styles.values()}
    worn = {style.colour for style in styles.values()}
    looks = [(colour, dashes) for dashes in (SOLID, DASHED, DOTTED, MIXED) for colour in _COLOURS]
    # A colour of one's own before another's colour in dashes.
    free = sorted((look for look in looks if look not in taken), key=lambda look: look[0] in worn)
    for i, name in enumerate(name for name in names if name not in styles):
        colour, dashes = free[i % len(free)]
        styles[name] = LineStyle(colour, dashes, _MARKERS[i % len(_MARKERS)])
    return {name: styles[name] for name in names}


RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same picture on every machine
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 5,
    "axes.labelsize": 7.5,
    "axes.labelcolor": "#1C2430",
    "axes.edgecolor": "#6B7280",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.color": "#3A4250",
    "ytick.color": "#3A4250",
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "svg.fonttype": "path",  # no font needed where it is read
    "svg.hashsalt": "metalore",  # the same file every time
    "pdf.fonttype": 42,
}

_UNDATED: dict[str, Any] = {".svg": {"Date": None, "Creator": None}, ".pdf": {"CreationDate": None}}


@contextmanager
def paper() -> Iterator[None]:
    """Draw in the house style."""
    with matplotlib.rc_context(RC):
        yield


def svg(figure: Figure) -> bytes:
    """A figure as SVG that needs nothing from outside and comes out the same every time."""
    out = io.BytesIO()
    with paper():
        figure.savefig(out, format="svg", metadata=_UNDATED[".svg"])
    return out.getvalue()


def png(picture: np.ndarray) -> bytes:
    """An array uint8 [height, width, 3] as PNG."""
    from matplotlib.image import imsave

    out, without = io.BytesIO(), cast(dict[str, str], {"Software": None})
    imsave(out, picture, format="png", metadata=without)
    return out.getvalue()


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as an address that holds them; `kind` is "svg+xml" or "png"."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def save(figure: Figure, path: Path | str) -> None:
    """Write a figure to a file of any kind that matplotlib knows by its ending, whole or not at all."""
    with paper(), replacing(path) as temporary:
        figure.savefig(temporary, metadata=_UNDATED.get(temporary.suffix))
