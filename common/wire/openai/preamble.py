"""What comes before the first content of a stream. Pure.

Until a client has had content, another provider can give the whole answer and nobody is the wiser; so the role, empty
texts and comments are held back, and go out with the content.
"""

import re
from typing import Final

MAX_HELD_BYTES: Final = 64 * 1024  # what has no content by then has it in a way that is not known here

# An event with any of it is not held. A model cannot write these: quotes inside a JSON string are escaped.
_CONTENT: Final = re.compile(
    rb'"(?:content|reasoning|reasoning_content|refusal|arguments|text|thinking|data|url|finish_reason)"\s*:\s*"[^"]'
    rb'|"(?:tool_calls|images|annotations|reasoning_details|content)"\s*:\s*\[\s*[^\]\s]'
    rb'|"(?:function_call|audio|error|usage)"\s*:\s*\{'
)


def has_content(events: bytes) -> bool:
    """Whether whole events of OpenAI's chunks have something in them that a client would show or act on."""
    return len(events) > MAX_HELD_BYTES or _CONTENT.search(events) is not None
