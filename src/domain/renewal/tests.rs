use jiff::SignedDuration;

use super::*;
use crate::api::external_application::CredentialKind;
use crate::domain::capabilities::Capabilities;
use crate::domain::credentials::whole;
use crate::domain::fixtures::{NOON, app, facts, observed, registered, secret_info};
use crate::domain::observed::ServerSeen;
use crate::domain::plan::{Circumstances, Step, plan};
use crate::domain::registration::{ClientId, ClientSecret, SecretInfo};
use crate::domain::validate::validate;

fn after(hours: i64) -> Timestamp {
    NOON + SignedDuration::from_hours(hours)
}

fn credential(created: i64, expires: Option<i64>, state: CredentialState) -> CredentialStatus {
    CredentialStatus {
        id: "1".into(),
        kind: CredentialKind::Secret,
        state,
        created_at: Some(whole(after(created))),
        expires_at: expires.map(|hours| whole(after(hours))),
        name: None,
        verified_at: None,
        pods: None,
    }
}

#[test]
fn a_secret_is_renewed_a_day_ahead_or_a_third_of_its_life() {
    assert_eq!(renewed_from(Some(NOON), after(24 * 90)), after(24 * 89));
    assert_eq!(renewed_from(Some(NOON), after(3)), after(2));
    assert_eq!(renewed_from(None, after(48)), after(24));
    assert_eq!(renewed_from(Some(after(5)), after(3)), after(3), "times that contradict each other");
}

#[test]
fn a_credential_is_looked_at_to_renew_it_and_when_it_has_ended() {
    let one = [credential(0, Some(3), CredentialState::Active)];
    assert_eq!(next(&one, NOON), Some(after(2)));
    assert_eq!(next(&one, after(2)), Some(after(3)));
    assert_eq!(next(&one, after(3)), None);
    assert!(!gives_reason_to_look(&one, NOON) && gives_reason_to_look(&one, after(2)));
    let others = [credential(0, None, CredentialState::Active), credential(0, Some(3), CredentialState::Retiring)];
    assert_eq!((next(&others, NOON), gives_reason_to_look(&others, after(9))), (None, false));
}

/// The plan for an application whose one secret lives for three hours, at a server with these capabilities.
fn steps(capabilities: Capabilities, now: Timestamp) -> (Vec<Step>, Option<Finding>) {
    let mut app = app();
    app.metadata.finalizers = Some(vec![crate::domain::observed::FINALIZER.into()]);
    let actual = Registered {
        secrets: vec![SecretInfo {
            created_at: Some(NOON),
            expires_at: Some(after(3)),
            value: Some(ClientSecret::new("s3cret").into()),
            ..secret_info("1", None)
        }],
        ..registered("id")
    };
    app.status = Some(crate::api::external_application::ExternalApplicationStatus {
        client_id: Some("id".into()),
        credentials: vec![credential(0, Some(3), CredentialState::Active)],
        ..Default::default()
    });
    let mut seen = observed().present(actual);
    let mut server = facts();
    server.capabilities = capabilities;
    seen.seen = ServerSeen::Usable(server);
    let Ok(valid) = validate(&app, &seen, now) else { panic!("valid") };
    let plan = plan(&app, &valid, &seen, Circumstances { identity: "me", now });
    let credentials = &app.status.as_ref().expect("a status").credentials;
    (plan.steps, ended(&valid, credentials, now))
}

#[test]
fn a_secret_that_ends_is_renewed_by_an_update_where_no_other_can_be_made() {
    let fixed = Capabilities { secrets: Secrets::Fixed, ..facts().capabilities };
    let renews = |(steps, _): (Vec<Step>, _)| steps.contains(&Step::Renew(ClientId::new("id")));
    assert!(!renews(steps(fixed, after(1))), "too early");
    assert!(renews(steps(fixed, after(2))));
    let one = Capabilities { secrets: Secrets::One, ..facts().capabilities };
    let made = |steps: &[Step]| steps.iter().any(|step| matches!(step, Step::AddNext { .. } | Step::AddSecret(_)));
    for capabilities in [facts().capabilities, one] {
        let (other, _) = steps(capabilities, after(2));
        assert!(made(&other), "elsewhere another one is made: {other:?}");
        let (early, _) = steps(capabilities, after(1));
        assert!(!made(&early), "too early");
    }
}

#[test]
fn a_secret_that_has_ended_is_told_of_with_what_to_do() {
    let fixed = Capabilities { secrets: Secrets::Fixed, ..facts().capabilities };
    assert_eq!(steps(fixed, after(2)).1, None);
    let finding = steps(fixed, after(3)).1.expect("a finding");
    assert_eq!((finding.reason, finding.stalled), (Reason::SecretExpired, true));
    assert!(finding.message.contains("make a new ExternalApplication"), "{}", finding.message);
    assert_eq!(steps(facts().capabilities, after(3)).1, None);
}
