//! Any bytes as the reply of a collection host: nothing panics, and where they are cut into pieces makes no difference.
//!
//! ```text
//! cargo install cargo-fuzz
//! mkdir -p fuzz/corpus/reply
//! cargo +nightly fuzz run reply fuzz/corpus/reply fuzz/seeds/reply -- -max_total_time=3600 -rss_limit_mb=1024
//! ```

#![no_main]

use libfuzzer_sys::fuzz_target;
use passbridge::collection::{Reply, ReplyReader};

/// What comes of these pieces and the end of the connection; `None` where there is no reply.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Reply> {
    let mut reader = ReplyReader::default();
    let mut pieces = pieces.filter(|piece| !piece.is_empty());
    while let Some(piece) = pieces.next() {
        if let Some(reply) = reader.feed(piece).ok()? {
            let is_behind = pieces.next().is_some();
            return Some(Reply { idle_max: reply.idle_max.filter(|_| !is_behind), ..reply });
        }
    }
    reader.feed(&[]).ok()?
}

fuzz_target!(|input: &[u8]| {
    // The first byte says where the reply is cut; libFuzzer's inputs have at most 4 KiB.
    let Some((cut, reply)) = input.split_first() else { return };
    let whole = read([reply].into_iter());
    assert_eq!(whole, read(reply.chunks(1)));
    assert_eq!(whole, read(reply.chunks(1 + usize::from(*cut))));
    if let Some(Reply { status, body, .. }) = whole {
        assert!(status == 101 || (200..=999).contains(&status));
        assert!(body.len() <= 64 << 10 && body.len() <= reply.len());
    }
});
