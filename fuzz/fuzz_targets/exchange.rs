//! Any bytes as an exchange log: nothing panics, memory stays flat, and a line is an event, a reject, or silent.
//!
//! ```text
//! cargo install cargo-fuzz
//! mkdir -p fuzz/corpus/exchange
//! cargo +nightly fuzz run exchange fuzz/corpus/exchange fixtures/rest-v2 -- -max_total_time=600 -rss_limit_mb=1024
//! ```

#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use passbridge::event::{Instant, TimeBounds};
use passbridge::readers::memory::Recollection;
use passbridge::readers::{Format, ReaderOptions};

/// 2027-01-15T08:00:00Z, later than every seed.
const NOW_NANOS: i64 = 1_800_000_000_000_000_000;

fuzz_target!(|log: &[u8]| {
    let now = Instant::from_nanos(NOW_NANOS);
    let bounds = TimeBounds { latest: now, now };
    for format in [Format::RestV2, Format::Har] {
        let Ok(mut reader) = format.open(Cursor::new(log.to_vec()), &ReaderOptions::unused()) else { continue };
        let mut memory = Recollection::new(None);
        let mut numbers = 0;
        while let Ok(Some(line)) = reader.next_line(bounds, &mut memory) {
            assert!(line.number >= 1 && line.excerpt.bytes.is_empty(), "a line of exchanges keeps nothing of itself");
            if let Ok(event) = line.result {
                serde_json::to_string(&event).expect("an event serialises");
                assert!(line.rule.is_some(), "an event follows from a rule");
            }
            numbers += 1;
        }
        // No exchange gives more events than it has bytes.
        assert!(numbers <= 16 + log.len());
    }
});
