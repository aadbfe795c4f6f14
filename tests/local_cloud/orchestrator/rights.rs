//! Who may do what: scopes, roles, folders.

use reqwest::Method;
use serde_json::{Value, json};

use super::{NAMESPACE, Session, import_of, of};
use crate::local_cloud::{Cloud, taken};

/// Every scope that the applications of these tests hold.
const SCOPES: &[&str] = &[
    "OR.Folders",
    "OR.Folders.Read",
    "OR.Folders.Write",
    "OR.Users",
    "OR.Users.Read",
    "OR.Users.Write",
    "OR.Queues",
    "OR.Queues.Read",
    "OR.Queues.Write",
    "OR.Jobs",
    "PM.OAuthApp",
];

/// A tenant with the folders `Shared`, `Shared/Finance` and `Other`, and the application `robot`.
struct Scene {
    cloud: Cloud,
    client: (String, String),
    shared: i64,
    finance: i64,
    other: i64,
    user: i64,
    reader: i64,
    writer: i64,
}

impl Scene {
    async fn set() -> Self {
        let cloud = Cloud::start().await;
        let client = cloud.application_with("robot", SCOPES).await;
        let tenant = cloud.tenant().await;
        let shared = tenant.folder_at("Shared").await;
        let finance = tenant.folder("Finance", Some(shared)).await;
        let other = tenant.folder("Other", None).await;
        let user = tenant.import("robot", &[]).await;
        let reader = tenant.role_with("Queue Reader", "Folder", &["Queues.View"]).await;
        let writer =
            tenant.role_with("Queue Writer", "Folder", &["Queues.View", "Queues.Create", "Queues.Delete"]).await;
        drop(tenant);
        Self { cloud, client, shared, finance, other, user, reader, writer }
    }

    async fn gives(&self, folder: i64, roles: &[i64]) {
        assert_eq!(self.cloud.tenant().await.assign(self.user, folder, roles).await.0, 204);
    }

    async fn robot(&self, scopes: &str) -> Session<'_> {
        self.cloud.acts(&self.client, scopes).await
    }
}

async fn create_queue(session: &Session<'_>, folder: i64, name: &str) -> u16 {
    session.send(Method::POST, "odata/QueueDefinitions", Some(&json!({ "Name": name })), Some(folder)).await.0
}

/// Roles in `Shared` and in `Shared/Finance`, if there is an assignment at all; the scopes of the token; the statuses
/// in `Shared`, in `Shared/Finance` and in `Other`.
type QueueCase<'a> = (Option<&'a [i64]>, Option<&'a [i64]>, &'a str, [u16; 3]);

#[tokio::test]
async fn queues_open_by_a_scope_everywhere_or_by_a_role_in_its_folder_and_below() {
    let scene = Scene::set().await;
    let (shared, finance, other) = (scene.shared, scene.finance, scene.other);
    let none: &[i64] = &[];
    let cases: &[QueueCase<'_>] = &[
        (None, None, "OR.Default", [404, 404, 404]),
        (Some(none), None, "OR.Default", [403, 403, 404]),
        (Some(&[scene.reader]), None, "OR.Default", [200, 200, 404]),
        (None, Some(&[scene.reader]), "OR.Default", [404, 200, 404]),
        (Some(none), Some(&[scene.reader]), "OR.Default", [403, 200, 404]),
        (Some(&[scene.reader]), None, "OR.Jobs", [403, 403, 403]),
        (Some(&[scene.reader]), None, "PM.OAuthApp", [401, 401, 401]),
        (Some(&[scene.reader]), None, "OR.Queues.Write", [403, 403, 403]),
        (None, None, "OR.Queues.Read", [200, 200, 200]),
        (None, None, "OR.Queues", [200, 200, 200]),
        (None, Some(&[scene.reader]), "OR.Queues.Read OR.Default", [200, 200, 200]),
        (None, Some(&[scene.reader]), "OR.Folders.Read OR.Default", [404, 200, 404]),
    ];
    for (in_shared, in_finance, scopes, expected) in cases {
        let tenant = scene.cloud.tenant().await;
        for (folder, roles) in [(shared, in_shared), (finance, in_finance)] {
            if let Some(roles) = roles {
                scene.gives(folder, roles).await;
            } else {
                let path = format!("odata/Folders({folder})/{NAMESPACE}.RemoveUserFromFolder");
                tenant.post(&path, &json!({ "userId": scene.user })).await;
            }
        }
        let robot = scene.robot(scopes).await;
        let found = [robot.queues(shared).await, robot.queues(finance).await, robot.queues(other).await];
        assert_eq!(found, *expected, "{scopes} with {in_shared:?} and {in_finance:?}");
    }
}

#[tokio::test]
async fn making_and_deleting_queues_needs_more_than_reading_them() {
    let scene = Scene::set().await;
    scene.gives(scene.shared, &[scene.reader]).await;
    scene.gives(scene.other, &[scene.writer]).await;
    let robot = scene.robot("OR.Default").await;
    assert_eq!(create_queue(&robot, scene.shared, "q").await, 403);
    assert_eq!(create_queue(&robot, scene.other, "q").await, 201);
    let listed = robot.send(Method::GET, "odata/QueueDefinitions", None, Some(scene.other)).await.1;
    let path = format!("odata/QueueDefinitions({})", listed["value"][0]["Id"]);
    assert_eq!(robot.send(Method::GET, &path, None, Some(scene.other)).await.1["Name"], "q");
    assert_eq!(robot.send(Method::GET, &path, None, Some(scene.shared)).await.0, 404);
    assert_eq!(robot.send(Method::DELETE, &path, None, Some(scene.shared)).await.0, 403);
    assert_eq!(robot.send(Method::DELETE, &path, None, Some(scene.other)).await.0, 204);
    let reading = scene.robot("OR.Queues.Read").await;
    assert_eq!(create_queue(&reading, scene.other, "q").await, 403);
    let writing = scene.robot("OR.Queues.Write").await;
    assert_eq!(create_queue(&writing, scene.finance, "q").await, 201);
    assert_eq!(create_queue(&writing, scene.finance, "Q").await, 409);
    assert_eq!(writing.queues(scene.finance).await, 403);
}

#[tokio::test]
async fn the_list_of_folders_is_empty_without_the_default_scope_and_shows_ones_own_with_it() {
    let scene = Scene::set().await;
    let listed = async |scopes: &str| {
        let robot = scene.robot(scopes).await;
        let (status, answer) = robot.get("odata/Folders").await;
        (status, answer["value"].as_array().map(|folders| of(folders, "FullyQualifiedName")).unwrap_or_default())
    };
    assert_eq!(listed("OR.Default").await, (200, vec![]));
    scene.gives(scene.shared, &[]).await;
    assert_eq!(listed("OR.Folders OR.Folders.Read OR.Queues").await, (200, vec![]));
    assert_eq!(listed("OR.Default").await, (200, vec![json!("Shared"), json!("Shared/Finance")]));
    assert_eq!(listed("OR.Default OR.Folders.Read").await.1.len(), 2);
    assert_eq!(listed("OR.Queues").await.0, 403);
    assert_eq!(listed("OR.Folders.Write").await.0, 403);
    assert_eq!(listed("PM.OAuthApp").await.0, 401);
    assert_eq!(scene.cloud.administrates("OR.Folders OR.Users").await.list("odata/Folders").await, [Value::Null; 0]);
    assert_eq!(scene.cloud.administrates("OR.Default").await.list("odata/Folders").await.len(), 3);
}

#[tokio::test]
async fn one_folder_can_be_read_by_scope_by_assignment_and_by_permission() {
    let scene = Scene::set().await;
    scene.gives(scene.shared, &[]).await;
    let status =
        async |scopes: &str, folder: i64| scene.robot(scopes).await.get(&format!("odata/Folders({folder})")).await.0;
    assert_eq!(status("OR.Folders.Read", scene.other).await, 200);
    assert_eq!(status("OR.Default", scene.finance).await, 200);
    assert_eq!(status("OR.Default", scene.other).await, 404);
    assert_eq!(status("OR.Default", 999_999).await, 404);
    assert_eq!(status("OR.Folders.Write", scene.shared).await, 403);
}

/// An operation with its body, the scopes each of which is enough, and the permission in the tenant that is enough.
type Operation = (Method, String, Option<Value>, [&'static str; 2], &'static str);

fn operations(scene: &Scene) -> Vec<Operation> {
    let (folder, user, role) = (scene.other, scene.user, scene.reader);
    let folders = format!("odata/Folders/{NAMESPACE}");
    let search = "searchContext=ExternalApplications&domain=autogen&prefix=ro";
    let one = |kind: &str, id: i64| format!("odata/{kind}({id})");
    let assign = json!({ "assignments": { "UserIds": [user], "RolesPerFolder": [] } });
    let update = json!({ "UpdatePolicy": { "Type": "None" } });
    let made = |name: &str| Some(json!({ "DisplayName": name }));
    vec![
        (Method::GET, one("Folders", folder), None, ["OR.Folders", "OR.Folders.Read"], "Units.View"),
        (Method::POST, "odata/Folders".into(), made("F"), ["OR.Folders", "OR.Folders.Write"], "Units.Create"),
        (Method::PUT, one("Folders", folder), made("Other"), ["OR.Folders", "OR.Folders.Write"], "Units.Edit"),
        (Method::POST, format!("{folders}.AssignUsers"), Some(assign), ["OR.Folders", "OR.Folders.Write"], ""),
        (
            Method::GET,
            format!("{folders}.GetUsersForFolder(key={folder},includeInherited=true)"),
            None,
            ["OR.Folders", "OR.Folders.Read"],
            "Units.View",
        ),
        (Method::GET, "odata/Roles".into(), None, ["OR.Users", "OR.Users.Read"], "Roles.View"),
        (Method::GET, one("Roles", role), None, ["OR.Users", "OR.Users.Read"], "Roles.View"),
        (
            Method::POST,
            "odata/Roles".into(),
            Some(json!({ "Name": "R" })),
            ["OR.Users", "OR.Users.Write"],
            "Roles.Create",
        ),
        (
            Method::PUT,
            one("Roles", role),
            Some(json!({ "Name": "Queue Reader" })),
            ["OR.Users", "OR.Users.Write"],
            "Roles.Edit",
        ),
        (Method::GET, "odata/Users".into(), None, ["OR.Users", "OR.Users.Read"], "Users.View"),
        (Method::GET, one("Users", user), None, ["OR.Users", "OR.Users.Read"], "Users.View"),
        (Method::PUT, one("Users", user), Some(update.clone()), ["OR.Users", "OR.Users.Write"], ""),
        (Method::PATCH, one("Users", user), Some(json!({})), ["OR.Users", "OR.Users.Write"], "Users.Edit"),
        (
            Method::GET,
            format!("api/DirectoryService/SearchForUsersAndGroups?{search}"),
            None,
            ["OR.Users", "OR.Users.Read"],
            "Users.View",
        ),
        (Method::GET, "api/DirectoryService/GetDomains".into(), None, ["OR.Users", "OR.Users.Read"], "Units.Edit"),
    ]
}

#[tokio::test]
async fn each_operation_opens_by_its_scopes_or_by_its_permission_and_by_nothing_else() {
    let scene = Scene::set().await;
    let tenant = scene.cloud.tenant().await;
    let all = ["OR.Folders", "OR.Folders.Read", "OR.Folders.Write", "OR.Users", "OR.Users.Read", "OR.Users.Write"];
    for (method, path, body, scopes, permission) in operations(&scene) {
        // The bodies make things with one name, so each call starts from a clean table.
        let clean = async || {
            for (set, name) in [("Folders", "DisplayName eq 'F'"), ("Roles", "Name eq 'R'")] {
                for found in tenant.list(&format!("odata/{set}?$filter={}", super::encoded(name))).await {
                    tenant.delete(&format!("odata/{set}({})", found["Id"])).await;
                }
            }
        };
        for scope in all.into_iter().chain(["OR.Queues", "OR.Default"]) {
            let status = scene.robot(scope).await.send(method.clone(), &path, body.as_ref(), None).await.0;
            let harmless = path.ends_with("AssignUsers") && scope == "OR.Default";
            // With the default scope alone it is the roles that count, and here are none; assigning nobody to no
            // folder needs none.
            let open = scopes.contains(&scope) || harmless;
            let refused =
                if scope == "OR.Default" && path.contains(&format!("{}", scene.other)) && path.contains("Folders") {
                    404
                } else {
                    403
                };
            assert_eq!(status < 300, open, "{method} {path} with {scope}: {status}");
            assert!(open || status == refused, "{method} {path} with {scope}: {status}");
            clean().await;
        }
        if !permission.is_empty() {
            let role = tenant.role_with("just this", "Tenant", &[permission]).await;
            let roles = format!("odata/Users({})/{NAMESPACE}.AssignRoles", scene.user);
            assert_eq!(tenant.post(&roles, &json!({ "roleIds": [role] })).await.0, 200);
            let robot = scene.robot("OR.Default").await;
            let status = robot.send(method.clone(), &path, body.as_ref(), None).await.0;
            assert!(status < 300, "{method} {path} with {permission}: {status}");
            let status = scene.robot("OR.Queues").await.send(method.clone(), &path, body.as_ref(), None).await.0;
            assert_eq!(status, 403, "{method} {path} with {permission} but without the default scope");
            assert_eq!(tenant.post(&roles, &json!({ "roleIds": [] })).await.0, 200);
            clean().await;
            assert_eq!(tenant.delete(&format!("odata/Roles({role})")).await.0, 204);
        }
    }
}

#[tokio::test]
async fn an_administrator_of_a_folder_administers_what_is_below_and_nothing_beside() {
    let scene = Scene::set().await;
    let administrator = scene.cloud.tenant().await.role("Folder Administrator").await;
    scene.gives(scene.shared, &[administrator]).await;
    let robot = scene.robot("OR.Default").await;
    let below = robot.folder("below", Some(scene.finance)).await;
    assert_eq!(robot.assign(scene.user, below, &[scene.reader]).await.0, 204);
    assert_eq!(robot.members(below, true).await.len(), 1);
    assert_eq!(robot.post("odata/Folders", &json!({ "DisplayName": "x", "ParentId": scene.other })).await.0, 404);
    assert_eq!(robot.post("odata/Folders", &json!({ "DisplayName": "x" })).await.0, 403);
    assert_eq!(robot.assign(scene.user, scene.other, &[]).await.0, 404);
    assert_eq!(robot.get("odata/Roles").await.0, 200);
    assert_eq!(robot.get("odata/Users").await.0, 403);
    assert_eq!(robot.delete(&format!("odata/Folders({below})")).await.0, 204);
}

#[tokio::test]
async fn tenant_roles_count_in_a_folder_only_if_it_inherits_them() {
    let scene = Scene::set().await;
    let tenant = scene.cloud.tenant().await;
    let mixed = tenant.role_with("Everywhere", "Mixed", &["Queues.View"]).await;
    let roles = format!("odata/Users({})/{NAMESPACE}.AssignRoles", scene.user);
    assert_eq!(tenant.post(&roles, &json!({ "roleIds": [mixed] })).await.0, 200);
    let inheriting = tenant
        .made("odata/Folders", &json!({ "DisplayName": "classic", "PermissionModel": "InheritFromTenant" }))
        .await;
    let robot = scene.robot("OR.Default").await;
    assert_eq!((robot.queues(inheriting).await, robot.queues(scene.other).await), (200, 404));
}

#[tokio::test]
async fn a_token_without_a_scope_of_orchestrator_or_of_somebody_else_is_no_token() {
    let scene = Scene::set().await;
    let url = format!("{}/DefaultTenant/orchestrator_/odata/Folders", scene.cloud.running.url());
    assert_eq!(scene.cloud.http.get(&url).send().await.unwrap().status(), 401);
    for token in ["nonsense", scene.robot("PM.OAuthApp").await.token.as_str()] {
        let response = scene.cloud.http.get(&url).bearer_auth(token).send().await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    }
}

#[tokio::test]
async fn a_scope_reaches_every_tenant_and_a_role_only_its_own() {
    let cloud = Cloud::start_with(|config| config.tenants = vec!["Second".to_owned()]).await;
    let client = cloud.application_with("robot", &["OR.Queues"]).await;
    let identifier = cloud.identifier("robot").await;
    let mut folders = Vec::new();
    for name in ["DefaultTenant", "Second"] {
        let mut tenant = cloud.tenant().await;
        tenant.tenant = name.to_owned();
        folders.push(tenant.folder_at("Shared").await);
        let role = tenant.role("Automation User").await;
        let roles: &[i64] = if name == "Second" { &[role] } else { &[] };
        let assigned =
            tenant.assign_directory("AssignDirectoryUser", &identifier, *folders.last().unwrap(), roles).await;
        assert_eq!(assigned.0, 204);
    }
    let mut found = Vec::new();
    for scopes in ["OR.Queues", "OR.Default"] {
        for (name, folder) in ["DefaultTenant", "Second"].into_iter().zip(&folders) {
            let mut robot = cloud.acts(&client, scopes).await;
            robot.tenant = name.to_owned();
            found.push(robot.queues(*folder).await);
        }
    }
    assert_eq!(found, [200, 200, 403, 200]);
    // What one tenant calls by a number is unknown in another.
    let mut tenant = cloud.tenant().await;
    assert_eq!(tenant.get(&format!("odata/Folders({})", folders[1])).await.0, 404);
    assert_eq!(tenant.queues(folders[1]).await, 404);
    for unknown in ["Third", "defaulttenant", "identity_"] {
        tenant.tenant = unknown.to_owned();
        assert_eq!(tenant.get("odata/Roles").await.0, 404, "{unknown}");
    }
    let other = cloud.running.url().replace("/acme", "/other");
    let response =
        cloud.http.get(format!("{other}/DefaultTenant/orchestrator_/odata/Roles")).bearer_auth(&tenant.token);
    assert_eq!(taken(response.send().await.unwrap()).await.0, 404);
}

#[tokio::test]
async fn roles_stop_counting_when_the_application_is_deleted_and_scopes_when_the_token_ends() {
    let scene = Scene::set().await;
    scene.gives(scene.shared, &[scene.reader]).await;
    let (by_role, by_scope) = (scene.robot("OR.Default").await, scene.robot("OR.Queues").await);
    assert_eq!((by_role.queues(scene.shared).await, by_scope.queues(scene.shared).await), (200, 200));
    let path = scene.cloud.path_of(&scene.client.0);
    assert_eq!(scene.cloud.manage(Method::DELETE, &path, None).await.0, 204);
    assert_eq!((by_role.queues(scene.shared).await, by_scope.queues(scene.shared).await), (404, 200));
    scene.cloud.clock.advance(3_600_000);
    assert_eq!(by_scope.queues(scene.shared).await, 401);
}

#[tokio::test]
async fn the_administrator_client_may_do_everything_from_the_first_start() {
    let cloud = Cloud::start().await;
    let tenant = cloud.tenant().await;
    let users = tenant.list("odata/Users").await;
    assert_eq!((users.len(), &users[0]["RolesList"]), (1, &json!(["Tenant Administrator"])));
    let folder = tenant.folder("new", None).await;
    assert_eq!(create_queue(&tenant, folder, "q").await, 201);
    cloud.application_with("robot", &["OR.Jobs"]).await;
    let (status, _) = tenant.post("odata/Users", &import_of(&cloud.identifier("robot").await, &[])).await;
    assert_eq!(status, 201);
}
