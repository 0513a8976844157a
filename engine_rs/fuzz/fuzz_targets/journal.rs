//! A journal whose bytes were changed: it is read to its end, cut, or refused with an error. What is
//! recovered can be read, and is a beginning of what was written.

#![no_main]

use cobalt_core::journal::{Memory, Options, Records, Store, Writer, recover};
use libfuzzer_sys::fuzz_target;

const KIND: u8 = 23;
const SEGMENT_LEN: usize = 400;

/// Segments of a few records each.
fn written(contents: &[&[u8]]) -> Memory {
    let memory = Memory::new();
    let options = Options {
        segment_len: SEGMENT_LEN,
        ..Options::default()
    };
    let mut writer = Writer::create(Box::new(memory.clone()), options).expect("memory takes it");
    for content in contents {
        writer.append(KIND, 1, 1, content).expect("memory takes it");
    }
    writer.finish().expect("memory takes it");
    memory
}

fn read(memory: &Memory) -> cobalt_core::Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut records = Records::new(Box::new(memory.copy()))?;
    while let Some(record) = records.next()? {
        found.push(record.payload.to_vec());
    }
    Ok(found)
}

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<8>() else {
        return;
    };
    let contents: Vec<&[u8]> = rest.chunks(30).take(40).collect();
    let memory = written(&contents);
    let names = memory.list().expect("memory lists");
    let name = &names[usize::from(head[0]) % names.len()];
    memory.damage(name, |bytes| match head[1] % 4 {
        // Changed, cut, longer, or something else altogether.
        0 => {
            let at = usize::from(u16::from_le_bytes([head[2], head[3]])) % bytes.len().max(1);
            bytes[at] ^= head[4];
        }
        1 => {
            let at = usize::from(u16::from_le_bytes([head[2], head[3]])) % (bytes.len() + 1);
            bytes.truncate(at);
        }
        2 => bytes.extend_from_slice(rest),
        _ => *bytes = rest.to_vec(),
    });
    let before = read(&memory);
    let mut store = memory.clone();
    if recover(&mut store, |_| Ok(())).is_ok() {
        let found = read(&memory).expect("what was recovered can be read");
        if let Ok(before) = before {
            assert!(before.starts_with(&found));
        }
        if head[1] % 4 < 2 {
            assert!(found.len() <= contents.len());
            assert!(
                found
                    .iter()
                    .zip(&contents)
                    .all(|(found, content)| found == content)
            );
        }
    }
});
