"""Instrument definitions: one YAML file each, in `conf/instrument/<ID>.yaml`.

A file in the working folder's own `conf/instrument/` goes before a packaged one. Decimals stay text
here: they become integer ticks and lots in the core, exactly and once.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.config import ConfigError, build, conf_folders, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "KINDS",
    "MARKETS",
    "Bracket",
    "Instrument",
    "instrument_from_exchange_info",
    "instrument_ids",
    "load_instrument",
    "load_instruments",
    "write_instrument",
]

KINDS = ("spot", "linear", "inverse")
MARKETS = ("binance_spot", "binance_usdm", "binance_cm", "bitfinex", "bitstamp", "testnet", "other")

_ID = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_]+")
_DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_DECIMAL_FIELDS = (
    "tick",
    "lot",
    "contract_size",
    "qty_min",
    "qty_max",
    "notional_min",
    "maker_fee",
    "taker_fee",
    "liquidation_fee",
    "px_band_up",
    "px_band_down",
)
_POSITIVE_FIELDS = ("tick", "lot", "contract_size", "qty_min", "qty_max")
# What only derivatives have: written to a file where it is known.
_OPTIONAL_FIELDS = ("liquidation_fee", "px_band_up", "px_band_down", "brackets")


@dataclass(frozen=True)
class Bracket:
    """One row of a venue's margin table. It counts for notionals above `floor` and up to `cap`, in
    the settlement asset: the maintenance margin is notional × `rate` − `amount`, the leverage at
    most `leverage`. All but the leverage are decimal text.
    """

    floor: str
    cap: str
    rate: str
    amount: str
    leverage: int


@dataclass(frozen=True)
class Instrument:
    """What is traded: contract, steps, minimums and fees, as decimal text.

    `tick` is in quote units a price step, `lot` in units of quantity; quantity is in base units,
    for an inverse instrument in contracts of `contract_size` quote units. `notional_min` is in the
    quote asset (None: no minimum). Fees are shares of notional, negative for a rebate. `market`
    picks the decoder of raw recordings (`other`: there is none, the data comes from vendor files)
    and `symbol` is the venue's own name.

    What only derivatives have may be unknown: `liquidation_fee`, a share of the notional that a
    liquidation closes (None: nothing); `px_band_up` and `px_band_down`, how far a limit price may
    lie from the mark, as multiples of it (None: anywhere); `brackets`, the margin table, the
    smallest notional first, without which an account with margin cannot hold the instrument.
    Raises `ConfigError` for a value that cannot be used.
    """

    id: str
    kind: str
    base: str
    quote: str
    tick: str
    lot: str
    contract_size: str
    qty_min: str
    qty_max: str
    notional_min: str | None
    maker_fee: str
    taker_fee: str
    market: str
    symbol: str
    liquidation_fee: str | None = None
    px_band_up: str | None = None
    px_band_down: str | None = None
    brackets: list[Bracket] | None = None

    def __post_init__(self) -> None:
        _check_id(self.id)
        for name, choices in (("kind", KINDS), ("market", MARKETS)):
            value = getattr(self, name)
            if value not in choices:
                raise ConfigError(
                    f"instrument {self.id}, {name}: expected one of {', '.join(choices)},"
                    f" found '{value}'{did_you_mean(value, choices, show_all=0)}"
                )
        for name in _DECIMAL_FIELDS:
            value = getattr(self, name)
            if value is not None:
                self._check_decimal(name, value)
        if Decimal(self.qty_max) < Decimal(self.qty_min):
            raise ConfigError(
                f"instrument {self.id}, qty_max: expected at least qty_min {self.qty_min},"
                f" found '{self.qty_max}'"
            )
        self._check_derivative()

    @classmethod
    def from_mapping(cls, instrument_id: str, values: Mapping[str, Any]) -> Instrument:
        """The instrument with this id from the mapping of its YAML file."""
        prefix = f"instrument {instrument_id}, "
        for name in _DECIMAL_FIELDS:
            _check_exact(values, name, prefix)
        rows = values.get("brackets")
        if rows is None:
            return build(cls, {"id": instrument_id, **values}, prefix=prefix)
        if isinstance(rows, str) or not hasattr(rows, "__len__") or hasattr(rows, "items"):
            raise ConfigError(f"{prefix}brackets: expected a list of brackets, found {rows!r}")
        brackets = [_bracket(row, f"{prefix}brackets[{at}].") for at, row in enumerate(rows)]
        others = {name: value for name, value in values.items() if name != "brackets"}
        made = build(cls, {"id": instrument_id, **others}, prefix=prefix)
        return dataclasses.replace(made, brackets=brackets)

    @property
    def venue(self) -> str:
        """The part of the id after the last dot, such as `BINANCE`."""
        return self.id.rpartition(".")[2]

    @property
    def settlement(self) -> str:
        """The asset that profit, fees and margin are paid in."""
        return self.base if self.kind == "inverse" else self.quote

    def to_mapping(self) -> dict[str, Any]:
        """The fields as they stand in a YAML file: all but the id, which is the file's key, and
        what is not known of a derivative.
        """
        fields = dataclasses.asdict(self)
        del fields["id"]
        for name in _OPTIONAL_FIELDS:
            if fields[name] is None:
                del fields[name]
        return fields

    def _check_derivative(self) -> None:
        found = [name for name in _OPTIONAL_FIELDS if getattr(self, name) is not None]
        if found and self.kind == "spot":
            raise ConfigError(
                f"instrument {self.id}, {found[0]}: expected nothing for spot,"
                f" found {getattr(self, found[0])!r}"
            )
        up, down = self.px_band_up, self.px_band_down
        if (up is None) != (down is None):
            missing, given = ("px_band_up", down) if up is None else ("px_band_down", up)
            raise ConfigError(
                f"instrument {self.id}, {missing}: expected a multiple of the mark price beside the"
                f" other end {given} of the band, found nothing"
            )

    def _check_decimal(self, name: str, text: str) -> None:
        if not _DECIMAL.fullmatch(text):
            raise ConfigError(
                f"instrument {self.id}, {name}: expected a decimal number such as 0.01,"
                f" found '{text}'"
            )
        if name in _POSITIVE_FIELDS and Decimal(text) <= 0:
            raise ConfigError(
                f"instrument {self.id}, {name}: expected a number above zero, found '{text}'"
            )
        if name.endswith("_fee") and abs(Decimal(text)) >= 1:
            raise ConfigError(
                f"instrument {self.id}, {name}: expected a share between -1 and 1, found '{text}'"
            )


def _check_exact(values: Mapping[str, Any], name: str, prefix: str) -> None:
    if isinstance(values.get(name), float):
        text = format(Decimal(repr(values[name])), "f")
        raise ConfigError(
            f"{prefix}{name}: a decimal is written in quotes, so that it stays exact:"
            f' {name}: "{text}"'
        )


def _bracket(row: Any, prefix: str) -> Bracket:
    """One bracket of a file; what the rows say of one another is checked where they are used."""
    if not hasattr(row, "items"):
        raise ConfigError(f"{prefix.rstrip('.')}: expected floor, cap, rate, …, found {row!r}")
    for name in ("floor", "cap", "rate", "amount"):
        _check_exact(row, name, prefix)
        text = row.get(name)
        if isinstance(text, str) and not _DECIMAL.fullmatch(text):
            raise ConfigError(
                f"{prefix}{name}: expected a decimal number such as 0.01, found '{text}'"
            )
    return build(Bracket, row, prefix=prefix)


def instrument_ids() -> list[str]:
    """The ids of all instruments that are defined, sorted."""
    files = (path for folder in conf_folders() for path in (folder / "instrument").glob("*.yaml"))
    return sorted({path.stem for path in files})


def load_instrument(instrument_id: str) -> Instrument:
    """The definition of one instrument; an unknown id is a `ConfigError` that names the nearest."""
    _check_id(instrument_id)
    for folder in conf_folders():
        path = folder / "instrument" / f"{instrument_id}.yaml"
        if path.is_file():
            return _read(path, instrument_id)
    hint = did_you_mean(instrument_id, instrument_ids())
    raise ConfigError(f"instrument '{instrument_id}' is not defined{hint}")


def load_instruments(ids: Iterable[str]) -> list[Instrument]:
    """The definitions of several instruments, in the order given."""
    return [load_instrument(instrument_id) for instrument_id in ids]


def write_instrument(instrument: Instrument, folder: Path) -> Path:
    """Writes `<folder>/<ID>.yaml` and returns its path."""
    lines = [f"{instrument.id}:"]
    for name, value in instrument.to_mapping().items():
        quoted = name in _DECIMAL_FIELDS and value is not None
        text = "null" if value is None else f'"{value}"' if quoted else value
        if name == "brackets":
            lines += ["  brackets:", *map(_bracket_line, value)]
        else:
            lines.append(f"  {name}: {text}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{instrument.id}.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _bracket_line(bracket: Mapping[str, Any]) -> str:
    """A bracket as a line of YAML."""
    cells = (
        f"{name}: {value}" if name == "leverage" else f'{name}: "{value}"'
        for name, value in bracket.items()
    )
    return f"    - {{{', '.join(cells)}}}"


def instrument_from_exchange_info(
    path: str | Path, symbol: str, *, maker_fee: str | None = None, taker_fee: str | None = None
) -> Instrument:
    """The definition of `symbol` from a saved Binance exchangeInfo response (spot, USD-M, COIN-M).

    The market is told from the fields that only one of them has. The response has no fees: those
    given, or the venue's ordinary ones. Raises `ConfigError` for an unknown symbol or a response
    that lacks a filter, `OSError` for a file that cannot be read.
    """
    try:
        listed = json.loads(Path(path).read_text(encoding="utf-8"))["symbols"]
        entries = {entry["symbol"]: entry for entry in listed}
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path}: expected the JSON of Binance's exchangeInfo, found {error}"
        ) from error
    if symbol not in entries:
        raise ConfigError(f"{path}: no symbol '{symbol}'{did_you_mean(symbol, entries)}")
    entry = entries[symbol]
    market = _market_of(entry)
    try:
        return _from_entry(entry, market, maker_fee, taker_fee)
    except (KeyError, InvalidOperation) as error:
        raise ConfigError(f"{path}, symbol {symbol}: expected {error} of {market}") from error


_ORDINARY_FEES = {
    "binance_spot": ("0.001", "0.001"),
    "binance_usdm": ("0.0002", "0.0005"),
    "binance_cm": ("0.0002", "0.0005"),
}
_KIND_OF_MARKET = {"binance_spot": "spot", "binance_usdm": "linear", "binance_cm": "inverse"}


def _market_of(entry: Mapping[str, Any]) -> str:
    if "contractSize" in entry:
        return "binance_cm"
    return "binance_usdm" if "contractType" in entry else "binance_spot"


def _from_entry(
    entry: Mapping[str, Any], market: str, maker_fee: str | None, taker_fee: str | None
) -> Instrument:
    filters = {item["filterType"]: item for item in entry["filters"]}
    lot = filters["LOT_SIZE"]
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    notional_min = notional.get("minNotional", notional.get("notional"))
    maker, taker = _ORDINARY_FEES[market]
    # Spot has a filter of this name too, which is about the average price of trades.
    band = filters.get("PERCENT_PRICE", {}) if market != "binance_spot" else {}
    liquidation_fee = entry.get("liquidationFee")
    return Instrument(
        id=_instrument_id(entry["symbol"], market, entry.get("contractType")),
        kind=_KIND_OF_MARKET[market],
        base=entry["baseAsset"],
        quote=entry["quoteAsset"],
        tick=_plain(filters["PRICE_FILTER"]["tickSize"]),
        lot=_plain(lot["stepSize"]),
        contract_size=_plain(entry.get("contractSize", 1)),
        qty_min=_plain(lot["minQty"]),
        qty_max=_plain(lot["maxQty"]),
        notional_min=None if notional_min is None else _plain(notional_min),
        maker_fee=maker_fee or maker,
        taker_fee=taker_fee or taker,
        market=market,
        symbol=entry["symbol"],
        liquidation_fee=None if liquidation_fee is None else _plain(liquidation_fee),
        px_band_up=_plain(band["multiplierUp"]) if band else None,
        px_band_down=_plain(band["multiplierDown"]) if band else None,
    )


def _instrument_id(symbol: str, market: str, contract_type: str | None) -> str:
    if market == "binance_spot":
        return f"{symbol}.BINANCE"
    perpetual = contract_type == "PERPETUAL"
    return f"{symbol.removesuffix('_PERP')}{'-PERP' if perpetual else ''}.BINANCE"


def _plain(number: str | int) -> str:
    """A decimal without the zeros at its end: `0.10000000` is `0.1`."""
    text = format(Decimal(str(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _check_id(instrument_id: str) -> None:
    if not _ID.fullmatch(instrument_id):
        raise ConfigError(
            f"instrument: expected an id SYMBOL.VENUE such as BTCUSDT-PERP.BINANCE,"
            f" found '{instrument_id}'"
        )


def _read(path: Path, instrument_id: str) -> Instrument:
    # YAML is read only when an instrument is asked for, which keeps `import engine` quick.
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or list(content) != [instrument_id]:
        raise ConfigError(f"{path}: expected one top-level key, the instrument id {instrument_id}")
    if not isinstance(content[instrument_id], dict):
        raise ConfigError(f"{path}: expected the fields of the instrument below {instrument_id}")
    return Instrument.from_mapping(instrument_id, content[instrument_id])
