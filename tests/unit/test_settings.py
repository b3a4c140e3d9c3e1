"""`parse_settings`: what a sluice.toml comes to, or every mistake in it."""

import dataclasses
from pathlib import Path

import pytest

from common.model.catalog import Modality, Tier
from common.settings import (
    DEFAULT_TOML,
    LogLevel,
    OnDisconnect,
    ProviderKind,
    Secret,
    ServerSettings,
    Settings,
    SettingsError,
    parse_settings,
)

KEYS = {
    "KEY": "key-one",
    "OTHER": " key-two\n",
    "EMPTY": " \n",
    "BAD": "a key with\na second line",
    "FOREIGN": "schlüssel",
    "LONG": "0123456789abcdef",
}
ROOT = Path(__file__).parents[2]
SECTIONS = "not a known section; known: server, providers, models"
ADDRESS = "expected an address like https://llm.example.com/v1"
ONE_REFERENCE = 'expected "env:NAME", on AWS also "ssm:/path" or "secretsmanager:name"'
REFERENCE = f"{ONE_REFERENCE}, or a list of such: this file holds no secret"
TARGET = 'expected "provider/upstream-model"'
MODALITIES = "expected 'text', 'image', 'audio' or 'file'"
KINDS = "expected 'openai', 'openrouter', 'anthropic' or 'embedded'"
ORIGIN = "expected an origin like https://app.example.com, in lower case and without a path"
SERVER_KEYS = ", ".join(field.name for field in dataclasses.fields(ServerSettings))
PROVIDER = '[providers.one]\nkind = "openai"\nbase_url = "http://one"\n'


def mistakes(text: str) -> list[tuple[str, str]]:
    """Key and expectation of each mistake in the file."""
    with pytest.raises(SettingsError) as wrong:
        parse_settings(text, KEYS, "some.toml")
    found = wrong.value.mistakes
    assert {mistake.file for mistake in found} == {"some.toml"}
    assert str(wrong.value).splitlines() == [str(mistake) for mistake in found]
    return [(mistake.key, mistake.expected) for mistake in found]


def provider(body: str, name: str = "p") -> Settings:
    """The settings with a provider of this table."""
    return parse_settings(f"[providers.{name}]\n{body}", KEYS)


# -- what is configured


def test_nothing() -> None:
    """An empty file is one: defaults, and nobody to ask."""
    settings = parse_settings("", {})
    assert settings.server == ServerSettings()
    assert (settings.providers, settings.models) == ({}, {})
    assert settings.server.max_body_bytes == 20 * 2**20
    assert settings.server.log_level is LogLevel.INFO


def test_default() -> None:
    """Without a file, the embedded model answers as `demo`."""
    settings = parse_settings(DEFAULT_TOML, {})
    assert settings.providers["embedded"].kind is ProviderKind.EMBEDDED
    [target] = settings.models["demo"].targets
    assert (target.provider, target.model) == ("embedded", "demo")


def test_example() -> None:
    """The example that comes with Sluice is right as it is, and with everything that is switched off in it."""
    text = (ROOT / "sluice.example.toml").read_text()
    variables = {"OPENROUTER_API_KEY": "a", "BACKUP_API_KEY": "b"}
    assert parse_settings(text, variables).models["gpt-4o-mini"].targets[0].model == "openai/gpt-4o-mini"
    switched = [
        line[1:] if line[:1] == "#" and line[1:2] not in {"", " "} else line for line in text.splitlines()
    ]
    everything = parse_settings("\n".join(switched), variables)
    assert everything.providers.keys() == {"openrouter", "backup", "embedded"}
    assert everything.server == ServerSettings()


def test_server() -> None:
    """Each bound can be set; a whole number will do for seconds."""
    text = """
    [server]
    max_body_bytes = 1024
    connect_timeout_s = 1
    first_byte_timeout_s = 0.5
    idle_timeout_s = 900
    total_timeout_s = 3000
    log_level = "debug"
    cors_origins = ["https://app.example.com", "http://localhost:3000", "https://[::1]:8443"]
    docs = true
    base_urls = { models = "https://models.example.com" }
    """
    assert parse_settings(text, {}).server == ServerSettings(
        max_body_bytes=1024,
        connect_timeout_s=1.0,
        first_byte_timeout_s=0.5,
        idle_timeout_s=900.0,
        total_timeout_s=3000.0,
        log_level=LogLevel.DEBUG,
        cors_origins=("https://app.example.com", "http://localhost:3000", "https://[::1]:8443"),
        docs=True,
        base_urls={"models": "https://models.example.com"},
    )


def test_secret_of_the_server() -> None:
    """The key that end users are hashed with is a reference; its value does not print."""
    settings = parse_settings('[server]\nend_user_key = "env:LONG"\ndocs = true', KEYS)
    assert settings.server == ServerSettings(docs=True, end_user_key=Secret("0123456789abcdef"))
    assert "0123456789abcdef" not in repr(settings)


def test_secrets() -> None:
    """All that must never be shown is known, for the log to keep it back."""
    keys = 'kind = "openrouter"\napi_key = ["env:KEY", "env:OTHER"]'
    text = f'[server]\nend_user_key = "env:LONG"\n[providers.a]\n{keys}\n[providers.b]\nkind = "embedded"'
    assert parse_settings(text, KEYS).secrets == ["key-one", "key-two", "0123456789abcdef"]
    assert parse_settings("", {}).secrets == []


@pytest.mark.parametrize(
    ("body", "policy"),
    [
        ('kind = "openai"\nbase_url = "http://x"', OnDisconnect.CANCEL),
        ('kind = "embedded"', OnDisconnect.CANCEL),
        ('kind = "openrouter"\napi_key = "env:KEY"', OnDisconnect.RECONCILE),
        ('kind = "anthropic"\napi_key = "env:KEY"', OnDisconnect.CANCEL),
        ('kind = "openrouter"\napi_key = "env:KEY"\non_disconnect = "cancel"', OnDisconnect.CANCEL),
        ('kind = "openrouter"\napi_key = "env:KEY"\non_disconnect = "drain"', OnDisconnect.DRAIN),
        ('kind = "openai"\nbase_url = "http://x"\non_disconnect = "drain"', OnDisconnect.DRAIN),
    ],
)
def test_on_disconnect(body: str, policy: OnDisconnect) -> None:
    """As the provider's kind does, unless the table says something else."""
    assert parse_settings(f"[providers.p]\n{body}", {"KEY": "k"}).providers["p"].on_disconnect is policy


def test_providers_and_models() -> None:
    """Providers and models keep their names and their order, upstream names their slashes."""
    text = """
    [models."gpt-4o mini/é"]
    targets = ["b.c/x/y:free", "a/z"]
    [providers."b.c"]
    kind = "openrouter"
    api_key = ["env:KEY", "env:OTHER"]
    [providers.a]
    kind = "openai"
    base_url = "http://[::1]:8000/v1/"
    """
    settings = parse_settings(text, KEYS)
    assert [(name, each.name) for name, each in settings.providers.items()] == [("b.c", "b.c"), ("a", "a")]
    assert settings.providers["b.c"].api_keys == (Secret("key-one"), Secret("key-two"))
    assert settings.providers["b.c"].base_url is None
    assert settings.providers["a"].base_url == "http://[::1]:8000/v1"
    model = settings.models["gpt-4o mini/é"]
    assert [(each.provider, each.model) for each in model.targets] == [("b.c", "x/y:free"), ("a", "z")]


def test_what_clients_are_told_of_a_model() -> None:
    """Tier and modalities are kept, each modality once, in the order of the file; a model need not have them."""
    rest = 'targets = ["one/x"]\n'
    text = f'{PROVIDER}[models.a]\n{rest}tier = "premium"\nmodalities = ["image", "text", "image"]\n[models.b]\n{rest}'
    models = parse_settings(text, {}).models
    [told], [untold] = models["a"].targets, models["b"].targets
    assert (models["a"].tier, told.modalities) == (Tier.PREMIUM, (Modality.IMAGE, Modality.TEXT))
    assert (models["b"].tier, untold.modalities) == (None, None)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *(
            (url, url)
            for url in ("http://a", "https://a.b.example/v1", "http://127.0.0.1:80/x/y", "http://my_host:1")
        ),
        *(
            ("https://a/", "https://a"),
            ("https://a/v1///", "https://a/v1"),
            ("https://a/%7Ex;y=1", "https://a/%7Ex;y=1"),
        ),
    ],
)
def test_base_url(written: str, meant: str) -> None:
    """An address with or without a port and a path; slashes at its end do not matter."""
    settings = provider(f'kind = "openai"\nbase_url = "{written}"')
    assert settings.providers["p"].base_url == meant


# -- mistakes, each by itself


@pytest.mark.parametrize(
    ("body", "key", "expected"),
    [
        ('kind = "gemini"', "kind", KINDS),
        ('kind = "OpenAI"', "kind", KINDS),
        ("kind = 5", "kind", KINDS),
        ("kind = 1979-05-27", "kind", KINDS),
        ("", "kind", "required"),
        ('kind = "openai"', "base_url", "required for this kind, like https://llm.example.com/v1"),
        ('kind = "openrouter"', "api_key", 'required for this kind, like "env:OPENROUTER_API_KEY"'),
        ('kind = "anthropic"', "api_key", 'required for this kind, like "env:ANTHROPIC_API_KEY"'),
        (
            'kind = "openrouter"\napi_key = []',
            "api_key",
            'required for this kind, like "env:OPENROUTER_API_KEY"',
        ),
        (
            'kind = "embedded"\nbase_url = "http://x"',
            "",
            "expected neither base_url nor api_key for this kind",
        ),
        ('kind = "embedded"\napi_key = "env:KEY"', "", "expected neither base_url nor api_key for this kind"),
        (
            'kind = "embedded"\nurl = "x"',
            "url",
            "not a known key; known: kind, base_url, api_key, on_disconnect, cloudflare_ai_gateway",
        ),
        *(
            (f'kind = "openai"\nbase_url = {url}', "base_url", ADDRESS)
            for url in (
                *(
                    "5",
                    '""',
                    "[]",
                    "true",
                    '"llm.example.com"',
                    '"ftp://x"',
                    '"HTTP://x"',
                    '"http://"',
                    '"http:///v1"',
                ),
                *(
                    '"http://x?a=1"',
                    '"http://x/#a"',
                    '"http://user:pw@x"',
                    '"http://x:port"',
                    '"http://x/a b"',
                ),
                *(
                    '"http://x:"',
                    '"http://x:123456"',
                    '"http://x\\n"',
                    '" http://x"',
                    '"http://é"',
                    '"http://x\\u0000"',
                    '"http://x:1:2"',
                ),
            )
        ),
        *(
            (f'kind = "openrouter"\napi_key = {key}', "api_key", REFERENCE)
            for key in (
                '"sk-or-v1-0123"',
                '"env:"',
                '""',
                "5",
                "true",
                "[5]",
                '["env:KEY", "sk-0123"]',
                "{env = 'KEY'}",
            )
        ),
        *(
            (
                f'kind = "{kind}"\non_disconnect = "reconcile"' + more,
                "on_disconnect",
                'expected "cancel" or "drain": this kind cannot be asked later',
            )
            for kind, more in (("embedded", ""), ("openai", '\nbase_url = "http://x"'))
        ),
        ('kind = "openrouter"\napi_key = "env:NONE"', "api_key", "expected the variable NONE to be set"),
        ('kind = "openrouter"\napi_key = "env:EMPTY"', "api_key", "expected the variable EMPTY to be set"),
        (
            'kind = "openrouter"\napi_key = "env:BAD"',
            "api_key",
            "expected printable ASCII in the variable BAD",
        ),
        (
            'kind = "openrouter"\napi_key = "env:FOREIGN"',
            "api_key",
            "expected printable ASCII in the variable FOREIGN",
        ),
    ],
)
def test_provider_mistakes(body: str, key: str, expected: str) -> None:
    """What is wrong with a provider."""
    assert mistakes(f"[providers.p]\n{body}") == [(f"providers.p{key and '.'}{key}", expected)]


@pytest.mark.parametrize(
    ("body", "key", "expected"),
    [
        ("max_body_bytes = 1023", "max_body_bytes", "expected greater than or equal to 1024"),
        ("max_body_bytes = 104857601", "max_body_bytes", "expected less than or equal to 104857600"),
        *(
            (f"max_body_bytes = {wrong}", "max_body_bytes", "expected a valid integer")
            for wrong in ('"1"', "2e4", "true")
        ),
        *(
            (f"idle_timeout_s = {wrong}", "idle_timeout_s", "expected a valid number")
            for wrong in ('"1"', "true", "[]")
        ),
        *(
            (f"idle_timeout_s = {wrong}", "idle_timeout_s", "expected greater than 0")
            for wrong in ("0", "-1", "-inf")
        ),
        *(
            (f"idle_timeout_s = {no}", "idle_timeout_s", "expected less than or equal to 900")
            for no in ("901", "inf")
        ),
        ("connect_timeout_s = 60.1", "connect_timeout_s", "expected less than or equal to 60"),
        ("first_byte_timeout_s = 1e9", "first_byte_timeout_s", "expected less than or equal to 900"),
        ('log_level = "INFO"', "log_level", "expected 'debug', 'info', 'warning' or 'error'"),
        *(
            (f'cors_origins = ["{wrong}"]', "cors_origins.0", ORIGIN)
            for wrong in (
                *("*", "null", "app.example.com", "https://app.example.com/", "https://App.example.com"),
                *("ftp://a", "https://a:b@c", "https://a?b", "https://", "https://a\\r\\nb: c"),
            )
        ),
        ("cors_origins = [5]", "cors_origins.0", ORIGIN),
        ('cors_origins = "https://a"', "cors_origins", "expected a valid array"),
        ('docs = "yes"', "docs", "expected a valid boolean"),
        ('base_urls = { models = "/v1" }', "base_urls.models", ORIGIN),
        ("port = 80", "port", f"not a known key; known: {SERVER_KEYS}"),
        ('"a b" = 1', '"a b"', f"not a known key; known: {SERVER_KEYS}"),
        *(
            (f"end_user_key = {wrong}", "end_user_key", f"{ONE_REFERENCE}: this file holds no secret")
            for wrong in (
                '"a key that stands here"',
                '"env:"',
                '""',
                "5",
                "[]",
                '["env:LONG"]',
                '{value = "x"}',
            )
        ),
        ('end_user_key = "env:NONE"', "end_user_key", "expected the variable NONE to be set"),
        ('end_user_key = "env:KEY"', "end_user_key", "expected at least 16 characters in the variable KEY"),
        ('end_user_key = "env:BAD"', "end_user_key", "expected printable ASCII in the variable BAD"),
    ],
)
def test_server_mistakes(body: str, key: str, expected: str) -> None:
    """What is wrong with `[server]`."""
    assert mistakes(f"[server]\n{body}") == [(f"server.{key}", expected)]


def test_not_a_number() -> None:
    """A number that is none is within no bounds."""
    [(key, _)] = mistakes("[server]\nidle_timeout_s = nan")
    assert key == "server.idle_timeout_s"


@pytest.mark.parametrize(
    ("body", "key", "expected"),
    [
        ("", ".targets", "required"),
        ("targets = []", ".targets", "expected at least one"),
        ('targets = "one/x"', ".targets", "expected a valid array"),
        *(
            (f'targets = ["one/x", {target}]', ".targets.1", TARGET)
            for target in ('"x"', '"one/"', '"/x"', '"/"', '""')
        ),
        ('targets = ["two/x"]', ".targets.0", 'no provider "two"; there are: one'),
        ('targets = ["One/x"]', ".targets.0", 'no provider "One"; there are: one'),
        *(
            (f'targets = ["one/x"]\ntier = {tier}', ".tier", "expected 'premium', 'standard' or 'budget'")
            for tier in ('"cheap"', '""', '"Premium"', "1")
        ),
        *(
            (f'targets = ["one/x"]\nmodalities = ["text", {other}]', ".modalities.1", MODALITIES)
            for other in ('"video"', '""', '"Image"')
        ),
        ('targets = ["one/x"]\nmodalities = []', ".modalities", "expected at least one"),
        ('targets = ["one/x"]\nmodalities = "text"', ".modalities", "expected a valid array"),
    ],
)
def test_model_mistakes(body: str, key: str, expected: str) -> None:
    """What is wrong with a model."""
    assert mistakes(f'{PROVIDER}[models."m.1"]\n{body}') == [(f'models."m.1"{key}', expected)]


@pytest.mark.parametrize("target", ["5", "true", "[]", "1979-05-27"])
def test_targets_of_other_types(target: str) -> None:
    """A target that is neither text nor a table is told by its place."""
    [(key, _)] = mistakes(f"{PROVIDER}[models.m]\ntargets = [{target}]")
    assert key == 'models."m".targets.0'


@pytest.mark.parametrize("name", ["", "a\\nb", "a\\u0000", "x" * 257, "\\u200b"])
def test_model_names(name: str) -> None:
    """A model's name can be asked for, and be printed: on one line here, too."""
    [(key, expected)] = mistakes(f'{PROVIDER}[models."{name}"]\ntargets = ["one/x"]')
    assert key.startswith('models."')
    assert expected == "expected a name of 1 to 256 printable characters"


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("server = 5", "server", "expected a table"),
        ("providers = 5", "providers", "expected tables [providers.NAME]"),
        ("[[models]]", "models", "expected tables [models.NAME]"),
        ("[providers]\nx = 5", "providers.x", "expected a table"),
        ("[models]\nx = []", 'models."x"', "expected a table"),
    ],
)
def test_wrong_tables(text: str, key: str, expected: str) -> None:
    """What should be a table and is none."""
    assert mistakes(text) == [(key, expected)]


def test_provider_names() -> None:
    """A provider's name has no slash, which a target could not be written with."""
    expected = "expected a name without slashes: targets are written provider/upstream-model"
    assert mistakes('[providers."a/b"]\nkind = "embedded"') == [('providers."a/b"', expected)]


@pytest.mark.parametrize("text", ["x", "[server", "a = 1\na = 2", "a = '\x00'", "[a]\n[a]", "a = 1979-99-99"])
def test_not_toml(text: str) -> None:
    """A file that is no TOML is one mistake, on one line, without a key."""
    [(key, expected)] = mistakes(text)
    assert key == ""
    assert expected.startswith("expected TOML: ")
    assert "\n" not in expected


@pytest.mark.parametrize("text", ["a = " + "[" * 50_000, "a = " + "9" * 5_000], ids=["deep", "long number"])
def test_toml_beyond_bounds(text: str) -> None:
    """What no parser takes is a mistake like any other."""
    assert [key for key, _ in mistakes(text)] == [""]


# -- together


def test_all_together() -> None:
    """All mistakes in all sections are told at once, in the order of the file within each section."""
    text = """
    [sever]
    ["x y"]
    [server]
    log_level = "loud"
    port = 1
    [providers.a]
    kind = "openai"
    base_url = "x"
    api_key = "sk-secret"
    [providers.b]
    kind = "openrouter"
    api_key = ["env:NONE", "env:EMPTY"]
    [models.m]
    targets = ["c/x", "x", "a/x"]
    [models.n]
    target = ["a/x"]
    """
    found = mistakes(text)
    assert [key for key, _ in found] == [
        "sever",
        '"x y"',
        "server.log_level",
        "server.port",
        "providers.a.base_url",
        "providers.a.api_key",
        "providers.b.api_key",
        "providers.b.api_key",
        'models."m".targets.0',
        'models."m".targets.1',
        'models."n".targets',
        'models."n".target',
    ]
    assert all(expected.startswith(SECTIONS) for _, expected in found[:2])


def test_secrets_do_not_print() -> None:
    """No key is in the text of settings or of mistakes, be it that of a variable or one written into the file."""
    text = '[providers.p]\nkind = "openrouter"\napi_key = ["env:KEY", "env:OTHER"]'
    settings = parse_settings(text, KEYS)
    shown = f"{settings} {settings!r} {settings.providers} {settings.providers['p'].api_keys!r} {Secret('key-one')}"
    assert "key-" not in shown
    with pytest.raises(SettingsError) as wrong:
        parse_settings(
            '[providers.a]\nkind = "openrouter"\napi_key = "sk-or-0123"\n'
            '[providers.b]\nkind = "openrouter"\napi_key = ["env:BAD", "env:FOREIGN"]\n'
            '[providers.c]\nkind = "openai"\nbase_url = "https://user:sk-or-0123@x"',
            KEYS,
        )
    for secret in ("sk-or", "0123", "key\n", "schl"):
        assert secret not in f"{wrong.value} {wrong.value!r} {wrong.value.mistakes!r}"


def test_frozen() -> None:
    """Nobody changes what is configured."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_settings("", {}).server.max_body_bytes = 5  # type: ignore[misc]
