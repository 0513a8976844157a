"""From `key=value` arguments to a checked configuration, by way of Hydra's compose API.

Text is taken as typed: paths may hold spaces, `=`, commas or parentheses, which Hydra's override
grammar would refuse. Group choices, numbers and a strategy's own settings go through that grammar.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine.config import (
    ConfigError,
    build,
    conf_folders,
    did_you_mean,
    is_table,
    is_text,
    is_text_list,
    key_paths,
    key_type,
    unknown_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from omegaconf import DictConfig

__all__ = [
    "RUN_GROUPS",
    "Override",
    "compose",
    "expand_sweep",
    "group_options",
    "parse_arguments",
    "parse_override",
]

T = TypeVar("T")

RUN_GROUPS = (
    "strategy",
    "instrument",
    "data",
    "cob",
    "exchange",
    "latency",
    "fees",
    "account",
    "risk",
    "run",
)


@dataclass(frozen=True)
class Override:
    """One argument: a key, the value as typed, and whether the key is taken out (`~key`)."""

    key: str
    value: str
    delete: bool = False

    def __str__(self) -> str:
        return f"~{self.key}" if self.delete else f"{self.key}={self.value}"


def parse_override(argument: str) -> Override:
    """Splits `key=value` at its first `=`; Hydra's `+key=value` and `~key` are understood."""
    if argument.startswith("~"):
        return Override(argument[1:].partition("=")[0], "", delete=True)
    key, equals, value = argument.lstrip("+").partition("=")
    if argument.startswith("--"):
        raise ConfigError(f"expected key=value, found '{argument}'{_without_dashes(argument)}")
    if not equals or not key.strip():
        raise ConfigError(f"expected key=value, found '{argument}'")
    return Override(key.strip(), value)


def _without_dashes(argument: str) -> str:
    """What somebody meant who typed an option in the way of other programs."""
    key, equals, value = argument.lstrip("-").partition("=")
    if equals:
        return f"; write {key}={value}"
    hint = did_you_mean(argument, ("--help", "--multirun", "--version"), show_all=0)
    return hint or f"; write {key}=…"


def compose(
    name: str, schema: type[T], overrides: Sequence[Override], *, groups: Sequence[str] = ()
) -> T:
    """The primary configuration `name`, such as `backtest`, with overrides, as a `schema` object.

    Raises `ConfigError` for unknown keys, groups and choices and for wrong types, each with the
    nearest right one.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for_hydra: list[str] = []
    values: list[tuple[str, Any, bool]] = []
    for override in _with_shorthands(overrides):
        annotation = _checked_type(schema, override, groups)
        if override.key in groups:
            _check_choice(override)
        if override.key in groups or override.delete:
            for_hydra.append(str(override))
        else:
            # A table that is given as a whole is what the user wants there to be.
            merge = not is_table(annotation)
            values.append((override.key, _value(override, annotation), merge))
    config = _compose_with_hydra(name, for_hydra)
    try:
        for key, value, merge in values:
            OmegaConf.update(config, key, value, force_add=True, merge=merge)
        content = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_first_line(error)) from error
    for key in OmegaConf.missing_keys(config):
        raise ConfigError(f"{key}: a value is needed; write {key}=…")
    assert isinstance(content, dict)
    return build(schema, {str(key): value for key, value in content.items()})


def parse_arguments(schema: type[T], arguments: Sequence[str]) -> T:
    """The keys of a command without configuration files, as a `schema` object."""
    values: dict[str, Any] = {}
    for argument in arguments:
        override = parse_override(argument)
        value = _value(override, _checked_type(schema, override, ()))
        outer, dot, inner = override.key.partition(".")
        if dot:
            values.setdefault(outer, {})[inner] = value
        else:
            values[outer] = value
    return build(schema, values)


def _value(override: Override, annotation: Any) -> Any:
    """What an override sets its key to, by the type that the schema gives the key."""
    if is_text(annotation):
        return _as_typed(override.value)
    if is_text_list(annotation):
        return _as_list(override.value)
    parsed = _parsed(override)
    if parsed is None:
        return override.value
    if parsed.is_sweep_override():
        raise ConfigError(
            f"{override}: several values need -m, one run for each, or brackets for a list"
        )
    return parsed.value()


def _parsed(override: Override) -> Any:
    """The override as Hydra's grammar reads it; None where it does not, so it counts as text."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(str(override))
    except HydraException:
        return None


def group_options(group: str) -> list[str]:
    """The choices of a configuration group, those of the working folder included, sorted."""
    files = (path for folder in conf_folders() for path in (folder / group).glob("*.yaml"))
    return sorted({path.stem for path in files})


def expand_sweep(
    overrides: Sequence[Override], schema: type, groups: Sequence[str]
) -> list[list[Override]]:
    """Every combination of a sweep's values, the last key varying fastest.

    Understood are Hydra's `a,b`, `choice(a,b)`, `range(1,5)` and, for groups, `glob(*)`.
    """
    combinations: list[list[Override]] = [[]]
    for override in overrides:
        annotation = _checked_type(schema, override, groups)
        as_text = override.key in groups or is_text(annotation)
        values = [override] if override.delete else list(_sweep_values(override, as_text=as_text))
        combinations = [[*chosen, value] for chosen in combinations for value in values]
    return combinations


def _sweep_values(override: Override, *, as_text: bool) -> Iterator[Override]:
    """The values of one key; choices and texts as typed, others in Hydra's spelling."""
    from hydra.core.override_parser.types import Glob

    parsed = _parsed(override)
    value = None if parsed is None else parsed.value()
    if isinstance(value, Glob):
        names = [n for n in group_options(override.key) if n != "custom"]
        yield from (Override(override.key, name) for name in value.filter(names))
    elif parsed is None or not parsed.is_sweep_override():
        yield override
    elif parsed.is_discrete_sweep():
        texts = (
            map(_unescaped, parsed.sweep_iterator()) if as_text else parsed.sweep_string_iterator()
        )
        yield from (Override(override.key, text) for text in texts)
    else:
        raise ConfigError(
            f"{override.key}: expected values such as a,b or range(1,5), found '{override.value}'"
        )


def _unescaped(value: Any) -> str:
    """A parsed value as the user typed it: `module:Class`, or `[a,b]` for a list of choices."""
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.with_quotes()
    if isinstance(value, list):
        return f"[{','.join(map(_unescaped, value))}]"
    return "null" if value is None else str(value)


def _with_shorthands(overrides: Sequence[Override]) -> Iterator[Override]:
    """`strategy=module:Class` names a class directly, without a file in `conf/strategy`."""
    for override in overrides:
        if override.key == "strategy" and ":" in override.value and "{" not in override.value:
            yield Override("strategy", "custom")
            yield Override("strategy.target", override.value)
        else:
            yield override


def _checked_type(schema: type, override: Override, groups: Sequence[str]) -> Any:
    try:
        return key_type(schema, override.key)
    except KeyError:
        known = {*key_paths(schema), *groups, "output"}
        raise unknown_key(override.key, known) from None


def _check_choice(override: Override) -> None:
    if override.delete:
        return
    options = group_options(override.key)
    if override.value.startswith("[") and override.value.endswith("]"):
        chosen = _as_list(override.value)
        if override.key != "instrument" and len(chosen) > 1:
            raise ConfigError(f"{override.key}: expected one choice, found {override.value}")
    elif "," in override.value:
        raise ConfigError(
            f"{override}: several values need -m, one run for each"
            + (
                f", or [{override.value}] for all in one run"
                if override.key == "instrument"
                else ""
            )
        )
    else:
        chosen = [override.value]
    for choice in chosen:
        if choice not in options:
            raise ConfigError(
                f"{override.key}: there is no '{choice}'{did_you_mean(choice, options)}"
            )


def _as_typed(value: str) -> str | None:
    if value == "null":
        return None
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value


def _as_list(value: str) -> list[str]:
    if value in ("", "null", "[]"):
        return []
    if value.startswith("[") and value.endswith("]"):
        return [str(_as_typed(part.strip())) for part in value[1:-1].split(",")]
    return [str(_as_typed(value))]


def _compose_with_hydra(name: str, overrides: list[str]) -> DictConfig:
    import hydra
    from hydra.errors import HydraException
    from yaml import YAMLError

    _register_search_path()
    packaged = conf_folders()[-1]
    try:
        with hydra.initialize_config_dir(str(packaged), version_base="1.3"):
            return hydra.compose(name, overrides=overrides)
    except YAMLError as error:
        raise ConfigError(f"configuration '{name}': {' '.join(str(error).split())}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"configuration '{name}': a file is not UTF-8 text: {error}") from error
    except (HydraException, OSError) as error:
        raise ConfigError(f"configuration '{name}': {_first_line(error)}") from error


@cache
def _register_search_path() -> None:
    """Tells Hydra, once a process, to look into the working folder's `conf` first."""
    from hydra.core.config_search_path import ConfigSearchPath, SearchPathQuery
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    class WorkingFolder(SearchPathPlugin):
        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            for folder in conf_folders()[:-1]:
                anchor = SearchPathQuery("main", None)
                search_path.prepend("cobalt", Path(folder).as_uri(), anchor)

    Plugins.instance().register(WorkingFolder)


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
