"""The contract of `Namespace`: what the stores in KV rely on, however it is reached."""

from common.adapters.cloudflare.namespace import Namespace

ODD = 'a/b c?d=é"&%20'


async def test_values(namespace: Namespace) -> None:
    """A value comes back as it was put, until another is; what nobody put is not there."""
    for name in ("one", ODD):
        assert await namespace.get(name) is None
        await namespace.put(name, '{"line": "1\\n é 🚪"}')
        assert await namespace.get(name) == '{"line": "1\\n é 🚪"}'
        await namespace.put(name, "2", expires_s=60)
        assert await namespace.get(name) == "2"


async def test_delete(namespace: Namespace) -> None:
    """What is removed is gone, and to remove it again is no mistake."""
    await namespace.put("one", "1")
    await namespace.put("other", "2")
    for _ in range(2):
        await namespace.delete("one")
        assert await namespace.get("one") is None
    assert await namespace.get("other") == "2"


async def test_names(namespace: Namespace) -> None:
    """Names that begin alike are listed in their order, and no more than are asked for."""
    names = [f"letter:{number:02}" for number in range(12)]
    for name in [*reversed(names), "other"]:
        await namespace.put(name, "x")
    assert await namespace.names("letter:", 100) == names
    assert await namespace.names("letter:", 10) == names[:10]
    assert await namespace.names("nothing", 10) == []
