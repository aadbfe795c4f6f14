//! What is done where it is known who uses a secret.

use serde_json::json;

use super::*;
use crate::api::ROTATE;
use crate::api::rotation::{RestartTarget, WorkloadKind};
use crate::domain::consumers::Features;
use crate::domain::fixtures::secret_info;
use crate::domain::reason::Reason;
use crate::domain::restarts::{Due, Rollout, Seen, Workload};

/// An application whose secret 1 was replaced by 2 and has an hour left.
fn replaced(rotation: &serde_json::Value) -> ExternalApplication {
    let mut app = settled(spec(&json!({"rotation": rotation})), "id-7", "2");
    let status = app.status.as_mut().expect("a status");
    let end = (NOON + jiff::SignedDuration::from_hours(1)).to_string();
    let old = json!({"id": "1", "kind": "Secret", "state": "Retiring", "expiresAt": end});
    status.credentials.push(serde_json::from_value(old).expect("a credential"));
    app
}

fn both(app: &ExternalApplication) -> Observed {
    let mut actual = registered("id-7");
    actual.secrets = vec![secret_info("1", None), secret_info("2", None)];
    observed().present(actual).output(published(app, "id-7", "2"))
}

#[test]
fn the_old_secret_goes_before_its_time_only_when_nobody_holds_it_and_the_spec_wants_it() {
    let cases = [
        ("WhenConsumersRolled", Some(0), true),
        ("WhenConsumersRolled", Some(1), false),
        ("WhenConsumersRolled", None, false),
        ("AfterOverlap", Some(0), false),
    ];
    for (retire, holders, goes) in cases {
        let app = replaced(&json!({"retire": retire}));
        let expected: &[&str] = if goes { &["retire secret 1 of id-7"] } else { &[] };
        assert_eq!(steps(&app, &Observed { holders, ..both(&app) }), expected, "{retire} {holders:?}");
    }
}

fn restarting(credential: &str, seen: Observed) -> Observed {
    let workload = Workload { resource_version: "9".into(), credential: None, rollout: Rollout::Complete };
    let target = RestartTarget { kind: WorkloadKind::Deployment, name: "invoices".into() };
    let due = Due { credential: credential.into(), hurry: false };
    Observed { restarts: Some((due, vec![(target, Seen::There(workload))])), ..seen }
}

#[test]
fn workloads_are_restarted_for_the_published_secret_and_not_while_it_is_being_replaced() {
    let app = replaced(&json!({"restart": [{"kind": "Deployment", "name": "invoices"}]}));
    let said = steps(&app, &restarting("2", both(&app)));
    assert!(said.len() == 1 && said[0].starts_with("restart: Restart { target"), "{said:?}");
    assert!(steps(&app, &restarting("1", both(&app))).is_empty(), "another one is published since");
    let mut app = app;
    app.metadata.annotations = Some([(ROTATE.to_owned(), "now".to_owned())].into());
    let said = steps(&app, &restarting("2", both(&app)));
    assert!(said.iter().any(|step| step.starts_with("prove")), "{said:?}");
    assert!(!said.iter().any(|step| step.starts_with("restart")), "{said:?}");
}

#[test]
fn what_needs_pods_or_workloads_is_refused_by_an_operator_that_does_not_see_them() {
    let none = Features::default();
    let pods = Features { watch_consumers: true, restart_workloads: false };
    let all = Features { watch_consumers: true, restart_workloads: true };
    let rolled = json!({"retire": "WhenConsumersRolled"});
    let restart = json!({"restart": [{"kind": "Deployment", "name": "invoices"}]});
    let cases = [
        (&rolled, none, Some("--watch-consumers")),
        (&rolled, pods, None),
        (&restart, none, Some("--restart-workloads")),
        (&restart, pods, Some("--restart-workloads")),
        (&restart, all, None),
        (&json!({"interval": "30d"}), none, None),
    ];
    for (rotation, features, flag) in cases {
        let app = spec(&json!({"rotation": rotation}));
        let seen = Observed { features, ..observed() };
        match (validate(&app, &seen, NOON), flag) {
            (Ok(_), None) => {}
            (Err(refusal), Some(flag)) => {
                assert_eq!(refusal.finding.reason, Reason::NotSupported);
                assert!(refusal.finding.message.contains(flag), "{}", refusal.finding.message);
            }
            (result, _) => panic!("{rotation} {features:?}: {:?}", result.err()),
        }
    }
}
