//! The count of one class, as a pure function of the time that is passed in.
//!
//! A window that slides: whichever five minutes the server counts, fixed or sliding, the limit holds in them.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;

use super::Class;
use crate::server::Lane;

/// The period that Automation Cloud counts over.
const FIVE_MINUTES: Duration = Duration::from_mins(5);
/// A window is remembered in this many slots, so that a large limit costs no more memory than a small one.
const SLOTS: u32 = 300;
/// The first wait after a refusal that does not say how long to wait; doubled up to the window.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The longest wait that a server is believed to mean. Without it a wrong date would close the server for good.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// How many requests of each class a server takes from one organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    counts: [Option<u32>; 5],
    window: Duration,
}

impl Limits {
    /// Identity Server of Automation Cloud: per organization and five minutes
    /// (<https://docs.uipath.com/automation-cloud/Automation-cloud/latest/api-guide/api-rate-limits-for-identity-server>).
    pub fn automation_cloud() -> Self {
        Self { counts: [Some(300), Some(24_000), Some(160), Some(160), Some(160)], window: FIVE_MINUTES }
    }

    /// Orchestrator publishes no limit for what is asked of it here. UiPath's own clients keep to 15 requests a second.
    pub fn orchestrator() -> Self {
        Self { counts: [Some(4_500); 5], window: FIVE_MINUTES }
    }

    /// For servers that publish no limits: installations of one's own.
    pub fn unlimited() -> Self {
        Self { counts: [None; 5], window: FIVE_MINUTES }
    }

    /// The same limit for every class, in requests a minute.
    pub fn per_minute(requests: u32) -> Self {
        Self { counts: [Some(requests); 5], window: Duration::from_mins(1) }
    }

    pub(super) fn of(&self, class: Class) -> Limit {
        let count = self.counts[class as usize];
        Limit { count, window: self.window }
    }
}

/// The limit of one class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    count: Option<u32>,
    window: Duration,
}

impl Limit {
    /// How many requests a lane may have in the window. Half of the class is kept for people.
    fn of(self, lane: Lane) -> Option<u32> {
        match lane {
            Lane::User => self.count,
            Lane::Resync => self.count.map(|count| count.div_ceil(2)),
        }
    }
}

/// What was sent lately.
#[derive(Debug)]
pub(super) struct Window {
    limit: Limit,
    /// When a slot began, and how many requests it holds. Oldest first.
    slots: VecDeque<(Timestamp, u32)>,
    /// The server refused: nothing goes before.
    closed_until: Timestamp,
    /// Refusals in a row that did not say how long to wait.
    refusals: u32,
}

impl Window {
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, slots: VecDeque::new(), closed_until: Timestamp::MIN, refusals: 0 }
    }

    /// Counts one request, or tells how long there is none left for the lane.
    pub(super) fn take(&mut self, lane: Lane, now: Timestamp) -> Result<(), Duration> {
        if now < self.closed_until {
            return Err(between(now, self.closed_until));
        }
        let Some(allowed) = self.limit.of(lane) else { return Ok(()) };
        self.forget(now);
        if self.used() >= allowed {
            return Err(self.until_below(allowed, now));
        }
        match self.slots.back_mut() {
            Some((began, count)) if now < after(*began, self.limit.window / SLOTS) => *count += 1,
            _ => self.slots.push_back((now, 1)),
        }
        Ok(())
    }

    pub(super) fn remaining(&mut self, now: Timestamp) -> Option<u64> {
        self.forget(now);
        let count = self.limit.count?;
        Some(if now < self.closed_until { 0 } else { u64::from(count.saturating_sub(self.used())) })
    }

    /// The server said "too many". Requests that were on their way at the same time count as one refusal.
    pub(super) fn refused(&mut self, retry_after: Option<Duration>, now: Timestamp) -> Duration {
        let open = now >= self.closed_until;
        let wait = match retry_after {
            Some(wait) => wait.clamp(Duration::from_secs(1), LONGEST_WAIT),
            None if !open => between(now, self.closed_until),
            None => {
                let doubled = FIRST_WAIT.saturating_mul(1 << self.refusals.min(10));
                self.refusals += 1;
                doubled.min(FIVE_MINUTES)
            }
        };
        self.closed_until = self.closed_until.max(after(now, wait));
        between(now, self.closed_until)
    }

    pub(super) fn taken(&mut self) {
        self.refusals = 0;
    }

    fn used(&self) -> u32 {
        self.slots.iter().map(|(_, count)| count).sum()
    }

    /// A slot counts until its last request is a whole window old.
    fn lifetime(&self) -> Duration {
        self.limit.window + self.limit.window / SLOTS
    }

    fn forget(&mut self, now: Timestamp) {
        let lifetime = self.lifetime();
        while self.slots.front().is_some_and(|(began, _)| after(*began, lifetime) <= now) {
            self.slots.pop_front();
        }
    }

    fn until_below(&self, allowed: u32, now: Timestamp) -> Duration {
        let mut used = self.used();
        for (began, count) in &self.slots {
            used -= count;
            if used < allowed {
                return between(now, after(*began, self.lifetime()));
            }
        }
        // Only a limit of nothing gets here.
        self.lifetime()
    }
}

fn after(time: Timestamp, wait: Duration) -> Timestamp {
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};
    use proptest::prelude::*;

    use super::{Limits, Window};
    use crate::server::Lane;
    use crate::server::budget::Class;

    fn window(class: Class) -> Window {
        Window::new(Limits::automation_cloud().of(class))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_operators_own_checks_leave_half_of_the_window_to_people() {
        let mut reads = window(Class::Get);
        let checks = (0..300).filter(|_| reads.take(Lane::Resync, at(0)).is_ok()).count();
        let edits = (0..300).filter(|_| reads.take(Lane::User, at(0)).is_ok()).count();
        assert_eq!((checks, edits), (150, 150));
    }

    #[test]
    fn a_refused_request_may_come_back_when_the_oldest_are_a_window_old() {
        let mut writes = window(Class::Put);
        for second in 0..160 {
            assert_eq!(writes.take(Lane::User, at(second)), Ok(()));
        }
        assert_eq!(writes.take(Lane::User, at(200)), Err(secs(101)));
        assert_eq!(writes.take(Lane::User, at(301)), Ok(()));
        assert_eq!(writes.take(Lane::User, at(301)), Err(secs(1)));
    }

    #[test]
    fn a_large_limit_costs_no_more_memory_than_a_small_one() {
        let mut creates = window(Class::Post);
        for tenth in 0..24_000 {
            assert_eq!(creates.take(Lane::User, at(tenth / 100)), Ok(()));
        }
        assert!(creates.slots.len() <= 301);
        assert_eq!(creates.remaining(at(240)), Some(0));
    }

    #[test]
    fn a_refusal_with_a_time_closes_the_class_for_both_lanes_until_then() {
        let mut reads = window(Class::Get);
        assert_eq!(reads.refused(Some(secs(30)), at(0)), secs(30));
        assert_eq!(reads.take(Lane::User, at(29)), Err(secs(1)));
        assert_eq!(reads.remaining(at(29)), Some(0));
        assert_eq!(reads.take(Lane::Resync, at(30)), Ok(()));
    }

    #[test]
    fn refusals_without_a_time_wait_twice_as_long_each_time_up_to_the_window() {
        let mut reads = window(Class::Get);
        let mut now = at(0);
        let waits: Vec<u64> = (0..9)
            .map(|_| {
                let wait = reads.refused(None, now);
                now += SignedDuration::try_from(wait).unwrap();
                wait.as_secs()
            })
            .collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        reads.taken();
        assert_eq!(reads.refused(None, now), secs(5));
    }

    #[test]
    fn refusals_of_requests_that_were_on_their_way_together_count_once() {
        let mut reads = window(Class::Get);
        assert_eq!(reads.refused(None, at(0)), secs(5));
        assert_eq!(reads.refused(None, at(1)), secs(4));
        assert_eq!(reads.refused(None, at(5)), secs(10));
    }

    #[test]
    fn an_absurd_wait_is_not_believed() {
        assert_eq!(window(Class::Get).refused(Some(secs(999_999_999)), at(0)), secs(3600));
    }

    #[test]
    fn a_server_without_limits_is_still_obeyed_when_it_refuses() {
        let mut reads = Window::new(Limits::unlimited().of(Class::Get));
        assert!((0..10_000).all(|_| reads.take(Lane::Resync, at(0)).is_ok()));
        assert_eq!(reads.remaining(at(0)), None);
        reads.refused(Some(secs(3)), at(0));
        assert_eq!(reads.take(Lane::User, at(0)), Err(secs(3)));
    }

    proptest! {
        #[test]
        fn no_window_of_five_minutes_holds_more_than_the_limit(steps in prop::collection::vec((0u32..4000, any::<bool>()), 1..1500)) {
            let mut writes = window(Class::Delete);
            let mut sent: Vec<i64> = Vec::new();
            let mut now = 0i64;
            for (pause, user) in steps {
                now += i64::from(pause);
                let time = Timestamp::from_millisecond(1_800_000_000_000 + now).unwrap();
                if writes.take(if user { Lane::User } else { Lane::Resync }, time).is_ok() {
                    sent.push(now);
                }
            }
            for (first, start) in sent.iter().enumerate() {
                let within = sent[first..].iter().take_while(|time| **time - start < 300_000).count();
                prop_assert!(within <= 160);
            }
        }
    }
}
