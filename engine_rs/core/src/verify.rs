//! Proof of a book: rebuilt from depth messages, compared with the venue's own best bid and ask
//! wherever both carry the same update id.
//!
//! Depth and quotes arrive in any order relative to each other; within each, ids ascend. Whichever
//! is ahead waits, so memory holds what one stream is ahead of the other, by id: callers feed both
//! side by side and read on in the one that is behind.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::book::{Book, BookCounts, Outcome};
use crate::event::{Event, SEQ_NONE, Side};

/// Mismatches that are kept in full.
pub const MISMATCHES_MAX: usize = 10;

/// Best bid and best ask, each as (price in ticks, size in lots).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// Best bid.
    pub bid: Option<(i64, i64)>,
    /// Best ask.
    pub ask: Option<(i64, i64)>,
}

/// A quote that differs from the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The update id of both.
    pub seq: u64,
    /// What the venue said.
    pub quote: Top,
    /// What the book said.
    pub book: Top,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Depth messages read.
    pub messages: u64,
    /// Quotes read.
    pub quotes: u64,
    /// Quotes with the update id of a depth message that a trusted book had applied.
    pub aligned: u64,
    /// Those of them that equal the book in both prices and both sizes.
    pub equal: u64,
    /// The first that do not.
    pub mismatches: Vec<Mismatch>,
    /// What happened to the book.
    pub book: BookCounts,
}

/// A comparison in progress.
#[derive(Debug, Default)]
pub struct Verifier {
    book: Book,
    tops: VecDeque<(u64, Top)>,
    quotes: VecDeque<(u64, Top)>,
    verdict: Verdict,
}

impl Verifier {
    /// A comparison that has read nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes depth rows: whole messages, in the order of the stream.
    pub fn depth(&mut self, rows: &[Event]) {
        for message in messages(rows) {
            self.verdict.messages += 1;
            let outcome = self.book.apply_message(message);
            let applied = matches!(
                outcome,
                Outcome::Applied | Outcome::Recovered | Outcome::Suspected
            );
            if applied && self.book.is_trusted() && self.book.seq() != SEQ_NONE {
                let top = Top {
                    bid: self.book.best_bid(),
                    ask: self.book.best_ask(),
                };
                self.tops.push_back((self.book.seq(), top));
            }
        }
        self.compare();
    }

    /// Takes quote rows: whole messages, in the order of the stream.
    pub fn quotes(&mut self, rows: &[Event]) {
        for message in messages(rows) {
            self.verdict.quotes += 1;
            let side = |side: Side| {
                let row = message.iter().find(|row| row.side == side as u8);
                row.map(|row| (row.px_ticks, row.qty_lots))
            };
            let top = Top {
                bid: side(Side::Bid),
                ask: side(Side::Ask),
            };
            self.quotes.push_back((message[0].seq, top));
        }
        self.compare();
    }

    /// Drops whatever can have no partner any more and compares those that met.
    fn compare(&mut self) {
        while let (Some(&(book_seq, book)), Some(&(seq, quote))) =
            (self.tops.front(), self.quotes.front())
        {
            match seq.cmp(&book_seq) {
                Ordering::Less => drop(self.quotes.pop_front()),
                Ordering::Greater => drop(self.tops.pop_front()),
                Ordering::Equal => {
                    self.quotes.pop_front();
                    self.judge(seq, quote, book);
                }
            }
        }
    }

    fn judge(&mut self, seq: u64, quote: Top, book: Top) {
        self.verdict.aligned += 1;
        if quote == book {
            self.verdict.equal += 1;
        } else if self.verdict.mismatches.len() < MISMATCHES_MAX {
            self.verdict.mismatches.push(Mismatch { seq, quote, book });
        }
    }

    /// Whether depth is what the comparison waits for (else quotes).
    pub fn wants_depth(&self) -> bool {
        self.tops.is_empty()
    }

    /// What was found so far.
    pub fn verdict(&self) -> Verdict {
        Verdict {
            book: self.book.counts(),
            ..self.verdict.clone()
        }
    }
}

/// The venue messages of a run of rows.
pub fn messages(rows: &[Event]) -> impl Iterator<Item = &[Event]> {
    rows.chunk_by(|row, _| !row.is_last())
}
