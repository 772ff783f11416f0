//! Bad tokens by address: ten at once, then one a second.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

/// A try is paid back in this time.
const EACH: Duration = Duration::from_secs(1);
/// Tries that may be owed.
const BURST: u32 = 10;
/// Addresses that are remembered; more of them share out the guesses of nobody we could tell apart.
const MOST: usize = 4096;

/// When the last bad token of an address will be paid back.
#[derive(Debug, Default)]
pub(super) struct Failures(HashMap<IpAddr, Instant>);

impl Failures {
    /// How long tokens from `ip` are not looked at; `None` if they are.
    pub(super) fn blocked(&self, ip: IpAddr, now: Instant) -> Option<Duration> {
        let owed = self.0.get(&place(ip))?.saturating_duration_since(now);
        let too_much = owed.saturating_sub(EACH * (BURST - 1));
        (!too_much.is_zero()).then_some(too_much)
    }

    /// Notes a bad token; whether it was the one too many.
    pub(super) fn note(&mut self, ip: IpAddr, now: Instant) -> bool {
        let place = place(ip);
        if self.0.len() >= MOST && !self.0.contains_key(&place) {
            self.make_room(now);
        }
        let paid = self.0.entry(place).or_insert(now);
        *paid = (*paid).max(now) + EACH;
        self.blocked(ip, now).is_some()
    }

    fn make_room(&mut self, now: Instant) {
        self.0.retain(|_, paid| *paid > now);
        if self.0.len() >= MOST
            && let Some(soonest) = self.0.iter().min_by_key(|(_, paid)| **paid).map(|(ip, _)| *ip)
        {
            self.0.remove(&soonest);
        }
    }
}

/// An IPv4 address, or the /64 that an IPv6 host can choose its address from.
fn place(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ten_bad_tokens_at_once_then_one_a_second() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let (guesser, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        for n in 1..=10 {
            assert_eq!(failures.blocked(guesser, start), None, "{n}");
            assert_eq!(failures.note(guesser, start), n == 10, "{n}");
        }
        assert_eq!(failures.blocked(guesser, start), Some(EACH));
        assert_eq!(failures.blocked(other, start), None);
        assert_eq!(failures.blocked(guesser, start + EACH), None);
        assert!(failures.note(guesser, start + EACH));
        assert_eq!(failures.blocked(guesser, start + EACH), Some(EACH));
        let later = start + EACH * 20;
        assert!(!failures.note(guesser, later), "it is forgotten");
    }

    #[test]
    fn a_host_is_one_however_it_writes_its_address() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for n in 0..10 {
            failures.note(ip(&format!("2001:db8:1:2::{n}")), now);
            failures.note(ip("::ffff:192.0.2.1"), now);
        }
        assert!(failures.blocked(ip("2001:db8:1:2:ffff::"), now).is_some());
        assert_eq!(failures.blocked(ip("2001:db8:1:3::"), now), None);
        assert!(failures.blocked(ip("192.0.2.1"), now).is_some());
    }

    #[test]
    fn memory_is_bounded_and_the_worst_are_remembered() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let guesser = ip("192.0.2.1");
        for _ in 0..BURST {
            failures.note(guesser, now);
        }
        for n in 0..2 * u32::try_from(MOST).unwrap() {
            failures.note(IpAddr::V4(std::net::Ipv4Addr::from_bits(n)), now);
        }
        assert_eq!(failures.0.len(), MOST);
        assert!(failures.blocked(guesser, now).is_some());
    }
}
