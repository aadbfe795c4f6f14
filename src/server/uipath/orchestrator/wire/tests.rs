use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn client() -> ClientId {
    ClientId::new("5A0C9E0A-0000-4000-8000-000000000001")
}

fn rows(value: Value) -> Vec<SearchRow> {
    read(value)
}

fn row(identifier: &str, name: &str) -> Value {
    json!({"type": 4, "source": "aad", "domain": "autogen", "identifier": identifier, "identityName": name, "displayName": name})
}

#[test]
fn a_name_that_only_begins_alike_is_another_application() {
    let found = |rows: &[SearchRow], alone| found(rows, &client(), "invoice", alone);
    assert_eq!(found(&rows(json!([row("p-1", "invoice-sync"), row("p-2", "Invoice")])), true), Principal::Unknown);
    assert_eq!(
        found(&rows(json!([row("p-1", "invoice-sync"), row("p-2", "invoice")])), true),
        Principal::Known(PrincipalId::new("p-2"))
    );
}

#[test]
fn a_namesake_never_gets_the_roles() {
    let found = |rows: &[SearchRow], alone| found(rows, &client(), "invoice", alone);
    let one = rows(json!([row("p-1", "invoice")]));
    assert_eq!(found(&one, false), Principal::Ambiguous, "ours may be another one that is not there yet");
    let two = rows(json!([row("p-1", "invoice"), row("p-2", "invoice")]));
    assert_eq!(found(&two, true), Principal::Ambiguous);
    let ours = rows(json!([row("p-1", "invoice"), row(client().as_str(), "invoice")]));
    assert_eq!(found(&ours, false), Principal::Known(PrincipalId::new(client().as_str())));
}

#[test]
fn people_and_robots_of_the_name_are_no_applications() {
    let mut person = row("p-1", "invoice");
    person["type"] = json!(0);
    assert_eq!(found(&rows(json!([person])), &client(), "invoice", true), Principal::Unknown);
    let mut word = row("p-1", "invoice");
    word["type"] = json!("ExternalApplication");
    assert_eq!(found(&rows(json!([word])), &client(), "invoice", true), Principal::Known(PrincipalId::new("p-1")));
}

#[test]
fn what_the_directory_resolves_counts_only_for_the_client_id_it_names() {
    let answer = |value: Value| read::<ResolveAnswer>(value).principal(&client(), "invoice");
    let row = |application: Value| json!({"invoice": {"objectType": "DirectoryApplication", "identifier": "P-1", "applicationId": application}});
    let known = Principal::Known(PrincipalId::new("P-1"));
    assert_eq!(answer(row(json!(client().as_str().to_uppercase()))), known, "a GUID in any spelling");
    assert_eq!(answer(row(json!("another"))), Principal::Ambiguous);
    assert_eq!(answer(row(Value::Null)), Principal::Ambiguous);
    for nothing in [json!({}), json!({"invoice": null}), json!({"Invoice": {"identifier": "P-1"}})] {
        assert_eq!(answer(nothing), Principal::Unknown);
    }
}

#[test]
fn a_list_goes_on_while_the_server_says_so_and_ends_with_an_empty_page() {
    let more = |page: Value, before| read::<Page<Value>>(page).has_more(before);
    assert!(more(json!({"value": [1, 2], "@odata.nextLink": "https://elsewhere.example/odata/Folders?$skip=2"}), 0));
    assert!(more(json!({"value": [1, 2], "@odata.count": 5}), 2));
    assert!(!more(json!({"value": [1], "@odata.count": 5}), 4));
    assert!(!more(json!({"value": [1]}), 0));
    assert!(!more(json!({"value": [], "@odata.count": 5, "@odata.nextLink": "x"}), 4), "never without an end");
}

#[test]
fn inherited_roles_and_members_are_not_the_folders_own() {
    let member = |entity: Value, roles: Value| {
        read::<MemberRow>(json!({"Id": 7, "UserEntity": entity, "Roles": roles})).member()
    };
    let roles = json!([
        {"Name": "Queue Reader", "Origin": "Assigned", "RoleType": "Folder", "Id": 2},
        {"Name": "Folder Administrator", "Origin": "Inherited", "RoleType": "Folder", "Id": 3}
    ]);
    let found = member(
        json!({"Id": 58, "Type": "DirectoryExternalApplication", "AssignedToFolderIds": [10, 11]}),
        roles.clone(),
    )
    .unwrap();
    assert_eq!((found.user, found.roles), (UserId::new(58), BTreeSet::from(["Queue Reader".to_owned()])));
    assert_eq!(found.folders, Some(BTreeSet::from([FolderId(10), FolderId(11)])));
    assert_eq!(member(json!({"Id": 58, "IsInherited": true}), roles), None);
    assert_eq!(member(Value::Null, Value::Null).unwrap().user, UserId::new(7));
}

#[test]
fn a_user_is_known_by_its_identity_whichever_field_carries_it() {
    let user = |value: Value| read::<UserRow>(value).user();
    assert_eq!(
        user(json!({"Id": 5, "Key": "P-1", "RolesList": ["Auditor"]})).unwrap().principal,
        PrincipalId::new("P-1")
    );
    let both = user(
        json!({"Id": 5, "Key": "K", "DirectoryIdentifier": "P-1", "OrganizationUnits": [{"Id": 10, "DisplayName": "Shared"}]}),
    );
    let both = both.unwrap();
    assert_eq!((both.principal, both.folders), (PrincipalId::new("P-1"), Some(BTreeSet::from([FolderId(10)]))));
    assert_eq!(user(json!({"Id": 5})), None);
}

#[test]
fn requests_have_the_forms_that_the_server_documents() {
    let principal = PrincipalId::new("P-1");
    let roles = BTreeSet::from(["Auditor".to_owned()]);
    let admit = serde_json::to_value(AdmitBody::new(&principal, &roles)).unwrap();
    assert_eq!(
        (&admit["DirectoryIdentifier"], &admit["Type"]),
        (&json!("P-1"), &json!("DirectoryExternalApplication"))
    );
    assert_eq!((&admit["RolesList"], &admit["UpdatePolicy"]), (&json!(["Auditor"]), &json!({"Type": "None"})));
    let folders = FolderRoles::of(&[(FolderId(10), vec![RoleId::new(2)])]).unwrap();
    let body = AssignmentBody { assignment: Assignment::new(&principal, folders) };
    assert_eq!(
        serde_json::to_value(body).unwrap(),
        json!({"assignment": {
            "Domain": "autogen", "DirectoryIdentifier": "P-1", "UserType": "DirectoryExternalApplication",
            "RolesPerFolder": [{"FolderId": 10, "RoleIds": [2]}]
        }})
    );
    let roles_per_folder = FolderRoles::of(&[(FolderId(10), vec![])]).unwrap();
    let assignments = Assignments { user_ids: [58], roles_per_folder };
    assert_eq!(
        serde_json::to_value(AssignmentsBody { assignments }).unwrap(),
        json!({"assignments": {"UserIds": [58], "RolesPerFolder": [{"FolderId": 10, "RoleIds": []}]}})
    );
    assert_eq!(serde_json::to_value(RolesBody { role_ids: vec![1, 2] }).unwrap(), json!({"roleIds": [1, 2]}));
    assert_eq!(serde_json::to_value(LeaveBody { user_id: 58 }).unwrap(), json!({"userId": 58}));
    assert_eq!(
        serde_json::to_value(ResolveBody::new("invoice")).unwrap(),
        json!({"entityNames": ["invoice"], "entityType": "application"})
    );
}
