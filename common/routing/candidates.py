"""From the name that a client asks for to the candidates that may answer, best first. Pure."""

from collections.abc import Mapping

from common.model.errors import ModelNotFound, SluiceError, UpstreamError, UpstreamRejected
from common.settings import ModelSettings, TargetSettings


def candidates(models: Mapping[str, ModelSettings], name: str) -> tuple[TargetSettings, ...]:
    """The targets of the model `name`, in order of preference. `ModelNotFound` where there is no such model."""
    model = models.get(name)
    if model is None:
        raise ModelNotFound.named(name)
    return model.targets


def worth_another_candidate(error: SluiceError) -> bool:
    """Whether a different provider may succeed where one failed so."""
    if isinstance(error, UpstreamRejected):
        return error.status == 404  # its list of models is at fault, not the request
    return isinstance(error, UpstreamError)
