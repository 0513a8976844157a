//! A small market for tests: answers are compared as short texts.

use super::models::{FillModel, RiskAverseQueue};
use super::*;
use crate::event::EventKind;
use crate::event::tests::row;
use crate::order::{Change, Link, Role, TimeInForce, Trigger, TriggerBy, TriggerKind};

pub(super) const TS: i64 = 7;

pub(super) struct Venue {
    pub(super) exchange: SimExchange,
    pub(super) seq: u64,
}

impl Venue {
    /// Bids 99 × 10 and 98 × 20, asks 101 × 10 and 102 × 20.
    pub(super) fn new(fill: impl FillModel + 'static) -> Self {
        Self::with(fill, Rules::default())
    }

    pub(super) fn with(fill: impl FillModel + 'static, rules: Rules) -> Self {
        Self::of(Box::new(RiskAverseQueue), fill, rules)
    }

    pub(super) fn of(
        queue: Box<dyn QueueModel>,
        fill: impl FillModel + 'static,
        rules: Rules,
    ) -> Self {
        let exchange = SimExchange::new(queue, Box::new(fill), rules, 0);
        let mut venue = Self { exchange, seq: 0 };
        let levels = [
            (Side::Bid, 99, 10),
            (Side::Bid, 98, 20),
            (Side::Ask, 101, 10),
            (Side::Ask, 102, 20),
        ];
        assert_eq!(venue.message(EventKind::Snapshot, &levels), [""; 0]);
        venue
    }

    pub(super) fn message(&mut self, kind: EventKind, levels: &[(Side, i64, i64)]) -> Vec<String> {
        self.seq += 1;
        let rows: Vec<Event> = levels
            .iter()
            .map(|&(side, px, qty)| row(kind, side, px, qty, self.seq))
            .collect();
        let mut out = Vec::new();
        self.exchange.on_depth(&rows, TS, &mut out);
        told(&out)
    }

    pub(super) fn depth(&mut self, levels: &[(Side, i64, i64)]) -> Vec<String> {
        self.message(EventKind::Delta, levels)
    }

    pub(super) fn trade(&mut self, aggressor: Side, px: i64, qty: i64) -> Vec<String> {
        let mut out = Vec::new();
        let trade = row(EventKind::Trade, aggressor, px, qty, 5);
        self.exchange.on_trade(&trade, TS, &mut out);
        told(&out)
    }

    pub(super) fn send(&mut self, id: u64, command: Command) -> Vec<String> {
        let mut out = Vec::new();
        self.exchange.on_command(id, command, TS, &mut out);
        told(&out)
    }

    pub(super) fn new_order(&mut self, id: u64, order: NewOrder) -> Vec<String> {
        self.send(id, Command::New(order))
    }

    pub(super) fn modify(&mut self, id: u64, change: Change) -> Vec<String> {
        self.send(id, Command::Modify(change))
    }
}

/// `1 filled 5@101 taker`, with `…` where the order is not complete.
pub(super) fn told(reports: &[Report]) -> Vec<String> {
    let why = |code: Option<RejectCode>| code.map_or("", RejectCode::name);
    let text = |answer| match answer {
        Answer::Accepted { px_ticks, qty_lots } => format!("rests {qty_lots}@{px_ticks}"),
        Answer::Waiting {
            trigger_px_ticks: px,
            qty_lots,
            ..
        } => format!("waits {qty_lots}@{px}"),
        Answer::Triggered => "triggered".to_owned(),
        Answer::Filled {
            px_ticks,
            qty_lots,
            maker,
            complete,
            ..
        } => {
            let liquidity = if maker { "maker" } else { "taker" };
            let more = if complete { "" } else { "…" };
            format!("filled {qty_lots}@{px_ticks} {liquidity}{more}")
        }
        Answer::Canceled(code) => format!("canceled {}", why(code)),
        Answer::Expired(code) => format!("expired {}", why(code)),
        Answer::Rejected(code) => format!("rejected {}", code.name()),
        Answer::RequestRejected(code) => format!("refused {}", code.name()),
    };
    reports
        .iter()
        .map(|report| {
            format!("{} {}", report.order, text(report.answer))
                .trim()
                .to_owned()
        })
        .collect()
}

pub(super) fn limit(side: Side, px: i64, qty: i64) -> NewOrder {
    NewOrder::limit(0, side, px, qty)
}

pub(super) fn market(side: Side, qty: i64) -> NewOrder {
    NewOrder::market(0, side, qty)
}

pub(super) fn when(kind: TriggerKind, px_ticks: i64, order: NewOrder) -> NewOrder {
    let by = TriggerBy::Last;
    let trigger = Some(Trigger { kind, by, px_ticks });
    NewOrder { trigger, ..order }
}

pub(super) fn tif(tif: TimeInForce, order: NewOrder) -> NewOrder {
    NewOrder { tif, ..order }
}

pub(super) fn reducing(order: NewOrder) -> NewOrder {
    NewOrder {
        reduce_only: true,
        ..order
    }
}

pub(super) fn in_list(list: u64, role: Role, of: u8, order: NewOrder) -> NewOrder {
    let link = Some(Link { list, role, of });
    NewOrder { link, ..order }
}
