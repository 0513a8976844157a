//! The resting size of one book in price buckets, kept in step level by level.
//!
//! Invariants: sums are exact integers, so that a bucket whose levels are all gone holds exactly 0,
//! however long the run. A linear or spot level counts its lots. A level of an inverse contract
//! counts the base units it stands for, contracts × contract size ÷ price, rounded once to a
//! multiple of 2^-64; the rounding is a function of the level alone, so that what was added is what
//! is taken away.
//!
//! Only a zone of [`ZONE`] buckets is kept, a few times the window: a level outside of it costs two
//! comparisons. When the window leaves the zone, the zone is laid around it and filled from the
//! book.

use crate::book::Book;
use crate::decimal::{PLACES_MAX, Step};
use crate::error::{Error, Result};
use crate::event::Side;
use crate::instrument::{ContractKind, Instrument};

/// Buckets of the zone.
const ZONE: usize = 128;
const ZONE_BUCKETS: i64 = 128;
/// 2^64: units of a base asset in which levels of inverse contracts are counted.
const INVERSE_UNITS: f64 = 18_446_744_073_709_551_616.0;

/// Maps prices in ticks to buckets: `floor(px × num / den)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    num: i64,
    den: i64,
    /// 2^64 ÷ den, rounded up, where num is 1 and den has 32 bits; else 0.
    reciprocal: u64,
}

impl Grid {
    /// The grid of a tick and a bucket size, both in quote units.
    pub fn new(tick: Step, size: Step) -> Result<Self> {
        let (tick_mantissa, tick_places) = tick.parts();
        let (size_mantissa, size_places) = size.parts();
        let places = tick_places.max(size_places);
        let scaled = |mantissa: i64, from: u32| {
            10i64
                .checked_pow(places - from)
                .and_then(|power| mantissa.checked_mul(power))
        };
        let (Some(num), Some(den)) = (
            scaled(tick_mantissa, tick_places),
            scaled(size_mantissa, size_places),
        ) else {
            let expected = format!("a size that can be compared with the tick {tick}");
            return Err(Error::invalid("bucket", expected, size));
        };
        let common = gcd(num, den);
        let (num, den) = (num / common, den / common);
        let is_short = num == 1 && (2..1 << 32).contains(&den);
        Ok(Self {
            num,
            den,
            reciprocal: if is_short {
                u64::MAX / den.cast_unsigned() + 1
            } else {
                0
            },
        })
    }

    /// The bucket of a price.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "a quotient of 32 bits")]
    pub fn bucket(self, px_ticks: i64) -> i64 {
        if self.reciprocal != 0
            && let Ok(px) = u32::try_from(px_ticks)
        {
            // Exact for 32 bits, and many times quicker than a division.
            let product = u128::from(px) * u128::from(self.reciprocal);
            return i64::from((product >> 64) as u32);
        }
        self.bucket_of_any(px_ticks)
    }

    fn bucket_of_any(self, px_ticks: i64) -> i64 {
        let bucket = (i128::from(px_ticks) * i128::from(self.num)).div_euclid(i128::from(self.den));
        // Only a tick far above the bucket size leads out of 64 bits.
        i64::try_from(bucket).unwrap_or(if bucket < 0 { i64::MIN } else { i64::MAX })
    }
}

impl Grid {
    /// The lowest price whose bucket is `bucket` or above.
    fn px_from(self, bucket: i64) -> i64 {
        let product = i128::from(bucket) * i128::from(self.den);
        let px = -(-product).div_euclid(i128::from(self.num));
        i64::try_from(px).unwrap_or(if px < 0 { i64::MIN } else { i64::MAX })
    }
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// What levels of one instrument count for.
#[derive(Clone, Copy, Debug)]
pub struct Units {
    grid: Grid,
    /// Inverse contracts: 2^-64 base units of one lot at a price of one tick.
    inverse: Option<f64>,
    /// Base units, weighted, that a quantity of one is.
    qty_unit: f64,
    tick: Step,
    /// Base units that a quantity of one is, without the weight.
    base_unit: f64,
}

impl Units {
    /// The units of an instrument with a weight, in buckets of `size` quote units.
    pub fn new(instrument: &Instrument, size: Step, weight: f64) -> Result<Self> {
        let lot = instrument.contract_size.value(instrument.lot.to_f64());
        let tick = instrument.tick.to_f64();
        let inverse = instrument.kind == ContractKind::Inverse;
        let base_unit = if inverse { 1.0 / INVERSE_UNITS } else { lot };
        Ok(Self {
            grid: Grid::new(instrument.tick, size)?,
            inverse: inverse.then(|| lot / tick * INVERSE_UNITS),
            qty_unit: base_unit * weight,
            tick: instrument.tick,
            base_unit,
        })
    }

    /// The bucket of a price.
    #[inline]
    pub fn bucket(&self, px_ticks: i64) -> i64 {
        self.grid.bucket(px_ticks)
    }

    /// A price in quote units.
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    pub fn px(&self, px_ticks: i64) -> f64 {
        self.tick.value(px_ticks as f64)
    }

    /// How far a price in ticks lies above one of another instrument, in quote units. Prices differ
    /// by little beside their size, so that the difference of two floats would keep few digits.
    pub fn px_above(&self, px_ticks: i64, other: &Self, other_ticks: i64) -> f64 {
        let exact = |units: &Self, ticks: i64| {
            let (mantissa, places) = units.tick.parts();
            let step = 10i128.pow(PLACES_MAX - places) * i128::from(mantissa);
            step.checked_mul(i128::from(ticks))
        };
        let difference = exact(self, px_ticks)
            .zip(exact(other, other_ticks))
            .and_then(|(a, b)| a.checked_sub(b));
        match difference {
            Some(units) => to_f64(units) / 10f64.powi(PLACES_MAX.cast_signed()),
            None => self.px(px_ticks) - other.px(other_ticks),
        }
    }

    /// The size of a level in base units, without the weight.
    pub fn base_qty(&self, px_ticks: i64, lots: i64) -> f64 {
        to_f64(self.count(px_ticks, lots)) * self.base_unit
    }

    /// Weighted bid and ask quantity of a bucket in base units.
    #[inline]
    pub fn quantities(&self, cell: &Cell) -> (f64, f64) {
        (
            to_f64(cell.bid) * self.qty_unit,
            to_f64(cell.ask) * self.qty_unit,
        )
    }

    /// The size of a level as an exact integer.
    #[inline]
    #[allow(
        clippy::cast_precision_loss,
        reason = "rounded once, as the header says"
    )]
    #[allow(clippy::cast_possible_truncation, reason = "saturates")]
    fn count(&self, px_ticks: i64, lots: i64) -> i128 {
        match self.inverse {
            None => i128::from(lots),
            // At a price of 0 or less an inverse contract stands for no quantity.
            Some(_) if px_ticks <= 0 => 0,
            Some(unit) => (lots as f64 * unit / px_ticks as f64) as i128,
        }
    }
}

/// An exact sum as a float.
#[inline]
#[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
pub fn to_f64(sum: i128) -> f64 {
    match i64::try_from(sum) {
        Ok(short) => short as f64,
        Err(_) => wide_to_f64(sum),
    }
}

/// Kept apart, or the compiler takes this way, many times the slower, for every sum.
#[cold]
#[inline(never)]
#[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
fn wide_to_f64(sum: i128) -> f64 {
    sum as f64
}

/// What rests in one bucket, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    bid: i128,
    ask: i128,
}

/// The buckets of one book.
#[derive(Clone, Debug)]
pub struct Cells {
    units: Units,
    /// The first bucket of the zone.
    base: i64,
    /// Prices of the zone, lowest and highest; no price where there is no zone.
    px_range: (i64, i64),
    zone: Box<[Cell; ZONE]>,
}

impl Cells {
    /// Bytes of the zone.
    pub const BYTES: usize = ZONE * size_of::<Cell>();

    /// Buckets without a zone.
    pub fn new(units: Units) -> Self {
        Self {
            units,
            base: 0,
            px_range: (i64::MAX, i64::MIN),
            zone: Box::new([Cell::default(); ZONE]),
        }
    }

    /// What levels count for.
    #[inline]
    pub fn units(&self) -> &Units {
        &self.units
    }

    /// A level changed its size from `old` to `new` lots.
    #[inline]
    pub fn change(&mut self, side: Side, px_ticks: i64, old: i64, new: i64) {
        if px_ticks < self.px_range.0 || px_ticks > self.px_range.1 {
            return;
        }
        let change = if self.units.inverse.is_none() {
            // Neither is negative, so that the difference fits.
            i128::from(new - old)
        } else {
            self.units.count(px_ticks, new) - self.units.count(px_ticks, old)
        };
        let Some(cell) = usize::try_from(self.units.bucket(px_ticks).wrapping_sub(self.base))
            .ok()
            .and_then(|offset| self.zone.get_mut(offset))
        else {
            return;
        };
        let sum = if side as u8 == Side::Bid as u8 {
            &mut cell.bid
        } else {
            &mut cell.ask
        };
        // Sizes that no venue has may wrap; what is taken away later unwraps them.
        *sum = sum.wrapping_add(change);
    }

    /// Takes every level away.
    pub fn clear(&mut self) {
        self.zone.fill(Cell::default());
    }

    /// Gives the zone up: the book was changed unseen.
    pub fn forget(&mut self) {
        self.px_range = (i64::MAX, i64::MIN);
    }

    /// The `count` buckets from `first` on, at most a zone of them; `book` is what the cells are
    /// kept in step with.
    #[inline]
    pub fn window(&mut self, first: i64, count: usize, book: &Book) -> &[Cell] {
        let offset = usize::try_from(first.wrapping_sub(self.base));
        let is_inside = self.px_range.0 <= self.px_range.1
            && offset.is_ok_and(|offset| offset <= ZONE - count.min(ZONE));
        if !is_inside {
            self.lay_zone(first, count, book);
        }
        let offset = usize::try_from(first.wrapping_sub(self.base)).unwrap_or(0);
        &self.zone[offset..offset + count]
    }

    /// Puts the zone around a window and fills it.
    #[cold]
    fn lay_zone(&mut self, first: i64, count: usize, book: &Book) {
        let count = i64::try_from(count).unwrap_or(ZONE_BUCKETS);
        self.base = first.saturating_sub((ZONE_BUCKETS - count) / 2);
        let end = self.base.saturating_add(ZONE_BUCKETS);
        let grid = self.units.grid;
        self.px_range = (grid.px_from(self.base), grid.px_from(end).saturating_sub(1));
        self.clear();
        let (low, high) = self.px_range;
        // Bids go down and asks go up, each from the best: behind the zone there are no more.
        for (px, lots) in book.levels(Side::Bid).take_while(|(px, _)| *px >= low) {
            self.change(Side::Bid, px, 0, lots);
        }
        for (px, lots) in book.levels(Side::Ask).take_while(|(px, _)| *px <= high) {
            self.change(Side::Ask, px, 0, lots);
        }
    }

    /// Whether anything rests in a bucket.
    pub fn is_present(cell: &Cell) -> bool {
        cell.bid != 0 || cell.ask != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventKind;
    use proptest::prelude::*;

    fn step(text: &str) -> Step {
        Step::parse(text).unwrap()
    }

    #[test]
    fn buckets_are_floors_of_exact_quotients() {
        let grid = Grid::new(step("0.1"), step("10")).unwrap();
        assert_eq!(
            [0, 99, 100, 101, -1, -100, -101].map(|px| grid.bucket(px)),
            [0, 0, 1, 1, -1, -1, -2]
        );
        // A size that is no multiple of the tick: 0.3 in ticks of 0.2.
        let grid = Grid::new(step("0.2"), step("0.3")).unwrap();
        assert_eq!([0, 1, 2, 3, 4].map(|px| grid.bucket(px)), [0, 0, 1, 2, 2]);
        // The decimal 0.3 is in the bucket that begins with it, whatever a float would say.
        let grid = Grid::new(step("0.1"), step("0.1")).unwrap();
        assert_eq!(grid.bucket(3), 3);
        for size in ["7", "10", "12.3", "0.4", "429496729.5"] {
            let grid = Grid::new(step("0.1"), step(size)).unwrap();
            for px in [
                1,
                6,
                7,
                122,
                123,
                6_183_763,
                (1 << 32) - 1,
                1 << 32,
                1 << 40,
            ] {
                assert_eq!(grid.bucket(px), grid.bucket_of_any(px), "{px} in {size}");
            }
        }
        let grid = Grid::new(step("1000000000000"), step("0.000001")).unwrap();
        assert_eq!(grid.bucket(1 << 60), i64::MAX);
        assert!(Grid::new(step("1000000000000"), step("0.000000001")).is_err());
    }

    proptest! {
        /// Cells that were kept in step are those that a book is read into at once, to the last
        /// bit, wherever the window was meanwhile.
        #[test]
        fn kept_in_step_is_read_at_once(
            inverse: bool,
            levels in prop::collection::vec(
                (any::<bool>(), 1i64..100_000, prop_oneof![0i64..100, Just(0), Just(i64::MAX)]),
                1..80,
            ),
            windows in prop::collection::vec(-100i64..1_100, 1..8),
        ) {
            let instrument = crate::cob::tests::instrument(inverse);
            let units = Units::new(&instrument, step("10"), 2.5).unwrap();
            let mut cells = Cells::new(units);
            let mut book = Book::new();
            let row = |kind, is_bid, px, lots, seq| {
                let side = if is_bid { Side::Bid } else { Side::Ask };
                [crate::event::tests::row(kind, side, px, lots, seq)]
            };
            book.apply_message(&row(EventKind::Snapshot, true, 1, 0, 1));
            for (seq, &(is_bid, px, lots)) in (2u64..).zip(&levels) {
                let message = row(EventKind::Delta, is_bid, px, lots, seq);
                book.apply_message_with(&message, |side, key, old, new| {
                    cells.change(side, crate::ladder::Ladder::key(side, key), old, new);
                });
                let first = windows[levels.len() % windows.len()];
                let found = cells.window(first, 40, &book).to_vec();
                let mut fresh = Cells::new(units);
                prop_assert_eq!(&found[..], fresh.window(first, 40, &book));
                for (cell, bucket) in found.iter().zip(first..) {
                    let inside = |side| {
                        book.levels(side).any(|(px, lots)| {
                            px.div_euclid(100) == bucket && units.count(px, lots) != 0
                        })
                    };
                    let is_present = inside(Side::Bid) || inside(Side::Ask);
                    prop_assert_eq!(Cells::is_present(cell), is_present);
                }
            }
        }
    }

    #[test]
    fn zones_at_the_ends_of_the_numbers() {
        let instrument = crate::cob::tests::instrument(false);
        let mut cells = Cells::new(Units::new(&instrument, step("10"), 1.0).unwrap());
        let book = Book::new();
        for first in [i64::MIN, i64::MAX - 1, 0] {
            assert!(
                cells
                    .window(first, 40, &book)
                    .iter()
                    .all(|cell| !Cells::is_present(cell))
            );
        }
    }
}
