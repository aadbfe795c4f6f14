//! Orchestrator as its administrators and an application's workload see it: real tokens, real calls.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::LocalCloud;
use super::error::{Context, Error, Result};
use super::local_cloud::said;

/// What a Secret says.
type Keys = BTreeMap<String, String>;

/// The header that names a folder.
const FOLDER: &str = "X-UIPATH-OrganizationUnitId";

/// One tenant, with an administrator's rights.
pub struct Tenant<'a> {
    cloud: &'a LocalCloud,
    base: String,
    token: String,
}

impl<'a> Tenant<'a> {
    pub async fn of(cloud: &'a LocalCloud, name: &str) -> Result<Self> {
        let token = cloud.administrator_token_for("OR.Default OR.Folders OR.Users OR.Queues").await?;
        Ok(Self { cloud, base: format!("{}/{name}/orchestrator_", cloud.url()), token })
    }

    pub async fn default(cloud: &'a LocalCloud) -> Result<Self> {
        Self::of(cloud, "DefaultTenant").await
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        self.call_in(None, method, path, body).await
    }

    async fn call_in(&self, folder: Option<i64>, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let url = format!("{}{path}", self.base);
        let mut request = reqwest::Client::new().request(method, url).bearer_auth(&self.token);
        if let Some(folder) = folder {
            request = request.header(FOLDER, folder);
        }
        said(request, body).await.map_err(|error| Error::new(format!("{path}: {error}")))
    }

    /// Makes a folder with a queue in it; those above it must be there.
    pub async fn folder(&self, path: &str) -> Result<i64> {
        let (parent, name) = path.rsplit_once('/').map_or((None, path), |(parent, name)| (Some(parent), name));
        let mut body = json!({"DisplayName": name});
        if let Some(parent) = parent {
            body["ParentId"] = json!(self.folder_id(parent).await?);
        }
        let made = self.call(Method::POST, "/odata/Folders", Some(body)).await?;
        let id = made["Id"].as_i64().context(format!("no folder: {made}"))?;
        self.queue(id, "Invoices").await?;
        Ok(id)
    }

    pub async fn queue(&self, folder: i64, name: &str) -> Result<()> {
        let body = json!({"Name": name});
        self.call_in(Some(folder), Method::POST, "/odata/QueueDefinitions", Some(body)).await.map(|_| ())
    }

    pub async fn folder_id(&self, path: &str) -> Result<i64> {
        let quoted = format!("FullyQualifiedName eq '{}'", path.replace('\'', "''"));
        let filter: String = url::form_urlencoded::byte_serialize(quoted.as_bytes()).collect();
        let url = format!("/odata/Folders?$filter={filter}");
        let found = self.call(Method::GET, &url, None).await?;
        found["value"][0]["Id"].as_i64().context(format!("no folder {path}: {found}"))
    }

    /// Makes a role for folders that allows these.
    pub async fn folder_role(&self, name: &str, permissions: &[&str]) -> Result<i64> {
        self.role(name, "Folder", permissions).await
    }

    pub async fn role(&self, name: &str, kind: &str, permissions: &[&str]) -> Result<i64> {
        let permissions: Vec<Value> = permissions.iter().map(|name| json!({"Name": name, "IsGranted": true})).collect();
        let body = json!({"Name": name, "DisplayName": name, "Type": kind, "Permissions": permissions});
        let made = self.call(Method::POST, "/odata/Roles", Some(body)).await?;
        made["Id"].as_i64().context(format!("no role: {made}"))
    }

    pub async fn role_id(&self, name: &str) -> Result<i64> {
        let found = self.call(Method::GET, &format!("/odata/Roles?$filter=Name eq '{name}'"), None).await?;
        found["value"][0]["Id"].as_i64().context(format!("no role {name}: {found}"))
    }

    /// Every external application that the tenant knows: its user's number, and its roles in the tenant.
    pub async fn applications(&self) -> Result<BTreeMap<i64, BTreeSet<String>>> {
        let url = "/odata/Users?$filter=Type eq 'DirectoryExternalApplication'";
        let found = self.call(Method::GET, url, None).await?;
        let rows = found["value"].as_array().cloned().unwrap_or_default();
        Ok(rows.iter().filter_map(|row| Some((row["Id"].as_i64()?, names(&row["RolesList"])))).collect())
    }

    /// Who is assigned to a folder itself, by the user's name, with which roles.
    pub async fn members(&self, folder: i64) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let url = format!(
            "/odata/Folders/UiPath.Server.Configuration.OData.GetUsersForFolder(key={folder},includeInherited=false)?$expand=UserEntity,Roles"
        );
        let found = self.call(Method::GET, &url, None).await?;
        let rows = found["value"].as_array().cloned().unwrap_or_default();
        let one = |row: &Value| {
            let roles = row["Roles"].as_array().into_iter().flatten();
            let own = roles.filter(|role| role["Origin"] == "Assigned").filter_map(|role| role["Name"].as_str());
            let user = row["UserEntity"]["UserName"].as_str().unwrap_or_default();
            (user.to_owned(), own.map(str::to_owned).collect())
        };
        Ok(rows.iter().map(one).collect())
    }

    /// The number of the user with this name.
    pub async fn user(&self, name: &str) -> Result<i64> {
        let found = self.call(Method::GET, "/odata/Users?$top=1000", None).await?;
        let rows = found["value"].as_array().cloned().unwrap_or_default();
        let row = rows.iter().find(|row| row["UserName"] == name || row["Name"] == name);
        row.and_then(|row| row["Id"].as_i64()).context(format!("no user {name}: {found}"))
    }

    /// Sets the roles of a user in a folder, as a person would.
    pub async fn assign(&self, user: i64, folder: i64, roles: &[i64]) -> Result<()> {
        let body =
            json!({"assignments": {"UserIds": [user], "RolesPerFolder": [{"FolderId": folder, "RoleIds": roles}]}});
        let path = "/odata/Folders/UiPath.Server.Configuration.OData.AssignUsers";
        self.call(Method::POST, path, Some(body)).await.map(|_| ())
    }

    /// The tenant as whoever holds these credentials sees it, with a token for these scopes.
    pub async fn workload(&self, keys: &Keys, scope: &str) -> Result<Workload> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &keys["client-id"]),
            ("client_secret", &keys["client-secret"]),
            ("scope", scope),
        ];
        let url = format!("{}/identity_/connect/token", self.cloud.base_url());
        let answer: Value = reqwest::Client::new().post(url).form(&form).send().await?.json().await?;
        let token = answer["access_token"].as_str().context(format!("no token: {answer}"))?.to_owned();
        Ok(Workload { base: self.base.clone(), token })
    }
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What an application's workload can do with its token.
pub struct Workload {
    base: String,
    token: String,
}

impl Workload {
    /// Whether the queues of a folder may be read.
    pub async fn reads(&self, folder: i64) -> Result<bool> {
        let answer = self.queues(folder).await?;
        match answer.status() {
            StatusCode::OK => {
                Ok(answer.json::<Value>().await?["value"].as_array().is_some_and(|rows| !rows.is_empty()))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => {
                Ok(false)
            }
            other => Err(Error::new(format!("queues of folder {folder}: {other}"))),
        }
    }

    /// The HTTP status of reading the queues of a folder.
    pub async fn status(&self, folder: i64) -> Result<u16> {
        Ok(self.queues(folder).await?.status().as_u16())
    }

    async fn queues(&self, folder: i64) -> Result<reqwest::Response> {
        let url = format!("{}/odata/QueueDefinitions", self.base);
        Ok(reqwest::Client::new().get(url).bearer_auth(&self.token).header(FOLDER, folder).send().await?)
    }

    /// Whether a queue can be made in a folder.
    pub async fn writes(&self, folder: i64, name: &str) -> Result<bool> {
        let url = format!("{}/odata/QueueDefinitions", self.base);
        let request = reqwest::Client::new().post(url).bearer_auth(&self.token).header(FOLDER, folder);
        Ok(request.json(&json!({"Name": name})).send().await?.status().is_success())
    }
}
