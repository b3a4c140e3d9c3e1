"""What clients are told, held against what providers have said, and who was asked for it."""

from collections import Counter, defaultdict

from common.model.usage import UsageRecord
from tests.simulation.clients import Request
from tests.simulation.invariants import Violation
from tests.simulation.process import most_attempts, settings
from tests.simulation.script import FINAL, Asked, Manner, Script


class Told:
    """Of all requests of a world, by their nonces."""

    def __init__(self, routing: str) -> None:
        self._routing = routing
        self._scripts: defaultdict[str, list[Script]] = defaultdict(list)
        self._attempts: Counter[str] = Counter()
        self._refused: set[tuple[str, str, str, bool]] = set()

    def answers(self, asked: Asked, manner: Manner, script: Script) -> None:
        """A provider knows what it will do."""
        if script.texts:
            self._scripts[asked.nonce].append(script)
        if manner in FINAL:
            self._refused.add(_what(asked))

    def check_beginning(self, request: Request) -> None:
        """T: whatever a client has by now is the beginning of one answer: nothing is there twice, or missing."""
        if request.choices > 1 or request.status != 200 or not (text := request.text):
            return
        texts = self._texts(request)
        if not any(each.startswith(text) for each in texts):
            raise Violation(f"T: nobody has told {text}, but {texts}")

    def check_whole(self, request: Request) -> None:
        """T: a stream that says that it is whole is one."""
        if request.choices > 1 or any(each.breached for each in self._scripts[request.nonce]):
            return
        texts = self._texts(request)
        if request.text not in texts:
            raise Violation(f"T: {request.text} is not the whole of {texts}")

    def _texts(self, request: Request) -> list[str]:
        return [text for script in self._scripts[request.nonce] for text in script.texts]

    @staticmethod
    def check_first_byte(request: Request, record: UsageRecord | None) -> None:
        """T: the record tells when the first content went out, whoever has gone on with the answer since."""
        if record is None or record.first_byte_ms is None or request.content_s is None:
            return
        if request.served_s + record.first_byte_ms / 1000 > request.content_s + 0.001:
            raise Violation(f"T: the first content came before {record.first_byte_ms} ms: {request}")

    def check_attempt(self, request: Request, asked: Asked) -> None:
        """R: nobody is asked too often, nor again where that is hopeless, nor to go on where that is not wanted."""
        self._attempts[asked.nonce] += 1
        if self._attempts[asked.nonce] > most_attempts(self._routing, request.model):
            raise Violation(f"R: {asked} is one attempt too many")
        if _what(asked) in self._refused:
            raise Violation(f"R: {asked} was refused before")
        resumes = request.resumes and request.choices == 1 and settings(self._routing).routing.resume
        if request.content_s is not None and not resumes:
            raise Violation(f"R: {asked} comes behind content")


def _what(asked: Asked) -> tuple[str, str, str, bool]:
    """What is asked of whom, for which request."""
    return asked.nonce, asked.provider.name, asked.model, asked.begun is not None
