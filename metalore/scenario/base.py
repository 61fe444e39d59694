"""What every settings class is built on: frozen, typed, and refused in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from metalore.scenario.errors import ScenarioError, sentence

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _ModelMetaclass
else:  # it has no public name
    _ModelMetaclass = type(BaseModel)

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Point = tuple[float, float]


class _OneSentence(_ModelMetaclass):
    """Turns the errors of a settings class that is called into one sentence; those of nested ones come with it."""

    def __call__(cls, *arguments: Any, **settings: Any) -> Any:  # noqa: N805  # a metaclass
        try:
            return super().__call__(*arguments, **settings)
        except ValidationError as error:
            raise ScenarioError(sentence(error, cls)) from None  # type: ignore[arg-type]  # a class of this metaclass


class Settings(BaseModel, metaclass=_OneSentence):
    """Base of all settings: frozen, typed, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
