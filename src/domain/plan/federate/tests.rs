use super::*;
use crate::domain::federation::{Federated, Trust};
use crate::domain::fixtures::{
    NOON, app, guarded, intent, observed, published, registered, settled, valid, with_intent,
};
use crate::domain::plan::{Circumstances, plan};

fn trust() -> Trust {
    Trust {
        name: "ci".into(),
        issuer: "https://issuer.example".into(),
        audience: "cloud".into(),
        subject: "repo:acme/x".into(),
    }
}

fn trusting(mut app: ExternalApplication) -> ExternalApplication {
    let list = serde_json::json!([
        {"name": "ci", "issuer": "https://issuer.example", "audience": "cloud", "subject": "repo:acme/x"}
    ]);
    app.spec.federated_credentials = serde_json::from_value(list).expect("a list");
    app
}

fn secretless(mut app: ExternalApplication) -> ExternalApplication {
    app.spec.client_secret = Some(crate::api::rotation::ClientSecretPolicy::None);
    app
}

fn steps(app: &ExternalApplication, seen: &Observed) -> Vec<Step> {
    plan(app, &valid(app, seen), seen, Circumstances { identity: "me", now: NOON }).steps
}

fn place(steps: &[Step], is: impl Fn(&Step) -> bool) -> usize {
    steps.iter().position(is).unwrap_or_else(|| panic!("not in {steps:?}"))
}

fn adds(step: &Step) -> bool {
    *step == Step::Federate(Change::Add(trust()))
}

fn knowing(mut seen: Observed, known: Vec<Federated>) -> Observed {
    seen.federated = FederatedSeen::Known(known);
    seen
}

#[test]
fn a_new_registration_trusts_what_is_listed_once_its_secret_is_published() {
    let steps = steps(&trusting(app()), &observed());
    assert!(place(&steps, adds) > place(&steps, |step| matches!(step, Step::Publish { .. })), "{steps:?}");
}

#[test]
fn before_a_secret_goes_the_credential_that_takes_its_place_is_there() {
    let before = settled(app(), "id", "1");
    let object = published(&before, "id", "1");
    let mut after = secretless(trusting(before));
    after.metadata.generation = Some(2);
    let seen = knowing(observed().present(registered("id")).output(object), Vec::new());
    let steps = steps(&after, &seen);
    assert_eq!(place(&steps, adds), 0, "{steps:?}");
    assert!(steps.iter().any(|step| matches!(step, Step::Publish { .. })), "{steps:?}");
}

#[test]
fn what_goes_goes_after_the_secret_is_published_and_nothing_of_the_secret_waits_for_it() {
    let app = trusting(settled(app(), "id", "1"));
    let foreign = Federated { id: "9".into(), trust: Trust { name: "foreign".into(), ..trust() } };
    let seen = knowing(observed().present(registered("id")), vec![foreign]);
    let steps = steps(&app, &seen);
    let removal = place(&steps, |step| *step == Step::Federate(Change::Remove { credential: "9".into() }));
    assert!(place(&steps, adds) < removal, "{steps:?}");
    assert!(place(&steps, |step| matches!(step, Step::Publish { .. })) < place(&steps, adds), "{steps:?}");
}

#[test]
fn while_it_is_not_known_what_there_is_no_secret_goes() {
    let before = settled(app(), "id", "1");
    let object = published(&before, "id", "1");
    let after = secretless(trusting(before));
    let mut seen = observed().present(registered("id")).output(object);
    let finding = Finding::passing(Reason::RateLimited, "later", Retry::Backoff);
    seen.federated = FederatedSeen::Unreadable(finding.clone());
    assert_eq!(steps(&after, &seen)[0], Step::Await(finding));
}

#[test]
fn what_a_lost_create_may_have_been_followed_by_is_looked_at_first() {
    let app = with_intent(trusting(app()), &intent());
    let seen = observed().unsettled(&intent(), &[registered("id-8")]);
    let steps = steps(&app, &seen);
    assert!(matches!(steps.last(), Some(Step::Await(finding)) if !finding.stalled), "{steps:?}");
    assert!(!steps.iter().any(|step| matches!(step, Step::Federate(_))), "{steps:?}");
}

#[test]
fn who_only_watches_changes_nothing_and_is_told() {
    let mut app = trusting(settled(app(), "id", "1"));
    app.spec.management = Some(crate::api::external_application::Management::Observe);
    app.spec.adopt = Some(serde_json::from_value(serde_json::json!({"clientId": "id"})).expect("an adoption"));
    let seen = knowing(observed().present(registered("id")), Vec::new());
    let plan = plan(&app, &valid(&app, &seen), &seen, Circumstances { identity: "me", now: NOON });
    assert!(!plan.steps.iter().any(|step| matches!(step, Step::Federate(_) | Step::Await(_))), "{:?}", plan.steps);
    assert!(plan.drift.iter().any(|difference| difference.field == "federatedCredentials"), "{:?}", plan.drift);
}

#[test]
fn who_lists_none_has_nothing_done() {
    let app = guarded(settled(app(), "id", "1"));
    let object = published(&app, "id", "1");
    assert_eq!(steps(&app, &observed().present(registered("id")).output(object)), []);
}
