//! What holds for every crowd, whoever comes, stays away or takes long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::domain::fixtures::NOON;

/// How an application behaves.
#[derive(Clone, Copy, Debug)]
struct Habit {
    urgency: Urgency,
    /// Before noon, in seconds.
    due: i64,
    /// When it asks first, in milliseconds after noon.
    first: i64,
    /// How long its rotation takes, in milliseconds.
    length: i64,
    /// Never comes again after its first question.
    stays_away: bool,
}

fn habits(urgencies: impl Strategy<Value = Urgency>, latest: i64) -> impl Strategy<Value = Habit> {
    let habit = (urgencies, 0_i64..5, 0..=latest, 0_i64..30_000, prop::bool::weighted(0.1));
    habit.prop_map(|(urgency, due, first, length, stays_away)| Habit { urgency, due, first, length, stays_away })
}

fn any_urgency() -> impl Strategy<Value = Urgency> {
    prop_oneof![1 => Just(Urgency::Immediate), 2 => Just(Urgency::Requested), 7 => Just(Urgency::Scheduled)]
}

fn paces() -> impl Strategy<Value = Pace> {
    (1_usize..6, 0_u64..20)
        .prop_map(|(concurrency, seconds)| Pace { concurrency, spacing: Duration::from_secs(seconds) })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    End,
    Ask,
}

/// What became of a crowd.
#[derive(Default)]
struct Course {
    /// Who began when, in this order, and who else was under way.
    begun: Vec<(usize, Timestamp, BTreeSet<usize>)>,
    /// How often each asked.
    asked: BTreeMap<usize, usize>,
}

/// Lets everybody ask when they are told to.
fn course(pace: &Pace, crowd: &[Habit]) -> Course {
    let mut pacing = Pacing::default();
    let mut course = Course::default();
    let mut under_way = BTreeSet::new();
    let milliseconds = |number| NOON + SignedDuration::from_millis(number);
    let mut events: BTreeSet<(Timestamp, Event, usize)> =
        crowd.iter().enumerate().map(|(who, habit)| (milliseconds(habit.first), Event::Ask, who)).collect();
    while let Some((now, event, who)) = events.pop_first() {
        let habit = crowd[who];
        let uid = uid(who);
        if event == Event::End {
            under_way.remove(&who);
            pacing.ended(&uid);
            continue;
        }
        let asked = course.asked.entry(who).or_default();
        *asked += 1;
        assert!(*asked < 10_000, "{who} asks without end");
        if habit.stays_away && *asked > 1 {
            continue;
        }
        let request = Request { uid, due: NOON - SignedDuration::from_secs(habit.due), urgency: habit.urgency };
        match pacing.ask(pace, request, now) {
            Turn::Begin => {
                course.begun.push((who, now, under_way.clone()));
                under_way.insert(who);
                events.insert((now + SignedDuration::from_millis(habit.length), Event::End, who));
            }
            Turn::Wait(until) => {
                assert!(now < until, "to be asked again now is no answer");
                events.insert((until, Event::Ask, who));
            }
        }
        assert_eq!(pacing.under_way(), under_way.len());
    }
    course
}

/// In the order of the numbers.
fn uid(who: usize) -> String {
    format!("{who:05}")
}

fn due_at_once(count: usize, length: i64) -> Vec<Habit> {
    let habit = |first| Habit { urgency: Urgency::Scheduled, due: 0, first, length, stays_away: false };
    // Who is last in the line asks first.
    (0..count)
        .map(|who| habit(i64::try_from(count - who).expect("small") * 500 / i64::try_from(count).expect("small")))
        .collect()
}

proptest! {
    #[test]
    fn never_more_than_may_go_at_once_begin_but_for_what_leaked(
        pace in paces(),
        crowd in prop::collection::vec(habits(any_urgency(), 60_000), 1..40),
    ) {
        let leaked = |who: &usize| crowd[*who].urgency == Urgency::Immediate;
        for (who, _, others) in course(&pace, &crowd).begun {
            prop_assert!(leaked(&who) || others.len() < pace.concurrency || others.iter().all(leaked));
        }
    }

    #[test]
    fn scheduled_ones_never_begin_closer_to_each_other_than_the_spacing(
        pace in paces(),
        crowd in prop::collection::vec(habits(any_urgency(), 60_000), 1..40),
    ) {
        let begun = course(&pace, &crowd).begun;
        let times: Vec<Timestamp> =
            begun.iter().filter(|(who, ..)| crowd[*who].urgency == Urgency::Scheduled).map(|(_, at, _)| *at).collect();
        prop_assert!(times.windows(2).all(|pair| later(pair[0], pace.spacing) <= pair[1]));
    }

    #[test]
    fn everyone_who_comes_begins_once_and_what_leaked_at_once(
        pace in paces(),
        crowd in prop::collection::vec(habits(any_urgency(), 60_000), 1..40),
    ) {
        let begun = course(&pace, &crowd).begun;
        let mut who: Vec<usize> = begun.iter().map(|(who, ..)| *who).collect();
        who.sort_unstable();
        prop_assert!(who.windows(2).all(|pair| pair[0] < pair[1]), "nobody begins twice");
        for (number, habit) in crowd.iter().enumerate().filter(|(_, habit)| !habit.stays_away) {
            prop_assert!(who.binary_search(&number).is_ok(), "{} never begins", number);
            let first = NOON + SignedDuration::from_millis(habit.first);
            let at_once = begun.contains(&(number, first, begun.iter().find(|(who, ..)| *who == number).expect("begun").2.clone()));
            prop_assert!(habit.urgency != Urgency::Immediate || at_once);
        }
    }

    #[test]
    fn those_who_are_due_go_in_order_whoever_asks_first(
        pace in paces().prop_filter("spaced", |pace| !pace.spacing.is_zero()),
        mut crowd in prop::collection::vec(habits(Just(Urgency::Scheduled), 999), 1..40),
    ) {
        for habit in &mut crowd {
            habit.stays_away = false;
        }
        let order: Vec<(i64, usize)> =
            course(&pace, &crowd).begun.iter().map(|(who, ..)| (-crowd[*who].due, *who)).collect();
        prop_assert!(order.is_sorted(), "{:?}", order);
    }
}

#[test]
fn a_thousand_that_are_due_at_once_take_a_thousand_spacings_and_ask_seldom() {
    for (concurrency, length) in [(4, 3_000), (4, 19_000), (1, 4_500)] {
        let pace = Pace { concurrency, spacing: Duration::from_secs(5) };
        let crowd = due_at_once(1_000, length);
        let course = course(&pace, &crowd);
        assert!(course.begun.iter().map(|(who, ..)| *who).eq(0..1_000), "in order");
        let (_, last, _) = course.begun[999];
        assert!(last <= NOON + SignedDuration::from_secs(5_000 + 60), "{last}");
        let asked: usize = course.asked.values().sum();
        assert!(asked <= 1_000 * 12, "{asked} questions");
    }
}

/// Automation Cloud takes 300 reads and 160 removals of an organization in five minutes
/// (<https://docs.uipath.com/automation-cloud/Automation-cloud/latest/api-guide/api-rate-limits-for-identity-server>). A
/// rotation reads its registration once, three times if it fails, and removes one secret; half of the reads are kept for
/// people.
#[test]
fn a_thousand_that_are_due_at_once_stay_within_what_a_server_takes_in_any_five_minutes() {
    let pace = Pace::of(&crate::api::rotation::RotationPacing::default());
    let begun = course(&pace, &due_at_once(1_000, 3_000)).begun;
    assert_eq!(begun.len(), 1_000);
    let most = begun.iter().map(|(_, first, _)| {
        let end = *first + SignedDuration::from_mins(5);
        begun.iter().filter(|(_, time, _)| time >= first && *time < end).count()
    });
    let most = most.max().unwrap_or_default();
    assert!((50..=61).contains(&most), "{most} in five minutes");
    assert!(most <= 160 / 2 && most + 2 * most <= 300 - 300 / 3, "{most} in five minutes");
}

#[test]
fn many_that_wait_for_slow_ones_do_not_all_ask_whenever_one_begins() {
    let pace = Pace { concurrency: 4, spacing: Duration::from_secs(1) };
    let course = course(&pace, &due_at_once(300, 120_000));
    assert_eq!(course.begun.len(), 300);
    let asked: usize = course.asked.values().sum();
    // Half of 300 times 300 would be 45,000.
    assert!(asked <= 40_000, "{asked} questions");
}

#[test]
fn a_hundred_that_are_gone_hold_up_the_others_together_and_not_one_after_the_other() {
    let pace = Pace { concurrency: 4, spacing: Duration::from_secs(5) };
    let mut crowd = due_at_once(200, 3_000);
    for gone in &mut crowd[..100] {
        gone.stays_away = true;
    }
    let course = course(&pace, &crowd);
    let began: Vec<usize> = course.begun.iter().map(|(who, ..)| *who).collect();
    assert!(began.into_iter().eq(100..200));
    let (_, last, _) = course.begun[99];
    assert!(last <= NOON + SignedDuration::from_secs(1_000 + 60), "{last}");
}
