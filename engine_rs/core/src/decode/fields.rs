//! One pass over a Binance message: its scalar fields as borrowed text or numbers, its price levels
//! straight to ticks and lots.
//!
//! The order of fields is not relied upon. Names are the venue's; `b` and `a` hold levels in a
//! depth message and prices in a bookTicker, so what a message *is* gets decided after the pass.
//! Nothing is allocated for a level.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::DecodeError;
use crate::decimal::Step;
use crate::error::Error;

/// How quantities become lots.
#[derive(Clone, Copy, Debug)]
pub(super) struct LotRule {
    pub(super) step: Step,
    /// Most decimal places of quantities that the venue keeps finer than the lot; they go to the
    /// nearest lot. `None`: every quantity is a whole number of lots.
    pub(super) places_finer: Option<u32>,
}

impl LotRule {
    /// The lots of a decimal text, and whether it had to be rounded.
    #[inline]
    pub(super) fn count(self, text: &[u8]) -> Result<(i64, bool), Error> {
        match self.places_finer {
            None => self.step.count(text).map(|lots| (lots, false)),
            Some(places) => self.step.count_nearest(text, places),
        }
    }
}

/// A level as (price in ticks, size in lots).
pub(super) type Level = (i64, i64);

/// A JSON value that is no list of levels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Scalar<'a> {
    /// The field was not there.
    #[default]
    Absent,
    Null,
    Bool(bool),
    Uint(u64),
    /// A negative or fractional number, for error messages only.
    Number(f64),
    Text(Cow<'a, str>),
    /// Levels, read into the scratch lists.
    Levels,
    /// An array or an object where none belongs; its content was skipped.
    Nested(&'static str),
}

impl std::fmt::Display for Scalar<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absent => f.write_str("nothing"),
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Uint(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "{value:?}"),
            Self::Levels => f.write_str("an array"),
            Self::Nested(what) => f.write_str(what),
        }
    }
}

/// The fields that any of the messages has, by the venue's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Stream,
    EventType,
    EventTime,
    TradeTime,
    Symbol,
    FirstId,
    LastId,
    PrevId,
    Bids,
    Asks,
    BidQty,
    AskQty,
    Price,
    Qty,
    TradeId,
    BuyerIsMaker,
    Execution,
    SnapshotId,
    SnapshotBids,
    SnapshotAsks,
    SnapshotSymbol,
    Reply,
}

impl Key {
    const COUNT: usize = Self::Reply as usize + 1;

    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"stream" => Self::Stream,
            b"e" => Self::EventType,
            b"E" => Self::EventTime,
            b"T" => Self::TradeTime,
            b"s" => Self::Symbol,
            b"U" => Self::FirstId,
            b"u" => Self::LastId,
            b"pu" => Self::PrevId,
            b"b" => Self::Bids,
            b"a" => Self::Asks,
            b"B" => Self::BidQty,
            b"A" => Self::AskQty,
            b"p" => Self::Price,
            b"q" => Self::Qty,
            b"t" => Self::TradeId,
            b"m" => Self::BuyerIsMaker,
            b"X" => Self::Execution,
            b"lastUpdateId" => Self::SnapshotId,
            b"bids" => Self::SnapshotBids,
            b"asks" => Self::SnapshotAsks,
            b"symbol" => Self::SnapshotSymbol,
            b"result" | b"error" => Self::Reply,
            _ => return None,
        })
    }

    /// The venue's name.
    pub(super) fn name(self) -> &'static str {
        [
            "stream",
            "e",
            "E",
            "T",
            "s",
            "U",
            "u",
            "pu",
            "b",
            "a",
            "B",
            "A",
            "p",
            "q",
            "t",
            "m",
            "X",
            "lastUpdateId",
            "bids",
            "asks",
            "symbol",
            "result",
        ][self as usize]
    }
}

/// What one pass found.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    values: [Scalar<'a>; Key::COUNT],
    /// Whether the message stood inside `data`.
    pub(super) wrapped: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, key: Key) -> &Scalar<'a> {
        &self.values[key as usize]
    }

    pub(super) fn has(&self, key: Key) -> bool {
        *self.get(key) != Scalar::Absent
    }

    /// The error that the field is not what was expected.
    pub(super) fn unexpected(&self, key: Key, expected: impl Into<String>) -> DecodeError {
        DecodeError::field(key.name(), expected, self.get(key))
    }
}

/// Reads one message; lists and the first error are left in the caller's scratch space.
pub(super) struct MessageSeed<'s, 'a> {
    pub(super) fields: &'s mut Fields<'a>,
    pub(super) scratch: &'s mut Scratch,
    pub(super) tick: Step,
    pub(super) lot: LotRule,
    /// Whether this is the object inside `data`.
    pub(super) inner: bool,
}

/// Space that outlives a message, so that nothing is allocated for each.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) bids: Vec<Level>,
    pub(super) asks: Vec<Level>,
    /// Quantities of the message that were rounded to a lot.
    pub(super) rounded: u64,
    /// The precise error behind the JSON reader's generic one.
    pub(super) error: Option<DecodeError>,
}

impl Scratch {
    fn fail<E: serde::de::Error>(&mut self, error: DecodeError) -> E {
        self.error.get_or_insert(error);
        E::custom("see scratch")
    }
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.inner {
            "an object in the field data"
        } else {
            "an object"
        })
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(name) = map.next_key_seed(NameSeed)? {
            match name {
                Name::Data if !self.inner => {
                    if self.fields.wrapped {
                        return Err(self.scratch.fail(twice("data")));
                    }
                    self.fields.wrapped = true;
                    map.next_value_seed(MessageSeed {
                        fields: &mut *self.fields,
                        scratch: &mut *self.scratch,
                        inner: true,
                        ..self
                    })?;
                }
                Name::Data | Name::Unused => {
                    map.next_value::<IgnoredAny>()?;
                }
                Name::Key(key) => {
                    let value = map.next_value_seed(ValueSeed {
                        key,
                        scratch: &mut *self.scratch,
                        tick: self.tick,
                        lot: self.lot,
                    })?;
                    let slot = &mut self.fields.values[key as usize];
                    if *slot != Scalar::Absent {
                        return Err(self.scratch.fail(twice(key.name())));
                    }
                    *slot = value;
                }
            }
        }
        Ok(())
    }
}

fn twice(field: &str) -> DecodeError {
    DecodeError::field(field, "the field once", "it twice")
}

enum Name {
    Key(Key),
    Data,
    Unused,
}

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Name, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Name;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a field name")
    }

    fn visit_bytes<E>(self, name: &[u8]) -> Result<Name, E> {
        Ok(match Key::of(name) {
            Some(key) => Name::Key(key),
            None if name == b"data" => Name::Data,
            None => Name::Unused,
        })
    }
}

/// A field's value: levels where the key may hold them, else a scalar.
struct ValueSeed<'s> {
    key: Key,
    scratch: &'s mut Scratch,
    tick: Step,
    lot: LotRule,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Scalar<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "such numbers are only shown in errors"
)]
impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Uint(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Scalar<'de>, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nested("an object"))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Scalar<'de>, S::Error> {
        let is_bids = match self.key {
            Key::Bids | Key::SnapshotBids => true,
            Key::Asks | Key::SnapshotAsks => false,
            _ => {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(Scalar::Nested("an array"));
            }
        };
        let mut index = 0;
        loop {
            let seed = LevelSeed {
                field: self.key.name(),
                index,
                error: &mut self.scratch.error,
                rounded: &mut self.scratch.rounded,
                tick: self.tick,
                lot: self.lot,
            };
            let Some(level) = seq.next_element_seed(seed)? else {
                return Ok(Scalar::Levels);
            };
            if is_bids {
                self.scratch.bids.push(level);
            } else {
                self.scratch.asks.push(level);
            }
            index += 1;
        }
    }
}

/// One `["61496.50","0.010"]`.
struct LevelSeed<'s> {
    field: &'static str,
    index: usize,
    error: &'s mut Option<DecodeError>,
    rounded: &'s mut u64,
    tick: Step,
    lot: LotRule,
}

impl LevelSeed<'_> {
    #[cold]
    fn fail<E: serde::de::Error>(&mut self, part: &str, expected: String, found: &str) -> E {
        let field = format!("{}[{}]{part}", self.field, self.index);
        self.error
            .get_or_insert(DecodeError::field(field, expected, found));
        E::custom("see scratch")
    }
}

impl<'de> DeserializeSeed<'de> for LevelSeed<'_> {
    type Value = Level;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Level, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for LevelSeed<'_> {
    type Value = Level;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[price, quantity] in {}[{}]", self.field, self.index)
    }

    fn visit_seq<S: SeqAccess<'de>>(mut self, mut seq: S) -> Result<Level, S::Error> {
        let tick = self.tick;
        let lot = self.lot;
        let px = seq.next_element_seed(StepsSeed(|text: &[u8]| tick.count(text)))?;
        let qty = seq.next_element_seed(StepsSeed(|text: &[u8]| lot.count(text)))?;
        let (Some(px), Some(qty)) = (px, qty) else {
            return Err(self.fail("", "[price, quantity]".into(), "fewer than two entries"));
        };
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(self.fail("", "[price, quantity]".into(), "more than two entries"));
        }
        let px = px.and_then(|px| at_least(px, 1));
        let qty = qty.and_then(|(qty, rounded)| Ok((at_least(qty, 0)?, rounded)));
        match (px, qty) {
            (Ok(px), Ok((qty, rounded))) => {
                *self.rounded += u64::from(rounded);
                Ok((px, qty))
            }
            (Err(found), _) => Err(self.fail(" price", price_rule(self.tick), &found)),
            (_, Err(found)) => Err(self.fail(" quantity", qty_rule(self.lot.step), &found)),
        }
    }
}

/// What a price must be.
pub(super) fn price_rule(tick: Step) -> String {
    format!("a positive multiple of the tick {tick} as decimal text")
}

/// What a quantity must be.
pub(super) fn qty_rule(lot: Step) -> String {
    format!("a multiple of the lot {lot}, not negative, as decimal text")
}

fn at_least(steps: i64, least: i64) -> Result<i64, String> {
    if steps >= least {
        Ok(steps)
    } else {
        Err(if steps == 0 {
            "0".into()
        } else {
            "a negative number".into()
        })
    }
}

/// Decimal text through a function of its bytes; an unusable value comes back as text to show, so
/// that the caller can say where it stood.
struct StepsSeed<F>(F);

impl<'de, T, F: Fn(&[u8]) -> Result<T, Error>> DeserializeSeed<'de> for StepsSeed<F> {
    type Value = Result<T, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<T, F: Fn(&[u8]) -> Result<T, Error>> Visitor<'_> for StepsSeed<F> {
    type Value = Result<T, String>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("decimal text")
    }

    #[inline]
    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok((self.0)(text.as_bytes()).map_err(|_| format!("{text:?}")))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Err(format!("the number {value}")))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Err(format!("the number {value}")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Err(format!("the number {value}")))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Err(value.to_string()))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Err("null".into()))
    }
}
