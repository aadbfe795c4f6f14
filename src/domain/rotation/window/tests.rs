use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn window(schedule: &str, zone: &str, duration: Duration) -> Window {
    Window::parse(schedule, Some(zone), duration).expect("a window")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("an instant")
}

/// When the window opens next, for so many times, in UTC.
fn openings(window: &Window, after: &str, count: usize) -> Vec<String> {
    let next = |from: Timestamp| window.next_after(from).map(|occurrence| occurrence.opens);
    iter::successors(next(at(after)), |opens| next(*opens)).take(count).map(|opens| opens.to_string()).collect()
}

fn refused(schedule: &str, zone: Option<&str>, duration: Duration) -> String {
    Window::parse(schedule, zone, duration).expect_err("refused").to_string()
}

#[test]
fn a_window_is_open_from_its_start_until_just_before_its_end() {
    let window = Window::parse("0 2 * * 6", None, 4 * HOUR).expect("a window");
    let saturday = Occurrence { opens: at("2026-11-28T02:00:00Z"), closes: at("2026-11-28T06:00:00Z") };
    assert_eq!(window.open_at(at("2026-11-28T01:59:59.999999999Z")), None);
    assert_eq!(window.open_at(saturday.opens), Some(saturday));
    assert_eq!(window.open_at(at("2026-11-28T05:59:59.999999999Z")), Some(saturday));
    assert_eq!(window.open_at(saturday.closes), None);
    assert_eq!(window.next_after(at("2026-11-25T12:00:00Z")), Some(saturday));
    assert_eq!(window.next_after(at("2026-11-28T01:59:59.5Z")), Some(saturday));
    assert_eq!(openings(&window, "2026-11-28T02:00:00Z", 1), ["2026-12-05T02:00:00Z"], "strictly after");
    assert_eq!(window.usable(at("2026-11-28T03:00:00Z")), Some(saturday));
    assert_eq!(window.usable(at("2026-11-27T03:00:00Z")), Some(saturday));
}

#[test]
fn a_start_that_the_clock_jumps_over_is_taken_at_the_first_instant_after_the_gap() {
    let berlin = window("30 2 * * *", "Europe/Berlin", HOUR);
    let days = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    assert_eq!(openings(&berlin, "2026-03-28T00:00:00Z", 3), days);
    let open = berlin.open_at(at("2026-03-29T01:59:59Z")).expect("open");
    assert_eq!((open.opens, open.closes), (at("2026-03-29T01:00:00Z"), at("2026-03-29T02:00:00Z")));
    assert_eq!(berlin.open_at(at("2026-03-29T00:59:59Z")), None);
    let half_an_hour = window("15 2 * * *", "Australia/Lord_Howe", HOUR);
    assert_eq!(openings(&half_an_hour, "2026-10-03T12:00:00Z", 1), ["2026-10-03T15:30:00Z"]);
    let at_midnight = window("0 0 * * *", "America/Sao_Paulo", HOUR);
    assert_eq!(openings(&at_midnight, "2018-11-03T12:00:00Z", 1), ["2018-11-04T03:00:00Z"]);
    let a_whole_day = window("0 12 * * *", "Pacific/Apia", HOUR);
    let days = ["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"];
    assert_eq!(openings(&a_whole_day, "2011-12-29T12:00:00Z", 3), days);
}

#[test]
fn starts_that_fall_into_one_gap_are_one_occurrence() {
    let often = window("*/10 * * * *", "Europe/Berlin", Duration::from_mins(5));
    let starts = ["2026-03-29T00:50:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:10:00Z"];
    assert_eq!(openings(&often, "2026-03-29T00:45:00Z", 3), starts);
}

#[test]
fn a_start_that_the_clock_shows_twice_is_taken_the_first_time() {
    let berlin = window("30 2 * * *", "Europe/Berlin", Duration::from_mins(20));
    let days = ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
    assert_eq!(openings(&berlin, "2026-10-24T00:00:00Z", 3), days);
    assert!(berlin.open_at(at("2026-10-25T00:40:00Z")).is_some());
    assert_eq!(berlin.open_at(at("2026-10-25T01:40:00Z")), None, "the clock shows 2:40 again");
    let hourly = window("15 * * * *", "Europe/Berlin", 2 * HOUR);
    let open = hourly.open_at(at("2026-10-25T01:50:00Z")).expect("open");
    assert_eq!(open.opens, at("2026-10-25T00:15:00Z"), "what opened before the clock was set back is open still");
    assert_eq!(hourly.open_at(at("2026-10-25T02:14:00Z")), Some(open));
    let half_an_hour = window("45 1 * * *", "Australia/Lord_Howe", Duration::from_mins(1));
    let once = ["2026-04-04T14:45:00Z", "2026-04-05T15:15:00Z"];
    assert_eq!(openings(&half_an_hour, "2026-04-04T12:00:00Z", 2), once);
}

#[test]
fn the_duration_is_what_passes_and_not_what_the_clock_shows() {
    let night = window("0 1 * * *", "Europe/Berlin", 4 * HOUR);
    for (opens, closes) in
        [("2026-03-29T00:00:00Z", "2026-03-29T04:00:00Z"), ("2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z")]
    {
        assert_eq!(night.open_at(at(opens)), Some(Occurrence { opens: at(opens), closes: at(closes) }));
    }
}

#[test]
fn a_window_that_opens_again_before_it_closes_stays_open_and_is_another_occurrence() {
    let window = window("0 * * * *", "Etc/UTC", 3 * HOUR);
    let first = Occurrence { opens: at("2026-11-25T04:00:00Z"), closes: at("2026-11-25T05:00:00Z") };
    let second = Occurrence { opens: at("2026-11-25T05:00:00Z"), closes: at("2026-11-25T06:00:00Z") };
    assert_eq!(window.open_at(at("2026-11-25T04:59:59Z")), Some(first));
    assert_eq!(window.open_at(at("2026-11-25T05:00:00Z")), Some(second));
}

#[test]
fn days_that_are_rare_come_when_the_calendar_has_them() {
    let leap_day = window("0 2 29 2 *", "Etc/UTC", HOUR);
    let days = ["2028-02-29T02:00:00Z", "2032-02-29T02:00:00Z"];
    assert_eq!(openings(&leap_day, "2026-01-01T00:00:00Z", 2), days);
    assert_eq!(openings(&leap_day, "2096-03-01T00:00:00Z", 1), ["2104-02-29T02:00:00Z"], "2100 has no leap day");
    let monday = window("0 2 29 2 +1", "Etc/UTC", HOUR);
    assert_eq!(openings(&monday, "2072-03-01T00:00:00Z", 1), ["2112-02-29T02:00:00Z"]);
    let last = window("0 2 31 * *", "Etc/UTC", HOUR);
    let months = ["2026-12-31T02:00:00Z", "2027-01-31T02:00:00Z", "2027-03-31T02:00:00Z"];
    assert_eq!(openings(&last, "2026-11-25T00:00:00Z", 3), months);
    let last_of_month = window("0 2 L * *", "Etc/UTC", HOUR);
    let months = ["2026-11-30T02:00:00Z", "2026-12-31T02:00:00Z", "2027-01-31T02:00:00Z", "2027-02-28T02:00:00Z"];
    assert_eq!(openings(&last_of_month, "2026-11-25T00:00:00Z", 4), months);
    let last_saturday = window("0 2 * * SAT#L", "Etc/UTC", HOUR);
    let months = ["2026-11-28T02:00:00Z", "2026-12-26T02:00:00Z", "2027-01-30T02:00:00Z"];
    assert_eq!(openings(&last_saturday, "2026-11-25T00:00:00Z", 3), months);
    let first_saturday = window("0 2 * * 6#1", "Etc/UTC", HOUR);
    assert_eq!(openings(&first_saturday, "2026-11-25T00:00:00Z", 1), ["2026-12-05T02:00:00Z"]);
}

#[test]
fn either_of_two_restricted_days_is_enough_and_sunday_has_two_numbers() {
    let either = window("0 2 1 * 0", "Etc/UTC", HOUR);
    let days = ["2026-11-29T02:00:00Z", "2026-12-01T02:00:00Z", "2026-12-06T02:00:00Z"];
    assert_eq!(openings(&either, "2026-11-25T00:00:00Z", 3), days);
    for sunday in ["0 2 1 * 7", "0 2 1 * SUN"] {
        assert_eq!(openings(&window(sunday, "Etc/UTC", HOUR), "2026-11-25T00:00:00Z", 3), days);
    }
}

#[test]
fn a_schedule_that_never_comes_is_refused() {
    for schedule in ["0 2 30 2 *", "0 2 31 4,6,9,11 *", "0 2 30,31 2 +1", "0 2 30 FEB *"] {
        let said = refused(schedule, None, HOUR);
        assert!(said.starts_with("schedule: ") && said.contains("never comes: ") && said.contains("write"), "{said}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_field_and_what_to_write_instead() {
    let cases = [
        ("0 2 * *", None, HOUR, "schedule: has 4 fields; write five fields: minute, hour"),
        ("0 0 2 * * 6", None, HOUR, "schedule: has 6 fields; write five fields: minute, hour"),
        ("@daily", None, HOUR, "schedule: has 1 fields; write five fields: minute, hour"),
        ("61 2 * * *", None, HOUR, "schedule: \"61 2 * * *\" is not understood ("),
        ("0 2 * * MOO", None, HOUR, "schedule: \"0 2 * * MOO\" is not understood ("),
        ("0 2 * * 8", None, HOUR, "schedule: \"0 2 * * 8\" is not understood ("),
        (
            "0 2 * * 6",
            Some("Europe/Belrin"),
            HOUR,
            "timeZone: \"Europe/Belrin\" is not a time zone; did you mean Europe/Berlin?",
        ),
        (
            "0 2 * * 6",
            Some("Nowhere"),
            HOUR,
            "timeZone: \"Nowhere\" is not a time zone; write a name of the IANA database",
        ),
        ("0 2 * * 6", Some("Etc/Unknown"), HOUR, "timeZone: \"Etc/Unknown\" is not a time zone; "),
        ("0 2 * * 6", Some(""), HOUR, "timeZone: \"\" is not a time zone; "),
        ("0 2 * * 6", None, Duration::ZERO, "duration: must be a duration of more than nothing, such as 30m or 4h"),
    ];
    for (schedule, zone, duration, expected) in cases {
        let said = refused(schedule, zone, duration);
        assert!(said.starts_with(expected), "{said}");
    }
}

#[test]
fn a_message_is_short_however_long_the_mistake_is() {
    let long = "9".repeat(10_000);
    for said in [refused(&format!("{long} 2 * * *"), None, HOUR), refused("0 2 * * 6", Some(&long), HOUR)] {
        assert!(said.chars().count() < 500, "{said}");
    }
}

#[test]
fn every_zone_of_the_database_is_in_the_program() {
    let names: Vec<String> = TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
    assert!(names.len() > 500, "{}", names.len());
    for zone in ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Etc/UTC", "UTC"] {
        assert!(
            names.iter().any(|name| name == zone) && Window::parse("0 2 * * 6", Some(zone), HOUR).is_ok(),
            "{zone}"
        );
    }
}

#[test]
fn a_duration_beyond_all_time_is_a_window_that_is_always_open() {
    let window = window("0 2 * * *", "Etc/UTC", Duration::MAX);
    let open = window.open_at(at("2026-11-25T01:00:00Z")).expect("open");
    assert_eq!((open.opens, open.closes), (at("2026-11-24T02:00:00Z"), at("2026-11-25T02:00:00Z")));
}

#[test]
fn at_the_ends_of_time_the_search_ends() {
    let window = window("0 2 29 2 *", "Europe/Berlin", HOUR);
    for end in [Timestamp::MIN, Timestamp::MAX] {
        let _ = (window.open_at(end), window.next_after(end));
    }
    assert_eq!(window.next_after(Timestamp::MAX), None);
    assert_eq!(window.open_at(Timestamp::MIN), None);
}
