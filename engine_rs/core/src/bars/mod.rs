//! Bars from trades, on the venue's clock.
//!
//! A bar covers `[start, start + interval)` of `ts_event_ns`, with starts on multiples of the
//! interval since the Unix epoch. It is complete, and emitted, when the first trade at or after its
//! end is received: no later trade of the same stream can belong to it. An interval without a trade
//! repeats the last close with volume 0 and is marked empty. A trade older than the open bar counts
//! into it, so that nothing is dropped.
//!
//! Sums that leave their integers stay at the end of them; no market trades as much.
//!
//! Known limits: in a silent market the last bar stays open until the next trade arrives; a trade
//! with a time far in the future closes all bars up to it, and those after it count into its bar.

mod set;

pub use set::BarSet;

use crate::error::{Error, Result};

/// The intervals that bars come in, with their names.
pub const INTERVALS: [(&str, i64); 7] = [
    ("1s", 1_000_000_000),
    ("1m", 60_000_000_000),
    ("5m", 300_000_000_000),
    ("15m", 900_000_000_000),
    ("1h", 3_600_000_000_000),
    ("4h", 14_400_000_000_000),
    ("1d", 86_400_000_000_000),
];

/// The interval of this name in ns.
pub fn interval_ns(name: &str) -> Result<i64> {
    INTERVALS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, ns)| *ns)
        .ok_or_else(|| {
            let known: Vec<&str> = INTERVALS.iter().map(|(known, _)| *known).collect();
            Error::invalid(
                "bar interval",
                format!("one of {}", known.join(", ")),
                format!("{name:?}"),
            )
        })
}

/// One bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Start on the venue's clock, ns.
    pub ts_start_ns: i64,
    /// Length in ns.
    pub interval_ns: i64,
    /// First price in ticks.
    pub open_ticks: i64,
    /// Highest price in ticks.
    pub high_ticks: i64,
    /// Lowest price in ticks.
    pub low_ticks: i64,
    /// Last price in ticks.
    pub close_ticks: i64,
    /// Lots traded.
    pub volume_lots: i64,
    /// Lots traded by buying aggressors.
    pub buy_volume_lots: i64,
    /// Σ price × lots; over the volume it is the volume-weighted average price.
    pub value_px_lots: i128,
    /// Number of trades; 0 marks an empty bar.
    pub trades: u32,
}

impl Bar {
    /// A bar without trades, at a price.
    fn empty(ts_start_ns: i64, interval_ns: i64, px_ticks: i64) -> Self {
        Self {
            ts_start_ns,
            interval_ns,
            open_ticks: px_ticks,
            high_ticks: px_ticks,
            low_ticks: px_ticks,
            close_ticks: px_ticks,
            volume_lots: 0,
            buy_volume_lots: 0,
            value_px_lots: 0,
            trades: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, EventKind, Side};

    fn feed(builder: &mut BarSet, ts_ns: i64, px: i64, qty: i64, side: Side) -> Vec<Bar> {
        let trade = Event {
            ts_event_ns: ts_ns,
            ts_recv_ns: ts_ns,
            ..crate::event::tests::row(EventKind::Trade, side, px, qty, 1)
        };
        let bars = std::iter::from_fn(|| builder.pop_completed(ts_ns)).collect();
        builder.add(&trade, ts_ns);
        bars
    }

    #[test]
    fn bars_close_with_the_first_trade_after_them() {
        let mut builder = BarSet::default();
        assert!(builder.add_interval(10).unwrap());
        assert!(feed(&mut builder, 13, 100, 2, Side::Bid).is_empty());
        assert!(feed(&mut builder, 19, 90, 3, Side::Ask).is_empty());
        let bars = feed(&mut builder, 45, 95, 1, Side::Bid);
        assert_eq!(bars.len(), 3, "10, and the empty 20 and 30");
        let first = bars[0];
        assert_eq!(
            (first.ts_start_ns, first.open_ticks, first.high_ticks),
            (10, 100, 100)
        );
        assert_eq!(
            (first.low_ticks, first.close_ticks, first.trades),
            (90, 90, 2)
        );
        assert_eq!((first.volume_lots, first.buy_volume_lots), (5, 2));
        let empty = bars[2];
        assert_eq!(
            (empty.ts_start_ns, empty.close_ticks, empty.volume_lots),
            (30, 90, 0)
        );
        assert_eq!(empty.trades, 0);
        assert_eq!(feed(&mut builder, 50, 97, 1, Side::Bid)[0].open_ticks, 95);
    }

    #[test]
    fn names() {
        assert_eq!(interval_ns("15m").unwrap(), 900_000_000_000);
        assert!(
            interval_ns("7m")
                .unwrap_err()
                .to_string()
                .contains("1s, 1m, 5m")
        );
    }
}
