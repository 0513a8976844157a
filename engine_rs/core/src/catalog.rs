//! The catalog's rows: columns as Parquet holds them to event rows, and the rules that a stream of
//! them must obey. Files are read and written in Python.

use crate::error::{Error, Result};
use crate::event::{Event, EventKind, SEQ_NONE};

/// The columns of one row group, all of one length.
#[derive(Clone, Copy, Debug)]
#[allow(
    missing_docs,
    reason = "named as the fields of Event, which tells them"
)]
pub struct Columns<'a> {
    pub ts_event_ns: &'a [i64],
    pub ts_recv_ns: &'a [i64],
    pub px_ticks: &'a [i64],
    pub qty_lots: &'a [i64],
    pub seq: &'a [u64],
    pub prev_seq: &'a [u64],
    pub kind: &'a [u8],
    pub side: &'a [u8],
    pub flags: &'a [u16],
}

impl Columns<'_> {
    /// The rows, with `instrument` as their index.
    pub fn rows(&self, instrument: u16) -> Result<Vec<Event>> {
        let len = self.ts_event_ns.len();
        for (name, found) in [
            ("ts_recv_ns", self.ts_recv_ns.len()),
            ("px_ticks", self.px_ticks.len()),
            ("qty_lots", self.qty_lots.len()),
            ("seq", self.seq.len()),
            ("prev_seq", self.prev_seq.len()),
            ("kind", self.kind.len()),
            ("side", self.side.len()),
            ("flags", self.flags.len()),
        ] {
            if found != len {
                return Err(Error::invalid(name, format!("{len} values"), found));
            }
        }
        Ok((0..len)
            .map(|at| Event {
                ts_event_ns: self.ts_event_ns[at],
                ts_recv_ns: self.ts_recv_ns[at],
                px_ticks: self.px_ticks[at],
                qty_lots: self.qty_lots[at],
                seq: self.seq[at],
                prev_seq: self.prev_seq[at],
                instrument,
                kind: self.kind[at],
                side: self.side[at],
                flags: self.flags[at],
                reserved: 0,
            })
            .collect())
    }
}

/// Follows one stream and refuses rows that a reader could not rely on: another kind, a receive
/// time that goes back, a message without its first or last row.
#[derive(Clone, Debug)]
pub struct StreamCheck {
    kinds: &'static [EventKind],
    ts_recv_ns: i64,
    inside: bool,
    /// Messages so far.
    pub messages: u64,
    /// Breaks of the sequence so far: of update ids in `depth`, of trade ids nowhere.
    pub gaps: u64,
    /// Id of the last message; [`SEQ_NONE`] before the first.
    pub seq: u64,
    /// Receive times of the snapshots.
    pub snapshots_ns: Vec<i64>,
}

impl StreamCheck {
    /// A check of a stream of the data kind `depth`, `trades`, `offbook` or `quotes`.
    pub fn new(data_kind: &str) -> Result<Self> {
        let kinds: &[EventKind] = match data_kind {
            "depth" => &[EventKind::Delta, EventKind::Snapshot],
            "trades" => &[EventKind::Trade],
            "offbook" => &[EventKind::OffBookTrade],
            "quotes" => &[EventKind::Quote],
            _ => {
                return Err(Error::invalid(
                    "kind",
                    "depth, trades, offbook or quotes",
                    format!("{data_kind:?}"),
                ));
            }
        };
        Ok(Self {
            kinds,
            ts_recv_ns: i64::MIN,
            inside: false,
            messages: 0,
            gaps: 0,
            seq: SEQ_NONE,
            snapshots_ns: Vec::new(),
        })
    }

    /// Forgets the last id, so that what follows is counted as a file of its own; times are still
    /// compared with those before.
    pub fn start_part(&mut self) {
        self.messages = 0;
        self.gaps = 0;
        self.seq = SEQ_NONE;
        self.snapshots_ns.clear();
    }

    /// Takes the next rows, which end with the end of a message.
    pub fn push(&mut self, rows: &[Event]) -> Result<()> {
        for (at, row) in rows.iter().enumerate() {
            self.row(row).map_err(|(name, expected, found)| {
                Error::invalid("events", format!("{name} {expected} in row {at}"), found)
            })?;
        }
        if self.inside {
            return Err(Error::invalid(
                "events",
                "whole messages",
                "rows that end inside one",
            ));
        }
        Ok(())
    }

    fn row(&mut self, row: &Event) -> Result<(), (&'static str, String, String)> {
        let kind = self.kinds.iter().find(|&&kind| kind as u8 == row.kind);
        let Some(&kind) = kind else {
            return Err(("kind", format!("of {:?}", self.kinds), row.kind.to_string()));
        };
        if row.ts_recv_ns < self.ts_recv_ns {
            let least = format!("at least {}", self.ts_recv_ns);
            return Err(("ts_recv_ns", least, row.ts_recv_ns.to_string()));
        }
        if row.is_first() == self.inside {
            let expected = if self.inside { "without" } else { "with" };
            let found = format!("flags {}", row.flags);
            return Err(("flags", format!("{expected} FIRST"), found));
        }
        self.ts_recv_ns = row.ts_recv_ns;
        self.inside = !row.is_last();
        if row.is_first() {
            self.message(row, kind);
        }
        Ok(())
    }

    fn message(&mut self, head: &Event, kind: EventKind) {
        self.messages += 1;
        if kind == EventKind::Snapshot {
            self.snapshots_ns.push(head.ts_recv_ns);
        }
        let chained = kind == EventKind::Delta && head.prev_seq != SEQ_NONE;
        if chained && self.seq != SEQ_NONE && head.prev_seq > self.seq {
            self.gaps += 1;
        }
        self.seq = head.seq;
    }
}
