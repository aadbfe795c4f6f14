//! The Orchestrator side: tenants, folders, roles, users, and what the roles protect.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Cloud, taken};

mod assignments;
mod directory;
mod folders;
mod lasting;
mod malformed;
mod paging;
mod rights;
mod roles;
mod shapes;
mod users;

const NAMESPACE: &str = "UiPath.Server.Configuration.OData";

/// Calls Orchestrator with one token, and holds every request and every answer against the published shapes.
struct Session<'a> {
    cloud: &'a Cloud,
    token: String,
    tenant: String,
}

impl Cloud {
    /// A session of the administrator with these scopes.
    async fn administrates(&self, scopes: &str) -> Session<'_> {
        self.acts(&self.administrator(), scopes).await
    }

    /// A session of the administrator that may do everything.
    async fn tenant(&self) -> Session<'_> {
        self.administrates("OR.Default OR.Queues").await
    }

    /// A session of a client.
    async fn acts(&self, client: &(String, String), scopes: &str) -> Session<'_> {
        Session { cloud: self, token: self.token(client, scopes).await, tenant: "DefaultTenant".to_owned() }
    }

    /// Creates an application with these application scopes.
    async fn application_with(&self, name: &str, scopes: &[&str]) -> (String, String) {
        let scopes: Vec<_> = scopes.iter().map(|name| json!({ "name": name, "type": 1 })).collect();
        self.created(name, &json!(scopes)).await
    }

    /// The directory identifier of an application, asked for by its name.
    async fn identifier(&self, name: &str) -> String {
        let body = json!({ "entityNames": [name], "entityType": "application" });
        let (status, answer) = self.post(&format!("Directory/BulkResolveByName/{}", self.partition()), &body).await;
        assert_eq!(status, 200, "{answer}");
        answer[name]["identifier"].as_str().unwrap_or_else(|| panic!("{name} is not in {answer}")).to_owned()
    }
}

impl Session<'_> {
    /// Sends a request; `path` follows `orchestrator_/` and is sent as it is.
    async fn send(&self, method: Method, path: &str, body: Option<&Value>, folder: Option<i64>) -> (u16, Value) {
        let base = self.cloud.running.url();
        let url = format!("{base}/{}/orchestrator_/{path}", self.tenant);
        let mut request = self.cloud.http.request(method.clone(), url).bearer_auth(&self.token);
        if let Some(folder) = folder {
            request = request.header("X-UIPATH-OrganizationUnitId", folder);
        }
        if let Some(body) = body {
            shapes::check_request(&method, path, body);
            request = request.json(body);
        }
        let (status, answer) = taken(request.send().await.unwrap()).await;
        shapes::check_answer(&method, path, status, &answer);
        (status, answer)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.send(Method::GET, path, None, None).await
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.send(Method::POST, path, Some(body), None).await
    }

    async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, None, None).await
    }

    /// The entities on the first page of a collection.
    async fn list(&self, path: &str) -> Vec<Value> {
        let (status, answer) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer["value"].as_array().unwrap().clone()
    }

    /// Makes a folder and returns its number.
    async fn folder(&self, name: &str, parent: Option<i64>) -> i64 {
        let mut body = json!({ "DisplayName": name });
        if let Some(parent) = parent {
            body["ParentId"] = json!(parent);
        }
        self.made("odata/Folders", &body).await
    }

    /// The number of the folder at this path.
    async fn folder_at(&self, path: &str) -> i64 {
        let filter = encoded(&format!("FullyQualifiedName eq '{}'", path.replace('\'', "''")));
        let found = self.list(&format!("odata/Folders?$filter={filter}")).await;
        assert_eq!(found.len(), 1, "{path}");
        found[0]["Id"].as_i64().unwrap()
    }

    /// The number of the role with this name.
    async fn role(&self, name: &str) -> i64 {
        let found = self.list(&format!("odata/Roles?$filter={}", encoded(&format!("Name eq '{name}'")))).await;
        found[0]["Id"].as_i64().unwrap_or_else(|| panic!("there is no role {name}"))
    }

    /// Makes a role with these permissions and returns its number.
    async fn role_with(&self, name: &str, kind: &str, permissions: &[&str]) -> i64 {
        let permissions: Vec<_> = permissions.iter().map(|name| json!({ "Name": name, "IsGranted": true })).collect();
        self.made("odata/Roles", &json!({ "Name": name, "Type": kind, "Permissions": permissions })).await
    }

    async fn made(&self, path: &str, body: &Value) -> i64 {
        let (status, answer) = self.post(path, body).await;
        assert_eq!(status, 201, "{answer}");
        answer["Id"].as_i64().unwrap()
    }

    /// Imports an application into the tenant and returns the number of its user.
    async fn import(&self, name: &str, roles: &[&str]) -> i64 {
        self.made("odata/Users", &import_of(&self.cloud.identifier(name).await, roles)).await
    }

    async fn assign(&self, user: i64, folder: i64, roles: &[i64]) -> (u16, Value) {
        let body = json!({
            "assignments": { "UserIds": [user], "RolesPerFolder": [{ "FolderId": folder, "RoleIds": roles }] },
        });
        self.post(&format!("odata/Folders/{NAMESPACE}.AssignUsers"), &body).await
    }

    async fn assign_directory(&self, action: &str, identifier: &str, folder: i64, roles: &[i64]) -> (u16, Value) {
        let body = json!({
            "assignment": {
                "Domain": "autogen",
                "DirectoryIdentifier": identifier,
                "UserType": "DirectoryExternalApplication",
                "RolesPerFolder": [{ "FolderId": folder, "RoleIds": roles }],
            },
        });
        self.post(&format!("odata/Folders/{NAMESPACE}.{action}"), &body).await
    }

    /// Who is in a folder, with everything that is known of them.
    async fn members(&self, folder: i64, inherited: bool) -> Vec<Value> {
        self.list(&format!(
            "odata/Folders/{NAMESPACE}.GetUsersForFolder(key={folder},includeInherited={inherited})\
             ?$expand=UserEntity,Roles&includeAlertsEnabled=true"
        ))
        .await
    }

    async fn queues(&self, folder: i64) -> u16 {
        self.send(Method::GET, "odata/QueueDefinitions", None, Some(folder)).await.0
    }
}

/// The body that imports an application, as clients in the field send it.
fn import_of(identifier: &str, roles: &[&str]) -> Value {
    json!({
        "DirectoryIdentifier": identifier,
        "Domain": "autogen",
        "Type": "DirectoryExternalApplication",
        "RolesList": roles,
        "MayHaveUserSession": false,
        "MayHaveRobotSession": false,
        "MayHaveUnattendedSession": false,
        "MayHavePersonalWorkspace": false,
        "RestrictToPersonalWorkspace": false,
        "IsExternalLicensed": false,
        "UpdatePolicy": { "Type": "None" },
        "NotificationSubscription": { "Queues": true, "Jobs": true },
    })
}

/// A value for a query, with %20 for a blank.
fn encoded(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>().replace('+', "%20")
}

/// The values of one member.
fn of(entities: &[Value], member: &str) -> Vec<Value> {
    entities.iter().map(|entity| entity[member].clone()).collect()
}
