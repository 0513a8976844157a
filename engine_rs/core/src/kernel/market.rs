//! One instrument of a run: what the strategy knows of it and the exchange that trades it.

use super::MarketSettings;
use super::queues::Bus;
use super::settle::{MarkSource, Notice};
use crate::Result;
use crate::bars::BarSet;
use crate::book::Book;
use crate::chart::Chart;
use crate::decimal::Step;
use crate::exchange::models::LatencyModel;
use crate::exchange::{Rules, SimExchange};
use crate::flow::{AggressorOrders, Flow};
use crate::instrument::Instrument;
use crate::margin::{Mode, Terms};
use crate::money::{Px, Rate};
use crate::order::Command;
use crate::ticks::TickRing;

/// What the strategy asked to be shown at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shows {
    /// The book after every message.
    pub every_message: bool,
    /// Every trade.
    pub trades: bool,
}

/// A chart, and what of it the strategy is shown.
#[derive(Debug)]
pub(super) struct ShownChart {
    pub chart: Chart,
    pub shows_bars: bool,
    pub shows_pivots: bool,
}

/// Order flow of an instrument, in lots or in units of the base asset.
#[derive(Debug)]
pub(super) struct MarketFlow {
    pub flow: Flow,
    pub bucket: Step,
    pub in_base: bool,
}

/// One instrument of a run.
#[derive(Debug)]
pub struct Market {
    /// Its definition.
    pub instrument: Instrument,
    /// The book as received.
    pub book: Book,
    pub(super) exchange: SimExchange,
    /// What the venue takes for the mark price.
    pub(super) mark_source: MarkSource,
    /// The mark at the venue: the newest there was.
    pub(super) venue_mark: Option<Px>,
    /// The mark that the venue published last.
    pub(super) published_mark: Option<Px>,
    /// The price of the last trade received, in ticks.
    pub(super) last_px: Option<i64>,
    /// The mark price received last, where the venue publishes one.
    pub mark: Option<Px>,
    /// The funding rate received last.
    pub funding_rate: Option<Rate>,
    /// The latest time of the venue that its exchange has seen, where it runs on what is received.
    pub(super) exchange_clock_ns: i64,
    pub(super) latency: Box<dyn LatencyModel>,
    /// Whether the latency model listens to the market data.
    pub(super) feeds_latency: bool,
    pub(super) to_exchange: Bus<(u64, Command)>,
    pub(super) to_local: Bus<Notice>,
    pub(super) bars: BarSet,
    pub(super) charts: Vec<ShownChart>,
    pub(super) flows: Vec<MarketFlow>,
    /// Aggressors' orders, and the least number of levels of those that the strategy is shown.
    pub(super) orders: Option<(AggressorOrders, u32)>,
    pub(super) ticks: Option<TickRing>,
    pub(super) shows: Shows,
    pub(super) changed: bool,
    pub(super) told_suspect: bool,
    /// The consolidated books that it is in: index of the group, index of the member.
    pub(super) cobs: Vec<(usize, usize)>,
    /// When a message of the book was applied last, on our clock.
    pub(super) depth_recv_ns: Option<i64>,
    pub(super) last_mid_x2: Option<i64>,
}

impl Market {
    /// An instrument without data.
    pub fn new(settings: MarketSettings, margin: Mode) -> Result<Self> {
        let MarketSettings {
            instrument,
            latency,
            queue,
            fill,
            self_trade,
            leverage,
            mark,
            position,
        } = settings;
        let takes = margin != Mode::None;
        let terms = takes.then(|| Terms::new(&instrument, margin, leverage));
        let rules = Rules {
            self_trade,
            px_band: instrument.px_band,
            terms: terms.transpose()?,
        };
        let held = position.map_or(0, |(lots, _)| lots);
        Ok(Self {
            instrument,
            book: Book::new(),
            exchange: SimExchange::new(queue, fill, rules, held),
            mark_source: mark,
            venue_mark: None,
            published_mark: None,
            last_px: None,
            mark: None,
            funding_rate: None,
            exchange_clock_ns: i64::MIN,
            feeds_latency: latency.wants_feed(),
            latency,
            to_exchange: Bus::default(),
            to_local: Bus::default(),
            bars: BarSet::default(),
            charts: Vec::new(),
            flows: Vec::new(),
            orders: None,
            ticks: None,
            shows: Shows::default(),
            changed: false,
            told_suspect: false,
            cobs: Vec::new(),
            depth_recv_ns: None,
            last_mid_x2: None,
        })
    }

    /// Twice the mid in ticks of the received book, while it is trusted and has two sides.
    pub fn mid_px_x2(&self) -> Option<i64> {
        self.book.mid_px_x2().filter(|_| self.book.is_trusted())
    }

    /// Twice the mid in ticks of the received book when it was last trusted and had two sides.
    pub(super) fn known_mid_px_x2(&self) -> Option<i64> {
        self.last_mid_x2
    }

    /// The position at the exchange, in signed lots: what is known of it arrives with the answers.
    pub fn position_at_exchange_lots(&self) -> i64 {
        self.exchange.position_lots()
    }
}
