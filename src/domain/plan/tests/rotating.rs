//! Rotations, step by step.

use serde_json::json;

use super::*;
use crate::api::rotation::RotationStatus;
use crate::api::{REVOKE_NOW, ROLLBACK, ROTATE};
use crate::domain::capabilities::Secrets;
use crate::domain::fixtures::secret_info;
use crate::domain::observed::ServerSeen;
use crate::domain::reason::Reason;
use crate::domain::rotation::kept::{Kept, Seal, Secret, SeenKept, Unreadable};
use crate::domain::rotation::pacing::Turn;

fn asked(annotation: &str) -> ExternalApplication {
    let mut app = settled(app(), "id-7", "1");
    app.metadata.annotations = Some([(annotation.to_owned(), "now".to_owned())].into());
    app
}

fn kept(next: &str, previous: Option<&str>, trigger: Trigger) -> SeenKept {
    let secret = |id: &str| Secret::new(SecretId::new(id), &ClientSecret::new("value"));
    let kept = Kept {
        client_id: ClientId::new("id-7"),
        next: Some(secret(next)),
        previous: previous.map(secret),
        trigger,
        request: Some("now".into()),
        since: NOON,
    };
    SeenKept { uid: "kept".into(), resource_version: "3".into(), kept, seal: Seal::Current }
}

/// What the status says of a secret before this one, which ends so many seconds after noon.
fn retiring(current: &CredentialStatus, id: &str, seconds: i64) -> CredentialStatus {
    let ends = crate::domain::credentials::whole(NOON + SignedDuration::from_secs(seconds));
    CredentialStatus { id: id.to_owned(), state: CredentialState::Retiring, expires_at: Some(ends), ..current.clone() }
}

/// What the status says of a rotation that was asked for with `now`.
fn recorded() -> RotationStatus {
    RotationStatus { rotate: Some("now".into()), ..RotationStatus::default() }
}

/// What is decided so many seconds after noon.
fn decide_at(app: &ExternalApplication, seen: &Observed, seconds: i64) -> Plan {
    let now = NOON + SignedDuration::from_secs(seconds);
    let valid = validate(app, seen, now).expect("valid");
    plan(app, &valid, seen, Circumstances { identity: "me", now })
}

fn seen(app: &ExternalApplication, secret: &str) -> Observed {
    observed().unread("id-7").output(published(app, "id-7", secret))
}

#[test]
fn a_new_secret_is_kept_and_proven_before_it_is_published_and_the_old_one_stays() {
    let app = asked(ROTATE);
    let expected = [
        "add the next secret to id-7",
        "keep ? and 1",
        "prove (Requested)",
        "replace in invoice-sync-oauth",
        "complete (Requested)",
    ];
    assert_eq!(steps(&app, &seen(&app, "1")), expected);
}

#[test]
fn after_a_crash_it_goes_on_with_the_secret_that_was_kept() {
    let app = asked(ROTATE);
    let after = Observed { kept: Some(kept("2", Some("1"), Trigger::Requested)), ..seen(&app, "1") };
    let expected = ["prove (Requested)", "replace in invoice-sync-oauth", "complete (Requested)"];
    assert_eq!(steps(&app, &after), expected);
}

#[test]
fn a_secret_that_was_published_before_the_report_is_not_replaced_again() {
    let app = asked(ROTATE);
    let after = Observed { kept: Some(kept("2", Some("1"), Trigger::Requested)), ..seen(&app, "2") };
    assert_eq!(steps(&app, &after), ["complete (Requested)"]);
    let mut reported = app;
    reported.status.as_mut().expect("a status").rotation = Some(recorded());
    assert!(steps(&reported, &after).is_empty());
}

#[test]
fn what_leaked_is_removed_as_soon_as_another_secret_is_published() {
    let app = asked(REVOKE_NOW);
    let expected = [
        "add the next secret to id-7",
        "keep ? and ?",
        "prove (Leaked)",
        "replace in invoice-sync-oauth",
        "retire secret 1 of id-7",
        "complete (Leaked)",
    ];
    assert_eq!(steps(&app, &seen(&app, "1")), expected);
    let under_way = Observed { kept: Some(kept("2", Some("1"), Trigger::Schedule)), ..seen(&app, "1") };
    assert_eq!(steps(&app, &under_way)[1], "keep ? and ? over what was kept", "what is under way may have leaked too");
    let published = Observed { kept: Some(kept("2", None, Trigger::Leaked)), ..seen(&app, "2") };
    assert_eq!(steps(&app, &published), ["retire secret 1 of id-7", "complete (Leaked)"]);
}

#[test]
fn what_leaked_is_not_said_to_be_gone_before_it_is() {
    let mut app = asked(REVOKE_NOW);
    let status = app.status.as_mut().expect("a status");
    status.credentials.push(retiring(&status.credentials[0], "1", 3_600));
    status.credentials[0].id = "2".into();
    let published = Observed { kept: Some(kept("2", None, Trigger::Leaked)), ..seen(&app, "2") };
    let plan = decide(&app, &published);
    assert!(matches!(plan.progress, Progress::Publishing { .. }), "until every step is done: {:?}", plan.progress);
    assert_eq!(plan.steps.iter().map(said).collect::<Vec<_>>(), ["retire secret 1 of id-7", "complete (Leaked)"]);
}

#[test]
fn what_leaked_waits_neither_for_a_rotation_that_is_not_done_nor_for_an_object_that_is_not_as_it_should_be() {
    let mut app = asked(REVOKE_NOW);
    let outputs = json!([{"name": "invoice-sync-oauth"}, {"name": "elsewhere"}]);
    app.spec.outputs = serde_json::from_value(outputs).expect("outputs");
    let unfinished = Observed { kept: Some(kept("2", Some("1"), Trigger::Requested)), ..seen(&app, "2") };
    let expected = [
        "add the next secret to id-7",
        "keep ? and ? over what was kept",
        "prove (Leaked)",
        "replace in invoice-sync-oauth",
        "replace in elsewhere",
        "retire secret 1 of id-7",
        "retire secret 2 of id-7",
        "complete (Leaked)",
    ];
    assert_eq!(steps(&app, &unfinished), expected);
}

#[test]
fn after_a_leak_what_was_replaced_before_goes_before_another_secret_is_made() {
    let mut app = asked(REVOKE_NOW);
    let status = app.status.as_mut().expect("a status");
    status.credentials.push(retiring(&status.credentials[0], "0", 3_600));
    assert_eq!(steps(&app, &seen(&app, "1"))[..2], ["retire secret 0 of id-7", "add the next secret to id-7"]);
}

#[test]
fn a_secret_that_is_in_one_of_two_objects_is_written_into_the_other() {
    let mut app = spec(&json!({"outputs": [{"name": "one"}, {"name": "two"}]}));
    app = settled(app, "id-7", "1");
    app.metadata.annotations = Some([(ROTATE.to_owned(), "now".to_owned())].into());
    let status = app.status.as_mut().expect("a status");
    let mut next = status.credentials[0].clone();
    (next.id, next.state) = ("2".into(), CredentialState::Pending);
    status.credentials.push(next);
    let mut after = Observed { kept: Some(kept("2", Some("1"), Trigger::Requested)), ..observed().unread("id-7") };
    let (one, two) = (published(&app, "id-7", "2"), published(&app, "id-7", "1"));
    after.outputs = vec![SeenOutput { name: "one".into(), ..one }, SeenOutput { name: "two".into(), ..two }];
    let steps = steps(&app, &after);
    assert!(!steps.iter().any(|step| step.starts_with("publish one") || step.starts_with("prove")), "{steps:?}");
    assert!(steps[0].starts_with("publish two") && steps[1] == "complete (Requested)", "{steps:?}");
}

#[test]
fn a_rotation_that_is_over_is_not_taken_up_again_when_its_secret_is_gone_at_the_server() {
    let mut app = settled(app(), "id-7", "3");
    app.metadata.annotations = Some([(ROTATE.to_owned(), "now".to_owned())].into());
    app.status.as_mut().expect("a status").rotation = Some(recorded());
    let over = Observed { kept: Some(kept("2", Some("1"), Trigger::Requested)), ..seen(&app, "3") };
    let plan = decide(&app, &over);
    assert_eq!((plan.steps.len(), plan.progress), (0, Progress::Rest));
}

#[test]
fn what_an_object_carries_is_looked_at_unless_it_is_the_published_secret() {
    use crate::domain::observed::{Look, look};
    let mut app = settled(app(), "id-7", "2");
    let status = app.status.as_mut().expect("a status");
    status.credentials.push(retiring(&status.credentials[0], "1", 3_600));
    let of = |secrets: &[&str]| -> Vec<SeenOutput> { secrets.iter().map(|id| published(&app, "id-7", id)).collect() };
    let detail = Look::Detail(ClientId::new("id-7"));
    for (what, secrets, expected) in [
        ("the published one", &["2"][..], Look::Nothing),
        ("an older version beside it", &["1", "2"], Look::Nothing),
        ("the one before, which somebody restored", &["1"], detail),
        ("one that nobody knows beside it", &["2", "0"], Look::Detail(ClientId::new("id-7"))),
    ] {
        assert_eq!(look(&app, &of(secrets), false, false, NOON), expected, "{what}");
    }
}

#[test]
fn what_is_kept_is_sealed_anew_once_the_operator_has_other_credentials_and_as_long_as_it_is_needed() {
    let app = asked(ROTATE);
    let mut under_way = kept("2", Some("1"), Trigger::Requested);
    under_way.seal = Seal::Former;
    let before = Observed { kept: Some(under_way.clone()), ..seen(&app, "1") };
    assert_eq!(steps(&app, &before)[..2], ["keep 2 and 1 over what was kept", "prove (Requested)"]);
    let mut watched = app.clone();
    watched.spec.management = Some(crate::api::external_application::Management::Observe);
    assert!(steps(&watched, &before).is_empty());
    // Nothing is in an overlap any more.
    let mut over = settled(super::app(), "id-7", "2");
    over.status.as_mut().expect("a status").rotation = Some(recorded());
    assert!(steps(&over, &Observed { kept: Some(under_way), ..seen(&over, "2") }).is_empty());
}

#[test]
fn what_stands_in_the_way_is_said_before_a_secret_is_made_and_what_was_damaged_is_written_anew() {
    let app = asked(ROTATE);
    let with = |unreadable| Observed { unreadable: Some(unreadable), ..seen(&app, "1") };
    let blocked = decide(&app, &with(Unreadable::InTheWay { because: "delete it".into() }));
    assert!(blocked.steps.is_empty());
    assert!(matches!(blocked.progress, Progress::Blocked { finding, .. } if finding.reason == Reason::SecretConflict));
    let damaged = || Unreadable::Damaged { uid: "kept".into(), resource_version: "3".into() };
    assert_eq!(steps(&app, &with(damaged()))[1], "keep ? and 1 over what was kept");
    let rest = settled(super::app(), "id-7", "1");
    let removed = steps(&rest, &Observed { unreadable: Some(damaged()), ..seen(&rest, "1") });
    assert_eq!(removed, [format!("remove {}", Kept::object_name("invoice-sync", "app-uid"))]);
}

#[test]
fn what_leaked_of_an_application_that_does_without_a_secret_goes_at_once() {
    let app = spec(&json!({"clientSecret": "None", "federatedCredentials": [
        {"name": "cluster", "issuer": "https://a.example", "audience": "b", "subject": "c"}]}));
    let mut app = settled(app, "id-7", "1");
    app.metadata.annotations = Some([(REVOKE_NOW.to_owned(), "now".to_owned())].into());
    let before = published(&settled(super::app(), "id-7", "1"), "id-7", "1");
    let steps = steps(&app, &observed().unread("id-7").output(before));
    assert_eq!(steps[1..], ["retire secret 1 of id-7", "complete (Leaked)"]);
}

#[test]
fn a_next_secret_that_is_gone_at_the_server_is_replaced_by_another_one() {
    let app = asked(ROTATE);
    let known = |secrets| Registered { secrets, ..registered("id-7") };
    let under_way = || Observed { kept: Some(kept("2", Some("1"), Trigger::Requested)), ..seen(&app, "1") };
    let later =
        |seen: &Observed, seconds| decide_at(&app, seen, seconds).steps.iter().map(said).collect::<Vec<String>>();
    let there = under_way().present(known(vec![secret_info("1", None), secret_info("2", None)]));
    let gone = under_way().present(known(vec![secret_info("1", None)]));
    assert_eq!(later(&there, 600)[0], "prove (Requested)");
    assert_eq!(later(&gone, 1)[0], "prove (Requested)", "it may not show yet");
    let expected = ["add the next secret to id-7", "keep ? and 1 over what was kept", "prove (Requested)"];
    assert_eq!(later(&gone, 600)[..3], expected);
}

#[test]
fn the_secret_before_is_published_again_while_it_is_valid() {
    let mut app = settled(app(), "id-7", "2");
    app.metadata.annotations = Some([(ROLLBACK.to_owned(), "now".to_owned())].into());
    let refused = decide(&app, &seen(&app, "2"));
    assert!(refused.steps.is_empty());
    assert!(
        matches!(refused.progress, Progress::Impossible { finding, .. } if finding.reason == Reason::RollbackImpossible)
    );
    let status = app.status.as_mut().expect("a status");
    status.credentials.push(retiring(&status.credentials[0], "1", 60));
    status.rotation = Some(recorded());
    let before = Observed { kept: Some(kept("2", Some("1"), Trigger::Requested)), ..seen(&app, "2") };
    let expected = [
        "keep 1 and 2 over what was kept",
        "prove (RolledBack)",
        "replace in invoice-sync-oauth",
        "complete (RolledBack)",
    ];
    assert_eq!(steps(&app, &before), expected);
    let removed = before.present(Registered { secrets: vec![secret_info("2", None)], ..registered("id-7") });
    let refused = decide_at(&app, &removed, 30);
    assert!(matches!(refused.progress, Progress::Impossible { .. }), "removed at the server: {:?}", refused.progress);
}

#[test]
fn a_secret_that_is_to_be_published_again_is_not_removed_at_the_end_of_its_overlap() {
    let mut app = settled(app(), "id-7", "2");
    app.metadata.annotations = Some([(ROLLBACK.to_owned(), "now".to_owned())].into());
    let status = app.status.as_mut().expect("a status");
    status.credentials.push(retiring(&status.credentials[0], "1", -1));
    let there = |seen: Observed| {
        let secrets = vec![secret_info("1", None), secret_info("2", None)];
        seen.present(Registered { secrets, ..registered("id-7") })
    };
    let begun = Observed { kept: Some(kept("1", Some("2"), Trigger::RolledBack)), ..there(seen(&app, "2")) };
    let expected = ["prove (RolledBack)", "replace in invoice-sync-oauth", "complete (RolledBack)"];
    assert_eq!(steps(&app, &begun), expected);
    let status = app.status.as_mut().expect("a status");
    status.rotation = Some(RotationStatus { rollback: Some("now".into()), ..RotationStatus::default() });
    app.metadata.annotations = None;
    let at_rest = Observed { kept: Some(kept("2", Some("1"), Trigger::Requested)), ..there(seen(&app, "2")) };
    assert!(steps(&app, &at_rest).contains(&"retire secret 1 of id-7".into()), "otherwise it goes");
}

#[test]
fn the_secret_before_that_somebody_restores_in_the_overlap_is_written_over_with_the_one_that_replaced_it() {
    let mut app = settled(app(), "id-7", "2");
    let status = app.status.as_mut().expect("a status");
    status.credentials.push(retiring(&status.credentials[0], "1", 3_600));
    status.rotation = Some(recorded());
    let restored = Observed { kept: Some(kept("2", Some("1"), Trigger::Requested)), ..seen(&app, "1") };
    assert_eq!(steps(&app, &restored), ["publish invoice-sync-oauth over uid-of-invoice-sync-oauth"]);
    assert_eq!(decide(&app, &restored).secret.map(|(id, _)| id), Some(SecretId::new("2")));
    // Where that one has been removed at the server, the restored one is all that workloads have.
    let left = restored.present(Registered { secrets: vec![secret_info("1", None)], ..registered("id-7") });
    assert_eq!(decide_at(&app, &left, 60).secret.map(|(id, _)| id), Some(SecretId::new("1")));
}

#[test]
fn a_rotation_that_has_no_turn_yet_is_said_to_wait_and_writes_nothing() {
    let app = asked(ROTATE);
    let until = NOON + SignedDuration::from_secs(60);
    let plan = decide(&app, &Observed { turn: Some(Turn::Wait(until)), ..seen(&app, "1") });
    assert!(plan.steps.is_empty());
    assert!(matches!(plan.progress, Progress::Waiting { until: found, .. } if found == until));
}

#[test]
fn where_there_is_room_for_one_secret_it_is_replaced_and_where_there_is_none_that_is_said() {
    let with = |secrets| {
        let app = asked(ROTATE);
        let mut seen = seen(&app, "1");
        if let ServerSeen::Usable(facts) = &mut seen.seen {
            facts.capabilities.secrets = secrets;
        }
        decide(&app, &seen)
    };
    let one = with(Secrets::One);
    assert_eq!(one.steps.iter().map(said).collect::<Vec<_>>()[0], "add secret to id-7");
    assert!(one.replaces.is_some());
    let fixed = with(Secrets::Fixed);
    assert!(fixed.steps.is_empty());
    assert!(matches!(fixed.progress, Progress::Impossible { finding, .. } if finding.reason == Reason::NotSupported));
}

#[test]
fn what_is_only_observed_is_not_looked_at_again_and_again_for_a_secret_that_nobody_removes() {
    use crate::domain::observed::{Look, look};
    let mut app = settled(app(), "id-7", "2");
    let status = app.status.as_mut().expect("a status");
    status.credentials.push(retiring(&status.credentials[0], "1", -60));
    let outputs = seen(&app, "2").outputs;
    assert_eq!(look(&app, &outputs, false, false, NOON), Look::Detail(ClientId::new("id-7")));
    app.spec.management = Some(crate::api::external_application::Management::Observe);
    assert_eq!(look(&app, &outputs, false, false, NOON), Look::Nothing);
}

#[test]
fn a_secret_that_is_kept_is_no_stray() {
    let app = asked(ROTATE);
    let marker = crate::domain::credentials::marker("app-uid");
    let secrets = vec![secret_info("1", None), secret_info("2", Some(&marker)), secret_info("3", Some(&marker))];
    let actual = Registered { secrets, ..registered("id-7") };
    let after = Observed { kept: Some(kept("2", Some("1"), Trigger::Requested)), ..seen(&app, "1") }.present(actual);
    assert_eq!(decide(&app, &after).strays, [SecretId::new("3")]);
}

#[test]
fn an_application_that_does_without_a_secret_publishes_none_and_makes_none() {
    let app = spec(&json!({"clientSecret": "None", "federatedCredentials": [
        {"name": "cluster", "issuer": "https://a.example", "audience": "b", "subject": "c"}]}));
    let app = settled(app, "id-7", "1");
    let before = published(&settled(super::app(), "id-7", "1"), "id-7", "1");
    assert_eq!(
        steps(&app, &observed().unread("id-7").output(before)),
        ["publish invoice-sync-oauth over uid-of-invoice-sync-oauth"]
    );
}
