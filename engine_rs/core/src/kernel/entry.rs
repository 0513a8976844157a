//! What the records of a journal hold: a kind each, and content in the postcard format.
//!
//! Kinds below [`UNCOUNTED`] are the commands and events of a run, over which its result is hashed;
//! the others tell how the run came about, and what was written for the journal's own sake. The
//! table is in `docs/journal.md`, which a test holds against this one.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::markouts::FillRow;
use super::records::{EquityRow, Fill, Placement};
use super::risk::RiskEvent;
use super::settle::{Funding, Liquidation};
use super::{Kernel, Step, StreamKind};
use crate::book::Doubt;
use crate::cob::Group;
use crate::decimal::Step as DecimalStep;
use crate::error::{Error, Result};
use crate::order::{Change, Command, NewOrder, Order, RejectCode, Role};
use crate::risk::Cause as RiskCause;

/// The first kind that has no part in a run's result.
pub const UNCOUNTED: u8 = 128;

/// What the strategy was called for when it gave a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Handler {
    /// Nothing: before the first step, or from outside.
    #[default]
    Outside,
    /// The beginning.
    Start,
    /// A book.
    Book,
    /// A trade.
    Trade,
    /// A bar.
    Bar,
    /// A pivot.
    Pivot,
    /// An aggressor's order.
    Sweep,
    /// A consolidated book.
    Cob,
    /// A member of a consolidated book.
    CobMember,
    /// A timer.
    Timer,
    /// A change of an order.
    Order,
    /// A fill.
    Fill,
    /// A book that became suspect or trusted.
    Gap,
    /// The end of trading, or a stop-loss.
    Risk,
    /// A funding.
    Funding,
    /// A liquidation.
    Liquidation,
    /// The end of the data.
    Stop,
}

impl Handler {
    /// The name of the strategy's method.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outside => "outside of handlers",
            Self::Start => "on_start",
            Self::Book => "on_book",
            Self::Trade => "on_trade",
            Self::Bar => "on_bar",
            Self::Pivot => "on_pivot",
            Self::Sweep => "on_sweep",
            Self::Cob => "on_cob",
            Self::CobMember => "on_cob_member",
            Self::Timer => "on_timer",
            Self::Order => "on_order",
            Self::Fill => "on_fill",
            Self::Gap => "on_gap",
            Self::Risk => "on_risk",
            Self::Funding => "on_funding",
            Self::Liquidation => "on_liquidation",
            Self::Stop => "on_stop",
        }
    }

    /// The one that a step is for.
    #[inline]
    pub(super) fn of(step: &Step) -> Self {
        match step {
            Step::Start => Self::Start,
            Step::Book(_) => Self::Book,
            Step::Trade(..) => Self::Trade,
            Step::Bar(..) => Self::Bar,
            Step::Sweep(..) => Self::Sweep,
            Step::Pivot(..) => Self::Pivot,
            Step::Gap(..) => Self::Gap,
            Step::Cob(_) => Self::Cob,
            Step::CobMember(..) => Self::CobMember,
            Step::Order(_) => Self::Order,
            Step::Fill(_) => Self::Fill,
            Step::Risk(_) => Self::Risk,
            Step::Funding(_) => Self::Funding,
            Step::Liquidation(_) => Self::Liquidation,
            Step::Timer(_) => Self::Timer,
            Step::End => Self::Stop,
            Step::NeedData(_) | Step::Pause => Self::Outside,
        }
    }
}

/// The market data message that was received last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Index of the instrument in the run.
    pub instrument: u16,
    /// What the stream carries.
    pub kind: StreamKind,
    /// The venue's number of it: update id, or trade id.
    pub id: u64,
    /// The venue's clock.
    pub ts_event_ns: i64,
}

/// Why a command was given. The step of the record it stands in has the same number as the step
/// that the strategy was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What the strategy was called for.
    pub handler: Handler,
    /// What was received last.
    pub heard: Option<Heard>,
}

/// An order that the strategy gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submitted<'a> {
    /// Why.
    pub cause: Cause,
    /// Its id.
    pub order: u64,
    /// What was asked for.
    pub request: NewOrder,
    /// The name that the strategy gave it.
    pub client_id: Option<Cow<'a, str>>,
    /// What was wrong with it before any limit was looked at.
    pub refusal: Option<RejectCode>,
}

/// Orders that the strategy gave as a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedList<'a> {
    /// Why.
    pub cause: Cause,
    /// Id of the first; the others follow it by one.
    pub list: u64,
    /// What was asked for, and what each order is to the others.
    pub requests: Cow<'a, [(NewOrder, Role)]>,
    /// What was wrong with one of them before any limit was looked at.
    pub refusal: Option<RejectCode>,
}

/// What the strategy asked of a live order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Why.
    pub cause: Cause,
    /// The order.
    pub order: u64,
    /// Cancel it, or change it like this.
    pub change: Option<Change>,
}

/// Everything that lives in an instrument was to be cancelled, as the strategy asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelledAll {
    /// Why.
    pub cause: Cause,
    /// Index of the instrument in the run.
    pub instrument: u16,
}

/// Trading was to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillAsked<'a> {
    /// Why.
    pub cause: Cause,
    /// Who asked for it.
    pub by: RiskCause,
    /// In words.
    pub reason: Cow<'a, str>,
    /// Whether positions were to be closed.
    pub flatten: bool,
}

/// A command that the engine gave by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineCommand {
    /// Index of the instrument in the run.
    pub instrument: u16,
    /// The order; 0 where all of the instrument are meant.
    pub order: u64,
    /// The command.
    pub command: Command,
}

/// A limit was reached, or trading ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskTold<'a> {
    /// What happened.
    pub event: RiskEvent,
    /// In words.
    pub reason: Cow<'a, str>,
}

/// A book became suspect, or trusted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustChanged {
    /// Index of the instrument in the run.
    pub instrument: u16,
    /// Why it is suspect; `None` where it is trusted.
    pub doubt: Option<Doubt>,
}

/// What the strategy asked to be shown or kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Subscription<'a> {
    /// The book of an instrument, on every message or on a grid.
    Book(u16, Option<i64>),
    /// The trades of an instrument.
    Trades(u16),
    /// A chart of an instrument, by its interval.
    Chart(u16, i64),
    /// An indicator of a chart: instrument, index of the chart, name.
    Indicator(u16, u16, Cow<'a, str>),
    /// The bars of a chart: instrument, index of the chart.
    Bars(u16, u16),
    /// The pivots of a chart: instrument, index of the chart, bars on either side, levels.
    Pivots(u16, u16, u32, u32),
    /// A consolidated book.
    Cob(Cow<'a, Group>),
    /// A consolidated book, to be shown on every message or on a grid.
    CobShown(u16, Option<i64>),
    /// Order flow of an instrument: bucket size, and whether in units of the base asset.
    Flow(u16, DecimalStep, bool),
    /// Aggressors' orders of an instrument from so many levels on.
    Sweeps(u16, u32),
    /// The raw ticks of an instrument.
    Ticks(u16),
}

/// A timer that the strategy set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerSet {
    /// Its id.
    pub id: u64,
    /// When it is due first, on our clock.
    pub at_ns: i64,
    /// Time between the following ones; `None` where there are none.
    pub every_ns: Option<i64>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended<'a> {
    /// The hash of its result, as 64 hexadecimal digits.
    pub result_sha256: Cow<'a, str>,
    /// What ended it before the end of the data.
    pub error: Option<Cow<'a, str>>,
}

/// Declares the entries once: number, name for users, meaning, content.
macro_rules! entries {
    ($($(#[doc = $doc:literal])+ $variant:ident($content:ty) = $kind:literal, $name:literal;)+) => {
        /// Content of a record.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Entry<'a> {
            $($(#[doc = $doc])+ $variant($content),)+
        }

        impl<'a> Entry<'a> {
            /// Number, name and meaning of every kind, in order of their numbers.
            pub const KINDS: &'static [(u8, &'static str, &'static str)] =
                &[$(($kind, $name, concat!($($doc),+)),)+];

            /// The number of its kind.
            #[inline]
            pub fn kind(&self) -> u8 {
                match self {
                    $(Self::$variant(_) => $kind,)+
                }
            }

            /// Appends its content to a buffer.
            #[inline]
            pub fn encode(&self, buffer: &mut Vec<u8>) {
                let taken = std::mem::take(buffer);
                let written = match self {
                    $(Self::$variant(content) => postcard::to_extend(content, taken),)+
                };
                *buffer = written.expect("memory takes everything, and all lengths are known");
            }

            /// Its content for people and tables, as JSON.
            pub fn to_json(&self) -> String {
                match self {
                    $(Self::$variant(content) => serde_json::to_string(content),)+
                }
                .expect("memory takes everything, and all keys are text")
            }

            /// The entry that a record holds.
            pub fn decode(kind: u8, payload: &'a [u8]) -> Result<Self> {
                let (entry, rest) = match kind {
                    $($kind => postcard::take_from_bytes(payload)
                        .map(|(content, rest)| (Self::$variant(content), rest)),)+
                    found => return Err(Error::invalid("record", "a known kind", found)),
                }
                .map_err(|error| Error::invalid("record", Self::name_of(kind), error))?;
                if rest.is_empty() {
                    return Ok(entry);
                }
                let found = format!("{} bytes behind it", rest.len());
                Err(Error::invalid("record", Self::name_of(kind), found))
            }
        }
    };
}

entries! {
    /// Settings that the result depends on, as JSON.
    Settings(Cow<'a, str>) = 1, "settings";
    /// An order that the strategy gave.
    Submit(Submitted<'a>) = 2, "submit";
    /// A list of orders that the strategy gave.
    SubmitList(SubmittedList<'a>) = 3, "submit_list";
    /// A cancel or a change that the strategy asked for.
    Ask(Asked) = 4, "ask";
    /// All orders of an instrument were to be cancelled, as the strategy asked for.
    CancelAll(CancelledAll) = 5, "cancel_all";
    /// Trading was to end, as the strategy or an operator asked for.
    Kill(KillAsked<'a>) = 6, "kill";
    /// A command that the engine gave by itself.
    Engine(EngineCommand) = 7, "engine";
    /// An order as it stands after an answer or a refusal.
    Order(Order) = 16, "order";
    /// An order came to rest in the venue's book.
    Placement(Placement) = 17, "placement";
    /// A fill.
    Fill(Fill) = 18, "fill";
    /// A funding.
    Funding(Funding) = 19, "funding";
    /// A position that the venue closed.
    Liquidation(Liquidation) = 20, "liquidation";
    /// A limit was reached, or trading ended.
    Risk(RiskTold<'a>) = 21, "risk";
    /// A sample of an instrument's position and the account's equity.
    Equity(EquityRow) = 22, "equity";
    /// A timer of the strategy was due: its id.
    Timer(u64) = 23, "timer";
    /// A book became suspect, or trusted again.
    Trust(TrustChanged) = 24, "trust";
    /// Versions and data, as JSON.
    Origin(Cow<'a, str>) = 128, "origin";
    /// The strategy asked to be shown or to keep something.
    Subscribe(Subscription<'a>) = 129, "subscribe";
    /// The strategy set a timer.
    SetTimer(TimerSet) = 130, "set_timer";
    /// The strategy stopped a timer: its id.
    CancelTimer(u64) = 131, "cancel_timer";
    /// A fill with the mids after it, when the last of them is known.
    Markout(FillRow) = 132, "markout";
    /// The strategy's state, as it saved it.
    Saved(Cow<'a, [u8]>) = 133, "saved";
    /// A run went on here after it had been interrupted: bytes that were cut.
    Resumed(u64) = 134, "resumed";
    /// The run ended.
    Ended(Ended<'a>) = 135, "ended";
}

impl Entry<'_> {
    /// Whether a kind tells of the process that ran, and not of the run: another process may write
    /// others in the same run.
    pub fn tells_of_the_process(kind: u8) -> bool {
        const ORIGIN: u8 = 128;
        const RESUMED: u8 = 134;
        const ENDED: u8 = 135;
        matches!(kind, ORIGIN | RESUMED | ENDED)
    }

    /// Whether a kind is something that the strategy asked for.
    pub fn is_command(kind: u8) -> bool {
        (2..=6).contains(&kind)
    }

    /// Whether a kind is something that the strategy did: a command, or what it wants to be shown.
    /// All else follows from these and the data.
    pub fn is_input(kind: u8) -> bool {
        Self::is_command(kind) || matches!(kind, 129..=131)
    }

    /// The name of a kind; nothing for one that there is not.
    pub fn name_of(kind: u8) -> &'static str {
        let found = Self::KINDS.iter().find(|(number, ..)| *number == kind);
        found.map_or("", |(_, name, _)| name)
    }
}

impl Kernel {
    /// Why a command that is given now is given.
    pub(super) fn cause(&self) -> Cause {
        let heard = self.heard.map(|(stream, id)| {
            let stream = &self.streams[stream];
            Heard {
                instrument: index_of(stream.instrument),
                kind: stream.kind,
                id,
                ts_event_ns: self.event_ns,
            }
        });
        Cause {
            handler: self.handler,
            heard,
        }
    }

    /// Files what the strategy subscribed to.
    pub(super) fn write_subscription(&mut self, subscription: Subscription<'_>) {
        self.write(&Entry::Subscribe(subscription));
    }

    /// Files fills of which the last mid is known since the records had `before` of them.
    pub(super) fn write_markouts(&mut self, before: usize) {
        for at in before..self.records.fills.len() {
            let row = self.records.fills[at];
            self.write(&Entry::Markout(row));
        }
    }
}

/// The index of an instrument, of which a kernel has no more than fit.
pub(super) fn index_of(market: usize) -> u16 {
    u16::try_from(market).expect("Invariant: checked when the kernel was made")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever bytes stand in a record: an entry, which reads the same again, or an error.
        #[test]
        fn any_bytes_are_an_entry_or_an_error(
            kind in prop::sample::select(
                Entry::KINDS.iter().map(|(kind, ..)| *kind).chain([0, 99, 255]).collect::<Vec<_>>()
            ),
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(entry) = Entry::decode(kind, &bytes) {
                let mut again = Vec::new();
                entry.encode(&mut again);
                prop_assert_eq!(Entry::decode(kind, &again).unwrap().to_json(), entry.to_json());
            }
        }
    }
}
