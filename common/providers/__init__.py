"""Wire protocols of upstreams, as pure codecs: a request out of a call, and what to make of the answer."""
