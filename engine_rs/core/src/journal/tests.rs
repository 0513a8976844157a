use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::store::open_name;
use super::*;
use crate::error::Error;
use crate::random::Random;

/// A record that outlives its segment.
type Owned = (u64, i64, u64, u8, Vec<u8>);

const SMALL: Options = Options {
    durability: Durability::End,
    segment_len: 600,
    clock: || 0,
};

fn writer(memory: &Memory, options: Options) -> Writer {
    Writer::create(Box::new(memory.clone()), options).unwrap()
}

/// Appends record `n`, of a content that says so.
fn append(writer: &mut Writer, n: u64) -> crate::Result<u64> {
    let payload: Vec<u8> = (0..n % 40).map(|k| (n + k).to_le_bytes()[0]).collect();
    writer.append(
        1 + u8::try_from(n % 200).unwrap(),
        n / 3,
        1_000 * n.cast_signed(),
        &payload,
    )
}

fn records(store: &mut dyn Store) -> crate::Result<(Vec<Owned>, Recovered)> {
    let mut found = Vec::new();
    let recovered = recover(store, |segment| {
        for record in segment.records() {
            let Record {
                seq,
                ts_ns,
                step,
                kind,
                payload,
            } = record;
            found.push((seq, ts_ns, step, kind, payload.to_vec()));
        }
        Ok(())
    })?;
    Ok((found, recovered))
}

/// What `count` records of [`append`] are.
fn expected(count: u64) -> Vec<Owned> {
    let memory = Memory::new();
    let mut all = writer(&memory, Options::default());
    for n in 1..=count {
        append(&mut all, n).unwrap();
    }
    all.finish().unwrap();
    let (found, _) = records(&mut memory.clone()).unwrap();
    assert_eq!(found.len() as u64, count);
    found
}

#[test]
fn records_come_back_in_order_through_many_segments() {
    let memory = Memory::new();
    let mut journal = writer(&memory, SMALL);
    for n in 1..=200 {
        assert_eq!(append(&mut journal, n).unwrap(), n);
    }
    journal.finish().unwrap();
    let (found, recovered) = records(&mut memory.clone()).unwrap();
    assert!(memory.list().unwrap().len() > 10);
    assert_eq!(found, expected(200));
    assert_eq!((recovered.next_seq, recovered.cut), (201, None));
}

#[test]
fn a_journal_killed_at_any_byte_has_every_record_that_was_handed_over_and_goes_on() {
    let whole = Memory::new();
    let mut journal = writer(&whole, SMALL);
    for n in 1..=40 {
        append(&mut journal, n).unwrap();
    }
    journal.finish().unwrap();
    let names = whole.list().unwrap();
    let total: usize = names
        .iter()
        .map(|name| whole.read(name).unwrap().len())
        .sum();
    assert!(names.len() > 2);
    let all = expected(40);
    for killed in 0..=total {
        let memory = Memory::new();
        memory.set_fault(Some(Fault::Killed(killed)));
        let mut acknowledged = 0;
        let options = Options {
            durability: Durability::Record,
            ..SMALL
        };
        if let Ok(mut journal) = Writer::create(Box::new(memory.clone()), options) {
            while acknowledged < 40 && append(&mut journal, acknowledged + 1).is_ok() {
                acknowledged += 1;
            }
            let _ = journal.finish();
        }
        memory.set_fault(None);
        let mut store = memory.clone();
        let (found, recovered) = records(&mut store).unwrap();
        let count = found.len() as u64;
        assert!(
            (acknowledged..=acknowledged + 1).contains(&count),
            "killed after {killed} bytes: {acknowledged} acknowledged, {count} found"
        );
        if killed < total {
            let mut journal = Writer::resume(Box::new(memory.clone()), recovered, options).unwrap();
            for n in count + 1..=40 {
                append(&mut journal, n).unwrap();
            }
            journal.finish().unwrap();
        }
        let (found, recovered) = records(&mut memory.clone()).unwrap();
        assert_eq!(found, all, "killed after {killed} bytes");
        assert_eq!(recovered.cut, None);
        assert!(
            bytes(&memory) == bytes(&whole),
            "killed after {killed} bytes: the journal differs from one that was not"
        );
    }
}

fn bytes(memory: &Memory) -> Vec<Vec<u8>> {
    let names = memory.list().unwrap();
    names
        .iter()
        .map(|name| memory.read(name).unwrap())
        .collect()
}

#[test]
fn what_is_synced_survives_the_loss_of_power() {
    let mut random = Random::new(3, 1);
    for _ in 0..300 {
        let memory = Memory::new();
        let mut journal = writer(&memory, SMALL);
        let count = random.below(60);
        let mut synced = 0;
        for n in 1..=count {
            append(&mut journal, n).unwrap();
            if random.chance(0.1) {
                journal.sync().unwrap();
                synced = n;
            }
        }
        memory.lose_power(&mut random);
        let (found, _) = records(&mut memory.clone()).unwrap();
        assert!((synced..=count).contains(&(found.len() as u64)));
        assert_eq!(found, expected(count)[..found.len()]);
    }
}

#[test]
fn a_full_disk_is_told_and_nothing_is_taken_until_the_journal_is_recovered() {
    let memory = Memory::new();
    let options = Options {
        durability: Durability::Record,
        ..SMALL
    };
    let mut journal = writer(&memory, options);
    memory.set_fault(Some(Fault::Full(310)));
    let mut count = 0;
    let error = loop {
        match append(&mut journal, count + 1) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(count > 0);
    assert_eq!(error.to_string(), "memory: no space left on device");
    memory.set_fault(None);
    let error = append(&mut journal, count + 1).unwrap_err().to_string();
    assert_eq!(
        error,
        "journal: expected no record after a failed write, before it is recovered, \
         found 000001.journal"
    );
    let (found, recovered) = records(&mut memory.clone()).unwrap();
    assert_eq!(found, expected(count));
    let cut = recovered.cut.clone().unwrap();
    assert!(cut.bytes > 0 && cut.name == "000001.journal", "{cut:?}");
    let mut journal = Writer::resume(Box::new(memory.clone()), recovered, options).unwrap();
    append(&mut journal, count + 1).unwrap();
    assert_eq!(records(&mut memory.clone()).unwrap().0, expected(count + 1));
}

#[test]
fn every_flipped_bit_of_a_closed_segment_is_named() {
    let memory = Memory::new();
    let mut journal = writer(&memory, SMALL);
    for n in 1..=30 {
        append(&mut journal, n).unwrap();
    }
    journal.finish().unwrap();
    assert!(memory.list().unwrap().len() > 1);
    for name in memory.list().unwrap() {
        for at in 0..memory.read(&name).unwrap().len() {
            let copy = memory.copy();
            copy.damage(&name, |bytes| bytes[at] ^= 1 << (at % 8));
            let outcome = records(&mut copy.clone());
            let named = match &outcome {
                Err(Error::Damaged { name: found, .. }) => *found == name,
                // The length of the seal that ends a journal: it reads as one cut short.
                Ok((found, recovered)) => {
                    let last = memory.list().unwrap().pop();
                    recovered.cut.as_ref().map(|cut| &cut.name) == last.as_ref()
                        && found.len() == 30
                }
                Err(_) => false,
            };
            assert!(named, "{name} at {at}: {outcome:?}");
        }
    }
}

#[test]
fn damage_in_front_of_whole_records_is_no_torn_tail() {
    let memory = Memory::new();
    let mut journal = writer(&memory, Options::default());
    for n in 1..=9 {
        append(&mut journal, n).unwrap();
    }
    journal.sync().unwrap();
    memory.damage("000001.journal", |bytes| bytes[HEADER_LEN + 50] ^= 4);
    let error = records(&mut memory.clone()).unwrap_err().to_string();
    assert!(
        error.starts_with("000001.journal: damaged at byte 98: expected record checksum"),
        "{error}"
    );
    assert!(
        error.ends_with("with whole records from seq 3 at byte 133 on behind it"),
        "{error}"
    );
}

#[test]
fn a_missing_segment_and_one_of_another_journal_are_named() {
    let memory = Memory::new();
    let mut journal = writer(&memory, SMALL);
    for n in 1..=60 {
        append(&mut journal, n).unwrap();
    }
    journal.finish().unwrap();
    let missing = memory.copy();
    missing.clone().remove(&open_name(2)).unwrap();
    let error = records(&mut missing.clone()).unwrap_err().to_string();
    assert_eq!(
        error,
        "000003.journal: damaged at byte 0: expected segment 2 before it, found no such file"
    );
    let other = Memory::new();
    let mut journal = writer(&other, SMALL);
    for n in 2..=61 {
        append(&mut journal, n).unwrap();
    }
    journal.finish().unwrap();
    let exchanged = memory.copy();
    let foreign = other.read(&open_name(2)).unwrap();
    exchanged.damage(&open_name(2), |bytes| *bytes = foreign);
    let error = records(&mut exchanged.clone()).unwrap_err().to_string();
    assert!(
        error.starts_with("000002.journal: damaged at byte 0: expected segment 2"),
        "{error}"
    );
}

#[test]
fn a_folder_holds_compressed_segments_and_one_that_is_written() {
    let path = std::env::temp_dir().join(format!("cobalt-journal-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    let mut journal = Writer::create(Box::new(Folder::create(&path).unwrap()), SMALL).unwrap();
    for n in 1..=25 {
        append(&mut journal, n).unwrap();
    }
    drop(journal);
    let mut store = Folder::open(&path).unwrap();
    let mut names = store.list().unwrap();
    names.sort();
    assert_eq!(names[0], "000001.journal.zst");
    assert!(!super::store::is_packed(names.last().unwrap()), "{names:?}");
    let (found, recovered) = records(&mut store).unwrap();
    let mut journal = Writer::resume(Box::new(store), recovered, SMALL).unwrap();
    for n in found.len() as u64 + 1..=50 {
        append(&mut journal, n).unwrap();
    }
    journal.finish().unwrap();
    let mut store = Folder::open(&path).unwrap();
    assert!(
        store
            .list()
            .unwrap()
            .iter()
            .all(|name| super::store::is_packed(name))
    );
    assert_eq!(records(&mut store).unwrap().0, expected(50));
    let first = path.join("000001.journal.zst");
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    let error = records(&mut store).unwrap_err().to_string();
    assert!(
        error.contains("000001.journal.zst: damaged at byte"),
        "{error}"
    );
    std::fs::write(&first, &bytes[..bytes.len() / 2]).unwrap();
    let error = records(&mut store).unwrap_err().to_string();
    assert!(
        error.contains("000001.journal.zst: damaged at byte 0"),
        "{error}"
    );
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_reader_at_the_end_catches_up_with_the_writer() {
    let memory = Memory::new();
    let mut journal = writer(&memory, SMALL);
    let mut records = Records::new(Box::new(memory.clone())).unwrap();
    let mut found = Vec::new();
    for n in 1..=60 {
        append(&mut journal, n).unwrap();
        if n % 7 == 0 {
            journal.flush().unwrap();
            records.catch_up().unwrap();
            while let Some(record) = records.next().unwrap() {
                found.push(record.seq);
            }
            assert_eq!(found.len() as u64, n);
        }
    }
    journal.finish().unwrap();
    records.catch_up().unwrap();
    while let Some(record) = records.next().unwrap() {
        found.push(record.seq);
    }
    assert_eq!(found, (1..=60).collect::<Vec<u64>>());
}

#[test]
fn an_interval_brings_to_the_disk_what_is_older() {
    static NOW: AtomicU64 = AtomicU64::new(0);
    let memory = Memory::new();
    let mut journal = writer(
        &memory,
        Options {
            durability: Durability::Interval(100),
            clock: || NOW.load(Ordering::Relaxed),
            ..Options::default()
        },
    );
    append(&mut journal, 1).unwrap();
    NOW.store(99, Ordering::Relaxed);
    journal.tick().unwrap();
    assert_eq!(memory.read("000001.journal").unwrap().len(), HEADER_LEN);
    NOW.store(100, Ordering::Relaxed);
    journal.tick().unwrap();
    let (found, _) = records(&mut memory.clone()).unwrap();
    assert_eq!(found, expected(1));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let memory = Memory::new();
    let mut journal = writer(&memory, Options::default());
    let error = journal.append(SEAL, 0, 0, &[]).unwrap_err().to_string();
    assert_eq!(
        error,
        "journal record: expected a kind of 1 to 255, found 0"
    );
    let huge = vec![0; PAYLOAD_MAX + 1];
    let error = journal.append(1, 0, 0, &huge).unwrap_err().to_string();
    assert!(
        error.contains("a payload of at most 67108864 bytes"),
        "{error}"
    );
    assert_eq!(append(&mut journal, 1).unwrap(), 1);
    drop(journal);
    let taken = Writer::create(Box::new(memory), Options::default());
    let error = taken.err().unwrap().to_string();
    assert_eq!(
        error,
        "journal: expected an empty folder, found 000001.journal"
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        is_real in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let memory = Memory::new();
        let mut journal = writer(&memory, SMALL);
        for n in 1..=12 {
            append(&mut journal, n).unwrap();
        }
        journal.flush().unwrap();
        memory.damage("000001.journal", |content| {
            if !is_real {
                content.truncate(HEADER_LEN);
                content.extend_from_slice(&bytes);
            }
            for (index, value) in &flips {
                let at = index.index(content.len());
                content[at] = *value;
            }
            let len = cut.index(content.len() + 1);
            content.truncate(len);
        });
        // What is read of it are records of the journal, from the first on.
        if let Ok((found, _)) = records(&mut memory.clone()) {
            prop_assert_eq!(&found[..], &expected(12)[..found.len()]);
        }
    }
}
