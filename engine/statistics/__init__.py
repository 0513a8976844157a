"""Statistics of a run, made from the tables in its folder; `docs/statistics.md` has every formula.

What is not known is None: a figure that would need a fill, a loss or a price that there was not.
"""

from engine.statistics.attribution import AttributionFigures
from engine.statistics.contracts import Contract, contracts
from engine.statistics.curve import CurveFigures, Drawdown
from engine.statistics.exposure import ExposureFigures
from engine.statistics.fills import HORIZONS, Markout, Quantiles, Slippage
from engine.statistics.reporting import ReportingFigures
from engine.statistics.run import Figures, RunStatistics, Series, TradingFigures, run_statistics
from engine.statistics.trips import TripFigures

__all__ = [
    "HORIZONS",
    "AttributionFigures",
    "Contract",
    "CurveFigures",
    "Drawdown",
    "ExposureFigures",
    "Figures",
    "Markout",
    "Quantiles",
    "ReportingFigures",
    "RunStatistics",
    "Series",
    "Slippage",
    "TradingFigures",
    "TripFigures",
    "contracts",
    "run_statistics",
]
