"""X-Ray's header, passed on: what a provider within AWS does is then part of the same trace.

The runtime sets `_X_AMZN_TRACE_ID` for each invocation, ours as well as the managed one.
https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader (2026-11).
"""

import os
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from common.ports import Upstream, UpstreamRequest, UpstreamResponse


@dataclass(frozen=True, slots=True)
class Traced:
    """An `Upstream` that adds it."""

    upstream: Upstream

    def send(self, request: UpstreamRequest) -> AbstractAsyncContextManager[UpstreamResponse]:
        """See `Upstream.send`."""
        if trace_id := os.environ.get("_X_AMZN_TRACE_ID"):
            request = replace(request, headers=(*request.headers, ("x-amzn-trace-id", trace_id)))
        return self.upstream.send(request)
