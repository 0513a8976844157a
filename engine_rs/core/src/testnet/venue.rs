//! One venue: flow decides, the engine matches, the feed publishes.

use super::fair::FairPrice;
use super::feed::{Feed, Latency, StreamKind};
use super::flow::{Action, Flow, FlowParams};
use super::matching::{Fill, MatchingEngine};
use super::{STEP_NS, STEP_S};
use crate::decimal::Step;
use crate::error::{Error, Result};
use crate::event::{EventKind, Side};
use crate::random::Random;

const NS_PER_S: f64 = 1e9;

/// What makes one venue differ from the others.
#[derive(Clone, Copy, Debug)]
pub struct VenueParams {
    /// Price step, in quote units.
    pub tick: Step,
    /// Quantity step, in base units.
    pub lot: Step,
    /// The venue's price is the fair price times `1 + basis`.
    pub basis: f64,
    /// A depth message is published this often: a multiple of [`STEP_NS`].
    pub depth_every_ns: i64,
    /// The way to us.
    pub latency: Latency,
    /// Whether it publishes its orders one by one as well.
    pub publishes_orders: bool,
    /// Its order flow.
    pub flow: FlowParams,
}

/// A venue with its book, its flow and its feed.
#[derive(Clone, Debug)]
pub struct Venue {
    pub(super) feed: Feed,
    engine: MatchingEngine,
    flow: Flow,
    depth_every_ns: i64,
    is_public: bool,
    fills: Vec<Fill>,
}

impl Venue {
    /// A venue with an empty book, that publishes nothing yet.
    pub(super) fn new(seed: u64, index: usize, params: &VenueParams, px: f64) -> Result<Self> {
        check(params, px)?;
        // Purpose 256 × (index + 1) is the venue's flow, those after it its streams.
        let purpose = 256 * (index as u64 + 1);
        let flow = Flow::new(
            params.flow,
            Random::new(seed, purpose),
            (params.tick.to_f64(), params.lot.to_f64()),
            params.basis,
            STEP_S,
        );
        let instrument = u16::try_from(index)
            .map_err(|_| Error::invalid("venues", "at most 255 venues", index))?;
        let stream_random = |kind: StreamKind| Random::new(seed, purpose + 1 + kind as u64);
        Ok(Self {
            feed: Feed::new(
                instrument,
                params.latency,
                params.publishes_orders,
                stream_random,
            ),
            engine: MatchingEngine::default(),
            flow,
            depth_every_ns: params.depth_every_ns,
            is_public: false,
            fills: Vec::new(),
        })
    }

    /// The book, order by order.
    pub fn engine(&self) -> &MatchingEngine {
        &self.engine
    }

    /// The rows published that nobody has fetched yet.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Fills the empty book.
    pub(super) fn open(&mut self, fair: &FairPrice, now_ns: i64) {
        self.flow.step(fair);
        for action in self.flow.opening() {
            self.carry_out(action, now_ns);
        }
    }

    /// Goes public: publishes the book and from now on everything that happens.
    pub(super) fn publish_snapshot(&mut self, now_ns: i64) {
        self.is_public = true;
        self.feed.publish_snapshot(&self.engine, now_ns);
    }

    /// Simulates one step from `from_ns`, `elapsed_ns` after the snapshot.
    pub(super) fn advance(&mut self, fair: &FairPrice, from_ns: i64, elapsed_ns: i64) {
        self.flow.step(fair);
        let mut at_s = 0.0;
        while let Some((wait_s, action)) = self.flow.next(&self.engine, STEP_S - at_s) {
            at_s += wait_s;
            #[allow(clippy::cast_possible_truncation, reason = "at most STEP_NS")]
            let offset_ns = (at_s * NS_PER_S) as i64;
            self.carry_out(action, from_ns + offset_ns);
        }
        let is_due = (elapsed_ns + STEP_NS) % self.depth_every_ns == 0;
        if self.is_public && is_due {
            self.feed.publish_depth(&self.engine, from_ns + STEP_NS);
        }
    }

    fn carry_out(&mut self, action: Action, now_ns: i64) {
        self.fills.clear();
        let sound = "flow draws prices and sizes of at least 1";
        let (side, own) = match action {
            Action::Limit {
                side,
                px_ticks,
                qty_lots,
            } => {
                let rested = self
                    .engine
                    .limit(side, px_ticks, qty_lots, &mut self.fills)
                    .expect(sound);
                let own = rested.map(|id| {
                    let open = self.engine.resting(id).expect("it rests");
                    (EventKind::OrderAdd, id, open)
                });
                (side, own)
            }
            Action::Market {
                side,
                qty_lots,
                px_worst,
            } => {
                self.engine
                    .market(side, qty_lots, px_worst, &mut self.fills)
                    .expect(sound);
                (side, None)
            }
            Action::Cancel(id) => match self.engine.cancel(id) {
                Some(open) => (open.side, Some((EventKind::OrderDelete, id, open))),
                None => (Side::None, None),
            },
        };
        let is_change = !self.fills.is_empty() || own.is_some();
        if self.is_public && is_change {
            let px_own = own.map(|(_, _, open)| open.px_ticks);
            self.feed
                .on_action(&self.engine, now_ns, side, &self.fills, px_own);
            self.feed
                .publish_orders(&self.engine, now_ns, side, &self.fills, own);
        }
    }
}

fn check(params: &VenueParams, px: f64) -> Result<()> {
    params.flow.check()?;
    let tick = params.tick.to_f64();
    if !(px > 0.0 && px <= 1e9) {
        let expected = "a price above 0 and up to 1e9";
        return Err(Error::invalid("px_start", expected, px));
    }
    if !(1e3..=1e12).contains(&(px / tick)) {
        let expected = format!("a thousandth of the price {px} or less, down to a 1e-12th");
        return Err(Error::invalid("tick", expected, params.tick));
    }
    if !(1e-9..=1e3).contains(&params.lot.to_f64()) {
        let expected = "between 1e-9 and 1000 base units";
        return Err(Error::invalid("lot", expected, params.lot));
    }
    if params.depth_every_ns < STEP_NS || params.depth_every_ns % STEP_NS != 0 {
        let expected = "a multiple of 10 ms";
        return Err(Error::invalid(
            "depth_every_ns",
            expected,
            params.depth_every_ns,
        ));
    }
    if params.basis.is_nan() || params.basis.abs() > 0.1 {
        let expected = "a share between -0.1 and 0.1";
        return Err(Error::invalid("basis", expected, params.basis));
    }
    let Latency {
        least_ns,
        jitter_ns,
    } = params.latency;
    if least_ns < 0 || !(0.0..=1e9).contains(&jitter_ns) {
        let expected = "a least value of at least 0 and a jitter of at most a second";
        return Err(Error::invalid(
            "latency",
            expected,
            format!("{least_ns} and {jitter_ns} ns"),
        ));
    }
    Ok(())
}
