use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::judge::Refusal;
use super::*;
use crate::api::role_assignment::FolderState;
use crate::domain::fixtures::{NOON, app, facts, server, settled};
use crate::domain::tenant::{Folder, FolderId, Member, Role, RoleId, RoleKind, Tenant, User, UserId};

mod kinds_of_servers;
mod properties;
mod report;

const CLIENT: &str = "client-1";
const SEAL: &str = "sealed";

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("a fixture")
}

/// An assignment of the fixtures' application in `DefaultTenant`.
fn assignment(name: &str, roles: &[&str], folders: &[(&str, &[&str])]) -> RoleAssignment {
    let folders: Vec<Value> = folders.iter().map(|(path, roles)| json!({"path": path, "roles": roles})).collect();
    parse(json!({
        "apiVersion": "extapp.dev/v1alpha1", "kind": "RoleAssignment",
        "metadata": {"name": name, "namespace": "identity", "uid": name, "generation": 1},
        "spec": {
            "applicationRef": {"name": "invoice-sync"}, "tenant": "DefaultTenant", "roles": roles, "folders": folders
        }
    }))
}

fn guarded(mut object: RoleAssignment) -> RoleAssignment {
    object.metadata.finalizers = Some(vec![FINALIZER.into()]);
    object
}

/// The same with a record of what it has done.
fn recorded(object: RoleAssignment, principal: &str, folders: &[(&str, i64)]) -> RoleAssignment {
    let mut object = guarded(object);
    let folders: Vec<Value> =
        folders.iter().map(|(path, id)| json!({"path": path, "id": id, "state": "Assigned"})).collect();
    object.status =
        Some(parse(json!({"principalId": principal, "clientId": CLIENT, "seal": SEAL, "folders": folders})));
    object
}

fn registered() -> ExternalApplication {
    let mut app = settled(app(), CLIENT, "secret");
    let status = app.status.as_mut().expect("a status");
    status.conditions.push(parse(json!({
        "type": "Registered", "status": "True", "reason": "Registered", "message": "", "lastTransitionTime": "2026-11-24T12:00:00Z"
    })));
    app
}

fn seen(app: Option<ExternalApplication>) -> Seen {
    Seen {
        application: app.map(Arc::new),
        server: Some(Arc::new(server())),
        admitted: true,
        seen: ServerSeen::Usable(facts()),
    }
}

fn admitted() -> Admitted {
    gate(&assignment("a", &["Reader"], &[]), &seen(Some(registered()))).expect("admitted")
}

fn role(id: i64, name: &str, kind: RoleKind) -> Role {
    Role { id: RoleId::new(id), name: name.into(), kind, barred: None }
}

fn tenant() -> Tenant {
    let folder = |id, path: &str| Folder { id: FolderId(id), path: path.into() };
    Tenant {
        roles: vec![
            role(1, "Allow to be Automation User", RoleKind::Tenant),
            role(2, "Queue Reader", RoleKind::Folder),
            role(3, "Queue Writer", RoleKind::Folder),
            role(4, "Auditor", RoleKind::Mixed),
        ],
        folders: vec![folder(10, "Shared"), folder(11, "Shared/Finance"), folder(12, "Shared/People")],
        users: Vec::new(),
    }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The tenant with one user that has roles in it and in folders.
struct World {
    tenant: Tenant,
    members: BTreeMap<FolderId, Arc<Vec<Member>>>,
}

impl World {
    fn new() -> Self {
        Self { tenant: tenant(), members: BTreeMap::new() }
    }

    fn with(mut self, principal: &str, roles: &[&str], folders: &[(i64, &[&str])]) -> Self {
        let id = UserId::new(100 + i64::try_from(self.tenant.users.len()).expect("few"));
        self.tenant.users.push(User {
            id: id.clone(),
            principal: PrincipalId::new(principal),
            roles: set(roles),
            folders: Some(folders.iter().map(|(id, _)| FolderId(*id)).collect()),
        });
        for (folder, roles) in folders {
            let members = Arc::make_mut(self.members.entry(FolderId(*folder)).or_default());
            members.push(Member { user: id.clone(), roles: set(roles), folders: None });
        }
        self
    }

    fn view(&self) -> View<'_> {
        View { tenant: &self.tenant, members: &self.members }
    }

    fn assess(&self, object: &RoleAssignment, rivals: &[RoleAssignment]) -> Assessment {
        let rivals: Vec<Arc<RoleAssignment>> =
            rivals.iter().filter(|other| is_rival(object, other)).cloned().map(Arc::new).collect();
        let principal = PrincipalId::new("me");
        let record = Record::of(object);
        let record = if record.principal.as_ref() == Some(&principal) { record } else { Record::default() };
        let known = Known { principal, record, seal: SEAL.into() };
        assess(object, admitted(), known, &self.view(), &rivals)
    }

    fn steps(&self, object: &RoleAssignment) -> Vec<Step> {
        self.assess(object, &[]).steps
    }
}

fn reasons(assessment: &Assessment) -> Vec<Reason> {
    assessment.refusals().map(|refusal: &Refusal| refusal.reason).collect()
}

fn me() -> UserId {
    UserId::new(100)
}

#[test]
fn an_application_that_does_not_exist_or_is_not_registered_is_waited_for() {
    let object = assignment("a", &["Auditor"], &[]);
    let absent = gate(&object, &seen(None)).expect_err("waits");
    assert_eq!((absent.reason, absent.stalled), (Reason::ApplicationNotFound, false));
    let unregistered = gate(&object, &seen(Some(app()))).expect_err("waits");
    assert_eq!((unregistered.reason, unregistered.stalled), (Reason::ApplicationNotReady, false));
    let mut leaving = registered();
    leaving.metadata.deletion_timestamp = Some(crate::domain::credentials::whole(NOON));
    assert_eq!(gate(&object, &seen(Some(leaving))).expect_err("waits").reason, Reason::ApplicationNotReady);
}

#[test]
fn only_a_confidential_application_with_application_scopes_can_have_roles() {
    let object = assignment("a", &["Auditor"], &[]);
    let mut public = registered();
    public.spec.r#type = ApplicationType::NonConfidential;
    let mut for_people = registered();
    for resource in &mut for_people.spec.resources {
        resource.user_scopes = std::mem::take(&mut resource.application_scopes);
    }
    for app in [public, for_people] {
        let finding = gate(&object, &seen(Some(app))).expect_err("refused");
        assert_eq!((finding.reason, finding.stalled), (Reason::ApplicationUnsuitable, true), "{}", finding.message);
    }
}

#[test]
fn a_namespace_without_consent_gets_no_roles() {
    let object = assignment("a", &["Auditor"], &[]);
    let seen = Seen { admitted: false, ..seen(Some(registered())) };
    assert_eq!(gate(&object, &seen).expect_err("refused").reason, Reason::NamespaceNotAllowed);
}

#[test]
fn a_new_application_is_admitted_with_its_tenant_roles_and_gets_all_folders_in_one_request() {
    let object = assignment(
        "a",
        &["Allow to be Automation User"],
        &[("Shared/Finance", &["Queue Reader"]), ("Shared", &["Auditor"])],
    );
    let expected = [
        Step::Record,
        Step::Admit { roles: set(&["Allow to be Automation User"]) },
        Step::SetFolderRoles {
            user: None,
            folders: vec![(FolderId(11), vec![RoleId::new(2)]), (FolderId(10), vec![RoleId::new(4)])],
        },
    ];
    assert_eq!(World::new().steps(&object), expected);
}

#[test]
fn what_is_as_listed_is_left_alone() {
    let object = assignment("a", &["Auditor"], &[("Shared/Finance", &["Queue Reader"])]);
    let world = World::new().with("me", &["Auditor"], &[(11, &["Queue Reader"])]);
    assert_eq!(world.steps(&recorded(object.clone(), "me", &[("Shared/Finance", 11)])), []);
    assert_eq!(world.steps(&object), [Step::Record], "but it is remembered, so that it can be taken away");
}

#[test]
fn the_listed_roles_replace_the_assigned_ones_and_other_folders_are_not_touched() {
    let object =
        recorded(assignment("a", &[], &[("Shared/Finance", &["Queue Reader"])]), "me", &[("Shared/Finance", 11)]);
    let world = World::new().with("me", &["Auditor"], &[(11, &["Queue Reader", "Queue Writer"]), (12, &["Auditor"])]);
    let expected = [
        Step::SetTenantRoles { user: me(), roles: vec![] },
        Step::SetFolderRoles { user: Some(me()), folders: vec![(FolderId(11), vec![RoleId::new(2)])] },
    ];
    assert_eq!(world.steps(&object), expected);
}

#[test]
fn a_folder_that_is_no_longer_listed_is_left_and_one_that_was_never_listed_is_not() {
    let object = recorded(
        assignment("a", &["Auditor"], &[("Shared", &["Auditor"])]),
        "me",
        &[("Shared", 10), ("Shared/Finance", 11), ("Gone", 99)],
    );
    let world =
        World::new().with("me", &["Auditor"], &[(10, &["Auditor"]), (11, &["Queue Reader"]), (12, &["Auditor"])]);
    assert_eq!(world.steps(&object), [Step::Leave { user: me(), folder: FolderId(11) }]);
}

#[test]
fn a_folder_that_was_renamed_keeps_its_roles_under_either_name() {
    let world = World::new().with("me", &["Auditor"], &[(11, &["Queue Reader"])]);
    let old = recorded(
        assignment("a", &["Auditor"], &[("Shared/Accounting", &["Queue Reader"])]),
        "me",
        &[("Shared/Accounting", 11)],
    );
    let assessment = world.assess(&old, &[]);
    assert_eq!((assessment.steps.as_slice(), reasons(&assessment)), (&[][..], vec![Reason::UnknownFolder]));
    let corrected = recorded(
        assignment("a", &["Auditor"], &[("Shared/Finance", &["Queue Reader"])]),
        "me",
        &[("Shared/Accounting", 11)],
    );
    assert_eq!(world.steps(&corrected), []);
}

#[test]
fn what_is_refused_is_named_with_the_way_out_and_the_rest_is_applied() {
    let object = assignment(
        "a",
        &["Queue Reader"],
        &[
            ("Shared/Finanec", &["Queue Reader"]),
            ("Shared", &["Allow to be Automation User", "Queue Reeder", "Queue Writer"]),
            ("Shared/People", &["Queue Reader"]),
        ],
    );
    let assessment = World::new().assess(&object, &[]);
    let said: Vec<&str> = assessment.refusals().map(|refusal| refusal.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "role Queue Reader is a folder's role: list it under a folder",
            "folder Shared/Finanec: unknown; did you mean Shared/Finance?",
            "folder Shared: role Allow to be Automation User is a tenant's role: list it under spec.roles",
            "folder Shared: role Queue Reeder: unknown; did you mean Queue Reader?",
        ]
    );
    let applied = Step::SetFolderRoles {
        user: None,
        folders: vec![(FolderId(10), vec![RoleId::new(3)]), (FolderId(12), vec![RoleId::new(2)])],
    };
    assert_eq!(assessment.steps, [Step::Record, applied]);
    let status = status(&object, &Outcome::Done(Box::new(assessment)), NOON).expect("a status");
    let state = |path: &str| status.folders.iter().find(|folder| folder.path == path).map(|folder| folder.state);
    assert_eq!(state("Shared/Finanec"), Some(FolderState::Refused));
    assert_eq!(state("Shared/People"), Some(FolderState::Assigned));
    let condition = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind);
    assert_eq!(condition("Stalled").map(|condition| condition.reason.as_str()), Some("WrongRoleType"));
    assert_eq!(condition("Permitted").map(|condition| condition.status.as_str()), Some("False"));
}

#[test]
fn while_a_role_of_a_folder_is_refused_nothing_is_taken_away_there() {
    let object = recorded(
        assignment("a", &["Auditor"], &[("Shared", &["Queue Reader", "Renamed at the server"])]),
        "me",
        &[("Shared", 10)],
    );
    let world = World::new().with("me", &["Auditor"], &[(10, &["Queue Writer"])]);
    let union = vec![(FolderId(10), vec![RoleId::new(2), RoleId::new(3)])];
    assert_eq!(world.steps(&object), [Step::SetFolderRoles { user: Some(me()), folders: union }]);
}

#[test]
fn an_operator_that_sees_no_folder_is_told_what_it_lacks() {
    let mut world = World::new();
    world.tenant.folders.clear();
    let assessment = world.assess(&assignment("a", &[], &[("Shared", &["Auditor"])]), &[]);
    assert!(assessment.refusals().next().is_some_and(|refusal| refusal.message.contains("OR.Default")));
}

#[test]
fn two_that_disagree_both_say_so_and_change_nothing_where_they_differ() {
    let one = assignment("one", &["Auditor"], &[("Shared", &["Queue Reader"]), ("Shared/People", &["Auditor"])]);
    let other = assignment("other", &["Allow to be Automation User"], &[("Shared", &["Queue Writer"])]);
    let world = World::new().with("me", &[], &[]);
    let (first, second) = (world.assess(&one, std::slice::from_ref(&other)), world.assess(&other, &[one]));
    assert_eq!(reasons(&first), [Reason::AssignmentConflict, Reason::AssignmentConflict]);
    assert_eq!(reasons(&second), [Reason::AssignmentConflict, Reason::AssignmentConflict]);
    let undisputed = Step::SetFolderRoles { user: Some(me()), folders: vec![(FolderId(12), vec![RoleId::new(4)])] };
    assert_eq!(first.steps, [Step::Record, undisputed]);
    assert_eq!(second.steps, [Step::Record]);
}

#[test]
fn two_that_speak_of_different_things_get_on() {
    let tenant = assignment("tenant", &["Auditor"], &[]);
    let folder = recorded(assignment("folder", &[], &[("Shared", &["Auditor"])]), "me", &[("Shared", 10)]);
    let world = World::new().with("me", &["Auditor"], &[(10, &["Auditor"])]);
    let assessment = world.assess(&folder, &[tenant]);
    assert_eq!((assessment.steps.as_slice(), reasons(&assessment)), (&[][..], vec![]));
}

#[test]
fn one_that_goes_is_no_rival_and_one_that_only_watches_disputes_nothing_but_keeps_its_tenants_roles() {
    let object = assignment("one", &["Auditor"], &[]);
    let mut going = assignment("other", &["Allow to be Automation User"], &[]);
    going.metadata.deletion_timestamp = Some(crate::domain::credentials::whole(NOON));
    assert!(!is_rival(&object, &going) && !is_rival(&object, &object));
    let mut watching = assignment("other", &["Allow to be Automation User"], &[]);
    watching.spec.management = Some(Management::Observe);
    let world = World::new().with("me", &["Auditor"], &[]);
    assert_eq!(reasons(&world.assess(&object, std::slice::from_ref(&watching))), []);
    let silent = recorded(assignment("silent", &[], &[("Shared", &["Auditor"])]), "me", &[("Shared", 10)]);
    let world = World::new().with("me", &["Allow to be Automation User"], &[(10, &["Auditor"])]);
    assert_eq!(world.assess(&silent, &[watching]).steps, []);
}

#[test]
fn a_tenant_in_other_letters_is_the_same_tenant() {
    let mut other = assignment("other", &["Auditor"], &[]);
    other.spec.tenant = Some("defaulttenant".into());
    assert!(is_rival(&assignment("one", &["Auditor"], &[]), &other));
}

fn departs(world: &World, object: &RoleAssignment, rivals: &[RoleAssignment]) -> Vec<Step> {
    let rivals: Vec<Arc<RoleAssignment>> = rivals.iter().cloned().map(Arc::new).collect();
    let user = world.tenant.user(&PrincipalId::new("me")).expect("a user");
    departure(object, &Record::of(object), user, &rivals)
}

#[test]
fn at_the_end_the_user_goes_where_nothing_else_is_left_to_it() {
    let object = recorded(assignment("a", &["Auditor"], &[("Shared", &["Auditor"])]), "me", &[("Shared", 10)]);
    let alone = World::new().with("me", &["Auditor"], &[(10, &["Auditor"])]);
    assert_eq!(departs(&alone, &object, &[]), [Step::Expel { user: me() }]);
    let elsewhere = World::new().with("me", &["Auditor"], &[(10, &["Auditor"]), (12, &["Auditor"])]);
    let only_ours =
        [Step::Leave { user: me(), folder: FolderId(10) }, Step::SetTenantRoles { user: me(), roles: vec![] }];
    assert_eq!(departs(&elsewhere, &object, &[]), only_ours);
    let mut silent = World::new().with("me", &["Auditor"], &[(10, &["Auditor"])]);
    silent.tenant.users[0].folders = None;
    assert_eq!(departs(&silent, &object, &[]), only_ours, "a server that does not say where else it is assigned");
    silent.tenant.users[0].folders = Some(BTreeSet::new());
    assert_eq!(departs(&silent, &object, &[]), only_ours, "one that does not say it here");
}

#[test]
fn at_the_end_what_another_assignment_lists_stays() {
    let object = recorded(
        assignment("a", &["Auditor"], &[("Shared", &["Auditor"]), ("Shared/People", &["Auditor"])]),
        "me",
        &[("Shared", 10), ("Shared/People", 12)],
    );
    let world = World::new().with("me", &["Auditor"], &[(10, &["Auditor"]), (12, &["Auditor"])]);
    let other = assignment("other", &["Auditor"], &[("Shared", &["Auditor"])]);
    assert_eq!(departs(&world, &object, &[other]), [Step::Leave { user: me(), folder: FolderId(12) }]);
}
