//! When a scheduled rotation may begin: a window opens by a cron schedule in a time zone, and stays open for a while.
//!
//! The schedule speaks of the clock on the wall, a window of what passes in between:
//!
//! - A start that the clock jumps over (daylight saving time begins) is taken at the first instant after the gap.
//! - A start that the clock shows twice (daylight saving time ends) is taken once, the first time.
//! - The duration is elapsed time: a window of four hours lasts four hours, whatever the clock shows at its end.
//! - Where the next start comes before the duration is over, the one occurrence closes as the next one opens. The window
//!   does not close in between, and every instant belongs to one occurrence at the most, so that something that is done
//!   once for each occurrence is never done twice in one.
//! - Starts that fall into one instant, as the several that one gap swallows, are one occurrence.

use std::iter;
use std::time::Duration;

use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, CronPattern, Weekday};
use jiff::civil::{Date, DateTime, date};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};

use super::later;
use crate::domain::scopes::nearest;

/// The zone of a schedule that names none.
const ZONE: &str = "Etc/UTC";

/// How the calendar goes on in these years is all that it ever does: every day of the year falls on every day of the week,
/// in leap years too.
const CALENDAR: (Date, i16) = (date(2000, 1, 1), 28);

/// How much of what somebody wrote, and of what a parser says about it, a message shows, in characters.
const SHOWN: usize = 128;

/// What is wrong with a window, and what to write instead. Reads `field: message`; the field is `schedule`, `timeZone` or
/// `duration`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct WindowError {
    pub field: &'static str,
    pub message: String,
}

/// A window that opens again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    schedule: Cron,
    zone: TimeZone,
    duration: Duration,
}

/// One time that a window is open: from `opens`, which tells it from every other one, until just before `closes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    pub opens: Timestamp,
    pub closes: Timestamp,
}

impl Window {
    /// `schedule`: five fields of cron (minute, hour, day of month, month, day of week), with names (`MON`, `JAN`), lists,
    /// ranges, steps, and `L`, `W` and `#` for days such as the last Saturday (`6#L`) or the first one (`6#1`). Where both
    /// days are restricted, either is enough; with `+` before the day of week, both are needed. `time_zone`: a name of the
    /// IANA database, of which the program carries its own copy; UTC without it. `duration`: elapsed time.
    ///
    /// # Errors
    /// A field that is not understood, a schedule that never comes, or a duration of nothing.
    pub fn parse(schedule: &str, time_zone: Option<&str>, duration: Duration) -> Result<Self, WindowError> {
        let error = |field, message| WindowError { field, message };
        let schedule = parse_schedule(schedule).map_err(|message| error("schedule", message))?;
        let zone = parse_zone(time_zone.unwrap_or(ZONE)).map_err(|message| error("timeZone", message))?;
        if duration.is_zero() {
            let message = "must be a duration of more than nothing, such as 30m or 4h".to_owned();
            return Err(error("duration", message));
        }
        Ok(Self { schedule, zone, duration })
    }

    /// The occurrence that this instant is in.
    pub fn open_at(&self, now: Timestamp) -> Option<Occurrence> {
        self.opened(now).map(|opens| self.occurrence(opens)).filter(|occurrence| now < occurrence.closes)
    }

    /// The first occurrence that opens after this instant. There is always one, but for the last years that a calendar of
    /// the program has.
    pub fn next_after(&self, now: Timestamp) -> Option<Occurrence> {
        self.opens_after(now).map(|opens| self.occurrence(opens))
    }

    /// The occurrence that is open, or else the next one.
    pub fn usable(&self, now: Timestamp) -> Option<Occurrence> {
        self.open_at(now).or_else(|| self.next_after(now))
    }

    fn occurrence(&self, opens: Timestamp) -> Occurrence {
        let over = later(opens, self.duration);
        Occurrence { opens, closes: self.opens_after(opens).map_or(over, |next| next.min(over)) }
    }

    /// When the last one opened that opened by then.
    fn opened(&self, now: Timestamp) -> Option<Timestamp> {
        let starts =
            iter::successors(self.last_start(self.furthest(now), true), |start| self.last_start(*start, false));
        starts.map_while(|start| self.instant(start)).find(|opens| *opens <= now)
    }

    fn opens_after(&self, now: Timestamp) -> Option<Timestamp> {
        let starts = iter::successors(self.next_start(self.zone.to_datetime(now)), |start| self.next_start(*start));
        // Those that the clock shows for the second time are past.
        starts.map_while(|start| self.instant(start)).find(|opens| now < *opens)
    }

    /// How far the clock on the wall had come by then: further than what it shows while it repeats an hour.
    fn furthest(&self, now: Timestamp) -> DateTime {
        let shown = self.zone.to_datetime(now);
        match self.zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Fold { before, .. } => before.to_datetime(now),
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => shown,
        }
    }

    /// The instant at which the clock shows a time first, or would have. Never earlier for a later time.
    fn instant(&self, start: DateTime) -> Option<Timestamp> {
        let ambiguous = self.zone.to_ambiguous_timestamp(start);
        let AmbiguousOffset::Gap { after, .. } = ambiguous.offset() else {
            return ambiguous.earlier().ok();
        };
        let ahead = ambiguous.earlier().ok()?;
        self.zone.following(ahead).find(|transition| transition.offset() == after).map(|gap| gap.timestamp())
    }

    /// The search knows no time zone, and thus no gaps.
    fn next_start(&self, after: DateTime) -> Option<DateTime> {
        let after = after.to_zoned(TimeZone::UTC).ok()?;
        self.schedule.find_next_occurrence(&after, false).ok().map(|start| start.datetime())
    }

    fn last_start(&self, before: DateTime, inclusive: bool) -> Option<DateTime> {
        let before = before.to_zoned(TimeZone::UTC).ok()?;
        self.schedule.find_previous_occurrence(&before, inclusive).ok().map(|start| start.datetime())
    }
}

fn parse_schedule(text: &str) -> Result<Cron, String> {
    const FIELDS: &str = "five fields: minute, hour, day of month, month, day of week, such as 0 2 * * 6";
    let found = text.split_whitespace().count();
    if found != 5 {
        return Err(format!("has {found} fields; write {FIELDS}"));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|error| {
        let said = shown(error.to_string().trim_end_matches('.'));
        format!("{:?} is not understood ({said}); write {FIELDS}", shown(text))
    })?;
    if !comes(&cron.pattern) {
        return Err(format!(
            "{:?} never comes: no such month has such a day; write a day that there is, or L for the last of the month",
            shown(text)
        ));
    }
    Ok(cron)
}

/// Whether there is a day that a schedule speaks of.
fn comes(pattern: &CronPattern) -> bool {
    let (first, years) = CALENDAR;
    let days = first.series(1.day()).take_while(|day| day.year() < first.year() + years);
    days.into_iter().any(|day| {
        let (Ok(month), Ok(number)) = (u32::try_from(day.month()), u32::try_from(day.day())) else { return false };
        let weekday = u32::try_from(day.weekday().to_sunday_zero_offset()).unwrap_or_default();
        let weekday = Weekday::from_days_from_sunday(weekday);
        pattern.month_match(month).unwrap_or_default()
            && pattern.day_match(day.year().into(), month, number, weekday).unwrap_or_default()
    })
}

fn parse_zone(name: &str) -> Result<TimeZone, String> {
    // The program's own copy: what a machine has may differ, and a container has none.
    let database = TimeZoneDatabase::bundled();
    if let Some(zone) = database.get(name).ok().filter(|zone| !zone.is_unknown()) {
        return Ok(zone);
    }
    let names: Vec<String> = database.available().map(|name| name.to_string()).collect();
    let instead = match nearest(&shown(name), names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None => "write a name of the IANA database, such as Europe/Berlin or Etc/UTC".to_owned(),
    };
    Err(format!("{:?} is not a time zone; {instead}", shown(name)))
}

fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
