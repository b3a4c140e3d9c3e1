"""What docs/setup/cloudflare.md tells to type does what the page says, against imitations of Cloudflare's API."""

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any, Final

import pytest

from infra.cloudflare.package import package
from infra.cloudflare.stage import REPOSITORY, all_workers
from tests.edge import toolbox
from tests.support.cloudflare_api import ACCOUNT, DATABASE, NAMESPACE, TOKEN, open_api
from tests.support.doctor import KEY, openrouter
from tests.support.origin import Exchange, origin
from tests.support.sluice import run

PAGE: Final = (REPOSITORY / "docs/setup/cloudflare.md").read_text("utf-8")
CONFIGURATION: Final = (REPOSITORY / "sluice.example.toml").read_text("utf-8")
WRANGLER: Final = (
    (REPOSITORY / "wrangler.toml")
    .read_text("utf-8")
    .replace("00000000-0000-0000-0000-000000000000", DATABASE)
    .replace("0" * 32, NAMESPACE)
)
SECRETS: Final = ".secrets.production"


async def test_doctor(tmp_path: Path) -> None:
    """What the doctor says before Workers are deployed is what the page shows, letter by letter."""
    found = re.search(r"^```text\n\$ sluice (doctor [^\n]+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    (tmp_path / "wrangler.toml").write_text(WRANGLER)
    async with open_api() as api, origin(openrouter()) as provider:
        base_url = f'base_url = "{provider.url}/api/v1"\napi_key'
        (tmp_path / "sluice.toml").write_text(CONFIGURATION.replace("api_key", base_url, 1))
        ended = await run(
            tmp_path,
            *shlex.split(found[1]),
            CLOUDFLARE_API_TOKEN=TOKEN,
            CLOUDFLARE_ACCOUNT_ID=ACCOUNT,
            CLOUDFLARE_API_BASE_URL=api.url,
            OPENROUTER_API_KEY=KEY,
        )
    assert (ended.status, ended.stdout) == (1, found[2])


async def empty_account(exchange: Exchange) -> None:
    """Cloudflare's API as `wrangler deploy` uses it, of an account that has no Worker yet."""
    path = exchange.asked.target.partition("?")[0]
    result: dict[str, Any] | None = {}
    if path.endswith("/workers/subdomain"):
        result = {"subdomain": "me"}
    elif "/workers/workers/" in path:
        result = {"subdomain": {"enabled": True, "previews_enabled": False}}
    elif exchange.asked.method == "GET":
        result = None
    errors = [] if result is not None else [{"code": 10007, "message": "This Worker does not exist."}]
    said = {"success": result is not None, "result": result, "errors": errors, "messages": []}
    status = "404 Not Found" if result is None else "200 OK"
    await exchange.answer(json.dumps(said).encode(), status, "content-type: application/json")


async def test_first_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Worker that is not there yet is deployed, with its secrets, by the command of the page.

    Without the file, wrangler refuses: there is nothing yet to put a secret into.
    """
    (command,) = re.findall(r"^ *wrangler (deploy .*)$", PAGE, re.MULTILINE)
    (health,) = [worker for worker in all_workers() if worker.name == "health"]
    folder = tmp_path / "health"
    config = package(folder, "production", health, CONFIGURATION)
    (tmp_path / SECRETS).write_text("OPENROUTER_API_KEY=sk-or-1\n")
    places = {"$function": str(folder / "wrangler.json"), SECRETS: str(tmp_path / SECRETS)}
    words = shlex.split(command)
    assert places.keys() <= set(words)
    async with origin(empty_account) as api:
        monkeypatch.setenv("CLOUDFLARE_API_BASE_URL", f"{api.url}/client/v4")
        monkeypatch.setenv("CLOUDFLARE_API_TOKEN", TOKEN)
        monkeypatch.setenv("CLOUDFLARE_ACCOUNT_ID", ACCOUNT)
        monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)  # it would go before the file's

        async def wrangler(*words: str) -> None:
            await asyncio.to_thread(toolbox.run_node, toolbox.WRANGLER, *words, home=tmp_path)

        with pytest.raises(RuntimeError, match="required secrets have not been set: OPENROUTER_API_KEY"):
            await wrangler("deploy", "--config", places["$function"])
        await wrangler(*(places.get(word, word) for word in words))
    (uploaded,) = [each.asked for each in api.exchanges if each.asked.method == "PUT"]
    assert uploaded.target.partition("?")[0].endswith(f"/workers/scripts/{config['name']}")
    secret = {"name": "OPENROUTER_API_KEY", "type": "secret_text", "text": "sk-or-1"}
    assert json.dumps(secret, separators=(",", ":")).encode() in uploaded.body
