"""What MetaLore needs of other packages, and what of it is installed: from metadata alone, so nothing is imported."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

CORE = "core"
"""What an install without extras brings."""
ROOT = Path(__file__).parents[2]
"""Of a checkout."""
MODULES = {"grafana-foundation-sdk": "grafana_foundation_sdk", "griffelib": "griffe", "import-linter": "importlinter",
           "mkdocs-material": "material", "pillow": "PIL",
           "pyyaml": "yaml", "scikit-learn": "sklearn"}  # fmt: skip
"""Modules of packages, where they are called otherwise."""
BROUGHT = {"starlette": "fastapi", "httpx2": "lightkube", "imageio_ffmpeg": "imageio"}
"""Modules that come with a required package, though nobody asks for them by name."""
ORDER = (CORE, "cli", "learn", "forecast", "serve", "intent", "kubernetes", "render", "film", "multi", "ray", "drift")
"""Whom to name first of extras that bring the same package."""

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[([\w,]+)\])?\s*(?:(>=|==)\s*([\w.]+))?")
_EXTRA = re.compile(r"extra == ['\"]([\w-]+)['\"]")


@dataclass(frozen=True)
class Requirement:
    """A package and which version of it is good enough.

    Attributes:
        name: of the package.
        version: the least; None: any.
        exact: whether it must be just that version.
    """

    name: str
    version: str | None = None
    exact: bool = False

    def allows(self, installed: str) -> bool:
        """Whether a version is good enough; what follows a plus is not looked at."""
        if self.version is None:
            return True
        return (
            numbers(installed) == numbers(self.version) if self.exact else numbers(installed) >= numbers(self.version)
        )

    def __str__(self) -> str:
        return f"{'==' if self.exact else '>='}{self.version}" if self.version else "any"


def requirements(root: Path = ROOT) -> dict[str, tuple[Requirement, ...]]:
    """By extra, CORE first: of the checkout's pyproject.toml, else of the installed package, and then without `dev`."""
    file = root / "pyproject.toml"
    if file.is_file():
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        texts = {CORE: project["dependencies"], **project["optional-dependencies"]}
        found, left_out = {extra: tuple(_expanded(extra, texts)) for extra in texts}, {"all"}
    else:
        found, left_out = _grouped(_required()), {"all", "dev"}
    return {extra: needed for extra, needed in found.items() if extra not in left_out}


def pinned(root: Path = ROOT) -> dict[str, str]:
    """Versions that are tested together, by package: constraints.txt, of the checkout or of the installed package."""
    for file in (root / "constraints.txt", Path(__file__).with_name("constraints.txt")):
        if file.is_file():
            return dict(re.findall(r"^([\w.-]+)==([\w.]+)", file.read_text(encoding="utf-8"), re.MULTILINE))
    return {}


def installed(name: str) -> str | None:
    """The version of a package; None if it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def importable(name: str) -> bool:
    """Whether a package's module can be found; it is not imported."""
    try:
        return find_spec(MODULES.get(name, name.replace("-", "_"))) is not None
    except (ImportError, ValueError):
        return False


def extra_of(module: str) -> str | None:
    """The extra that brings a module, CORE if all installs do; None if nothing here needs it."""
    package = BROUGHT.get(module) or next((name for name, own in MODULES.items() if own == module), module)
    wanted = package.replace("_", "-").lower()
    extras = [extra for extra, needed in requirements().items() if any(one.name == wanted for one in needed)]
    return min(extras, key=lambda extra: ORDER.index(extra) if extra in ORDER else len(ORDER), default=None)


def how_to_get(extra: str) -> str:
    """The command that installs an extra."""
    return "pip install metalore" if extra == CORE else f'pip install "metalore[{extra}]"'


def numbers(version: str) -> tuple[int, ...]:
    """A version's numbers, for comparing; `2.13.0+cpu` is (2, 13, 0)."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def _expanded(extra: str, texts: Mapping[str, Iterable[str]]) -> Iterator[Requirement]:
    """Requirements of an extra; those of another extra of ours in place of it."""
    for text in texts[extra]:
        name, extras, relation, version = _parsed(text)
        if name == "metalore":
            for inner in extras:
                yield from _expanded(inner, texts)
        else:
            yield Requirement(name, version, relation == "==")


def _required() -> list[str]:
    try:
        return metadata.requires("metalore") or []
    except metadata.PackageNotFoundError:
        return []


def _grouped(texts: Iterable[str]) -> dict[str, tuple[Requirement, ...]]:
    """Of an installed package's metadata, in which extras are expanded already."""
    found: dict[str, list[Requirement]] = {CORE: []}
    for text in texts:
        plain, _, marker = text.partition(";")
        name, _, relation, version = _parsed(plain)
        extra = _EXTRA.search(marker)
        found.setdefault(extra[1] if extra else CORE, []).append(Requirement(name, version, relation == "=="))
    return {extra: tuple(needed) for extra, needed in found.items()}


def _parsed(text: str) -> tuple[str, list[str], str | None, str | None]:
    match = _REQUIREMENT.match(text.strip())
    assert match is not None, text
    name, extras, relation, version = match.groups()
    return name.lower(), extras.split(",") if extras else [], relation, version
