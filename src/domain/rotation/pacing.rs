//! Which of the applications of one server may begin a rotation now, and when the others ask again: so many at once, so
//! long after each other, the most urgent ones first.
//!
//! Nobody is woken: who has to wait is told when to ask again, which is the earliest time at which their turn can come.
//! Where it does not come then, that is known by then, and they are told another time. Thus one that waits asks only about
//! as often as the logarithm of its place in the line says, the oftener the slower the rotations are, and beyond that
//! every ten minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::later;
use crate::api::rotation::{Overlap, RotationPacing};

/// What holds where the AuthorizationServer says nothing.
const CONCURRENCY: usize = 4;
const SPACING: Duration = Duration::from_secs(5);

/// How long a place in the line is kept for one that should have asked by then. Those that are gone never do.
pub const KEPT: Duration = Duration::from_secs(30);

/// After that nobody will say any more that a rotation has ended. None takes longer: a new secret about which the server
/// gives no answer is withdrawn after an hour.
pub const LOST: Duration = Duration::from_mins(70);

/// How long the first of a crowd waits at the most for the rest of it, so that they go in order whoever asks first.
const SETTLING: Duration = Duration::from_secs(1);

/// The shortest and the longest wait of one that waits for others.
const SOON: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_mins(10);

/// What a rotation takes from its beginning to the publication, if it is quick. Were this more than it takes, there would
/// be room, and nobody would come.
const LENGTH: Duration = Duration::from_secs(2);

/// Where none has begun for a while for want of room, it is asked for after this part of that while.
const PATIENCE: u32 = 8;

/// Of what persons ask for, so many may begin in a row while something that is scheduled waits. Then that one is next: who may
/// ask again and again must not keep the secrets of others from being replaced.
const IN_A_ROW: u32 = 3;

/// Applications are spread over this part of their interval.
const SPREAD: u128 = 10;

/// Who goes first, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// A leak: never waits, but counts. Where all that are under way are such, one other may begin.
    Immediate,
    /// A person asked: before those that are scheduled, but for every fourth, and waits only for others to end.
    Requested,
    Scheduled,
}

/// Whether a rotation may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Begin,
    /// Not yet: to be asked again at that time, which is always in the future, and not later than [`KEPT`] after it.
    Wait(Timestamp),
}

/// One application with a rotation that is due.
#[derive(Clone, Debug)]
pub struct Request {
    pub uid: String,
    /// Since when. Who asks again keeps the place of the earliest time that they named with the same urgency.
    pub due: Timestamp,
    pub urgency: Urgency,
}

/// How rotations are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many may be between beginning and publishing at once; at least one.
    pub concurrency: usize,
    /// The least time between the beginnings of two that are scheduled.
    pub spacing: Duration,
}

impl Pace {
    pub fn of(spec: &RotationPacing) -> Self {
        let concurrency = spec.concurrency.and_then(|number| usize::try_from(number).ok());
        Self {
            concurrency: concurrency.unwrap_or(CONCURRENCY).max(1),
            spacing: spec.spacing.as_ref().and_then(Overlap::parse).unwrap_or(SPACING),
        }
    }
}

/// A place in the line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    urgency: Urgency,
    order: Order,
    due: Timestamp,
    uid: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    /// It is scheduled, and goes before those that persons ask for: enough of them went before it.
    Promoted,
    Usual,
}

/// One that has begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    /// When it was heard of last.
    heard: Timestamp,
    urgency: Urgency,
}

/// The rotations of one server: those that have begun, and those that wait.
#[derive(Debug, Default)]
pub struct Pacing {
    /// By UID.
    begun: BTreeMap<String, Begun>,
    /// When each is expected to ask again.
    line: BTreeMap<Place, Timestamp>,
    /// The place of each UID.
    places: BTreeMap<String, Place>,
    /// When the last scheduled one began.
    last: Option<Timestamp>,
    /// When the last one of all began.
    latest: Option<Timestamp>,
    /// How many that persons asked for have begun in a row while a scheduled one waited.
    in_a_row: u32,
    /// Until when the first scheduled one waits for others.
    settled: Option<Timestamp>,
}

impl Pacing {
    /// Whether this one may begin. One that has begun hears so again until its end is told; one that waits keeps its place
    /// by asking again in time.
    pub fn ask(&mut self, limits: &Pace, request: Request, now: Timestamp) -> Turn {
        self.tidy(now);
        if let Some(begun) = self.begun.get_mut(&request.uid) {
            begun.heard = now;
            return Turn::Begin;
        }
        let place = self.place(request, limits, now);
        let until = match place.urgency {
            Urgency::Immediate => now,
            Urgency::Requested | Urgency::Scheduled => self.turn_of(&place, limits, now),
        };
        if until <= now {
            self.begin(place, now);
            return Turn::Begin;
        }
        let until = until.min(later(now, MOST));
        self.line.insert(place, until);
        Turn::Wait(until)
    }

    /// A rotation goes on that began earlier, perhaps before this process did: it counts as one that has begun.
    pub fn resume(&mut self, uid: &str, now: Timestamp) {
        self.withdraw(uid);
        let urgency = self.begun.get(uid).map_or(Urgency::Scheduled, |begun| begun.urgency);
        self.begun.insert(uid.to_owned(), Begun { heard: now, urgency });
    }

    /// The rotation is over, however it went.
    pub fn ended(&mut self, uid: &str) {
        self.begun.remove(uid);
    }

    /// None is due any more: the place in the line is given up. What has begun goes on.
    pub fn withdraw(&mut self, uid: &str) {
        if let Some(place) = self.places.remove(uid) {
            self.line.remove(&place);
        }
    }

    /// The application is gone.
    pub fn forget(&mut self, uid: &str) {
        self.ended(uid);
        self.withdraw(uid);
    }

    /// How many have begun and not ended.
    pub fn under_way(&self) -> usize {
        self.begun.len()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.line.len()
    }

    /// Gives up those whose end was never told, and what a clock that was set back makes of the times.
    fn tidy(&mut self, now: Timestamp) {
        self.begun.retain(|_, begun| now < later(begun.heard, LOST));
        self.last = self.last.map(|last| last.min(now));
        self.latest = self.latest.map(|latest| latest.min(now));
        self.settled = self.settled.map(|settled| settled.min(later(now, SETTLING)));
    }

    /// The place of this one in the line, an old one or a new one.
    fn place(&mut self, request: Request, limits: &Pace, now: Timestamp) -> Place {
        let Request { uid, mut due, mut urgency } = request;
        let mut order = Order::Usual;
        if let Some(before) = self.places.get(&uid).cloned() {
            if urgency == Urgency::Scheduled {
                order = before.order;
            }
            if before.urgency == urgency || order == Order::Promoted {
                due = due.min(before.due);
            }
            self.line.remove(&before);
        } else if urgency == Urgency::Scheduled
            && self.line.last_key_value().is_none_or(|(last, _)| last.urgency != urgency)
        {
            self.settled = Some(later(now, SETTLING.min(limits.spacing)));
        }
        if urgency == Urgency::Scheduled && order == Order::Usual && self.is_passed_over(limits, now) {
            (order, self.in_a_row) = (Order::Promoted, 0);
        }
        if order == Order::Promoted {
            urgency = Urgency::Requested;
        }
        let place = Place { urgency, order, due, uid };
        self.places.insert(place.uid.clone(), place.clone());
        place
    }

    /// Whether enough that persons asked for went before those that are scheduled, and it is time for one of those.
    fn is_passed_over(&self, limits: &Pace, now: Timestamp) -> bool {
        let mut requested = self.line.keys().skip_while(|place| place.urgency < Urgency::Requested);
        // One that was promoted is the first of those that persons ask for.
        let one_waits = requested.next().is_some_and(|first| first.order == Order::Promoted);
        let spaced = self.last.is_none_or(|last| later(last, limits.spacing) <= now);
        self.in_a_row >= IN_A_ROW && spaced && !one_waits
    }

    fn begin(&mut self, place: Place, now: Timestamp) {
        let waits = self.line.last_key_value().is_some_and(|(last, _)| last.urgency == Urgency::Scheduled);
        match place.urgency {
            Urgency::Requested if place.order == Order::Usual => {
                self.in_a_row = if waits { self.in_a_row + 1 } else { 0 }
            }
            Urgency::Requested | Urgency::Scheduled => (self.in_a_row, self.last) = (0, Some(now)),
            Urgency::Immediate => {}
        }
        self.latest = Some(now);
        self.places.remove(&place.uid);
        self.begun.insert(place.uid, Begun { heard: now, urgency: place.urgency });
    }

    /// When the turn of this one comes, as far as that can be told now.
    fn turn_of(&mut self, place: &Place, limits: &Pace, now: Timestamp) -> Timestamp {
        self.drop_late(place, now);
        let ahead = self.line.range(..place).count();
        let missing = (self.begun.len() + ahead + 1).saturating_sub(limits.concurrency);
        let urgent_alone = self.begun.values().all(|begun| begun.urgency == Urgency::Immediate);
        let missing = if urgent_alone { missing.min(ahead) } else { missing };
        let room = if missing + ahead == 0 { now } else { later(now, self.wait_for(missing, limits, now)) };
        match place.urgency {
            Urgency::Requested if place.order == Order::Promoted => {
                room.max(self.last.map_or(now, |last| later(last, limits.spacing)))
            }
            Urgency::Immediate | Urgency::Requested => room,
            Urgency::Scheduled => room.max(self.spaced(place, limits, now)),
        }
    }

    /// How long it may take until so many have ended.
    fn wait_for(&self, endings: usize, limits: &Pace, now: Timestamp) -> Duration {
        let concurrency = u32::try_from(limits.concurrency.max(1)).unwrap_or(u32::MAX);
        let all = LENGTH.saturating_mul(u32::try_from(endings).unwrap_or(u32::MAX)) / concurrency;
        let full = self.begun.len() >= limits.concurrency;
        let since = self.latest.filter(|_| full).and_then(|latest| now.duration_since(latest).try_into().ok());
        SOON.max(all).max(since.unwrap_or(Duration::ZERO) / PATIENCE)
    }

    /// When the turn comes as far as the spacing is concerned.
    fn spaced(&self, place: &Place, limits: &Pace, now: Timestamp) -> Timestamp {
        let after = self.last.map_or(now, |last| later(last, limits.spacing));
        let first = self.settled.map_or(after, |settled| settled.max(after)).max(now);
        let ahead = self.line.range(..place).filter(|(other, _)| other.urgency == place.urgency).count();
        later(first, limits.spacing.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX)))
    }

    /// Those who are ahead and have not come hold up nobody.
    fn drop_late(&mut self, place: &Place, now: Timestamp) {
        let mut late = Vec::new();
        for (other, expected) in self.line.range_mut(..place) {
            *expected = (*expected).min(later(now, MOST));
            if later(*expected, KEPT) < now {
                late.push(other.uid.clone());
            }
        }
        for uid in late {
            self.withdraw(&uid);
        }
    }
}

/// How much earlier than its interval says an application's secret is replaced, so that those of one age are not due at
/// once: up to a tenth of the interval, evenly spread, always the same for one application.
pub fn jitter(uid: &str, interval: Duration) -> Duration {
    let digest = Sha256::digest(uid.as_bytes());
    let share = digest.iter().take(4).fold(0_u128, |share, byte| share << 8 | u128::from(*byte));
    // Less than 2^94 nanoseconds, times less than 2^32.
    Duration::from_nanos_u128((interval.as_nanos() / SPREAD * share) >> 32)
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
