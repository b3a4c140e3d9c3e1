"""Stands in for the part of workerd that the SDK's `.pth` file registers its patches with (there: `_cloudflare`).

So which randomness at import is excused is read from the SDK that is deployed, not from a copy of its list.
"""
