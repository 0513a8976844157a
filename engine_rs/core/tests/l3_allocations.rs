//! Following single orders allocates nothing while the books keep their sizes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use cobalt_core::event::{Event, EventKind, Side};
use cobalt_core::exchange::L3Queue;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator with its own arguments.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the rules of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` comes from `alloc`, which is the system's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A book of 2,000 orders on both sides in which the oldest order goes and a new one comes, with
/// trades, and orders of ours that join and leave.
fn run(queue: &mut L3Queue, ids: std::ops::Range<u64>, reached: &mut Vec<(u64, i64)>) {
    for id in ids {
        let place = |id: u64| {
            let offset = i64::try_from(id % 97).expect("small");
            if id.is_multiple_of(2) {
                (Side::Bid, 10_000 - offset)
            } else {
                (Side::Ask, 10_001 + offset)
            }
        };
        let row = |kind: EventKind, id: u64, qty_lots: i64| Event {
            kind: kind as u8,
            seq: id,
            side: place(id).0 as u8,
            px_ticks: place(id).1,
            qty_lots,
            ..Event::default()
        };
        queue.on_order(&row(EventKind::OrderAdd, id, 5), reached);
        queue.on_order(&row(EventKind::OrderChange, id, 3), reached);
        if id > 2_000 {
            let left = i64::from(id.is_multiple_of(3));
            queue.on_order(&row(EventKind::OrderDelete, id - 2_000, left), reached);
        }
        let (side, px_ticks) = place(id);
        queue.on_trade(side, px_ticks, 2, reached);
        queue.join(id, side, px_ticks);
        if id > 50 {
            let (side, px_ticks) = place(id - 50);
            assert!(queue.leave(id - 50, side, px_ticks));
        }
        reached.clear();
    }
}

#[test]
fn a_steady_book_allocates_nothing() {
    let mut queue = L3Queue::default();
    let mut reached = Vec::with_capacity(1_000);
    // Beyond the number of deleted ids that are remembered.
    run(&mut queue, 1..150_000, &mut reached);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    run(&mut queue, 150_000..400_000, &mut reached);
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    assert_eq!(queue.book().len(), 2_000);
}
