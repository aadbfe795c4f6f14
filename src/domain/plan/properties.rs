//! What holds for every plan, in whatever world and wherever it is cut short.

use proptest::prelude::*;
use serde_json::json;

use super::world::{Cut, Keeping, Registration, World};
use super::*;
use crate::api::{REVOKE_NOW, ROLLBACK, ROTATE};
use crate::domain::fixtures::app;
use crate::domain::observed::{observes, status_client_id};
use crate::domain::outputs::resolve;
use crate::domain::registration::{Desired, Mark, Owner};
use crate::domain::rotation::of_application;
use crate::domain::validate::desired;

/// The parts of a spec that people change.
#[derive(Clone, Copy, Debug)]
struct Spec {
    renamed: bool,
    more_scopes: bool,
    outputs: usize,
    observe: bool,
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Pass,
    CutPass(usize, Cut),
    Edit(Spec),
    RegistrationDeleted,
    RegistrationEdited,
    SecretDeletedAtServer,
    SecretAddedByHand,
    ObjectDeleted(usize),
    ObjectEdited(usize, &'static str),
    ObjectRestored(usize),
    ForeignObjectInTheWay,
    FinalizerRemoved,
    StatusLost,
    /// A scope leaves the server's catalogue, or comes back.
    ScopeUnknown(Option<&'static str>),
    /// Somebody asks for a rotation, in one way or another.
    Ask(&'static str),
    /// The token endpoint does not know what is made from now on, for so many seconds.
    Lag(i64),
    KeptDeleted,
    KeptEdited,
    Restart,
    Wait(i64),
}

const OUTPUTS: [&str; 7] = [
    "[]",
    r#"[{"name": "renamed"}]"#,
    r#"[{"name": "versioned", "immutable": true}]"#,
    r#"[{"name": "texts", "format": "Template", "template": {"a": "{{ clientId }}", "b": "SECRET"}}]"#,
    r#"[{"name": "env", "format": "Env"}, {"name": "plain", "kind": "ConfigMap"}]"#,
    r#"[{"name": "versioned", "immutable": true, "format": "Template", "template": {"b": "SECRET"}}, {"name": "renamed"}]"#,
    r#"[{"name": "texts", "labels": {"team": "finance"}}]"#,
];

fn respec(app: &mut ExternalApplication, confidential: bool, spec: Spec) {
    let scopes: &[&str] = if spec.more_scopes { &["OR.Queues", "OR.Jobs"] } else { &["OR.Queues"] };
    let field = if confidential { "applicationScopes" } else { "userScopes" };
    // Only a Secret can carry the secret, and only where there is one.
    let secret = if confidential { "{{ clientSecret }}" } else { "{{ clientId }}" };
    let outputs: serde_json::Value =
        serde_json::from_str(&OUTPUTS[spec.outputs].replace("SECRET", secret)).expect("json");
    let mut whole = json!({
        "serverRef": {"name": "cloud"},
        "displayName": if spec.renamed { "Renamed" } else { "Invoice sync" },
        "type": if confidential { "Confidential" } else { "NonConfidential" },
        "resources": [{"name": "UiPath.Orchestrator", field: scopes}],
        "outputs": outputs,
        "management": if spec.observe { "Observe" } else { "Enforce" }
    });
    if !confidential {
        whole["redirectUris"] = json!(["https://a.example/"]);
    }
    app.spec = serde_json::from_value(whole).expect("a spec");
    app.metadata.generation = app.metadata.generation.map(|generation| generation + 1);
}

fn specs() -> impl Strategy<Value = Spec> {
    (any::<bool>(), any::<bool>(), 0..OUTPUTS.len(), prop::bool::weighted(0.15))
        .prop_map(|(renamed, more_scopes, outputs, observe)| Spec { renamed, more_scopes, outputs, observe })
}

fn events() -> impl Strategy<Value = Event> {
    let cuts = prop::sample::select(vec![Cut::Crash, Cut::CrashAfterEffect, Cut::Failure, Cut::LostAnswer]);
    let keys = prop::sample::select(vec!["client-secret", "CLIENT_SECRET", "token-uri", "a"]);
    prop_oneof![
        4 => Just(Event::Pass),
        6 => (0_usize..6, cuts).prop_map(|(after, how)| Event::CutPass(after, how)),
        2 => specs().prop_map(Event::Edit),
        1 => Just(Event::RegistrationDeleted),
        1 => Just(Event::RegistrationEdited),
        1 => Just(Event::SecretDeletedAtServer),
        1 => Just(Event::SecretAddedByHand),
        1 => (0_usize..4).prop_map(Event::ObjectDeleted),
        1 => ((0_usize..4), keys).prop_map(|(which, key)| Event::ObjectEdited(which, key)),
        1 => (0_usize..4).prop_map(Event::ObjectRestored),
        1 => Just(Event::ForeignObjectInTheWay),
        1 => Just(Event::FinalizerRemoved),
        1 => Just(Event::StatusLost),
        2 => prop::sample::select(vec![None, Some("OR.Queues"), Some("OR.Jobs")]).prop_map(Event::ScopeUnknown),
        3 => prop::sample::select(vec![ROTATE, ROLLBACK, REVOKE_NOW]).prop_map(Event::Ask),
        1 => prop::sample::select(vec![20_i64, 200, 4_000]).prop_map(Event::Lag),
        1 => Just(Event::KeptDeleted),
        1 => Just(Event::KeptEdited),
        1 => Just(Event::Restart),
        3 => prop::sample::select(vec![5_i64, 30, 60, 4_000]).prop_map(Event::Wait),
    ]
}

/// An empty world, but for registrations of others that look exactly like what we shall ask for.
fn world(confidential: bool, keeping: Keeping) -> World {
    let mut world = World::new(app(), keeping);
    for (renamed, more_scopes) in [(false, false), (false, true), (true, false), (true, true)] {
        respec(&mut world.app, confidential, Spec { renamed, more_scopes, outputs: 0, observe: false });
        world.create(&desired(&world.app), false);
    }
    world.add_foreign_object(OutputKind::Secret, "of-others");
    respec(&mut world.app, confidential, Spec { renamed: false, more_scopes: false, outputs: 0, observe: false });
    world
}

/// Our registration, where the status names it and it is there.
fn ours(world: &World) -> Option<ClientId> {
    let settled = status_client_id(&world.app).filter(|_| unsettled_intent(&world.app).is_none());
    settled.filter(|id| world.registrations.contains_key(id))
}

fn happen(world: &mut World, event: &Event, confidential: bool) {
    let nth = |world: &World, which: usize| {
        let own: Vec<_> =
            world.objects.iter().filter(|(_, object)| object.ours).map(|(place, _)| place.clone()).collect();
        own.get(which).cloned()
    };
    match event {
        Event::Pass => drop(world.pass(None)),
        Event::CutPass(after, how) => drop(world.pass(Some((*after, *how)))),
        Event::Edit(spec) => respec(&mut world.app, confidential, *spec),
        Event::RegistrationDeleted => {
            if let Some(id) = ours(world) {
                world.registrations.remove(&id);
            }
        }
        Event::RegistrationEdited => {
            if let Some(registration) = ours(world).and_then(|id| world.registrations.get_mut(&id)) {
                registration.actual.display_name = "Edited".into();
                registration.actual.scopes.clear();
                if matches!(registration.actual.owner, Mark::Uid(_)) {
                    registration.actual.owner = Mark::Absent;
                }
            }
        }
        Event::SecretDeletedAtServer => {
            let first = ours(world)
                .and_then(|id| Some((id.clone(), world.registrations[&id].actual.secrets.first()?.id.clone())));
            // A registration that keeps one always has it.
            if let Some((id, secret)) = first.filter(|_| world.keeping == Keeping::Several) {
                world.remove_secret(&id, &secret);
            }
        }
        Event::SecretAddedByHand => {
            // Where the one there is is not shown, nobody could tell that it was replaced.
            if let Some(id) = ours(world).filter(|_| confidential && world.keeping != Keeping::One) {
                world.wait(3_600);
                world.add_secret(&id, Some("by hand"));
            }
        }
        Event::ObjectDeleted(which) => drop(nth(world, *which).map(|place| world.objects.remove(&place))),
        Event::ObjectEdited(which, key) => {
            let object = nth(world, *which).and_then(|place| world.objects.get_mut(&place));
            if let Some(value) = object.and_then(|object| object.data.get_mut(*key)) {
                *value = "edited".into();
            }
        }
        Event::ObjectRestored(which) => {
            if let Some((place, object)) = world.backup.get(*which).cloned() {
                world.objects.insert(place, object);
            }
        }
        Event::ForeignObjectInTheWay => {
            for output in resolve(&world.app) {
                world.add_foreign_object(output.kind, &output.name);
            }
        }
        Event::FinalizerRemoved => world.app.metadata.finalizers = None,
        Event::StatusLost => lose_status(world),
        Event::ScopeUnknown(scope) => world.unknown = *scope,
        Event::Ask(_) | Event::Lag(_) | Event::KeptDeleted | Event::KeptEdited => befall(world, event),
        Event::Restart => world.restart(),
        Event::Wait(seconds) => world.wait(*seconds),
    }
}

/// What happens to a rotation.
fn befall(world: &mut World, event: &Event) {
    match event {
        Event::Ask(annotation) => world.ask(annotation),
        Event::Lag(seconds) => world.lags = Some((world.now, world.now + jiff::SignedDuration::from_secs(*seconds))),
        Event::KeptDeleted => world.kept = None,
        Event::KeptEdited => {
            if let Some(seen) = &mut world.kept {
                seen.kept.next = None;
            }
        }
        _ => {}
    }
}

/// As after a restore, if an object still names the registration: without any trace nobody could find it again.
fn lose_status(world: &mut World) {
    let mut after = world.clone();
    after.app.status = None;
    if world.authenticates() && after.pass(None).is_ok() {
        *world = after;
    }
}

/// A person sets right what only a person can, and the operator goes on until there is nothing left to do.
fn come_to_rest(world: &mut World) {
    world.objects.retain(|(_, name), object| object.ours || name == "of-others");
    world.app.spec.management = None;
    world.unknown = None;
    world.lags = None;
    world.app.metadata.generation = world.app.metadata.generation.map(|generation| generation + 1);
    // Until then the server's reads may lag behind its writes, and a deleted secret is not believed to be gone.
    world.wait(30);
    let mut last = String::new();
    for _ in 0..12 {
        match world.pass(None) {
            // Of several requests each has a pass of its own.
            Ok(0) if of_application(&world.app, world.now).is_none() => return,
            Ok(steps) => last = format!("{steps} steps"),
            Err(finding) => last = finding.message,
        }
        world.wait(30);
    }
    panic!("comes to no rest: {last}");
}

fn foreign(world: &World) -> Vec<Registration> {
    world.registrations.values().filter(|registration| !registration.ours).cloned().collect()
}

/// Everything that a server has but secrets.
fn facts(world: &World) -> Vec<(ClientId, Desired)> {
    world.registrations.iter().map(|(id, known)| (id.clone(), known.actual.as_desired())).collect()
}

fn by_hand(world: &World) -> Vec<SecretId> {
    let secrets = world.registrations.values().flat_map(|registration| &registration.actual.secrets);
    secrets.filter(|secret| secret.description.as_deref() == Some("by hand")).map(|secret| secret.id.clone()).collect()
}

fn is_as_wanted(world: &World, confidential: bool) {
    let own: Vec<&Registration> = world.registrations.values().filter(|registration| registration.ours).collect();
    assert_eq!(own.len(), 1, "exactly one registration is ours");
    let wanted = Desired { owner: Owner::default(), ..desired(&world.app) };
    assert_eq!(own[0].actual.as_desired(), wanted, "and it is as the spec says");
    assert_eq!(status_client_id(&world.app).as_ref(), Some(&own[0].actual.client_id));
    for output in resolve(&world.app) {
        let there = |((kind, name), object): (&(OutputKind, String), &super::world::Object)| {
            object.ours
                && *kind == output.kind
                && (*name == output.name || (output.immutable && name.starts_with(&output.name)))
        };
        assert!(world.objects.iter().any(there), "{} is published", output.name);
    }
    assert_eq!(world.authenticates(), confidential, "a secret for those alone that can keep one");
    let secrets =
        world.objects.values().filter(|object| object.ours).any(|object| object.data.contains_key("client-secret"));
    assert!(confidential || (!secrets && own[0].actual.secrets.is_empty()));
    let hanging = world.objects.values().filter(|object| !object.ours).count();
    assert_eq!(hanging, 1, "the object of others is there");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6 * ProptestConfig::default().cases, failure_persistence: None, max_shrink_iters: 5_000, ..ProptestConfig::default() })]

    /// Whatever happens and wherever passes are cut short: in the end there is one registration, and it works.
    #[test]
    fn every_history_ends_with_one_registration_that_works(
        confidential in prop::bool::weighted(0.8),
        keeping in prop::sample::select(vec![Keeping::Several, Keeping::One, Keeping::OneShown]),
        close in any::<bool>(),
        history in prop::collection::vec(events(), 0..14),
    ) {
        let mut world = world(confidential, keeping);
        let (others, theirs) = (foreign(&world), world.objects.clone());
        for event in &history {
            let before = by_hand(&world);
            // Where there is room for one, a rotation leaves none but its own.
            let makes_room = world.keeping != Keeping::Several && of_application(&world.app, world.now).is_some();
            let watched = observes(&world.app).then(|| world.registrations.clone());
            let asked: Vec<_> = desired(&world.app).scopes.into_iter().map(|scope| scope.name).collect();
            let held = world.unknown.is_some_and(|scope| asked.iter().any(|name| name == scope));
            let kept = held.then(|| facts(&world));
            let rotated = world.last_rotation();
            happen(&mut world, event, confidential);
            world.suspect = close;
            prop_assert!(world.last_rotation() == rotated || world.publishes_what_it_says(), "said to be rotated, and is not");
            if matches!(event, Event::Pass | Event::CutPass(..)) {
                let after = by_hand(&world);
                prop_assert!(makes_room || before.iter().all(|secret| after.contains(secret)), "a secret made by hand was removed");
                prop_assert!(watched.is_none_or(|watched| watched == world.registrations), "Observe wrote at the server");
                prop_assert!(kept.is_none_or(|kept| kept == facts(&world)), "changed although a scope is unknown");
            }
            prop_assert_eq!(&foreign(&world), &others, "a registration of others was touched");
        }
        world.suspect = true;
        come_to_rest(&mut world);
        is_as_wanted(&world, confidential);
        prop_assert_eq!(&foreign(&world), &others);
        prop_assert!(theirs.iter().all(|(place, object)| world.objects.get(place) == Some(object)));
        // At rest it stays at rest, closely looked at or not.
        for suspect in [true, false] {
            world.suspect = suspect;
            let before = world.app.clone();
            prop_assert_eq!(world.pass(None).ok(), Some(0));
            prop_assert_eq!(&before, &world.app, "nothing changed, so the status says the same");
        }
    }

    /// A plan that was carried out whole is followed by an empty one, with nothing in between but the report.
    #[test]
    fn a_plan_that_was_carried_out_is_followed_by_an_empty_one(
        confidential in prop::bool::weighted(0.8),
        keeping in prop::sample::select(vec![Keeping::Several, Keeping::One, Keeping::OneShown]),
        history in prop::collection::vec(events(), 0..10),
    ) {
        let mut world = world(confidential, keeping);
        for event in &history {
            happen(&mut world, event, confidential);
        }
        world.lags = None;
        // Of several requests each has a pass of its own, and what a replaced secret leaves behind goes in the next.
        for _ in 0..3 {
            if of_application(&world.app, world.now).is_some() || world.kept.is_some() {
                drop(world.pass(None));
            }
        }
        // What was asked for while nothing was published is due once something is.
        let carried_out = world.pass(None).is_ok() && of_application(&world.app, world.now).is_none();
        if carried_out && !world.is_proving() {
            prop_assert_eq!(world.pass(None).ok(), Some(0), "after {:?}", history);
        }
    }

    /// Wherever it breaks off: once it is said that what leaked is revoked, none is left that came from us.
    #[test]
    fn nothing_that_leaked_is_left_once_it_is_said_to_be_gone(
        history in prop::collection::vec(events(), 0..8),
        cuts in prop::collection::vec((0_usize..8, prop::sample::select(vec![Cut::Crash, Cut::CrashAfterEffect, Cut::Failure, Cut::LostAnswer])), 0..4),
        close in any::<bool>(),
    ) {
        let mut world = world(true, Keeping::Several);
        for event in &history {
            happen(&mut world, event, true);
        }
        world.suspect = true;
        come_to_rest(&mut world);
        let secrets = |world: &World| -> Vec<SecretId> {
            let ours = world.registrations.values().filter(|registration| registration.ours);
            ours.flat_map(|registration| &registration.actual.secrets).map(|secret| secret.id.clone()).collect()
        };
        // The first one that a registration had, which a status that was lost had named, looks like one that people made.
        let before: Vec<SecretId> = secrets(&world).into_iter().filter(|id| world.is_known(id)).collect();
        world.ask(REVOKE_NOW);
        world.suspect = close;
        for (after, how) in cuts {
            let _ = world.pass(Some((after, how)));
            let carried_out = of_application(&world.app, world.now).is_none();
            let left = secrets(&world).into_iter().find(|id| before.contains(id));
            prop_assert!(!carried_out || left.is_none(), "{left:?} has leaked and is valid");
            world.wait(5);
        }
        come_to_rest(&mut world);
        prop_assert!(secrets(&world).iter().all(|id| !before.contains(id)), "what leaked is valid");
    }
}
