//! What a kernel holds, as one hash: to see that a rebuilt state is the one that there was.

use std::fmt::{self, Write};

use sha2::{Digest, Sha256};

use super::Kernel;
use crate::journal::hex;

/// A text that is hashed instead of kept.
struct Hashed(Sha256);

impl Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

impl Kernel {
    /// The SHA-256, as 64 hexadecimal digits, of everything that what happens next depends on: books,
    /// exchanges with their orders and models, both ledgers, orders, limits, timers, what is on its
    /// way, and the market state that was asked for. What of the latter is worked out only when it is
    /// looked at is worked out first. It holds for one version of the engine.
    pub fn state_sha256(&mut self) -> String {
        for index in 0..self.cobs.len() {
            self.cob(index);
        }
        for market in 0..self.markets.len() {
            for index in 0..self.markets[market].flows.len() {
                self.flow(market, index);
            }
            self.ticks(market);
        }
        let mut hashed = Hashed(Sha256::new());
        let account = (&self.ledger, &self.venue, &self.fees, &self.unclosed);
        let orders = (&self.orders, self.orders_created, &self.client_ids);
        let limits = (&self.risk, &self.desk);
        let under_way = (&self.timers, &self.steps, &self.trades_due, &self.markouts);
        let clock = (
            self.phase,
            self.now_ns,
            self.event_ns,
            self.seq,
            self.counts,
        );
        write!(
            hashed,
            "{:?}",
            (
                &self.markets,
                &self.cobs,
                account,
                orders,
                limits,
                under_way,
                clock
            )
        )
        .expect("a hash takes everything");
        hex(&hashed.0.finalize())
    }
}
