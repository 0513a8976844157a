//! What is known of one instrument's bars of one interval: the bars themselves, indicators on them,
//! market structure, floor pivots.
//!
//! Everything moves on when a bar is complete, and with nothing else: whoever reads a chart sees
//! what was knowable at that moment.

use crate::bars::Bar;
use crate::error::Result;
use crate::indicators::{Candle, Indicator};
use crate::instrument::Instrument;
use crate::pivots::{FloorDays, FloorPivots, Pivot, PivotDetector, Structure};
use crate::ring::MirrorRing;

/// Bars kept of an interval.
pub const BARS_KEPT: usize = 1_500;
/// Pivots kept in the order of their confirmation, all levels together.
pub const PIVOTS_KEPT: usize = 1_500;

/// A bar in the instrument's own units; its layout equals `engine.BAR_DTYPE`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct BarRow {
    /// Start on the venue's clock, ns.
    pub ts_start_ns: i64,
    /// First price in quote units.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Quantity traded, in units of quantity.
    pub volume: f64,
    /// Quantity traded by buying aggressors.
    pub buy_volume: f64,
    /// Volume-weighted average price; the close of a bar without trades.
    pub vwap: f64,
    /// Number of trades; 0 marks an empty bar.
    pub trades: u32,
    /// Always 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<BarRow>() == 72);

impl BarRow {
    /// A bar of `instrument` in its units.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn new(bar: &Bar, instrument: &Instrument) -> Self {
        let vwap = if bar.volume_lots > 0 {
            let ticks = bar.value_px_lots as f64 / bar.volume_lots as f64;
            instrument.tick.value(ticks)
        } else {
            instrument.px(bar.close_ticks)
        };
        Self {
            ts_start_ns: bar.ts_start_ns,
            open: instrument.px(bar.open_ticks),
            high: instrument.px(bar.high_ticks),
            low: instrument.px(bar.low_ticks),
            close: instrument.px(bar.close_ticks),
            volume: instrument.qty(bar.volume_lots),
            buy_volume: instrument.qty(bar.buy_volume_lots),
            vwap,
            trades: bar.trades,
            reserved: 0,
        }
    }
}

/// Market structure on the bars of a chart.
#[derive(Clone, Debug)]
pub struct ChartPivots {
    /// Bars on either side, and number of levels.
    pub settings: (usize, usize),
    /// The latest pivots of each level, trends and bounds.
    pub structure: Structure,
    detector: PivotDetector,
    kept: MirrorRing<Pivot>,
}

/// One instrument's bars of one interval.
#[derive(Debug)]
pub struct Chart {
    /// Length of a bar in ns.
    pub interval_ns: i64,
    /// Indicators, in the order in which they were added.
    pub indicators: Vec<Indicator>,
    /// Market structure, if it was asked for.
    pub pivots: Option<ChartPivots>,
    bars: MirrorRing<BarRow>,
    days: FloorDays,
}

impl Chart {
    /// An empty chart.
    pub fn new(interval_ns: i64) -> Self {
        Self {
            interval_ns,
            indicators: Vec::new(),
            pivots: None,
            bars: MirrorRing::new(BARS_KEPT),
            days: FloorDays::default(),
        }
    }

    /// Looks for pivots from now on; whether it does already with these settings is the answer to a
    /// second call, and other settings are an error.
    pub fn find_pivots(&mut self, k: usize, levels: usize) -> Result<()> {
        if let Some(pivots) = &self.pivots {
            if pivots.settings == (k, levels) {
                return Ok(());
            }
            let (k_before, levels_before) = pivots.settings;
            return Err(crate::Error::invalid(
                "pivots",
                format!("k={k_before} and levels={levels_before} as before"),
                format!("k={k} and levels={levels}"),
            ));
        }
        self.pivots = Some(ChartPivots {
            settings: (k, levels),
            structure: Structure::default(),
            detector: PivotDetector::new(k, levels)?,
            kept: MirrorRing::new(PIVOTS_KEPT),
        });
        Ok(())
    }

    /// Adds an indicator by its name, which sees the bars from now on; its index. A second one of
    /// the same name is the first.
    pub fn add_indicator(&mut self, name: &str) -> Result<usize> {
        let made = Indicator::parse(name)?;
        let known = self
            .indicators
            .iter()
            .position(|one| one.names() == made.names());
        Ok(known.unwrap_or_else(|| {
            self.indicators.push(made);
            self.indicators.len() - 1
        }))
    }

    /// Takes in a complete bar that became known at `now_ns`, and appends the pivots that it
    /// confirms.
    pub fn push(&mut self, bar: &Bar, instrument: &Instrument, now_ns: i64, out: &mut Vec<Pivot>) {
        self.bars.push(&BarRow::new(bar, instrument));
        self.days.push(
            bar.ts_start_ns,
            bar.interval_ns,
            bar.high_ticks,
            bar.low_ticks,
            bar.close_ticks,
        );
        let candle = Candle {
            ts_start_ns: bar.ts_start_ns,
            high_ticks: bar.high_ticks,
            low_ticks: bar.low_ticks,
            close_ticks: bar.close_ticks,
            volume_lots: bar.volume_lots,
            value_px_lots: Some(bar.value_px_lots),
        };
        for indicator in &mut self.indicators {
            indicator.push(&candle);
        }
        if let Some(pivots) = &mut self.pivots {
            let from = out.len();
            pivots
                .detector
                .push(bar.ts_start_ns, bar.high_ticks, bar.low_ticks, now_ns, out);
            for pivot in &out[from..] {
                pivots.structure.push(*pivot);
                pivots.kept.push(pivot);
            }
        }
    }

    /// The latest bars, up to [`BARS_KEPT`], oldest first.
    pub fn bars(&self) -> &[BarRow] {
        self.bars.latest(BARS_KEPT)
    }

    /// The latest pivots in the order of their confirmation, up to [`PIVOTS_KEPT`].
    pub fn pivots(&self) -> &[Pivot] {
        self.pivots
            .as_ref()
            .map_or(&[], |pivots| pivots.kept.latest(PIVOTS_KEPT))
    }

    /// Floor pivots of the UTC day in which the latest bar ended, from the bars of the day before;
    /// `None` without bars of that day.
    pub fn floor_pivots(&self) -> Option<FloorPivots> {
        self.days.latest()
    }

    /// Bytes of the bars and pivots kept.
    pub fn bytes(&self) -> usize {
        self.bars.bytes() + self.pivots.as_ref().map_or(0, |pivots| pivots.kept.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_NS: i64 = 86_400_000_000_000;

    fn bar(day: i64, high: i64, low: i64, close: i64) -> Bar {
        Bar {
            ts_start_ns: day * DAY_NS,
            interval_ns: DAY_NS,
            open_ticks: close,
            high_ticks: high,
            low_ticks: low,
            close_ticks: close,
            volume_lots: 4,
            buy_volume_lots: 1,
            value_px_lots: 4 * i128::from(close) + 2,
            trades: 2,
        }
    }

    #[test]
    fn a_complete_bar_moves_everything_on() {
        let instrument = crate::cob::tests::instrument(false);
        let mut chart = Chart::new(DAY_NS);
        chart.find_pivots(1, 2).unwrap();
        chart.find_pivots(1, 2).unwrap();
        assert!(chart.find_pivots(2, 2).is_err());
        assert!(chart.bytes() <= 320_000, "what docs/market_state.md says");
        assert_eq!(chart.add_indicator("sma:2").unwrap(), 0);
        assert_eq!(chart.add_indicator("sma:2").unwrap(), 0);
        assert!(chart.add_indicator("sma:x").is_err());
        let mut out = Vec::new();
        chart.push(&bar(1, 110, 90, 100), &instrument, 7, &mut out);
        assert!(out.is_empty());
        assert_eq!(
            chart.floor_pivots().unwrap(),
            FloorPivots::new(110, 90, 100),
            "day 1 is over"
        );
        chart.push(&bar(2, 130, 100, 120), &instrument, 8, &mut out);
        assert_eq!(chart.indicators[0].results(), [Some(110.0)]);
        chart.push(&bar(4, 120, 80, 110), &instrument, 9, &mut out);
        assert_eq!(
            chart.floor_pivots().unwrap(),
            FloorPivots::new(120, 80, 110)
        );
        assert_eq!((out[0].px_ticks, out[0].ts_confirmed_ns), (130, 9));
        assert_eq!(chart.pivots(), &out[..]);
        let last = chart.bars()[2];
        assert_eq!((last.high, last.volume, last.vwap), (12.0, 0.004, 11.05));
    }
}
