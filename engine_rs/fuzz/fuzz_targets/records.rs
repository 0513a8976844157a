//! The content of a record: an entry, which reads the same again, or an error.

#![no_main]

use cobalt_core::kernel::Entry;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((kind, content)) = data.split_first() else {
        return;
    };
    if let Ok(entry) = Entry::decode(*kind, content) {
        let mut again = Vec::new();
        entry.encode(&mut again);
        let twice = Entry::decode(*kind, &again).expect("what was written reads again");
        assert_eq!(entry.to_json(), twice.to_json());
    }
});
