use std::time::Duration;

use jiff::SignedDuration;

use super::*;
use crate::domain::fixtures::NOON;

const PACE: Pace = Pace { concurrency: 2, spacing: Duration::from_secs(10) };

fn after(seconds: i64) -> Timestamp {
    NOON + SignedDuration::from_secs(seconds)
}

fn request(uid: &str, urgency: Urgency) -> Request {
    Request { uid: uid.into(), due: NOON, urgency }
}

fn asks(pacing: &mut Pacing, uid: &str, urgency: Urgency, at: i64) -> Turn {
    pacing.ask(&PACE, request(uid, urgency), after(at))
}

fn scheduled(pacing: &mut Pacing, uid: &str, at: i64) -> Turn {
    asks(pacing, uid, Urgency::Scheduled, at)
}

fn requested(pacing: &mut Pacing, uid: &str, at: i64) -> Turn {
    asks(pacing, uid, Urgency::Requested, at)
}

/// One has begun at noon and `others` are told when to come.
fn begun(others: &[&str]) -> Pacing {
    let mut pacing = Pacing::default();
    assert_eq!(scheduled(&mut pacing, "a", -1), Turn::Wait(NOON));
    for other in others {
        scheduled(&mut pacing, other, -1);
    }
    assert_eq!(scheduled(&mut pacing, "a", 0), Turn::Begin);
    pacing
}

#[test]
fn scheduled_ones_begin_so_long_after_each_other_in_the_order_in_which_they_are_due() {
    let mut pacing = begun(&[]);
    assert_eq!(scheduled(&mut pacing, "c", 1), Turn::Wait(after(10)));
    assert_eq!(scheduled(&mut pacing, "b", 1), Turn::Wait(after(10)), "it is before c");
    assert_eq!(scheduled(&mut pacing, "c", 10), Turn::Wait(after(20)), "b comes first");
    assert_eq!(scheduled(&mut pacing, "b", 10), Turn::Begin);
    pacing.ended("a");
    pacing.ended("b");
    assert_eq!(scheduled(&mut pacing, "c", 19), Turn::Wait(after(20)));
    assert_eq!(scheduled(&mut pacing, "c", 20), Turn::Begin);
    assert_eq!((pacing.under_way(), pacing.waiting()), (1, 0));
}

#[test]
fn the_first_of_a_crowd_waits_a_moment_for_the_rest_unless_nothing_is_spaced() {
    let mut pacing = Pacing::default();
    assert_eq!(scheduled(&mut pacing, "z", 0), Turn::Wait(after(1)));
    assert_eq!(scheduled(&mut pacing, "a", 0), Turn::Wait(after(1)));
    assert_eq!(scheduled(&mut pacing, "z", 1), Turn::Wait(after(11)));
    assert_eq!(scheduled(&mut pacing, "a", 1), Turn::Begin);
    let at_once = Pace { spacing: Duration::ZERO, ..PACE };
    assert_eq!(Pacing::default().ask(&at_once, request("a", Urgency::Scheduled), NOON), Turn::Begin);
}

#[test]
fn no_more_begin_than_may_go_at_once() {
    let mut pacing = begun(&["b"]);
    assert_eq!(scheduled(&mut pacing, "b", 10), Turn::Begin);
    assert_eq!(scheduled(&mut pacing, "c", 20), Turn::Wait(after(21) + SignedDuration::from_millis(250)));
    assert_eq!(scheduled(&mut pacing, "c", 90), Turn::Wait(after(100)), "after an eighth of 80 seconds");
    assert_eq!(scheduled(&mut pacing, "c", 100), Turn::Wait(after(111) + SignedDuration::from_millis(250)));
    pacing.ended("a");
    assert_eq!(scheduled(&mut pacing, "c", 112), Turn::Begin);
}

#[test]
fn one_that_has_begun_hears_so_until_it_has_ended() {
    let mut pacing = begun(&[]);
    assert_eq!(scheduled(&mut pacing, "a", 1), Turn::Begin);
    assert_eq!(pacing.under_way(), 1);
    pacing.withdraw("a");
    assert_eq!(pacing.under_way(), 1, "what has begun goes on");
    pacing.ended("a");
    assert_eq!(pacing.under_way(), 0);
    assert!(matches!(scheduled(&mut pacing, "a", 2), Turn::Wait(_)), "that would be another one");
}

#[test]
fn a_leak_never_waits_but_counts() {
    let mut pacing = begun(&["b"]);
    scheduled(&mut pacing, "b", 10);
    for leaked in ["x", "y", "z"] {
        assert_eq!(asks(&mut pacing, leaked, Urgency::Immediate, 11), Turn::Begin);
    }
    assert_eq!(pacing.under_way(), 5);
    for ended in ["a", "x", "y"] {
        pacing.ended(ended);
        assert!(matches!(scheduled(&mut pacing, "c", 30), Turn::Wait(_)), "two are under way");
    }
    pacing.ended("b");
    assert_eq!(scheduled(&mut pacing, "c", 31), Turn::Begin);
}

#[test]
fn those_that_never_wait_leave_room_for_one_other() {
    let mut pacing = begun(&["b", "c"]);
    for leaked in ["x", "y", "z"] {
        assert_eq!(asks(&mut pacing, leaked, Urgency::Immediate, 1), Turn::Begin);
    }
    pacing.ended("a");
    assert_eq!(scheduled(&mut pacing, "b", 10), Turn::Begin);
    assert!(matches!(scheduled(&mut pacing, "c", 20), Turn::Wait(_)));
}

#[test]
fn whoever_asks_again_and_again_keeps_what_is_scheduled_waiting_only_for_a_while() {
    let mut pacing = begun(&["b", "c"]);
    pacing.ended("a");
    let mut begun = Vec::new();
    let mut asks_again = BTreeMap::from([("b", 0), ("c", 0)].map(|(uid, at)| (uid.to_owned(), after(at))));
    for second in 1..120 {
        let now = after(second);
        // Sixteen of them, each of which asks for another one as soon as the last is done, after a second.
        for requested in 0..16 {
            let request = Request { uid: format!("r{requested}"), due: now, urgency: Urgency::Requested };
            pacing.ask(&PACE, request, now);
        }
        for uid in asks_again.clone().into_iter().filter(|(_, at)| *at <= now).map(|(uid, _)| uid) {
            // Whoever asked before it is due goes before it as well.
            let scheduled = Request { uid: uid.clone(), due: after(30), urgency: Urgency::Scheduled };
            match pacing.ask(&PACE, scheduled, now) {
                Turn::Begin => drop(asks_again.remove(&uid)),
                Turn::Wait(until) => drop(asks_again.insert(uid.clone(), until)),
            }
            if !asks_again.contains_key(&uid) {
                begun.push((uid, second));
            }
        }
        for requested in 0..16 {
            pacing.ended(&format!("r{requested}"));
        }
        pacing.ended("b");
        pacing.ended("c");
    }
    let uids: Vec<&str> = begun.iter().map(|(uid, _)| uid.as_str()).collect();
    assert_eq!(uids, ["b", "c"], "{begun:?}");
    assert!(begun[1].1 - begun[0].1 >= 10, "so long after each other: {begun:?}");
}

#[test]
fn what_a_person_asked_for_waits_for_no_spacing_and_goes_before_what_is_scheduled() {
    let mut pacing = begun(&["b", "c"]);
    assert_eq!(requested(&mut pacing, "x", 1), Turn::Begin, "there is room for two");
    assert!(matches!(requested(&mut pacing, "y", 2), Turn::Wait(_)));
    pacing.ended("a");
    pacing.ended("x");
    assert!(matches!(scheduled(&mut pacing, "b", 10), Turn::Wait(_)), "y is before it");
    assert_eq!(requested(&mut pacing, "y", 10), Turn::Begin);
    assert_eq!(scheduled(&mut pacing, "b", 11), Turn::Begin);
}

#[test]
fn what_becomes_more_urgent_changes_its_place() {
    let mut pacing = begun(&["b", "c"]);
    assert_eq!(requested(&mut pacing, "c", 1), Turn::Begin);
    assert_eq!(pacing.waiting(), 1);
    pacing.ended("c");
    assert_eq!(asks(&mut pacing, "b", Urgency::Immediate, 2), Turn::Begin);
    assert_eq!((pacing.under_way(), pacing.waiting()), (2, 0));
}

#[test]
fn who_names_a_later_time_when_it_asks_again_keeps_its_place() {
    let mut pacing = begun(&[]);
    requested(&mut pacing, "x", 0);
    let ask = |pacing: &mut Pacing, uid: &str, due: i64, at: i64| {
        pacing.ask(&PACE, Request { uid: uid.into(), due: after(due), urgency: Urgency::Requested }, after(at))
    };
    assert!(matches!(ask(&mut pacing, "z", 1, 1), Turn::Wait(_)));
    assert!(matches!(ask(&mut pacing, "y", 2, 2), Turn::Wait(_)));
    assert!(matches!(ask(&mut pacing, "z", 3, 3), Turn::Wait(_)));
    pacing.ended("x");
    assert!(matches!(ask(&mut pacing, "y", 4, 4), Turn::Wait(_)), "z was first");
    assert_eq!(ask(&mut pacing, "z", 5, 5), Turn::Begin);
}

#[test]
fn one_that_does_not_come_again_holds_up_the_others_no_longer_than_its_place_is_kept() {
    let mut pacing = begun(&["b", "c"]);
    let kept = i64::try_from(KEPT.as_secs()).expect("small");
    assert!(matches!(scheduled(&mut pacing, "c", 10 + kept), Turn::Wait(_)), "b's place is kept");
    assert_eq!(scheduled(&mut pacing, "c", 11 + kept), Turn::Begin);
    pacing.ended("a");
    assert_eq!(scheduled(&mut pacing, "b", 20 + kept), Turn::Wait(after(21 + kept)), "it may still come");
    assert_eq!(scheduled(&mut pacing, "b", 21 + kept), Turn::Begin);
}

#[test]
fn one_that_withdraws_or_is_gone_holds_up_nobody() {
    let mut pacing = begun(&["b", "c", "d"]);
    pacing.withdraw("b");
    assert_eq!(scheduled(&mut pacing, "c", 10), Turn::Begin);
    pacing.forget("c");
    pacing.forget("a");
    assert_eq!((pacing.under_way(), pacing.waiting()), (0, 1));
    assert_eq!(scheduled(&mut pacing, "d", 20), Turn::Begin);
}

#[test]
fn an_end_that_is_never_told_is_taken_for_granted_after_a_while() {
    let mut pacing = begun(&[]);
    requested(&mut pacing, "x", 0);
    let lost = i64::try_from(LOST.as_secs()).expect("small");
    assert_eq!(scheduled(&mut pacing, "a", 60), Turn::Begin, "it is still heard of");
    assert!(matches!(scheduled(&mut pacing, "b", lost - 1), Turn::Wait(_)));
    assert_eq!(scheduled(&mut pacing, "b", lost), Turn::Begin, "nothing was heard of x since noon");
    assert!(matches!(scheduled(&mut pacing, "c", lost + 20), Turn::Wait(_)));
}

#[test]
fn what_goes_on_from_before_counts() {
    let mut pacing = Pacing::default();
    pacing.resume("a", NOON);
    pacing.resume("b", NOON);
    assert!(matches!(requested(&mut pacing, "x", 0), Turn::Wait(_)));
    pacing.ended("a");
    assert_eq!(requested(&mut pacing, "x", 1), Turn::Begin);
}

#[test]
fn a_clock_that_is_set_back_stops_nothing_for_longer_than_usual() {
    let mut pacing = begun(&["b", "c"]);
    let earlier = -86_400;
    let Turn::Wait(until) = scheduled(&mut pacing, "b", earlier) else { panic!("it is spaced") };
    assert!(until <= after(earlier + 10), "{until}");
    assert_eq!(pacing.ask(&PACE, request("b", Urgency::Scheduled), until), Turn::Begin);
}

#[test]
fn the_servers_settings_say_how_rotations_are_spread() {
    assert_eq!(Pace::of(&RotationPacing::default()), Pace { concurrency: 4, spacing: Duration::from_secs(5) });
    let spec = RotationPacing { concurrency: Some(9), spacing: Some(Overlap("1m30s".into())) };
    assert_eq!(Pace::of(&spec), Pace { concurrency: 9, spacing: Duration::from_secs(90) });
    let none = RotationPacing { concurrency: Some(0), spacing: Some(Overlap("0s".into())) };
    assert_eq!(Pace::of(&none), Pace { concurrency: 1, spacing: Duration::ZERO });
}

#[test]
fn applications_are_spread_evenly_over_the_last_tenth_of_their_interval() {
    let month = Duration::from_hours(30 * 24);
    let mut tenths = [0; 10];
    for number in 0..10_000 {
        let early = jitter(&format!("uid-{number}"), month);
        assert!(early < month / 10);
        tenths[usize::try_from(early.as_secs() * 10 / (month / 10).as_secs()).expect("small")] += 1;
    }
    assert!(tenths.iter().all(|count| (850..1_150).contains(count)), "{tenths:?}");
}

#[test]
fn the_spread_of_an_application_is_the_same_in_every_process_and_release() {
    let month = Duration::from_hours(30 * 24);
    assert_eq!(jitter("3f1c7a52-0000-4000-8000-000000000001", month).as_secs(), 126_025);
    assert_eq!(jitter("a", Duration::ZERO), Duration::ZERO);
    assert!(jitter("a", Duration::MAX) <= Duration::MAX / 10);
}
