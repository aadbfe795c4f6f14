//! The checks, without a clock.

use super::*;
use crate::api::{REVOKE_NOW, ROLLBACK, ROTATE};
use crate::domain::fixtures::{NOON, app, settled};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

const DAY: i64 = 24;

fn at(hours: i64) -> Timestamp {
    NOON + SignedDuration::from_hours(hours)
}

/// An application whose secret was made at NOON, with this policy, these annotations and this memory.
fn with(policy: serde_json::Value, annotations: &[(&str, &str)], memory: serde_json::Value) -> ExternalApplication {
    let mut app = settled(app(), "id-7", "1");
    app.spec.rotation = Some(serde_json::from_value(policy).expect("a policy"));
    app.metadata.annotations =
        Some(annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    let status = app.status.as_mut().expect("a status");
    status.credentials[0].created_at = Some(Time(NOON));
    status.rotation = Some(serde_json::from_value(memory).expect("a memory"));
    app
}

fn found(app: &ExternalApplication, hours: i64) -> Option<&'static str> {
    of_application(app, at(hours)).map(|due| due.trigger.as_str())
}

#[test]
fn a_value_that_an_annotation_goes_back_to_asks_for_nothing() {
    for (annotation, field) in [("extapp.dev/rotate", "rotate"), ("extapp.dev/revoke-now", "revokeNow")] {
        let earlier = json!([{"annotation": annotation, "value": "from the repository"}]);
        let asked = |value| with(json!({}), &[(annotation, value)], json!({field: "by hand", "earlier": earlier}));
        assert_eq!(found(&asked("from the repository"), 1), None);
        assert_eq!(found(&asked("by hand"), 1), None);
        assert!(found(&asked("another"), 1).is_some());
        assert_eq!(outstanding(&asked("from the repository")), []);
        assert_eq!(outstanding(&asked("another")), [(annotation, "another".to_owned())]);
    }
}

fn next(app: &ExternalApplication, hours: i64) -> Option<Timestamp> {
    let status = app.status.as_ref().expect("a status");
    report::next_time(app, &status.credentials, status.rotation.as_ref(), at(hours))
}

#[test]
fn each_check_finds_its_reason_and_the_most_urgent_one_decides() {
    let last = at(40 * DAY).to_string();
    let ends = |hours: i64| {
        let mut app = with(json!({}), &[], json!({}));
        app.status.as_mut().expect("a status").credentials[0].expires_at = Some(Time(at(hours)));
        app
    };
    let month = json!({"interval": "30d"});
    let both = json!({"interval": "30d", "maxAge": "60d"});
    for (what, app, hours, expected) in vec![
        ("nothing asked for", with(json!({}), &[], json!({})), 999 * DAY, None),
        ("too young", with(month.clone(), &[], json!({})), 26 * DAY, None),
        ("as old as the interval", with(month.clone(), &[], json!({})), 30 * DAY, Some("Schedule")),
        ("counted from the last", with(month.clone(), &[], json!({"lastTime": last})), 60 * DAY, None),
        ("and due again", with(month.clone(), &[], json!({"lastTime": last})), 70 * DAY, Some("Schedule")),
        ("older than may be", with(both.clone(), &[], json!({"lastTime": last})), 60 * DAY, Some("MaxAge")),
        ("ends in two days", ends(48), 0, None),
        ("ends in a day", ends(72), 48, Some("Expiry")),
        ("asked for", with(json!({}), &[(ROTATE, "a")], json!({})), 0, Some("Requested")),
        ("done before", with(json!({}), &[(ROTATE, "a")], json!({"rotate": "a"})), 0, None),
        ("asked for again", with(json!({}), &[(ROTATE, "b")], json!({"rotate": "a"})), 0, Some("Requested")),
        ("leaked", with(json!({}), &[(ROTATE, "a"), (REVOKE_NOW, "x")], json!({})), 0, Some("Leaked")),
        ("to be undone", with(json!({}), &[(ROTATE, "a"), (ROLLBACK, "x")], json!({})), 0, Some("RolledBack")),
        ("a long request", with(json!({}), &[(ROTATE, &"x".repeat(300))], json!({"rotate": "x".repeat(256)})), 0, None),
    ] {
        assert_eq!(found(&app, hours), expected, "{what}");
    }
}

#[test]
fn after_a_failure_nothing_but_a_request_makes_another_try_within_the_hour() {
    let failed = |annotations: &[(&str, &str)]| {
        with(json!({"interval": "30d"}), annotations, json!({"failedTime": at(40 * DAY).to_string()}))
    };
    let half = SignedDuration::from_mins(30);
    assert_eq!(of_application(&failed(&[]), at(40 * DAY) + half), None);
    assert_eq!(next(&failed(&[]), 40 * DAY), Some(at(40 * DAY + 1)));
    assert_eq!(found(&failed(&[]), 40 * DAY + 1), Some("Schedule"));
    assert_eq!(found(&failed(&[(ROTATE, "now")]), 40 * DAY), Some("Requested"));
}

#[test]
fn a_scheduled_rotation_waits_for_its_window_and_what_cannot_wait_does_not() {
    // NOON is a Monday; two o'clock on Saturday is 4 days and 21 hours and some after.
    let window = json!({"schedule": "0 2 * * 6", "duration": "4h"});
    let policy = json!({"interval": "1d", "maxAge": "9d", "window": window});
    let app = with(policy, &[], json!({}));
    let opens = next(&app, 2 * DAY).expect("a next time");
    let zoned = opens.to_zoned(jiff::tz::TimeZone::UTC);
    assert_eq!((zoned.weekday(), zoned.hour(), zoned.minute()), (jiff::civil::Weekday::Saturday, 2, 0));
    assert_eq!(of_application(&app, opens - SignedDuration::from_secs(1)), None);
    assert_eq!(of_application(&app, opens).map(|due| due.trigger), Some(Trigger::Schedule));
    let late = opens + SignedDuration::from_secs(4 * 3_600 - 1);
    assert_eq!(of_application(&app, late).map(|due| due.trigger), Some(Trigger::Schedule));
    let mut done = app.clone();
    let memory = json!({"lastTime": opens.to_string()});
    done.status.as_mut().expect("a status").rotation = Some(serde_json::from_value(memory).expect("a memory"));
    assert_eq!(of_application(&done, late), None, "one rotation for each opening");
    assert_eq!(found(&app, 9 * DAY), Some("MaxAge"), "an age that must not be reached does not wait");
}

#[test]
fn what_is_wrong_with_a_policy_is_told_with_its_field() {
    let told = |policy| Policy::of(&with(policy, &[], json!({}))).expect_err("refused").message;
    let schedule = told(json!({"interval": "1d", "window": {"schedule": "0 25 * * *", "duration": "1h"}}));
    assert!(schedule.starts_with("spec.rotation.window.schedule"), "{schedule}");
    let zone =
        json!({"interval": "1d", "window": {"schedule": "0 2 * * *", "duration": "1h", "timeZone": "Mars/Base"}});
    assert!(told(zone).starts_with("spec.rotation.window.timeZone"));
    assert!(told(json!({"interval": "9d", "maxAge": "1d"})).starts_with("spec.rotation.maxAge"));
}

#[test]
fn what_a_server_of_one_secret_cannot_do_is_refused_before_anything_is_done() {
    let several = crate::domain::fixtures::facts().capabilities;
    let (one, fixed) =
        (Capabilities { secrets: Secrets::One, ..several }, Capabilities { secrets: Secrets::Fixed, ..several });
    let refused = |policy, capabilities: &Capabilities| {
        let policy = Policy::of(&with(policy, &[], json!({}))).expect("a policy");
        policy.refusal(capabilities).map(|finding| finding.message.split(": ").next().unwrap_or_default().to_owned())
    };
    let overlap = json!({"interval": "1d", "overlap": "1h"});
    assert_eq!(refused(overlap.clone(), &several), None);
    assert_eq!(refused(overlap, &one).as_deref(), Some("spec.rotation.overlap"));
    assert_eq!(refused(json!({"interval": "1d", "overlap": "0s"}), &one), None);
    assert_eq!(refused(json!({"retire": "WhenConsumersRolled"}), &one).as_deref(), Some("spec.rotation.retire"));
    assert_eq!(refused(json!({"interval": "1d"}), &fixed).as_deref(), Some("spec.rotation"));
    assert_eq!(refused(json!({}), &fixed), None);
}

#[test]
fn applications_of_one_age_are_not_due_at_one_time() {
    let due = |uid: &str| {
        let mut app = with(json!({"interval": "30d"}), &[], json!({}));
        app.metadata.uid = Some(uid.into());
        next(&app, 0).expect("a time")
    };
    let times: std::collections::BTreeSet<Timestamp> = (0..50).map(|n| due(&format!("uid-{n}"))).collect();
    assert!(times.len() > 40 && times.iter().all(|time| *time > at(27 * DAY) && *time <= at(30 * DAY)));
    assert_eq!(due("uid-1"), due("uid-1"));
}

#[test]
fn what_is_only_observed_is_not_rotated_by_itself_and_is_not_looked_at_for_it() {
    let mut app = with(json!({"interval": "30d", "maxAge": "40d"}), &[], json!({}));
    app.status.as_mut().expect("a status").credentials[0].expires_at = Some(Time(at(50 * DAY)));
    assert_eq!(found(&app, 60 * DAY), Some("Expiry"));
    app.spec.management = Some(crate::api::external_application::Management::Observe);
    assert_eq!((found(&app, 60 * DAY), next(&app, 60 * DAY)), (None, None));
    app.metadata.annotations = Some([(ROTATE.to_owned(), "now".to_owned())].into());
    assert_eq!(found(&app, 60 * DAY), Some("Requested"), "which is refused");
}
