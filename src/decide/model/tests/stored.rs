//! What is stored of a model, whole and cut.

use super::*;
use crate::codec::Writer;

#[test]
fn a_damaged_state_is_refused() {
    let state = Run::settled(policy()).state;
    let body = state.encode();
    let length = |encode: &dyn Fn(&mut Writer)| {
        let mut out = Writer::default();
        encode(&mut out);
        out.into_bytes().len()
    };
    // One that ends before the time of its warning, its checks or its confidence is of a release without them.
    let no_time = body.len()
        - length(&|out| {
            out.u64(0);
            out.i64(0);
        });
    let no_checks = no_time - length(&|out| state.checks.encode(out));
    let no_confidence = no_checks - length(&|out| Output::default().encode(out));
    for end in 0..body.len() {
        let read = ModelState::decode(3, &body[..end], 2).ok();
        let is_earlier = [no_time, no_checks, no_confidence].contains(&end);
        assert_eq!(read, is_earlier.then(|| state.clone()), "{end}");
    }
    assert!(ModelState::decode(3, &body, 1).is_err());
}
