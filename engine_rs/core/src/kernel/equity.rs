//! What the account is worth as the strategy knows it, its samples, and the end of a run.

use super::records::EquityRow;
use super::{Entry, Kernel, Market, Phase};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::money::Money;
use crate::order::Order;
use crate::portfolio::{Account, Wallet};

impl Kernel {
    /// Name and equity of each currency; `None` where a position in it cannot be valued yet.
    pub fn equity(&self) -> Vec<(String, Option<Money>)> {
        // Unrealized profit on top of the wallets.
        let wallets = self.ledger.wallets();
        let mut totals: Vec<Option<Money>> =
            wallets.iter().map(|wallet| Some(wallet.balance)).collect();
        for (index, market) in self.markets.iter().enumerate() {
            let total = &mut totals[self.ledger.currency(index)];
            let profit = unrealized(market, self.ledger.account(index));
            *total = total.and_then(|sum| Some(sum + profit?));
        }
        let names = wallets.iter().map(|wallet| wallet.currency.clone());
        names.zip(totals).collect()
    }

    /// The balances by currency.
    pub fn wallets(&self) -> &[Wallet] {
        self.ledger.wallets()
    }

    /// Wallets and positions as the strategy knows them.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Name of a currency by its index.
    pub fn currency(&self, index: usize) -> &str {
        &self.ledger.wallets()[index].currency
    }

    pub(super) fn sample_equity(&mut self, ts_ns: i64) {
        let equity: Vec<Option<Money>> = self.equity().into_iter().map(|(_, sum)| sum).collect();
        for (index, market) in (0u16..).zip(&self.markets) {
            let account = self.ledger.account(usize::from(index));
            let position = account.position();
            let mid_px_x2 = market.known_mid_px_x2();
            let row = EquityRow {
                ts_ns,
                instrument: index,
                mid_px_x2,
                mark: market.mark.filter(|_| mid_px_x2.is_none()),
                position_lots: position.qty_lots,
                realized: position.realized,
                unrealized: unrealized(market, account),
                fees: position.fees,
                funding: position.funding,
                liquidation_fees: position.liquidation_fees,
                insurance: position.insurance,
                equity: equity[self.ledger.currency(usize::from(index))],
            };
            self.log.write(self.seq, ts_ns, &Entry::Equity(row));
            self.records.equity.push(row);
        }
    }

    pub(super) fn end(&mut self) -> Result<()> {
        let began = self.phase == Phase::Running;
        self.phase = Phase::Ended;
        if !began {
            self.counts = super::Counts::default();
            self.steps.clear();
            return Ok(());
        }
        // Where nothing is under way, the strategy knows what the venue does.
        if self.markets.iter().all(|market| market.to_local.is_empty()) {
            self.ledger.agree(&self.venue)?;
        }
        self.sample_equity(self.now_ns);
        self.look(self.now_ns + 1);
        let before = self.records.fills.len();
        self.markouts.finish(&mut self.records.fills);
        self.write_markouts(before);
        let open: Vec<Order> = std::mem::take(&mut self.orders).into_values().collect();
        for order in &open {
            self.write(&Entry::Order(*order));
        }
        self.records.orders.extend(open);
        Ok(())
    }
}

/// Profit of a position at the mid last known, or at the venue's mark where there never was one.
pub(super) fn unrealized(market: &Market, account: &Account) -> Option<Money> {
    match (market.known_mid_px_x2(), market.mark) {
        (None, Some(mark)) => account.unrealized_at(mark),
        (mid, _) => account.unrealized(mid),
    }
}
