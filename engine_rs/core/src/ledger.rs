//! The books of an account: a wallet of each currency, and a position of each instrument.
//!
//! A run keeps two of them, which take in the same entries: the venue's own, at the time at which
//! something happens there, and the strategy's, when it learns of it. The invariants of
//! [`crate::portfolio`] are tested after every entry.
//!
//! A position whose mark is not known yet counts as worth what it was opened for.

use crate::error::{Error, Result};
use crate::instrument::{ContractKind, Instrument};
use crate::margin::{Demand, Held, LEVERAGE_MAX, Mode, Room, Solvency, Terms};
use crate::money::{MONEY_PLACES, Money, Px};
use crate::portfolio::{Account, FillEffect, Wallet};

/// What the ledger must be shown to say what is free.
pub trait Quotes {
    /// The mark price of an instrument.
    fn mark(&self, instrument: usize) -> Option<Px>;
    /// What is open of an instrument.
    fn demand(&self, instrument: usize) -> Demand;
}

/// One instrument in the books.
#[derive(Clone, Debug)]
struct Entry {
    id: String,
    /// Index of the wallet that it settles in.
    currency: usize,
    /// The asset that a spot trade delivers.
    base: Option<String>,
    terms: Terms,
    account: Account,
}

/// A funding or a liquidation, as the account of one instrument feels it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charge {
    /// Received for funding, below 0 where it was paid.
    pub funding: Money,
    /// Fee of a liquidation.
    pub liquidation_fee: Money,
    /// Loss that the venue's insurance covered.
    pub insurance: Money,
}

/// Wallets and positions.
#[derive(Clone, Debug)]
pub struct Ledger {
    mode: Mode,
    wallets: Vec<Wallet>,
    entries: Vec<Entry>,
}

impl Ledger {
    /// The books of instruments, each with its leverage, without a position.
    ///
    /// # Errors
    /// A leverage out of range, and derivatives without a margin table where margin is asked for.
    pub fn new<'a>(
        mode: Mode,
        instruments: impl Iterator<Item = (&'a Instrument, u32)>,
        cash: Vec<(String, Money)>,
    ) -> Result<Self> {
        let mut wallets: Vec<Wallet> = cash
            .into_iter()
            .map(|(name, cash)| Wallet::new(name, cash))
            .collect();
        let mut entries = Vec::new();
        for (instrument, leverage) in instruments {
            let is_spot = instrument.kind == ContractKind::Spot;
            let place = || format!("leverage of {}", instrument.id);
            if !(1..=LEVERAGE_MAX).contains(&leverage) {
                let expected = format!("1 to {LEVERAGE_MAX}");
                return Err(Error::invalid(place(), expected, leverage));
            }
            if mode != Mode::None && !is_spot && instrument.brackets.is_empty() {
                let place = format!("margin of {}", instrument.id);
                let expected = "brackets in its definition (docs/derivatives.md)";
                return Err(Error::invalid(place, expected, "none"));
            }
            let settles = instrument.settlement();
            let known = wallets.iter().position(|wallet| wallet.currency == settles);
            let currency = known.unwrap_or_else(|| {
                wallets.push(Wallet::new(settles.to_owned(), Money::ZERO));
                wallets.len() - 1
            });
            entries.push(Entry {
                id: instrument.id.clone(),
                currency,
                base: is_spot.then(|| instrument.base.clone()),
                terms: Terms::new(instrument, mode, leverage)?,
                account: Account::new(instrument)?,
            });
        }
        Ok(Self {
            mode,
            wallets,
            entries,
        })
    }

    /// How positions are backed.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The wallets, in the order in which their currencies were named.
    pub fn wallets(&self) -> &[Wallet] {
        &self.wallets
    }

    /// Index of the wallet that an instrument settles in.
    pub fn currency(&self, instrument: usize) -> usize {
        self.entries[instrument].currency
    }

    /// Position and money of an instrument.
    pub fn account(&self, instrument: usize) -> &Account {
        &self.entries[instrument].account
    }

    /// What an instrument takes.
    pub fn terms(&self, instrument: usize) -> &Terms {
        &self.entries[instrument].terms
    }

    /// Takes over a position that was opened before, at its entry price.
    ///
    /// # Errors
    /// A value that does not fit, and spot instruments, whose holdings are balances.
    pub fn open(&mut self, instrument: usize, qty_lots: i64, entry: Px) -> Result<()> {
        let opened = &mut self.entries[instrument];
        let place = format!("position of {}", opened.id);
        if opened.terms.is_spot() {
            let expected = "a derivative; what is held of an asset is a balance";
            return Err(Error::invalid(place, expected, "a spot instrument"));
        }
        if entry.0 <= 0 || opened.account.open(qty_lots, entry).is_none() {
            let expected = "an entry price above 0 and a value of at most 1e16";
            let found = format!("{qty_lots} lots at {entry}");
            return Err(Error::invalid(place, expected, found));
        }
        opened.terms.set_aside(&mut opened.account, 0, Money::ZERO);
        Ok(())
    }

    /// Books a fill of `qty_lots` (below 0 sells) and its fee.
    ///
    /// # Errors
    /// A value that does not fit, and books that do not add up.
    pub fn apply_fill(
        &mut self,
        instrument: usize,
        px_ticks: i64,
        qty_lots: i64,
        fee: Money,
    ) -> Result<FillEffect> {
        let entry = &mut self.entries[instrument];
        let before = *entry.account.position();
        let effect = entry
            .account
            .apply_fill(px_ticks, qty_lots, fee)
            .ok_or_else(|| {
                let expected = "a value of at most 1e16 of its currency";
                let found = format!("{qty_lots} lots at {px_ticks} ticks of {}", entry.id);
                Error::invalid("fill", expected, found)
            })?;
        self.wallets[entry.currency].balance += effect.realized - fee;
        entry
            .terms
            .set_aside(&mut entry.account, before.qty_lots, before.entry_value);
        self.check(instrument)?;
        Ok(effect)
    }

    /// Books what is no fill. Funding is paid out of isolated margin.
    ///
    /// # Errors
    /// Books that do not add up.
    pub fn apply_charge(&mut self, instrument: usize, charge: &Charge) -> Result<()> {
        let is_isolated = self.mode == Mode::Isolated;
        let entry = &mut self.entries[instrument];
        let position = entry.account.position_mut();
        position.funding += charge.funding;
        position.liquidation_fees += charge.liquidation_fee;
        position.insurance += charge.insurance;
        if is_isolated && position.qty_lots != 0 {
            position.margin += charge.funding;
        }
        self.wallets[entry.currency].balance +=
            charge.funding - charge.liquidation_fee + charge.insurance;
        self.check(instrument)
    }

    fn check(&self, instrument: usize) -> Result<()> {
        let Entry {
            id,
            account,
            currency,
            ..
        } = &self.entries[instrument];
        account.check(id)?;
        let settled = self.entries.iter().filter(|e| e.currency == *currency);
        self.wallets[*currency].check(settled.map(|e| e.account.position()))
    }

    /// What there is for the position and the orders of an instrument.
    pub fn room(&self, instrument: usize, quotes: &impl Quotes) -> Room {
        let entry = &self.entries[instrument];
        let currency = &self.wallets[entry.currency].currency;
        let lots_of = |free: Money| lots(&entry.terms, free);
        let base = entry.base.as_ref();
        Room {
            available: self.free(currency, instrument, quotes),
            base_lots: base.map_or(0, |base| lots_of(self.free(base, instrument, quotes))),
            mark: quotes.mark(instrument),
            account: entry.account.clone(),
        }
    }

    /// What there is of an asset less what all instruments but one tie up of it; of that one, spot
    /// trades count as money and not as the asset.
    fn free(&self, asset: &str, except: usize, quotes: &impl Quotes) -> Money {
        let wallet = self.wallets.iter().find(|wallet| wallet.currency == asset);
        let mut free = wallet.map_or(Money::ZERO, |wallet| wallet.balance);
        for (index, entry) in self.entries.iter().enumerate() {
            let is_other = index != except;
            let position = entry.account.position();
            let settles = self.wallets[entry.currency].currency == asset;
            if settles && entry.terms.is_spot() {
                free -= position.entry_value;
            } else if settles && self.mode == Mode::Cross {
                free += self.unrealized(index, quotes);
            }
            if settles && is_other {
                free -= self.tied(index, quotes);
            }
            if is_other && entry.base.as_deref() == Some(asset) {
                let asks = quotes.demand(index).ask_lots;
                free += base_units(&entry.terms, position.qty_lots.saturating_sub(asks));
            }
        }
        free
    }

    /// What position and orders of an instrument tie up of its currency.
    fn tied(&self, instrument: usize, quotes: &impl Quotes) -> Money {
        let Entry { terms, account, .. } = &self.entries[instrument];
        terms.tied(account, quotes.mark(instrument), &quotes.demand(instrument))
    }

    fn unrealized(&self, instrument: usize, quotes: &impl Quotes) -> Money {
        let held = self.held(instrument);
        held.value(quotes.mark(instrument)) - held.entry_value
    }

    /// What backs the position of an instrument, its own profit left out.
    pub fn backing(&self, instrument: usize, quotes: &impl Quotes) -> Money {
        self.solvency(instrument, quotes).balance - self.unrealized(instrument, quotes)
    }

    /// What stands against the maintenance margin of an instrument's position, and under cross
    /// margin of all others in its currency.
    pub fn solvency(&self, instrument: usize, quotes: &impl Quotes) -> Solvency {
        if self.mode == Mode::Isolated {
            let margin = self.account(instrument).position().margin;
            return Solvency::of_wallet(margin)
                .with(&self.held(instrument), quotes.mark(instrument));
        }
        let currency = self.currency(instrument);
        let wallet = &self.wallets[currency];
        let mut solvency = Solvency::of_wallet(wallet.balance);
        for (index, entry) in self.entries.iter().enumerate() {
            let settles = entry.currency == currency;
            if settles && entry.terms.is_spot() {
                solvency.balance -= entry.account.position().entry_value;
            } else if settles {
                solvency = solvency.with(&self.held(index), quotes.mark(index));
            } else if entry.base.as_deref() == Some(&wallet.currency) {
                let traded = entry.account.position().qty_lots;
                solvency.balance += base_units(&entry.terms, traded);
            }
        }
        solvency
    }

    /// The mark price at which an instrument's position is liquidated, the marks of all others
    /// staying where they are; `None` where no price does that.
    pub fn liquidation_px(&self, instrument: usize, quotes: &impl Quotes) -> Option<Money> {
        if self.mode == Mode::None {
            return None;
        }
        let others =
            self.solvency(instrument, quotes).maintenance - self.maintenance(instrument, quotes);
        let wallet = self.backing(instrument, quotes) - others;
        self.held(instrument).liquidation_px(wallet)
    }

    /// Maintenance margin of an instrument's position at its mark.
    pub fn maintenance(&self, instrument: usize, quotes: &impl Quotes) -> Money {
        let held = self.held(instrument);
        held.brackets
            .maintenance(held.value(quotes.mark(instrument)).abs())
    }

    /// A derivative that settles in the asset which a spot market trades.
    pub fn backed_by(&self, spot: usize) -> Option<usize> {
        let base = self.entries[spot].base.as_ref()?;
        let settles = |entry: &Entry| self.wallets[entry.currency].currency == *base;
        let derivative = |entry: &Entry| !entry.terms.is_spot() && settles(entry);
        self.entries.iter().position(derivative)
    }

    /// Whether an instrument has a position that settles in the same currency as another's.
    pub fn is_backed_with(&self, instrument: usize, other: usize) -> bool {
        let Entry { terms, account, .. } = &self.entries[instrument];
        let is_held = !terms.is_spot() && account.position().qty_lots != 0;
        is_held && self.currency(instrument) == self.currency(other)
    }

    /// The position of an instrument as the margin rules see it.
    pub fn held(&self, instrument: usize) -> Held<'_> {
        let Entry { terms, account, .. } = &self.entries[instrument];
        Held {
            valuer: terms.valuer(),
            brackets: terms.brackets(),
            qty_lots: account.position().qty_lots,
            entry_value: account.position().entry_value,
        }
    }

    /// Tests that two ledgers say the same.
    ///
    /// # Errors
    /// The first wallet or position that differs.
    pub fn agree(&self, other: &Self) -> Result<()> {
        let differ = |place: &str, expected: String, found: String| Error::Inconsistent {
            place: place.to_owned(),
            expected,
            found,
        };
        for (ours, theirs) in self.wallets.iter().zip(&other.wallets) {
            if ours != theirs {
                let (expected, found) = (theirs.balance.to_string(), ours.balance.to_string());
                let expected = format!("the venue's balance of {expected}");
                return Err(differ(&ours.currency, expected, found));
            }
        }
        for (ours, theirs) in self.entries.iter().zip(&other.entries) {
            if ours.account.position() != theirs.account.position() {
                let expected = format!("the venue's {:?}", theirs.account.position());
                let found = format!("{:?}", ours.account.position());
                return Err(differ(&ours.id, expected, found));
            }
        }
        Ok(())
    }
}

/// Lots of a spot instrument in units of 1e-12 of the base asset; saturated.
fn base_units(terms: &Terms, lots: i64) -> Money {
    let (size, places) = terms.valuer().lot_size();
    let units = i128::from(lots).saturating_mul(size);
    let scaled = if places > MONEY_PLACES {
        units / 10i128.pow(places - MONEY_PLACES)
    } else {
        units.saturating_mul(10i128.pow(MONEY_PLACES - places))
    };
    Money(scaled.clamp(-Money::MAX.0, Money::MAX.0))
}

/// Whole lots of a spot instrument in an amount of its base asset.
fn lots(terms: &Terms, amount: Money) -> i64 {
    let one = base_units(terms, 1).0.max(1);
    i64::try_from(amount.0.div_euclid(one)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::margin::{Bracket, Brackets};
    use crate::money::Rate;
    use crate::money::tests::instrument;

    struct At(i64);

    impl Quotes for At {
        fn mark(&self, _: usize) -> Option<Px> {
            Some(Px(self.0))
        }

        fn demand(&self, _: usize) -> Demand {
            Demand::default()
        }
    }

    fn usd(text: &str) -> Money {
        Money::parse(text).unwrap()
    }

    fn ledger(mode: Mode, kind: ContractKind) -> Ledger {
        let mut traded = instrument(kind, "0.1", "0.001", "1");
        traded.brackets = Brackets::new(vec![Bracket {
            floor: Money::ZERO,
            cap: usd("1000000"),
            rate: Rate::parse("0.01").unwrap(),
            amount: Money::ZERO,
            leverage_max: 50,
        }])
        .unwrap();
        let cash = vec![("USD".to_owned(), usd("100"))];
        Ledger::new(mode, [(&traded, 10)].into_iter(), cash).unwrap()
    }

    #[test]
    fn two_ledgers_that_differ_are_told() {
        let ours = ledger(Mode::None, ContractKind::Linear);
        let mut theirs = ours.clone();
        ours.agree(&theirs).unwrap();
        theirs.apply_fill(0, 1_000, 5, usd("1")).unwrap();
        let error = ours.agree(&theirs).unwrap_err().to_string();
        assert!(error.contains("USD") && error.contains("99"), "{error}");
        theirs.wallets[0].balance = usd("100");
        let error = ours.agree(&theirs).unwrap_err().to_string();
        assert!(error.contains("qty_lots: 5"), "{error}");
    }

    #[test]
    fn every_entry_is_held_against_the_balance() {
        let mut books = ledger(Mode::None, ContractKind::Linear);
        let charge = Charge {
            funding: usd("-2"),
            liquidation_fee: usd("3"),
            insurance: usd("1"),
        };
        books.apply_charge(0, &charge).unwrap();
        assert_eq!(books.wallets()[0].balance, usd("96"));
        books.wallets[0].balance = usd("97");
        let error = books.apply_charge(0, &charge).unwrap_err().to_string();
        assert!(error.contains("do not add up"), "{error}");
    }

    #[test]
    fn isolated_margin_follows_the_position() {
        let mut books = ledger(Mode::Isolated, ContractKind::Linear);
        let margin = |books: &Ledger| books.account(0).position().margin;
        books.apply_fill(0, 1_000, 300, Money::ZERO).unwrap(); // 0.3 at 100 by 10
        assert_eq!(margin(&books), usd("3"));
        books.apply_fill(0, 2_000, 100, Money::ZERO).unwrap(); // 0.1 at 200
        assert_eq!(margin(&books), usd("5"));
        books.apply_fill(0, 1_000, -200, Money::ZERO).unwrap();
        assert_eq!(margin(&books), usd("2.5"));
        books.apply_fill(0, 1_500, -400, Money::ZERO).unwrap(); // turns: 0.2 at 150
        assert_eq!(margin(&books), usd("3"));
        books.apply_fill(0, 1_500, 200, Money::ZERO).unwrap();
        assert_eq!(margin(&books), Money::ZERO);
    }

    #[test]
    fn a_spot_balance_is_what_was_not_spent() {
        let mut books = ledger(Mode::Cross, ContractKind::Spot);
        books.apply_fill(0, 1_000, 400, Money::ZERO).unwrap(); // 0.4 at 100
        let room = books.room(0, &At(20_000_000_000));
        assert_eq!(room.available, usd("60"));
        assert_eq!(room.base_lots, 0, "what was bought is the position's");
        books.apply_fill(0, 2_000, -400, Money::ZERO).unwrap();
        assert_eq!(books.room(0, &At(0)).available, usd("140"));
    }
}
