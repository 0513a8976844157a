//! Bars of all intervals at once against one plain builder an interval.

use cobalt_core::bars::{Bar, BarSet, INTERVALS};
use cobalt_core::{Event, Side};
use proptest::prelude::*;

/// All trades of one interval, its bars made from them when they are complete.
struct Plain {
    interval_ns: i64,
    /// Start of the open bar, beyond 64 bits where that is so.
    start: Option<i128>,
    inside: Vec<Event>,
    close: i64,
}

impl Plain {
    fn new(interval_ns: i64) -> Self {
        Self {
            interval_ns,
            start: None,
            inside: Vec::new(),
            close: 0,
        }
    }

    fn take(&mut self, trade: Event, ts_ns: i64, out: &mut Vec<Bar>) {
        let interval = i128::from(self.interval_ns);
        let ts = i128::from(ts_ns);
        while let Some(start) = self.start
            && ts >= start + interval
        {
            out.push(self.bar());
            self.inside.clear();
            self.start = Some(start + interval);
        }
        self.start.get_or_insert(ts - ts.rem_euclid(interval));
        self.inside.push(trade);
        self.close = trade.px_ticks;
    }

    fn bar(&self) -> Bar {
        let px: Vec<i64> = self.inside.iter().map(|trade| trade.px_ticks).collect();
        let lots = |trade: &Event| i128::from(trade.qty_lots);
        let bought = self.inside.iter().filter(|trade| trade.side == 1);
        let short = |sum: i128| i64::try_from(sum).unwrap_or(i64::MAX);
        let start = self.start.unwrap_or_default();
        Bar {
            ts_start_ns: i64::try_from(start).unwrap_or(i64::MIN),
            interval_ns: self.interval_ns,
            open_ticks: px.first().copied().unwrap_or(self.close),
            high_ticks: px.iter().copied().max().unwrap_or(self.close),
            low_ticks: px.iter().copied().min().unwrap_or(self.close),
            close_ticks: self.close,
            volume_lots: short(self.inside.iter().map(lots).sum()),
            buy_volume_lots: short(bought.map(lots).sum()),
            value_px_lots: self
                .inside
                .iter()
                .map(|trade| i128::from(trade.px_ticks) * lots(trade))
                .fold(0, i128::saturating_add),
            trades: u32::try_from(px.len()).unwrap(),
        }
    }
}

fn trade(ts_ns: i64, side: Side, px: i64, lots: i64) -> Event {
    Event {
        ts_event_ns: ts_ns,
        ts_recv_ns: ts_ns,
        px_ticks: px,
        qty_lots: lots,
        kind: 3,
        side: side as u8,
        ..Event::default()
    }
}

fn take(set: &mut BarSet, trade: &Event) -> Vec<Bar> {
    let ts_ns = trade.ts_event_ns;
    let bars = std::iter::from_fn(|| set.pop_completed(ts_ns)).collect();
    set.add(trade, ts_ns);
    bars
}

fn by_end(bars: &mut [Bar]) {
    bars.sort_by_key(|bar| {
        let end = i128::from(bar.ts_start_ns) + i128::from(bar.interval_ns);
        (end, bar.interval_ns)
    });
}

proptest! {
    #[test]
    fn equal_to_one_plain_builder_an_interval(
        intervals in prop::collection::vec(
            (prop_oneof![Just(1i64), Just(7), Just(10), Just(30), Just(60), Just(900)], 0usize..40),
            1..6,
        ),
        begin in prop_oneof![6 => Just(0i64), 1 => Just(i64::MAX - 900), 1 => Just(i64::MIN)],
        rows in prop::collection::vec(
            (
                prop_oneof![8 => 0i64..3, 2 => -40i64..40, 1 => 0i64..2_000],
                prop_oneof![Just(Side::Bid), Just(Side::Ask), Just(Side::None)],
                prop_oneof![9 => 1i64..40, 1 => Just(1i64 << 60)],
                prop_oneof![9 => 0i64..40, 1 => Just(i64::MAX)],
            ),
            1..120,
        ),
    ) {
        let (mut set, mut plain) = (BarSet::default(), Vec::<Plain>::new());
        let mut ts_ns = begin;
        for (index, &(by_ns, side, px, lots)) in rows.iter().enumerate() {
            for &(interval_ns, _) in intervals.iter().filter(|(_, at)| *at == index || index == 0 && *at > 20) {
                let is_new = plain.iter().all(|plain| plain.interval_ns != interval_ns);
                prop_assert_eq!(set.add_interval(interval_ns).unwrap(), is_new);
                if is_new {
                    plain.push(Plain::new(interval_ns));
                }
            }
            ts_ns = ts_ns.saturating_add(by_ns);
            let trade = trade(ts_ns, side, px, lots);
            let mut expected = Vec::new();
            for plain in &mut plain {
                plain.take(trade, ts_ns, &mut expected);
            }
            by_end(&mut expected);
            // A bar that began before 64 bits has its end, not its length, from its start.
            let mut got = take(&mut set, &trade);
            if begin == i64::MIN {
                by_end(&mut got);
            }
            prop_assert_eq!(got, expected);
        }
    }
}

#[test]
fn bars_that_end_together_come_the_shorter_first() {
    let mut set = BarSet::default();
    for (_, interval_ns) in INTERVALS.iter().rev() {
        assert!(set.add_interval(*interval_ns).unwrap());
    }
    assert!(set.add_interval(0).is_err());
    let day = 86_400_000_000_000;
    take(&mut set, &trade(day - 1, Side::Bid, 5, 1));
    let bars = take(&mut set, &trade(day, Side::Ask, 6, 1));
    let got: Vec<i64> = bars.iter().map(|bar| bar.interval_ns).collect();
    assert_eq!(got, INTERVALS.map(|(_, ns)| ns));
    assert!(bars.iter().all(|bar| bar.volume_lots == 1));
    // Half a year without a trade: one bar at a time.
    let later = 180 * day;
    let mut count = 0;
    while let Some(bar) = set.pop_completed(later) {
        count += 1;
        assert_eq!(bar.close_ticks, 6);
    }
    assert_eq!(count, 179 * (86_400 + 1_440 + 288 + 96 + 24 + 6 + 1));
}

#[test]
fn nothing_that_a_venue_could_send_is_too_large() {
    let mut set = BarSet::default();
    for (_, interval_ns) in INTERVALS {
        set.add_interval(interval_ns).unwrap();
    }
    for ts_ns in [i64::MAX, i64::MIN, 0, i64::MAX] {
        for value in [i64::MAX, i64::MIN, 0] {
            for lots in [i64::MAX, i64::MIN] {
                assert!(take(&mut set, &trade(ts_ns, Side::Bid, value, lots)).is_empty());
            }
        }
    }
}
