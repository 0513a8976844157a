//! The one loop: market data, orders and timers in one order of time, and a strategy that looks on.
//!
//! The kernel is *pulled*: [`Kernel::next`] runs until something happens that the strategy should
//! see, and returns it. Between two calls the caller may look at everything and give commands. So
//! the same loop serves a Python strategy, a Rust one and a test, and knows none of them.
//!
//! Time. The exchange reads a stream in venue time, the strategy in receive time. What is due first
//! happens first; at the same nanosecond, in this order:
//!
//! 1. market data received (streams in the order in which they were added),
//! 2. answers of the exchange received (instruments in order),
//! 3. market data at the exchange (by receive time, then streams in order),
//! 4. orders expiring at the exchange, then requests reaching it (instruments in order),
//! 5. timers (in order of creation; the equity sample is the first, then the look at limits).
//!
//! These are hftbacktest's rules for one instrument, where a strategy acts after everything at its
//! own time. The run ends with the last row received: requests and answers due later, and timers,
//! do not happen any more.
//!
//! Causal responses. Run like this, an answer can reach the strategy before the market data that
//! explains it, as on a real venue; but nobody can know it from what was received. With
//! `causal_responses` the exchange runs by what is received instead: when a message arrives, the
//! requests and expiries of before its venue time are handled, in order of their times, then the
//! message itself, whose venue time never falls below that of one received before it; what comes of
//! it is answered no earlier than the arrival. Where no message comes, a request is handled one
//! second of our clock after its own time. Paper trading can do exactly this.

mod entry;
mod equity;
mod feed;
mod fingerprint;
mod fold;
mod funds;
mod log;
mod market;
mod markouts;
mod orders;
mod queues;
mod records;
mod risk;
mod settle;
mod state;
mod venue;

pub use entry::{
    Asked, CancelledAll, Cause, Ended, EngineCommand, Entry, Handler, Heard, KillAsked, RiskTold,
    Submitted, SubmittedList, Subscription, TimerSet, TrustChanged, UNCOUNTED,
};
pub use feed::{Batch, Stream, StreamKind};
pub use log::{Divergence, ResultHash, Resume, Side};
pub use market::Market;
pub use markouts::{FillRow, HORIZONS_NS};
pub use queues::TimerUse;
pub use records::{EquityRow, Fill, Placement, Records};
pub use risk::{RiskEvent, RiskSettings};
pub use settle::{Funding, Liquidation, MarkSource};
pub use state::base_flow_unit;
use state::{ShownCob, TradeDue};

use std::collections::{BTreeMap, VecDeque};

use crate::bars::Bar;
use crate::cob::Absence;
use crate::error::{Error, Result};
use crate::event::{Event, TS_NONE};
use crate::exchange::SelfTrade;
use crate::exchange::models::{FeeModel, FillModel, LatencyModel, QueueModel};
use crate::flow::AggressorOrder;
use crate::instrument::Instrument;
use crate::journal::{Records as JournalRecords, Writer};
use crate::ledger::Ledger;
use crate::margin::Mode;
use crate::money::{Money, Px, Rate};
use crate::order::{Order, Report};
use crate::pivots::Pivot;
use crate::risk::RiskEngine;
use feed::{ENDED, PENDING};
use log::Log;
use markouts::Markouts;
use orders::ClientIds;
use queues::{Timers, next_on_grid};
use risk::RiskDesk;

/// One instrument of a run, and how its exchange is simulated.
pub struct MarketSettings {
    /// Its definition.
    pub instrument: Instrument,
    /// Order entry and response latency.
    pub latency: Box<dyn LatencyModel>,
    /// Where resting orders stand in the queue.
    pub queue: Box<dyn QueueModel>,
    /// How much of an order is filled.
    pub fill: Box<dyn FillModel>,
    /// What happens where our order would trade with another of ours.
    pub self_trade: SelfTrade,
    /// Leverage of its positions, where margin is asked for.
    pub leverage: u32,
    /// What the venue takes for its mark price.
    pub mark: MarkSource,
    /// What is held of it at the start: signed lots and the entry price.
    pub position: Option<(i64, Px)>,
}

/// What a run consists of, apart from its data and its strategy.
pub struct Settings {
    /// The instruments, in the order of their indices.
    pub markets: Vec<MarketSettings>,
    /// What the venue takes for fills.
    pub fees: Box<dyn FeeModel>,
    /// Whether answers wait for the market data that explains them; see the module header.
    pub causal_responses: bool,
    /// How positions of derivatives are backed.
    pub margin: Mode,
    /// Limits, and how often the account is held against them.
    pub risk: RiskSettings,
    /// Cash at the start, by currency.
    pub cash: Vec<(String, Money)>,
    /// Time between equity samples in ns, positive.
    pub equity_every_ns: i64,
    /// Our clock at which the strategy begins; rows received before only build the books. `None`:
    /// it begins with the first row.
    pub begin_ns: Option<i64>,
    /// Text of everything that the run depends on; enters the hash first.
    pub fingerprint: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The stream with this index needs a batch, or its end declared.
    NeedData(usize),
    /// The clock has been set to the first row; the strategy may subscribe and trade.
    Start,
    /// The book of this instrument is to be shown.
    Book(usize),
    /// A trade was received.
    Trade(usize, Event),
    /// A bar is complete.
    Bar(usize, Bar),
    /// An aggressor's order that traded at several prices is over.
    Sweep(usize, AggressorOrder),
    /// A pivot of the bars of this interval is confirmed.
    Pivot(usize, i64, Pivot),
    /// The book of this instrument became suspect (`false`) or trusted again (`true`).
    Gap(usize, bool),
    /// The consolidated book of this group is to be shown.
    Cob(usize),
    /// A member of a consolidated book went out, and why, or came back: group, member.
    CobMember(usize, usize, Option<Absence>),
    /// An order changed.
    Order(Order),
    /// An order was filled; the [`Step::Order`] before it told the order.
    Fill(Fill),
    /// A position is being closed by its stop-loss, or trading has ended.
    Risk(RiskEvent),
    /// Funding was paid or received.
    Funding(Funding),
    /// The venue has closed a position; orders and fills of it were told before.
    Liquidation(Liquidation),
    /// A timer of the strategy is due.
    Timer(u64),
    /// The row budget is used up; call again.
    Pause,
    /// The data is at its end, and so is the run.
    End,
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Market data rows received by the strategy.
    pub events: u64,
    /// Those of them that set a level of a book.
    pub level_updates: u64,
    /// Venue messages received.
    pub messages: u64,
    /// Orders given, refused ones included.
    pub orders: u64,
    /// Orders refused by us or by the exchange.
    pub rejected: u64,
    /// Fills received.
    pub fills: u64,
    /// Fundings received.
    pub fundings: u64,
    /// Positions closed by the venue.
    pub liquidations: u64,
    /// Cancels and modifies that came too late to be answered for a live order.
    pub requests_too_late: u64,
}

/// The loop and all its state.
pub struct Kernel {
    /// The instruments, by index.
    pub markets: Vec<Market>,
    cobs: Vec<ShownCob>,
    streams: Vec<Stream>,
    /// Wallets and positions as the strategy knows them.
    ledger: Ledger,
    /// The same at the venue.
    venue: Ledger,
    /// Instruments whose account is to be liquidated as soon as there is a book to close it in.
    unclosed: Vec<usize>,
    fees: Box<dyn FeeModel>,
    causal_responses: bool,
    orders: BTreeMap<u64, Order>,
    orders_created: u64,
    client_ids: ClientIds,
    /// How often each code was told.
    codes_told: BTreeMap<&'static str, u64>,
    risk: RiskEngine,
    desk: RiskDesk,
    timers: Timers,
    steps: VecDeque<Step>,
    trades_due: VecDeque<TradeDue>,
    /// Pivots of one bar, on their way to the strategy.
    pivots_found: Vec<Pivot>,
    answers: Vec<Report>,
    records: Records,
    markouts: Markouts,
    log: Log,
    /// What the strategy is called for.
    handler: Handler,
    /// Stream and number of the message of market data received last.
    heard: Option<(usize, u64)>,
    counts: Counts,
    fingerprint: String,
    rows_read: u64,
    equity_every_ns: i64,
    begin_ns: Option<i64>,
    /// Whether there is a stream of depth or trades: marks and fundings alone begin a run only
    /// where there is nothing else.
    has_events: bool,
    start_ns: i64,
    now_ns: i64,
    event_ns: i64,
    seq: u64,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Some stream has not been fed yet.
    Waiting,
    /// Rows before the beginning build the books.
    WarmingUp,
    /// The strategy is there.
    Running,
    /// The data is at its end.
    Ended,
}

#[derive(Clone, Copy)]
enum Due {
    Nothing,
    Local(usize),
    Answer(usize),
    Exchange(usize),
    Expiry(usize),
    Request(usize),
    Timer,
}

impl Kernel {
    /// A kernel without data.
    pub fn new(settings: Settings) -> Result<Self> {
        if settings.equity_every_ns <= 0 {
            let found = settings.equity_every_ns;
            return Err(Error::invalid("run.equity_every", "a positive time", found));
        }
        let terms = settings.markets.iter().map(|m| (&m.instrument, m.leverage));
        let mut ledger = Ledger::new(settings.margin, terms, settings.cash)?;
        for (index, market) in settings.markets.iter().enumerate() {
            if let Some((lots, entry)) = market.position.filter(|(lots, _)| *lots != 0) {
                ledger.open(index, lots, entry)?;
            }
        }
        let markets: Vec<Market> = settings
            .markets
            .into_iter()
            .map(|market| Market::new(market, settings.margin))
            .collect::<Result<_>>()?;
        u16::try_from(markets.len())
            .map_err(|_| Error::invalid("instruments", "at most 65535", markets.len()))?;
        let instruments = markets.iter().map(|market| &market.instrument);
        let risk = RiskEngine::new(instruments, settings.risk.limits.clone())?;
        let desk = RiskDesk::new(&settings.risk, &markets, &ledger)?;
        Ok(Self {
            markets,
            cobs: Vec::new(),
            streams: Vec::new(),
            venue: ledger.clone(),
            unclosed: Vec::new(),
            ledger,
            fees: settings.fees,
            causal_responses: settings.causal_responses,
            orders: BTreeMap::new(),
            orders_created: 0,
            client_ids: ClientIds::default(),
            codes_told: BTreeMap::new(),
            risk,
            desk,
            timers: Timers::default(),
            steps: VecDeque::new(),
            trades_due: VecDeque::new(),
            pivots_found: Vec::new(),
            answers: Vec::new(),
            records: Records::default(),
            markouts: Markouts::default(),
            log: Log::new(),
            handler: Handler::Outside,
            heard: None,
            fingerprint: settings.fingerprint,
            counts: Counts::default(),
            rows_read: 0,
            equity_every_ns: settings.equity_every_ns,
            begin_ns: settings.begin_ns,
            has_events: false,
            start_ns: 0,
            now_ns: 0,
            event_ns: TS_NONE,
            seq: 0,
            phase: Phase::Waiting,
        })
    }

    /// Adds a stream and returns its index; all are added before the first [`Self::next`].
    pub fn add_stream(&mut self, market: usize, kind: StreamKind) -> Result<usize> {
        if market >= self.markets.len() {
            let expected = format!("an index below {}", self.markets.len());
            return Err(Error::invalid("instrument", expected, market));
        }
        if self.phase != Phase::Waiting {
            return Err(Error::invalid(
                "stream",
                "to be added before the start",
                "a running kernel",
            ));
        }
        self.has_events |= matches!(kind, StreamKind::Depth | StreamKind::Trades);
        let stream = Stream::new(market, kind);
        // Where the exchange runs by what is received, it receives its orders like the rest.
        let exchange_alone = kind == StreamKind::Orders && !self.causal_responses;
        self.streams.push(if exchange_alone {
            stream.for_exchange_alone()
        } else {
            stream
        });
        Ok(self.streams.len() - 1)
    }

    /// Gives a stream its next rows.
    pub fn feed(&mut self, stream: usize, batch: Box<dyn Batch>) -> Result<()> {
        self.streams[stream].feed(batch)
    }

    /// Declares a stream complete.
    pub fn end_stream(&mut self, stream: usize) -> Result<()> {
        self.streams[stream].end()
    }

    /// How much is under way or waits: steps to be shown, messages to and from the venues, trades,
    /// live orders. It is bounded by what the strategy does.
    pub fn under_way(&self) -> usize {
        let messages = |market: &Market| market.to_exchange.len() + market.to_local.len();
        let messages: usize = self.markets.iter().map(messages).sum();
        self.steps.len() + self.trades_due.len() + self.orders.len() + messages
    }

    /// Our clock in ns: the receive time of what happened last.
    #[inline]
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// Our clock at the first row; 0 before the start.
    pub fn start_ns(&self) -> i64 {
        self.start_ns
    }

    /// The venue's clock of the market data received last, ns; [`TS_NONE`] before the first, and where
    /// the venue sends none.
    pub fn event_ns(&self) -> i64 {
        self.event_ns
    }

    /// How many steps the strategy was given; the number of the latest one.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Writes everything that happens to a journal; before the first [`Self::next`]. `origin` says,
    /// as JSON, where run and data are from.
    pub fn keep_journal(&mut self, journal: Writer, origin: &str) {
        self.log.keep(journal);
        self.write(&Entry::Origin(origin.into()));
    }

    /// Holds everything that happens against the records of a journal that is there already, and
    /// writes what happens behind them; before the first [`Self::next`]. So a run that was
    /// interrupted goes on: it happens again, and must be the same.
    pub fn resume_journal(&mut self, records: JournalRecords, then: Resume, origin: &str) {
        self.log.hold_against(records, then);
        self.write(&Entry::Origin(origin.into()));
    }

    /// Brings to the disk what of the journal is due; see [`crate::journal::Durability`].
    pub fn tick_journal(&mut self) -> Result<()> {
        self.log.tick()
    }

    /// Ends the journal; `error` is what ended the run before the end of its data.
    pub fn finish_journal(&mut self, error: Option<&str>) -> Result<()> {
        let ended = Ended {
            result_sha256: self.log.result().hex().into(),
            error: error.map(Into::into),
        };
        self.log.finish(self.seq, self.now_ns, &ended)
    }

    /// Writes an entry, now.
    #[inline]
    fn write(&mut self, entry: &Entry<'_>) {
        self.log.write(self.seq, self.now_ns, entry);
    }

    /// How much happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// How often each reject code was told, by name.
    pub fn codes_told(&self) -> &BTreeMap<&'static str, u64> {
        &self.codes_told
    }

    /// Takes what was recorded since the last time.
    pub fn take_records(&mut self) -> Records {
        std::mem::take(&mut self.records)
    }

    /// Rows recorded and not yet taken.
    pub fn record_count(&self) -> usize {
        self.records.len()
    }

    /// The run's hash so far.
    pub fn result_sha256(&self) -> String {
        self.log.result().hex()
    }

    /// A timer first due at `at_ns` (now, if that is past), then every `every_ns` if given.
    pub fn set_timer(&mut self, at_ns: i64, every_ns: Option<i64>) -> Result<u64> {
        if let Some(every) = every_ns.filter(|every| *every <= 0) {
            return Err(Error::invalid("every", "a positive time", every));
        }
        let at_ns = at_ns.max(self.now_ns);
        let id = self.timers.add(at_ns, every_ns, TimerUse::User);
        self.write(&Entry::SetTimer(TimerSet {
            id,
            at_ns,
            every_ns,
        }));
        Ok(id)
    }

    /// Stops a timer; whether there was one.
    pub fn cancel_timer(&mut self, id: u64) -> bool {
        let is_there = self.timers.cancel(id);
        if is_there {
            self.write(&Entry::CancelTimer(id));
        }
        is_there
    }

    /// Runs until something happens, at most about `budget_rows` rows.
    pub fn next(&mut self, budget_rows: u64) -> Result<Step> {
        self.next_until(budget_rows, ENDED)
    }

    /// As [`Self::next`], and nothing happens that is due after `last_ns` of our clock: it pauses
    /// there.
    pub fn next_until(&mut self, budget_rows: u64, last_ns: i64) -> Result<Step> {
        let stop_at = self.rows_read.saturating_add(budget_rows);
        loop {
            if self.phase != Phase::WarmingUp
                && let Some(step) = self.steps.pop_front()
            {
                self.seq += 1;
                self.handler = Handler::of(&step);
                return Ok(step);
            }
            if !self.trades_due.is_empty() {
                self.pass_trades();
                continue;
            }
            if self.log.has_failed() {
                self.log.check()?;
            }
            if self.phase == Phase::Ended {
                self.handler = Handler::Stop;
                return Ok(Step::End);
            }
            if self.rows_read >= stop_at {
                return Ok(Step::Pause);
            }
            if self.phase == Phase::Waiting {
                if let Some(stream) = self.streams.iter().position(Stream::is_pending) {
                    return Ok(Step::NeedData(stream));
                }
                self.phase = Phase::WarmingUp;
                let settings = std::mem::take(&mut self.fingerprint);
                self.write(&Entry::Settings(settings.into()));
            }
            let (time, due) = self.due();
            if time > last_ns {
                return Ok(Step::Pause);
            }
            match due {
                Due::Local(stream) | Due::Exchange(stream) if time == PENDING => {
                    return Ok(Step::NeedData(stream));
                }
                Due::Local(stream) if self.begins_at(stream, time) => self.begin(time)?,
                Due::Local(stream) => self.on_received(stream, time)?,
                Due::Exchange(stream) => self.on_exchange(stream, time, i64::MIN)?,
                Due::Answer(market) => self.on_notice(market, time)?,
                Due::Expiry(market) => {
                    self.pass_unseen(time);
                    self.on_expiry(market)?;
                }
                Due::Request(market) => {
                    self.pass_unseen(time);
                    self.on_request(market)?;
                }
                Due::Timer => {
                    // Timers may be due in a long silence: they count as rows do.
                    self.rows_read += 1;
                    self.on_timer(time);
                }
                Due::Nothing => self.end()?,
            }
        }
    }

    /// When something is due next; lower than every time where that is not known yet.
    pub fn due_ns(&self) -> i64 {
        if self.steps.is_empty() && self.trades_due.is_empty() {
            self.due().0
        } else {
            self.now_ns
        }
    }

    /// What is due next, by the rules in the module header.
    #[inline]
    fn due(&self) -> (i64, Due) {
        let (mut time, mut due) = (ENDED, Due::Nothing);
        for (index, stream) in self.streams.iter().enumerate() {
            if stream.local.time < time {
                (time, due) = (stream.local.time, Due::Local(index));
            }
        }
        // Without rows to come only what is due up to now still happens.
        let last = if matches!(due, Due::Nothing) {
            self.now_ns + 1
        } else {
            ENDED
        };
        time = time.min(last);
        for (index, market) in self.markets.iter().enumerate() {
            if market.to_local.due() < time {
                (time, due) = (market.to_local.due(), Due::Answer(index));
            }
        }
        if self.causal_responses {
            (time, due) = self.due_unseen(time, due);
        } else {
            (time, due) = self.due_at_exchange(time, due);
        }
        if self.timers.due() < time {
            (time, due) = (self.timers.due(), Due::Timer);
        }
        (time, due)
    }

    /// Whether the strategy begins with the row received at `time`.
    #[inline]
    fn begins_at(&self, stream: usize, time: i64) -> bool {
        self.phase == Phase::WarmingUp
            && self.begin_ns.is_none_or(|begin| time >= begin)
            && match self.streams[stream].kind {
                StreamKind::Depth | StreamKind::Trades => true,
                StreamKind::Orders => false,
                StreamKind::Marks | StreamKind::Funding => !self.has_events,
            }
    }

    fn begin(&mut self, time: i64) -> Result<()> {
        self.phase = Phase::Running;
        (self.start_ns, self.now_ns) = (time, time);
        // What happened to the books so far is nobody's business.
        self.counts = Counts::default();
        self.steps.clear();
        let every = self.equity_every_ns;
        self.timers
            .add(next_on_grid(time, every), Some(every), TimerUse::Equity);
        self.begin_risk();
        self.steps.push_back(Step::Start);
        self.solve_all(time)
    }

    /// A message of a stream reaches the strategy.
    #[inline]
    fn on_received(&mut self, index: usize, time: i64) -> Result<()> {
        self.now_ns = time;
        if self.causal_responses {
            self.reach_exchange(index, time)?;
        }
        if self.markouts.is_due_before(time) && self.streams[index].kind == StreamKind::Depth {
            self.look(time);
        }
        let stream = &self.streams[index];
        let rows = stream.local_rows();
        self.rows_read += rows.len() as u64;
        if stream.kind == StreamKind::Orders {
            return self.streams[index].advance_local();
        }
        let market = &mut self.markets[stream.instrument];
        if market.feeds_latency {
            market.latency.on_feed(rows[0].venue_time_ns(), time);
        }
        self.event_ns = rows[0].ts_event_ns;
        self.heard = Some((index, rows[0].seq));
        self.counts.messages += 1;
        self.counts.events += rows.len() as u64;
        match stream.kind {
            StreamKind::Depth => {
                self.counts.level_updates += rows.len() as u64;
                let outcome = market.apply_depth(&mut self.cobs, rows, time);
                self.tell_book(index, outcome);
            }
            StreamKind::Trades => {
                let market = &mut self.markets[stream.instrument];
                market.last_px = rows.last().map(|row| row.px_ticks);
                if market.wants_trades() {
                    self.trades_due.extend(
                        rows.iter()
                            .map(|row| TradeDue::new(stream.instrument, *row)),
                    );
                }
            }
            StreamKind::Marks => {
                self.markets[stream.instrument].mark = rows.last().map(|row| Px(row.px_ticks));
            }
            StreamKind::Funding => {
                let rate = rows.last().map(|row| Rate(row.qty_lots));
                self.markets[stream.instrument].funding_rate = rate;
            }
            StreamKind::Orders => {}
        }
        self.streams[index].advance_local()
    }

    fn on_timer(&mut self, time: i64) {
        self.now_ns = time;
        match self.timers.fire() {
            Some((_, TimerUse::Equity)) => self.sample_equity(time),
            Some((_, TimerUse::Book(index))) => {
                let market = &mut self.markets[index];
                if market.changed && market.book.is_trusted() {
                    market.changed = false;
                    self.steps.push_back(Step::Book(index));
                }
            }
            Some((_, TimerUse::CobSample(index))) => self.sample_cob(index),
            Some((_, TimerUse::Cob(index))) => self.show_cob(index),
            Some((_, TimerUse::Sweep(index))) => self.end_sweep(index),
            Some((_, TimerUse::Risk)) => self.watch_risk(),
            Some((id, TimerUse::User)) => {
                self.write(&Entry::Timer(id));
                self.steps.push_back(Step::Timer(id));
            }
            None => {}
        }
    }

    /// Notes the mids that are due before a time for the fills that wait for them.
    #[cold]
    fn look(&mut self, ts_ns: i64) {
        let (markets, before) = (&self.markets, self.records.fills.len());
        let mid = |index: u16| markets[usize::from(index)].mid_px_x2();
        self.markouts.look(ts_ns, mid, &mut self.records.fills);
        self.write_markouts(before);
    }
}

#[cfg(test)]
mod tests;
