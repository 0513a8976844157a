//! Bars of several intervals at once.
//!
//! Trades are summed up once, in a part that ends where the first of the open bars does, and the
//! part is folded into all of them when a trade at or after that end comes. What a trade costs
//! therefore hardly depends on the number of intervals.

use super::Bar;
use crate::error::{Error, Result};
use crate::event::{Event, Side};

/// Builds the bars of one instrument, of any number of intervals.
#[derive(Clone, Debug)]
pub struct BarSet {
    /// By interval, ascending.
    lanes: Vec<Lane>,
    /// Trades that no lane knows yet; they belong to the open bar of each.
    part: Part,
    /// Where the first of the open bars ends; the earliest time while a lane waits for its first
    /// trade.
    part_end_ns: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    open_ticks: i64,
    high_ticks: i64,
    low_ticks: i64,
    close_ticks: i64,
    volume_lots: i64,
    buy_volume_lots: i64,
    value_px_lots: i128,
    trades: u32,
}

#[derive(Clone, Debug)]
struct Lane {
    interval_ns: i64,
    open: Option<Open>,
}

#[derive(Clone, Debug)]
struct Open {
    bar: Bar,
    /// `None` where it is beyond 64 bits: such a bar never ends.
    end_ns: Option<i64>,
}

impl Default for BarSet {
    fn default() -> Self {
        Self {
            lanes: Vec::new(),
            part: Part::default(),
            part_end_ns: i64::MAX,
        }
    }
}

impl BarSet {
    /// Builds bars of this length as well, from the next trade on; whether they are new.
    pub fn add_interval(&mut self, interval_ns: i64) -> Result<bool> {
        if interval_ns <= 0 {
            return Err(Error::invalid(
                "bar interval",
                "a positive time",
                interval_ns,
            ));
        }
        let place = self
            .lanes
            .partition_point(|lane| lane.interval_ns < interval_ns);
        if self
            .lanes
            .get(place)
            .is_some_and(|lane| lane.interval_ns == interval_ns)
        {
            return Ok(false);
        }
        // What was traded so far is not for the new lane.
        self.fold();
        let open = None;
        self.lanes.insert(place, Lane { interval_ns, open });
        self.part_end_ns = i64::MIN;
        Ok(true)
    }

    /// The next bar that a trade at `ts_ns` completes, one at a time until `None`, so that no gap
    /// is too long; then [`Self::add`] the trade. In order of their ends, of bars that end
    /// together the shorter first.
    #[inline]
    pub fn pop_completed(&mut self, ts_ns: i64) -> Option<Bar> {
        if ts_ns < self.part_end_ns {
            return None;
        }
        self.pop_first(ts_ns)
    }

    /// Adds a trade; bars that it completes were popped before.
    #[inline]
    pub fn add(&mut self, trade: &Event, ts_ns: i64) {
        if ts_ns >= self.part_end_ns {
            self.open_lanes(ts_ns, trade.px_ticks);
        }
        self.part.add(trade);
    }

    #[cold]
    fn pop_first(&mut self, ts_ns: i64) -> Option<Bar> {
        self.fold();
        let completed = self.lanes.iter_mut().filter_map(|lane| {
            let open = lane.open.as_mut()?;
            let end_ns = open.end_ns.filter(|end_ns| *end_ns <= ts_ns)?;
            Some((end_ns, open))
        });
        // Of equals this is the first, which is the shortest.
        let (end_ns, open) = completed.min_by_key(|(end_ns, _)| *end_ns)?;
        let interval_ns = open.bar.interval_ns;
        let next = Bar::empty(end_ns, interval_ns, open.bar.close_ticks);
        open.end_ns = end_ns.checked_add(interval_ns);
        let bar = std::mem::replace(&mut open.bar, next);
        self.find_part_end();
        Some(bar)
    }

    #[cold]
    fn open_lanes(&mut self, ts_ns: i64, px_ticks: i64) {
        for lane in &mut self.lanes {
            let interval_ns = lane.interval_ns;
            lane.open.get_or_insert_with(|| {
                let inside = ts_ns.rem_euclid(interval_ns);
                Open {
                    bar: Bar::empty(ts_ns.saturating_sub(inside), interval_ns, px_ticks),
                    end_ns: ts_ns.checked_add(interval_ns - inside),
                }
            });
        }
        self.find_part_end();
    }

    fn find_part_end(&mut self) {
        let ends = self.lanes.iter().map(|lane| match &lane.open {
            None => i64::MIN,
            Some(open) => open.end_ns.unwrap_or(i64::MAX),
        });
        self.part_end_ns = ends.min().unwrap_or(i64::MAX);
    }

    fn fold(&mut self) {
        let part = std::mem::take(&mut self.part);
        if part.trades == 0 {
            return;
        }
        for open in self.lanes.iter_mut().filter_map(|lane| lane.open.as_mut()) {
            part.fold_into(&mut open.bar);
        }
    }
}

impl Part {
    #[inline]
    fn add(&mut self, trade: &Event) {
        let (px, lots) = (trade.px_ticks, trade.qty_lots);
        if self.trades == 0 {
            (self.open_ticks, self.high_ticks, self.low_ticks) = (px, px, px);
        }
        self.high_ticks = self.high_ticks.max(px);
        self.low_ticks = self.low_ticks.min(px);
        self.close_ticks = px;
        self.volume_lots = self.volume_lots.saturating_add(lots);
        let bought = if trade.side == Side::Bid as u8 {
            lots
        } else {
            0
        };
        self.buy_volume_lots = self.buy_volume_lots.saturating_add(bought);
        let value = i128::from(px) * i128::from(lots);
        self.value_px_lots = self.value_px_lots.saturating_add(value);
        self.trades = self.trades.saturating_add(1);
    }

    fn fold_into(&self, bar: &mut Bar) {
        if bar.trades == 0 {
            bar.open_ticks = self.open_ticks;
            (bar.high_ticks, bar.low_ticks) = (self.high_ticks, self.low_ticks);
        }
        bar.high_ticks = bar.high_ticks.max(self.high_ticks);
        bar.low_ticks = bar.low_ticks.min(self.low_ticks);
        bar.close_ticks = self.close_ticks;
        bar.volume_lots = bar.volume_lots.saturating_add(self.volume_lots);
        bar.buy_volume_lots = bar.buy_volume_lots.saturating_add(self.buy_volume_lots);
        bar.value_px_lots = bar.value_px_lots.saturating_add(self.value_px_lots);
        bar.trades = bar.trades.saturating_add(self.trades);
    }
}
