use super::*;
use crate::domain::fixtures::{app, facts};

fn trust(name: &str, subject: &str) -> Trust {
    Trust {
        name: name.into(),
        issuer: "https://issuer.example".into(),
        audience: "https://cloud.example".into(),
        subject: subject.into(),
    }
}

fn known(id: &str, name: &str, subject: &str) -> Federated {
    Federated { id: id.into(), trust: trust(name, subject) }
}

fn listing(credentials: serde_json::Value) -> ExternalApplication {
    let mut app = app();
    app.spec.federated_credentials = serde_json::from_value(credentials).expect("federated credentials");
    app
}

fn of_account(name: &str) -> ExternalApplication {
    listing(
        serde_json::json!([{"name": "pod", "audience": "https://cloud.example", "serviceAccountRef": {"name": name}}]),
    )
}

fn cluster(issuer: &str, algorithms: &[&str]) -> IssuerSeen {
    let algorithms = algorithms.iter().map(|name| (*name).to_owned()).collect();
    IssuerSeen::Known(ClusterIssuer { issuer: issuer.into(), algorithms })
}

fn resolved(app: &ExternalApplication, seen: &IssuerSeen) -> Result<Vec<Trust>, Finding> {
    resolve(app, "uipath", facts().capabilities.federation, seen)
}

fn refused(app: &ExternalApplication, seen: &IssuerSeen) -> Finding {
    resolved(app, seen).expect_err("refused")
}

#[test]
fn a_service_account_becomes_the_issuer_of_the_cluster_and_a_subject_of_the_namespace() {
    let trusts = resolved(&of_account("invoices"), &cluster("https://keys.example/cluster", &["RS256"]));
    let expected = Trust {
        name: "pod".into(),
        issuer: "https://keys.example/cluster".into(),
        audience: "https://cloud.example".into(),
        subject: "system:serviceaccount:identity:invoices".into(),
    };
    assert_eq!(trusts, Ok(vec![expected]));
}

#[test]
fn what_is_named_in_full_needs_nothing_of_the_cluster() {
    let app = listing(serde_json::json!([
        {"name": "ci", "audience": "https://cloud.example", "issuer": "https://issuer.example", "subject": "repo:acme/x"}
    ]));
    assert!(!needs_issuer(&app) && needs_issuer(&of_account("invoices")));
    assert_eq!(resolved(&app, &IssuerSeen::NotAsked), Ok(vec![trust("ci", "repo:acme/x")]));
}

#[test]
fn every_refusal_names_the_field_and_a_way_out() {
    let https = cluster("https://keys.example", &["RS256"]);
    let many: Vec<_> = (0..21)
        .map(|n| serde_json::json!({"name": format!("n{n}"), "audience": "a", "issuer": "https://i.example", "subject": "s"}))
        .collect();
    let one = |issuer: &str, audience: &str| {
        listing(serde_json::json!([{"name": "ci", "audience": audience, "issuer": issuer, "subject": "s"}]))
    };
    let twice = listing(serde_json::json!([
        {"name": "a", "audience": "a", "issuer": "https://i.example", "subject": "s"},
        {"name": "a", "audience": "b", "issuer": "https://i.example", "subject": "s"}
    ]));
    let everyone = listing(serde_json::json!([
        {"name": "a", "audience": "a", "issuer": "https://i.example", "subject": "system:serviceaccount:team:default"}
    ]));
    let neither = listing(serde_json::json!([{"name": "a", "audience": "a", "issuer": "https://i.example"}]));
    let table = [
        (of_account("default"), https.clone(), Reason::InvalidSpec, "make one for this application"),
        (everyone, https.clone(), Reason::InvalidSpec, "make one for this application"),
        (
            of_account("x"),
            cluster("https://k.example", &["ES256"]),
            Reason::NotSupported,
            "give the API server an RSA key",
        ),
        (
            of_account("x"),
            cluster("kubernetes/serviceaccount", &["RS256"]),
            Reason::NotSupported,
            "set --service-account-issuer",
        ),
        (listing(many.into()), https.clone(), Reason::NotSupported, "at most 20"),
        (one("http://i.example", "a"), https.clone(), Reason::InvalidSpec, "not an https URL"),
        (one("https://i.example", "*"), https.clone(), Reason::InvalidSpec, "compared exactly"),
        (twice, https.clone(), Reason::InvalidSpec, "listed twice"),
        (neither, https, Reason::InvalidSpec, "set either serviceAccountRef, or both issuer and subject"),
    ];
    for (app, seen, reason, way_out) in table {
        let finding = refused(&app, &seen);
        assert_eq!(finding.reason, reason, "{}", finding.message);
        assert!(finding.message.starts_with("spec.federatedCredentials"), "{}", finding.message);
        assert!(finding.message.contains(way_out), "{}", finding.message);
        assert!(finding.stalled);
    }
}

#[test]
fn an_issuer_that_is_not_known_yet_is_waited_for() {
    assert!(!refused(&of_account("x"), &IssuerSeen::NotAsked).stalled);
    let failed = Finding::passing(Reason::KubernetesRefused, "no", crate::domain::observed::Retry::Backoff);
    assert_eq!(refused(&of_account("x"), &IssuerSeen::Unreadable(failed.clone())), failed);
}

#[test]
fn a_server_without_them_refuses_them_and_only_them() {
    let seen = cluster("https://keys.example", &["RS256"]);
    assert_eq!(resolve(&app(), "hydra", None, &seen), Ok(Vec::new()));
    let finding = resolve(&of_account("x"), "hydra", None, &seen).expect_err("refused");
    assert_eq!(finding.reason, Reason::NotSupported);
    assert!(finding.message.contains("a server of kind hydra"), "{}", finding.message);
}

#[test]
fn where_a_secret_cannot_be_beside_them_the_spec_must_say_that_there_is_none() {
    let federation = Some(Federation { most: 1, beside_secret: false, algorithms: &[] });
    let (mut app, seen) = (of_account("x"), cluster("https://keys.example", &["ES256"]));
    let finding = resolve(&app, "keycloak", federation, &seen).expect_err("refused");
    assert!(finding.message.contains("clientSecret: None"), "{}", finding.message);
    app.spec.client_secret = Some(crate::api::rotation::ClientSecretPolicy::None);
    assert_eq!(resolve(&app, "keycloak", federation, &seen).expect("resolved").len(), 1);
}

#[test]
fn nothing_is_done_where_all_is_as_it_should_be() {
    assert_eq!(steps(&[trust("a", "s")], &[known("1", "a", "s")], 20, |_| true), []);
}

#[test]
fn what_is_new_comes_before_what_goes() {
    let wanted = [trust("a", "changed"), trust("b", "s")];
    let found = steps(&wanted, &[known("1", "a", "s"), known("2", "old", "s")], 20, |_| true);
    let expected = [
        Change::Replace { credential: "1".into(), trust: trust("a", "changed") },
        Change::Add(trust("b", "s")),
        Change::Remove { credential: "2".into() },
    ];
    assert_eq!(found, expected);
}

#[test]
fn where_there_is_no_room_for_both_one_takes_the_place_of_the_other() {
    let found = steps(&[trust("b", "s")], &[known("1", "a", "s")], 1, |_| true);
    assert_eq!(found, [Change::Replace { credential: "1".into(), trust: trust("b", "s") }]);
    let found = steps(&[trust("b", "s")], &[known("1", "a", "s")], 1, |_| false);
    assert_eq!(found, [Change::Add(trust("b", "s"))], "what may not go keeps its place, and the server says so");
}

#[test]
fn of_several_with_one_name_the_one_that_is_right_stays() {
    let found = steps(&[trust("a", "s")], &[known("1", "a", "other"), known("2", "a", "s")], 20, |_| true);
    assert_eq!(found, [Change::Remove { credential: "1".into() }]);
}

#[test]
fn what_is_not_listed_goes_only_where_it_may() {
    let servers = [known("1", "a", "s"), known("2", "b", "s")];
    assert_eq!(steps(&[], &servers, 20, |federated| federated.id == "2"), [Change::Remove { credential: "2".into() }]);
    assert_eq!(steps(&[], &servers, 20, |_| false), []);
}

proptest::proptest! {
    #[test]
    fn steps_that_were_carried_out_are_followed_by_none_and_there_is_never_too_much(
        wanted in proptest::collection::btree_map("[a-e]", "[x-z]", 0..4),
        servers in proptest::collection::vec(("[a-e]", "[x-z]"), 0..5),
    ) {
        let most = 4;
        let wanted: Vec<Trust> = wanted.iter().map(|(name, subject)| trust(name, subject)).collect();
        let mut at: Vec<Federated> = servers.iter().take(most).enumerate()
            .map(|(id, (name, subject))| known(&id.to_string(), name, subject)).collect();
        for (number, step) in steps(&wanted, &at, most, |_| true).into_iter().enumerate() {
            match step {
                Change::Add(trust) => at.push(Federated { id: format!("new-{number}"), trust }),
                Change::Replace { credential, trust } => {
                    at.iter_mut().find(|federated| federated.id == credential).expect("known").trust = trust;
                }
                Change::Remove { credential } => at.retain(|federated| federated.id != credential),
            }
            proptest::prop_assert!(at.len() <= most);
        }
        let mut held: Vec<Trust> = at.iter().map(|federated| federated.trust.clone()).collect();
        held.sort();
        proptest::prop_assert_eq!(&held, &wanted);
        proptest::prop_assert_eq!(steps(&wanted, &at, most, |_| true), []);
    }
}
