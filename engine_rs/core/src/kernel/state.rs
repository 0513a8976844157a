//! Market state in the loop: what books and trades received do to consolidated books and charts,
//! and what of it the strategy is shown.
//!
//! Nothing is built that was not asked for. What a trade completes is shown before the trade, and
//! of one complete bar: the bar, then the pivots that it confirms; charts, indicators and pivots
//! are up to date when the bar is shown.

use super::market::{Market, ShownChart};
use super::queues::{TimerUse, next_on_grid};
use super::{Kernel, Step};
use crate::bars::BarBuilder;
use crate::book::{Book, Outcome};
use crate::chart::Chart;
use crate::cob::{Cob, Crossing, Detail, Group, SAMPLE_NS};
use crate::error::{Error, Result};
use crate::event::{Event, EventKind};
use crate::ladder::Ladder;

/// A consolidated book, and whether it is shown on every message.
pub(super) struct ShownCob {
    cob: Cob,
    every_message: bool,
}

/// A trade on its way to charts and strategy.
pub(super) struct TradeDue {
    market: usize,
    chart: usize,
    ts_ns: i64,
    row: Event,
}

impl TradeDue {
    /// A trade of a market.
    pub fn new(market: usize, row: Event) -> Self {
        Self {
            market,
            chart: 0,
            ts_ns: row.venue_time_ns(),
            row,
        }
    }
}

impl Market {
    /// Applies a depth message to the received book and to the consolidated books that it is in.
    #[inline]
    pub(super) fn apply_depth(
        &mut self,
        cobs: &mut [ShownCob],
        rows: &[Event],
        ts_ns: i64,
    ) -> Outcome {
        let outcome = if self.cobs.is_empty() {
            self.book.apply_message(rows)
        } else {
            apply_to_cobs(&mut self.book, &self.cobs, cobs, rows)
        };
        if !matches!(outcome, Outcome::Stale | Outcome::Unready) {
            self.changed = true;
            self.depth_recv_ns = Some(ts_ns);
        }
        outcome
    }

    /// Whether anybody looks at trades.
    #[inline]
    pub(super) fn wants_trades(&self) -> bool {
        self.shows.trades || !self.charts.is_empty()
    }
}

fn apply_to_cobs(
    book: &mut Book,
    places: &[(usize, usize)],
    cobs: &mut [ShownCob],
    rows: &[Event],
) -> Outcome {
    if rows
        .first()
        .is_some_and(|head| head.kind == EventKind::Snapshot as u8)
    {
        for &(index, member) in places {
            cobs[index].cob.clear(member);
        }
    }
    if let [(index, member)] = places[..] {
        let cells = cobs[index].cob.cells(member);
        return book.apply_message_with(rows, |side, key, old, new| {
            cells.change(side, Ladder::key(side, key), old, new);
        });
    }
    book.apply_message_with(rows, |side, key, old, new| {
        for &(index, member) in places {
            let px = Ladder::key(side, key);
            cobs[index].cob.cells(member).change(side, px, old, new);
        }
    })
}

/// What is asked for.
impl Kernel {
    /// Shows the book to the strategy: on every message, or on a grid of `every_ns` whenever it
    /// changed since the last time. Only a trusted book is shown.
    pub fn subscribe_book(&mut self, market: usize, every_ns: Option<i64>) -> Result<()> {
        match every_ns {
            None => self.markets[market].shows.every_message = true,
            Some(every) if every > 0 => {
                let first = next_on_grid(self.now_ns, every);
                self.timers.add(first, every_ns, TimerUse::Book(market));
            }
            Some(every) => return Err(Error::invalid("every", "a positive time", every)),
        }
        Ok(())
    }

    /// Shows each trade to the strategy.
    pub fn subscribe_trades(&mut self, market: usize) {
        self.markets[market].shows.trades = true;
    }

    /// Adds a consolidated book, which takes samples from now on, and returns its index.
    pub fn add_cob(&mut self, group: Group) -> Result<usize> {
        let instruments: Vec<_> = self.markets.iter().map(|m| &m.instrument).collect();
        let mut cob = Cob::new(group, &instruments)?;
        let index = self.cobs.len();
        let places: Vec<usize> = cob.members().iter().map(|member| member.market).collect();
        for (member, place) in places.into_iter().enumerate() {
            let market = &mut self.markets[place];
            cob.attach(member, &market.book, market.depth_recv_ns, self.now_ns);
            market.cobs.push((index, member));
        }
        let first = next_on_grid(self.now_ns, SAMPLE_NS);
        self.timers
            .add(first, Some(SAMPLE_NS), TimerUse::CobSample(index));
        self.cobs.push(ShownCob {
            cob,
            every_message: false,
        });
        Ok(index)
    }

    /// Shows a consolidated book to the strategy while it has a mid: after every message of a
    /// member, or on a grid of `every_ns`, behind the sample of the same time.
    pub fn subscribe_cob(&mut self, cob: usize, every_ns: Option<i64>) -> Result<()> {
        match every_ns {
            None => self.cobs[cob].every_message = true,
            Some(every) if every > 0 => {
                let first = next_on_grid(self.now_ns, every);
                self.timers.add(first, every_ns, TimerUse::Cob(cob));
            }
            Some(every) => return Err(Error::invalid("every", "a positive time", every)),
        }
        Ok(())
    }

    /// A consolidated book, brought up to date.
    pub fn cob(&mut self, index: usize) -> &mut Cob {
        self.refresh_cob(index);
        &mut self.cobs[index].cob
    }

    /// Price, venues and shares of a consolidated book's window.
    pub fn cob_detail(&mut self, index: usize) -> Option<Detail> {
        self.refresh_cob(index);
        let markets = &self.markets;
        self.cobs[index].cob.detail(|market| &markets[market].book)
    }

    /// The books of a consolidated book's members that cross one another now.
    pub fn crossings(&self, cob: usize) -> Vec<Crossing> {
        self.cobs[cob]
            .cob
            .crossings(|market| &self.markets[market].book)
    }

    /// Brings a consolidated book up to date; whether it has a mid.
    #[inline]
    fn refresh_cob(&mut self, index: usize) -> bool {
        let markets = &self.markets;
        self.cobs[index]
            .cob
            .refresh(self.now_ns, |market| &markets[market].book)
    }

    /// The chart of this interval, which is built from now on, by its index.
    pub fn add_chart(&mut self, market: usize, interval_ns: i64) -> Result<usize> {
        let charts = &mut self.markets[market].charts;
        let known = charts
            .iter()
            .position(|shown| shown.chart.interval_ns == interval_ns);
        if let Some(index) = known {
            return Ok(index);
        }
        charts.push(ShownChart {
            builder: BarBuilder::new(interval_ns)?,
            chart: Chart::new(interval_ns),
            shows_bars: false,
            shows_pivots: false,
        });
        Ok(charts.len() - 1)
    }

    /// Shows the bars of a chart.
    pub fn subscribe_bars(&mut self, market: usize, chart: usize) {
        self.markets[market].charts[chart].shows_bars = true;
    }

    /// Finds pivots in the bars of a chart from now on and shows them.
    pub fn subscribe_pivots(
        &mut self,
        market: usize,
        chart: usize,
        k: usize,
        levels: usize,
    ) -> Result<()> {
        let shown = &mut self.markets[market].charts[chart];
        shown.chart.find_pivots(k, levels)?;
        shown.shows_pivots = true;
        Ok(())
    }

    /// A chart of a market.
    pub fn chart(&mut self, market: usize, chart: usize) -> &mut Chart {
        &mut self.markets[market].charts[chart].chart
    }
}

/// What happens.
impl Kernel {
    /// Notes what a depth message of a stream did to a received book, for the strategy.
    #[inline]
    pub(super) fn tell_book(&mut self, stream: usize, outcome: Outcome) {
        let index = self.streams[stream].instrument;
        let market = &mut self.markets[index];
        match outcome {
            Outcome::Stale | Outcome::Unready => return,
            Outcome::Suspected => {
                market.told_suspect = true;
                self.steps.push_back(Step::Gap(index, false));
            }
            Outcome::Recovered if market.told_suspect => {
                market.told_suspect = false;
                self.steps.push_back(Step::Gap(index, true));
            }
            Outcome::Applied | Outcome::Recovered => {}
        }
        if market.shows.every_message && market.book.is_trusted() {
            self.steps.push_back(Step::Book(index));
        }
        if !market.cobs.is_empty() {
            self.tell_cobs(index);
        }
    }

    /// A book changed: its consolidated books may have to be shown.
    fn tell_cobs(&mut self, market: usize) {
        for at in 0..self.markets[market].cobs.len() {
            let (index, member) = self.markets[market].cobs[at];
            let cob = &mut self.cobs[index].cob;
            if cob.after_message(member, &self.markets[market].book, self.now_ns) {
                let absence = cob.members()[member].absence;
                self.steps
                    .push_back(Step::CobMember(index, member, absence));
            }
            if self.cobs[index].every_message {
                self.show_cob(index);
            }
        }
    }

    pub(super) fn show_cob(&mut self, index: usize) {
        if self.refresh_cob(index) {
            self.steps.push_back(Step::Cob(index));
        }
    }

    pub(super) fn sample_cob(&mut self, index: usize) {
        for member in self.cobs[index].cob.drop_stale(self.now_ns) {
            let absence = self.cobs[index].cob.members()[member].absence;
            self.steps
                .push_back(Step::CobMember(index, member, absence));
        }
        self.refresh_cob(index);
        self.cobs[index].cob.sample();
    }

    /// Takes the first trade through one more chart, or to the strategy.
    pub(super) fn pass_trade(&mut self) {
        let Some(due) = self.trades_due.front_mut() else {
            return;
        };
        let market = &mut self.markets[due.market];
        let Some(shown) = market.charts.get_mut(due.chart) else {
            if market.shows.trades {
                self.steps.push_back(Step::Trade(due.market, due.row));
            }
            self.trades_due.pop_front();
            return;
        };
        let Some(bar) = shown.builder.pop_completed(due.ts_ns) else {
            shown.builder.add(&due.row, due.ts_ns);
            due.chart += 1;
            return;
        };
        let found = &mut self.pivots_found;
        shown
            .chart
            .push(&bar, &market.instrument, self.now_ns, found);
        if shown.shows_bars {
            self.steps.push_back(Step::Bar(due.market, bar));
        }
        for pivot in found.drain(..) {
            if shown.shows_pivots {
                let step = Step::Pivot(due.market, bar.interval_ns, pivot);
                self.steps.push_back(step);
            }
        }
    }
}
