"""An instrument definition from the venue's own exchangeInfo JSON (spot, USD-M, COIN-M)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config import ConfigError
from engine.importers.report import ImportFailed, ImportReport
from engine.instruments import instrument_from_exchange_info, write_instrument

if TYPE_CHECKING:
    from engine.importers.report import ImportRequest

__all__ = ["run"]


def run(request: ImportRequest) -> ImportReport:
    """Writes `conf/instrument/<ID>.yaml` in the working folder. `request.instrument` is the venue's
    symbol or an id such as `SOLUSDT-PERP.BINANCE`; the catalog is not touched.
    """
    request.check_options(())
    if len(request.paths) != 1:
        raise ImportFailed(
            f"path: expected one exchangeInfo JSON file, found {len(request.paths)} of them"
        )
    path = Path(request.paths[0])
    instrument = instrument_from_exchange_info(path, _symbol(path, request.instrument))
    if "." in request.instrument and instrument.id != request.instrument:
        raise ConfigError(
            f"instrument: {path} defines {instrument.id}, which is not {request.instrument}"
        )
    written = write_instrument(instrument, Path("conf") / "instrument")
    return ImportReport(
        instrument.id,
        changed=True,
        files=[path.name],
        written=str(written),
        notes=[
            (
                f"{written} was written from {path.name}: tick {instrument.tick}, lot"
                f" {instrument.lot}, contract size {instrument.contract_size}."
            ),
            (
                f"exchangeInfo has no fees: maker {instrument.maker_fee} and taker"
                f" {instrument.taker_fee} are the venue's ordinary ones; edit the file for yours."
            ),
        ],
    )


def _symbol(path: Path, name: str) -> str:
    """The venue's symbol for an id: the one in the file that it can stand for."""
    if "." not in name:
        return name
    stem = name.rpartition(".")[0]
    perpetual = stem.removesuffix("-PERP")
    try:
        listed = {entry["symbol"] for entry in json.loads(path.read_bytes())["symbols"]}
    except (ValueError, KeyError, TypeError):
        # The reader of the definition words what is wrong with the file.
        return perpetual
    return next(
        (symbol for symbol in (stem, f"{perpetual}_PERP", perpetual) if symbol in listed), perpetual
    )
