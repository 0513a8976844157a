//! Market state in the loop: what books and trades received do to consolidated books and charts,
//! and what of it the strategy is shown.
//!
//! Nothing is built that was not asked for. What a trade completes is shown before the trade, and
//! of one complete bar: the bar, then the pivots that it confirms; charts, indicators and pivots
//! are up to date when the bar is shown.

use std::borrow::Cow;

use super::entry::{Entry, Subscription, TrustChanged, index_of};
use super::market::{Market, MarketFlow, ShownChart};
use super::queues::{TimerUse, next_on_grid};
use super::{Kernel, Phase, Step};
use crate::bars::Bar;
use crate::book::{Book, Outcome};
use crate::chart::Chart;
use crate::cob::{Cob, Crossing, Detail, Group, SAMPLE_NS};
use crate::decimal::Step as DecimalStep;
use crate::error::{Error, Result};
use crate::event::{Event, EventKind};
use crate::flow::{AggressorOrder, AggressorOrders, Flow, ORDER_OVER_NS};
use crate::instrument::{ContractKind, Instrument};
use crate::ladder::Ladder;

/// A consolidated book, and whether it is shown on every message.
#[derive(Debug)]
pub(super) struct ShownCob {
    cob: Cob,
    every_message: bool,
}

/// A trade on its way to charts and strategy.
#[derive(Debug)]
pub(super) struct TradeDue {
    market: usize,
    ts_ns: i64,
    row: Event,
}

impl TradeDue {
    /// A trade of a market.
    pub fn new(market: usize, row: Event) -> Self {
        Self {
            market,
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
            self.last_mid_x2 = self.mid_px_x2().or(self.last_mid_x2);
        }
        outcome
    }

    /// Whether anybody looks at trades.
    #[inline]
    pub(super) fn wants_trades(&self) -> bool {
        self.shows.trades
            || !self.charts.is_empty()
            || !self.flows.is_empty()
            || self.orders.is_some()
            || self.ticks.is_some()
    }
}

/// Never inlined: in the loop's own function it was measured to be slower.
#[inline(never)]
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
        self.write_subscription(Subscription::Book(index_of(market), every_ns));
        Ok(())
    }

    /// Shows each trade to the strategy.
    pub fn subscribe_trades(&mut self, market: usize) {
        self.markets[market].shows.trades = true;
        self.write_subscription(Subscription::Trades(index_of(market)));
    }

    /// Adds a consolidated book, which takes samples from now on, and returns its index.
    pub fn add_cob(&mut self, group: Group) -> Result<usize> {
        let instruments: Vec<_> = self.markets.iter().map(|m| &m.instrument).collect();
        let mut cob = Cob::new(group.clone(), &instruments)?;
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
        self.write_subscription(Subscription::Cob(Cow::Owned(group)));
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
        self.write_subscription(Subscription::CobShown(index_of(cob), every_ns));
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
        self.markets[market].bars.add_interval(interval_ns)?;
        let charts = &mut self.markets[market].charts;
        charts.push(ShownChart {
            chart: Chart::new(interval_ns),
            shows_bars: false,
            shows_pivots: false,
        });
        let index = charts.len() - 1;
        self.write_subscription(Subscription::Chart(index_of(market), interval_ns));
        Ok(index)
    }

    /// Adds an indicator to a chart by its name; see [`Chart::add_indicator`].
    pub fn add_indicator(&mut self, market: usize, chart: usize, name: &str) -> Result<usize> {
        let shown = &mut self.markets[market].charts[chart];
        let index = shown.chart.add_indicator(name)?;
        let (market, chart) = (index_of(market), index_of(chart));
        self.write_subscription(Subscription::Indicator(market, chart, name.into()));
        Ok(index)
    }

    /// Shows the bars of a chart.
    pub fn subscribe_bars(&mut self, market: usize, chart: usize) {
        self.markets[market].charts[chart].shows_bars = true;
        self.write_subscription(Subscription::Bars(index_of(market), index_of(chart)));
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
        let (left, levels) = (saturated(k), saturated(levels));
        let chart = index_of(chart);
        self.write_subscription(Subscription::Pivots(index_of(market), chart, left, levels));
        Ok(())
    }

    /// Sums up the order flow of a market from now on, with a volume profile in buckets of this
    /// size: in lots, or in units of the base asset as [`base_flow_unit`] says. Its index.
    pub fn add_flow(&mut self, index: usize, bucket: DecimalStep, in_base: bool) -> Result<usize> {
        let flows = &mut self.markets[index].flows;
        let is_same = |known: &MarketFlow| known.bucket == bucket && known.in_base == in_base;
        if let Some(known) = flows.iter().position(is_same) {
            return Ok(known);
        }
        let market = &mut self.markets[index];
        let mut flow = Flow::new(market.instrument.tick, bucket)?;
        flow.advance(self.now_ns);
        market.flows.push(MarketFlow {
            flow,
            bucket,
            in_base,
        });
        let added = market.flows.len() - 1;
        self.write_subscription(Subscription::Flow(index_of(index), bucket, in_base));
        Ok(added)
    }

    /// The order flow of a market up to now.
    pub fn flow(&mut self, market: usize, index: usize) -> &mut Flow {
        let flow = &mut self.markets[market].flows[index].flow;
        flow.advance(self.now_ns);
        flow
    }

    /// Shows the aggressors' orders of a market that traded at `levels` prices or more, when they
    /// are over: with the next trade, or at the first multiple of [`ORDER_OVER_NS`] that finds them
    /// so.
    pub fn subscribe_sweeps(&mut self, market: usize, levels: u32) -> Result<()> {
        if levels == 0 {
            return Err(Error::invalid("levels", "at least 1", levels));
        }
        self.write_subscription(Subscription::Sweeps(index_of(market), levels));
        if let Some((_, least)) = &mut self.markets[market].orders {
            *least = levels.min(*least);
            return Ok(());
        }
        self.markets[market].orders = Some((AggressorOrders::default(), levels));
        let first = next_on_grid(self.now_ns, ORDER_OVER_NS);
        self.timers
            .add(first, Some(ORDER_OVER_NS), TimerUse::Sweep(market));
        Ok(())
    }

    /// Keeps the raw ticks of a market from now on.
    pub fn keep_ticks(&mut self, market: usize) {
        self.markets[market].ticks.get_or_insert_default();
        self.write_subscription(Subscription::Ticks(index_of(market)));
    }

    /// The raw ticks of a market of the last 30 minutes, the older slice first.
    pub fn ticks(&mut self, market: usize) -> (&[Event], &[Event]) {
        let now = self.now_ns;
        self.markets[market]
            .ticks
            .as_mut()
            .map_or((&[], &[]), |ring| {
                ring.advance(now);
                ring.slices()
            })
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
        if matches!(outcome, Outcome::Suspected | Outcome::Recovered) {
            self.write_trust(index);
        }
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
        if let Some(ticks) = &mut market.ticks
            && market.book.is_trusted()
        {
            let row = self.streams[stream].local_rows()[0];
            ticks.push_bests(&row, market.book.best_bid(), market.book.best_ask());
        }
        if market.shows.every_message && market.book.is_trusted() {
            self.steps.push_back(Step::Book(index));
        }
        if !market.cobs.is_empty() {
            self.tell_cobs(index);
        }
    }

    /// Files whether a book is trusted, once the strategy is there.
    #[cold]
    fn write_trust(&mut self, market: usize) {
        if self.phase == Phase::Running {
            self.write(&Entry::Trust(TrustChanged {
                instrument: index_of(market),
                doubt: self.markets[market].book.doubt(),
            }));
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

    /// Takes trades further until there is something to show.
    pub(super) fn pass_trades(&mut self) {
        self.pass_trade();
        while self.steps.is_empty() && !self.trades_due.is_empty() {
            self.pass_trade();
        }
    }

    /// Takes the first trade further: the next bar that it completes, or the trade itself.
    fn pass_trade(&mut self) {
        let Some(due) = self.trades_due.front() else {
            return;
        };
        let (index, ts_ns, row) = (due.market, due.ts_ns, due.row);
        if let Some(bar) = self.markets[index].bars.pop_completed(ts_ns) {
            self.complete_bar(index, &bar);
            return;
        }
        self.trades_due.pop_front();
        let market = &mut self.markets[index];
        market.bars.add(&row, ts_ns);
        for one in &mut market.flows {
            if one.in_base {
                one.flow.trade(&in_base(&row, &market.instrument));
            } else {
                one.flow.trade(&row);
            }
        }
        if let Some(ticks) = &mut market.ticks {
            ticks.push(row);
        }
        let over = market
            .orders
            .as_mut()
            .and_then(|(orders, _)| orders.trade(&row));
        if let Some(order) = over {
            self.tell_sweep(index, order);
        }
        if self.markets[index].shows.trades {
            self.steps.push_back(Step::Trade(index, row));
        }
    }

    fn complete_bar(&mut self, index: usize, bar: &Bar) {
        let market = &mut self.markets[index];
        let Some(shown) = market
            .charts
            .iter_mut()
            .find(|shown| shown.chart.interval_ns == bar.interval_ns)
        else {
            return;
        };
        let found = &mut self.pivots_found;
        shown
            .chart
            .push(bar, &market.instrument, self.now_ns, found);
        if shown.shows_bars {
            self.steps.push_back(Step::Bar(index, *bar));
        }
        for pivot in found.drain(..) {
            if shown.shows_pivots {
                self.steps
                    .push_back(Step::Pivot(index, bar.interval_ns, pivot));
            }
        }
    }

    /// Looks whether an aggressor's order is over.
    pub(super) fn end_sweep(&mut self, index: usize) {
        let now = self.now_ns;
        let orders = self.markets[index].orders.as_mut();
        if let Some(order) = orders.and_then(|(orders, _)| orders.advance(now)) {
            self.tell_sweep(index, order);
        }
    }

    fn tell_sweep(&mut self, index: usize, order: AggressorOrder) {
        let least = self.markets[index]
            .orders
            .as_ref()
            .map_or(0, |(_, least)| *least);
        if order.levels >= least {
            self.steps.push_back(Step::Sweep(index, order));
        }
    }
}

/// Units of the base asset in which flows in base units count an inverse instrument's trades.
const INVERSE_FLOW_UNITS: f64 = 1e12;

/// What one lot of a flow in base units is, in units of the base asset: a lot × contract size, and
/// for an inverse instrument, whose contracts are worth more or less by price, 1e-12.
pub fn base_flow_unit(instrument: &Instrument) -> f64 {
    if instrument.kind == ContractKind::Inverse {
        1.0 / INVERSE_FLOW_UNITS
    } else {
        instrument.contract_size.value(instrument.lot.to_f64())
    }
}

/// A trade with its quantity in [`base_flow_unit`]s, rounded once.
#[allow(clippy::cast_precision_loss, reason = "rounded once, as said")]
#[allow(clippy::cast_possible_truncation, reason = "saturates")]
fn in_base(row: &Event, instrument: &Instrument) -> Event {
    if instrument.kind != ContractKind::Inverse {
        return *row;
    }
    let quote = instrument.contract_size.value(instrument.qty(row.qty_lots));
    let base = quote / instrument.px(row.px_ticks) * INVERSE_FLOW_UNITS;
    Event {
        // At a price of 0 or less a contract stands for no quantity.
        qty_lots: if row.px_ticks > 0 {
            base.round() as i64
        } else {
            0
        },
        ..*row
    }
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
