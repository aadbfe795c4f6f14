//! What holds for windows in every zone, above all where the clock is set.

use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const ZONES: [&str; 7] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "UTC",
];

/// How long the time is that is looked at, in minutes.
const SPAN: i64 = 3 * 1_440;

/// No window of these tests lasts longer, in minutes.
const LONGEST: i64 = 720;

/// A schedule, and a time near which the clock is set, if it ever is.
fn worlds() -> impl Strategy<Value = (Window, Timestamp)> {
    let schedule = (
        select(vec!["0", "30", "59", "*/15", "*/7", "5,35", "*"]),
        select(vec!["*", "0-4", "0", "1", "2", "3", "*/2", "23"]),
        select(vec!["*", "*", "*/2", "L"]),
        select(vec!["*", "*", "0", "1-5", "0#L"]),
    );
    // From 1975 to 2040.
    let near = (157_766_400_i64..2_208_988_800, -1_440_i64..2_880);
    (select(ZONES.to_vec()), schedule, 1..=LONGEST, near).prop_map(|(zone, fields, minutes, (seconds, before))| {
        let schedule = format!("{} {} {} * {}", fields.0, fields.1, fields.2, fields.3);
        let duration = Duration::from_mins(minutes.unsigned_abs());
        let window = Window::parse(&schedule, Some(zone), duration).expect("a window");
        let anywhere = Timestamp::from_second(seconds).expect("in range");
        let set = window.zone.following(anywhere).next().map_or(anywhere, |transition| transition.timestamp());
        (window, minute(set.as_second() / 60 - before))
    })
}

fn minute(number: i64) -> Timestamp {
    Timestamp::from_second(number * 60).expect("in range")
}

/// When the window opens within the span, by looking at the clock every minute: whenever it shows a time that it never
/// showed, everything opens that was to open since the last such time.
fn openings(window: &Window, from: Timestamp) -> Vec<Timestamp> {
    let first = from.as_second() / 60;
    let shown = |number| window.zone.to_datetime(minute(number));
    let matches = |time: DateTime| {
        let time = time.to_zoned(TimeZone::UTC).expect("in range");
        window.schedule.is_time_matching(&time).expect("in range")
    };
    // The clock is never set by more than this.
    let mut furthest = (first - 1_500..first).map(shown).max().expect("a time");
    let mut found = Vec::new();
    for number in first..first + SPAN {
        let now = shown(number);
        let passed = iter::successors(Some(furthest), |time| Some(*time + 1.minute())).skip(1);
        if passed.take_while(|time| *time <= now).filter(|time| matches(*time)).count() > 0 {
            found.push(minute(number));
        }
        furthest = furthest.max(now);
    }
    found
}

/// The occurrences that open within the span.
fn occurrences(window: &Window, from: Timestamp) -> Vec<Occurrence> {
    let end = from + SignedDuration::from_mins(SPAN);
    let first = window.next_after(from - SignedDuration::from_nanos(1));
    iter::successors(first, |occurrence| window.next_after(occurrence.opens))
        .take_while(|occurrence| occurrence.opens < end)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_window_opens_when_the_clock_first_shows_its_start_or_goes_past_it((window, from) in worlds()) {
        let found: Vec<Timestamp> = occurrences(&window, from).iter().map(|occurrence| occurrence.opens).collect();
        prop_assert_eq!(found, openings(&window, from));
    }

    #[test]
    fn it_is_open_as_long_after_a_start_as_its_duration_says_or_until_the_next_start(
        (window, from) in worlds(),
        moments in prop::collection::vec(LONGEST * 60_000..(SPAN - LONGEST) * 60_000, 64),
    ) {
        let starts = openings(&window, from);
        for moment in moments.into_iter().map(|milliseconds| from + SignedDuration::from_millis(milliseconds)) {
            let expected = starts.iter().rfind(|opens| **opens <= moment).map(|opens| {
                let (over, next) = (later(*opens, window.duration), starts.iter().find(|next| opens < *next));
                Occurrence { opens: *opens, closes: next.map_or(over, |next| over.min(*next)) }
            });
            let expected = expected.filter(|occurrence| moment < occurrence.closes);
            prop_assert_eq!(window.open_at(moment), expected);
            prop_assert_eq!(window.usable(moment), expected.or_else(|| window.next_after(moment)));
        }
    }

    #[test]
    fn who_looks_more_often_than_it_closes_sees_every_occurrence_and_none_again(
        (window, from) in worlds(),
        steps in prop::collection::vec(1_i64..=1_000, 16),
    ) {
        let expected = occurrences(&window, from);
        let Some(shortest) = expected.iter().map(|it| it.closes.duration_since(it.opens)).min() else { return Ok(()) };
        let end = from + SignedDuration::from_mins(SPAN);
        let mut seen: Vec<Occurrence> = Vec::new();
        let (mut now, mut steps) = (from, steps.into_iter().cycle());
        while now < end {
            let open = window.open_at(now).filter(|open| from <= open.opens);
            if let Some(open) = open.filter(|open| seen.last() != Some(open)) {
                prop_assert!(!seen.contains(&open), "{} is seen again", open.opens);
                seen.push(open);
            }
            now += shortest * i32::try_from(steps.next().unwrap_or(1_000)).expect("small") / 1_000;
        }
        // Whoever stops in the middle of one may not have seen it yet.
        let over = expected.iter().filter(|occurrence| occurrence.closes <= end).count();
        prop_assert!(over <= seen.len() && seen.len() <= expected.len());
        prop_assert_eq!(&seen[..], &expected[..seen.len()]);
    }

    #[test]
    fn every_instant_of_an_occurrence_belongs_to_it_and_those_around_it_do_not(
        (window, from) in worlds(),
        which in any::<Index>(),
        share in 0_i32..1_000,
    ) {
        let found = occurrences(&window, from);
        prop_assume!(!found.is_empty());
        let occurrence = *which.get(&found);
        let Occurrence { opens, closes } = occurrence;
        prop_assert!(opens < closes);
        let least = SignedDuration::from_nanos(1);
        for inside in [opens, opens + closes.duration_since(opens) * share / 1_000, closes - least] {
            prop_assert_eq!(window.open_at(inside), Some(occurrence));
        }
        for outside in [opens - least, closes] {
            prop_assert_ne!(window.open_at(outside), Some(occurrence));
        }
    }

    #[test]
    fn a_later_question_has_no_earlier_answer(
        (window, from) in worlds(),
        moments in prop::array::uniform2(0_i64..SPAN * 60_000),
    ) {
        let [first, second] = moments.map(|milliseconds| from + SignedDuration::from_millis(milliseconds));
        let next = |now| window.next_after(now).map(|occurrence| occurrence.opens);
        prop_assert!(next(first) > Some(first));
        prop_assert!(next(first.min(second)) <= next(first.max(second)));
    }

    #[test]
    fn whatever_somebody_writes_is_a_window_or_refused_in_few_words(
        fields in prop::collection::vec("[0-9*/,LW#?+-]{1,6}|[A-Z]{3}(-[A-Z]{3})?|\\PC{1,4}", 5),
        zone in prop::option::of("[A-Za-z/_+-]{0,20}"),
    ) {
        match Window::parse(&fields.join(" "), zone.as_deref(), Duration::from_hours(1)) {
            Ok(window) => {
                let now = minute(29_000_000);
                let next = window.next_after(now).expect("it comes");
                prop_assert_eq!(window.open_at(next.opens), Some(next));
            }
            Err(error) => prop_assert!(error.to_string().chars().count() < 500),
        }
    }
}
