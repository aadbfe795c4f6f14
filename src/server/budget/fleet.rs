//! A fleet whose secrets are due at once, and what its server takes.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::window::{Limits, Window};
use super::{Class, Lane};
use crate::api::rotation::RotationPacing;
use crate::domain::fixtures::NOON;
use crate::domain::rotation::pacing::{Pace, Pacing, Request, Turn, Urgency};

const APPLICATIONS: usize = 1_000;
/// From the beginning of a rotation to its publication.
const LENGTH: SignedDuration = SignedDuration::from_secs(3);
const OVERLAP: SignedDuration = SignedDuration::from_mins(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Published,
    /// The end of an overlap.
    Retired,
    Asks,
}

/// What the server is asked for, counted as the operator counts it.
struct Server {
    reads: Window,
    additions: Window,
    removals: Window,
}

impl Server {
    fn new() -> Self {
        let of = |class| Window::new(Limits::automation_cloud().of(class));
        Self { reads: of(Class::Get), additions: of(Class::Post), removals: of(Class::Delete) }
    }

    /// A rotation begins: its registration is read, and a secret is added.
    fn add(&mut self, now: Timestamp) -> [Result<(), Duration>; 2] {
        [self.reads.take(Lane::User, now), self.additions.take(Lane::User, now)]
    }

    /// It ends: its registration is read once more, and the secret before is removed.
    fn remove(&mut self, now: Timestamp) -> [Result<(), Duration>; 2] {
        [self.reads.take(Lane::User, now), self.removals.take(Lane::User, now)]
    }
}

/// While the last thousand are replaced, the overlaps of the first ones end: the server takes all of it, nobody waits for its
/// budget, and half of the reads are left to people and sweeps the whole time.
#[test]
fn a_thousand_that_are_due_at_once_never_wait_for_the_budget_of_their_server_and_leave_half_of_it_to_others() {
    let (pace, mut pacing, mut server) = (Pace::of(&RotationPacing::default()), Pacing::default(), Server::new());
    let uid = |who: usize| format!("{who:05}");
    let mut events: BTreeSet<(Timestamp, Event, usize)> =
        (0..APPLICATIONS).map(|who| (NOON, Event::Asks, who)).collect();
    let (mut begun, mut retired, mut least) = (Vec::new(), 0, u64::MAX);
    while let Some((now, event, who)) = events.pop_first() {
        let answers = match event {
            Event::Published => {
                pacing.ended(&uid(who));
                events.insert((now + OVERLAP, Event::Retired, who));
                continue;
            }
            Event::Retired => {
                retired += 1;
                server.remove(now)
            }
            Event::Asks => {
                let request = Request { uid: uid(who), due: NOON, urgency: Urgency::Scheduled };
                if let Turn::Wait(until) = pacing.ask(&pace, request, now) {
                    events.insert((until, Event::Asks, who));
                    continue;
                }
                begun.push(who);
                events.insert((now + LENGTH, Event::Published, who));
                server.add(now)
            }
        };
        assert_eq!(answers, [Ok(()), Ok(())], "{event:?} of {who} at {now}");
        least = least.min(server.reads.remaining(now).unwrap_or_default());
    }
    assert!(begun.into_iter().eq(0..APPLICATIONS), "in the order in which they are due");
    assert_eq!(retired, APPLICATIONS);
    assert!(least >= 150, "{least} reads are left");
}
