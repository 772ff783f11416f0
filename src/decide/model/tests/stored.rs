//! What is stored of a model, whole and cut.

use super::*;
use crate::codec::Writer;

#[test]
fn a_damaged_state_is_refused() {
    let state = Run::settled(policy()).state;
    let body = state.encode();
    let mut checks = Writer::default();
    state.checks.encode(&mut checks);
    // One that ends before its checks is of a release without them.
    let before = body.len() - checks.into_bytes().len();
    for end in 0..body.len() {
        let read = ModelState::decode(3, &body[..end], 2).ok();
        assert_eq!(read, (end == before).then(|| state.clone()), "{end}");
    }
    assert!(ModelState::decode(3, &body, 1).is_err());
}
