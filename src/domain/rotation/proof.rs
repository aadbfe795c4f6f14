//! What follows from the token endpoint's answer to a new secret.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Trigger, UNANSWERED, later};

/// The first wait between two tries, and the longest.
const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

/// What the token endpoint said of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted,
    Refused,
    /// No answer, or none that says yes or no.
    Nothing,
}

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Publish,
    /// It is published although it is not proven: the one before has leaked, and must go.
    PublishUnproven,
    /// It is tried again at this time.
    Later(Timestamp),
    Withdraw,
}

/// How long after it was made a secret is tried that got this answer.
pub fn patience(trigger: Trigger, answer: Answer) -> Duration {
    match answer {
        Answer::Nothing if trigger != Trigger::Leaked => UNANSWERED,
        _ => trigger.patience(),
    }
}

/// `since`: when the secret was made.
pub fn judge(trigger: Trigger, since: Timestamp, answer: Answer, now: Timestamp) -> Verdict {
    if answer == Answer::Accepted {
        return Verdict::Publish;
    }
    if now < later(since, patience(trigger, answer)) {
        return Verdict::Later(next_try(since, now));
    }
    if trigger == Trigger::Leaked { Verdict::PublishUnproven } else { Verdict::Withdraw }
}

/// Tries come at once at first, and less and less often: half of the time that has passed is waited.
pub fn next_try(since: Timestamp, now: Timestamp) -> Timestamp {
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    let wait = (passed / 2).clamp(FIRST, LONGEST);
    now.saturating_add(SignedDuration::try_from(wait).unwrap_or_default()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::NOON;

    fn after(seconds: i64) -> Timestamp {
        NOON + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn a_secret_that_is_refused_is_tried_until_the_deadline_and_then_withdrawn() {
        use Answer::{Accepted, Nothing, Refused};
        for (trigger, answer, seconds, expected) in [
            (Trigger::Schedule, Accepted, 0, Verdict::Publish),
            (Trigger::Schedule, Refused, 0, Verdict::Later(NOON + SignedDuration::from_millis(500))),
            (Trigger::Schedule, Refused, 10, Verdict::Later(after(15))),
            (Trigger::Schedule, Refused, 299, Verdict::Later(after(329))),
            (Trigger::Schedule, Refused, 300, Verdict::Withdraw),
            (Trigger::Schedule, Accepted, 300, Verdict::Publish),
            (Trigger::RolledBack, Refused, 300, Verdict::Withdraw),
            (Trigger::Schedule, Nothing, 300, Verdict::Later(after(330))),
            (Trigger::Schedule, Nothing, 3_600, Verdict::Withdraw),
            (Trigger::Leaked, Refused, 59, Verdict::Later(NOON + SignedDuration::from_millis(88_500))),
            (Trigger::Leaked, Refused, 60, Verdict::PublishUnproven),
            (Trigger::Leaked, Nothing, 60, Verdict::PublishUnproven),
        ] {
            assert_eq!(judge(trigger, NOON, answer, after(seconds)), expected, "{trigger:?} {answer:?} {seconds}");
        }
    }

    #[test]
    fn a_clock_that_went_back_withdraws_nothing() {
        assert_eq!(
            judge(Trigger::Schedule, after(60), Answer::Refused, NOON),
            Verdict::Later(NOON + SignedDuration::from_millis(500))
        );
    }
}
