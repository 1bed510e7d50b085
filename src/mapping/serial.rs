//! The ID that makes Analytics count a hit once, however often it is sent.

use sha2::{Digest, Sha256};

use super::limits::SERIAL_BYTES;
use crate::event::EventId;
use crate::suite::CountForm;

/// Lower case only, because it is not documented whether Adobe tells upper from lower case.
const DIGITS: [u8; 36] = *b"0123456789abcdefghijklmnopqrstuvwxyz";

/// The serial of one hit of an event: 20 characters of `[0-9a-z]`. `index` is 0 for an event that is one hit, and
/// counts from 1 for the single hits of a count. An event gets the same serial in every release, so a repeat after
/// years is still the same hit.
pub fn serial(id: EventId, index: u32) -> String {
    let mut digest = Sha256::new_with_prefix(b"passbridge serial 1");
    digest.update(id.bytes());
    digest.update(index.to_be_bytes());
    let digest: [u8; 32] = digest.finalize().into();
    let mut serial = String::with_capacity(SERIAL_BYTES);
    // Each half of 64 bits gives ten digits. 36^10 is so small beside 2^64 that the bias does not matter.
    for half in digest[..16].chunks_exact(8) {
        let mut rest = half.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        for _ in 0..SERIAL_BYTES / 2 {
            serial.push(char::from(DIGITS[(rest % 36) as usize]));
            rest /= 36;
        }
    }
    serial
}

/// The serial of the first hit of an event, where the suite's event IDs are on.
pub fn first_serial(id: EventId, count: u32, form: CountForm) -> String {
    serial(id, u32::from(count > 1 && form == CountForm::SingleHits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn serials_never_change() {
        for (id, index, expected) in [
            ([0; 16], 0, "swem5t5esnj093xg4zki"),
            ([0; 16], 1, "wovr0o6eo3xuvs8pahyw"),
            ([0xff; 16], 0, "aaxfqw6vaggbxwbhosub"),
            ([7; 16], 100, "c8rhmnfiwsv2i7r9cpvm"),
        ] {
            assert_eq!(serial(EventId::from_bytes(id), index), expected);
        }
    }

    #[test]
    fn serials_differ_by_event_and_by_index() {
        let mut seen = HashSet::new();
        for event in 0..100_u8 {
            for index in 0..=100 {
                let serial = serial(EventId::from_bytes([event; 16]), index);
                assert!(serial.len() == 20 && serial.bytes().all(|byte| DIGITS.contains(&byte)), "{serial}");
                assert!(seen.insert(serial));
            }
        }
    }
}
