//! The directory of the organization: from names to principals.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::json;
use crate::local_cloud::cloud::{Caller, Cloud};
use crate::local_cloud::errors::ApiError;
use crate::local_cloud::store::StoreError;
use crate::local_cloud::store::orchestrator::directory::{self, Principal, PrincipalType};

/// How many names one call may ask for.
const MOST_NAMES: usize = 20;

#[derive(Deserialize)]
pub struct PartitionPath {
    partition: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Names {
    entity_names: Option<Vec<String>>,
    entity_type: Option<String>,
}

/// `POST /api/Directory/BulkResolveByName/{partition}`: the principals with exactly these names, the case of letters
/// included. A name that nobody has is left out. Any token of the organization will do.
///
/// Names of applications are not unique, and the answer has room for one of each; it is the oldest. A client has to
/// compare `applicationId` with the client id it means.
pub async fn resolve_by_name(
    State(cloud): State<Arc<Cloud>>,
    _caller: Caller,
    Path(path): Path<PartitionPath>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<BTreeMap<String, Value>>, ApiError> {
    cloud.require_partition(&path.partition)?;
    let request: Names = json(&headers, &body)?;
    let names = request.entity_names.ok_or_else(|| ApiError::required("entityNames"))?;
    if names.is_empty() || names.len() > MOST_NAMES {
        return Err(ApiError::business("InvalidRequest", format!("Between 1 and {MOST_NAMES} names are allowed.")));
    }
    let kind = match request.entity_type.as_deref() {
        Some("application") => Some(PrincipalType::DirectoryExternalApplication),
        Some("user") => Some(PrincipalType::DirectoryUser),
        Some("group" | "robot" | "machine") => None,
        Some(other) => return Err(ApiError::not_valid("entityType", other)),
        None => return Err(ApiError::required("entityType")),
    };
    let found = cloud.store.read(move |store| {
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(principal) = kind.map(|kind| named(store, kind, &name)).transpose()?.flatten() {
                found.insert(name, answer(&principal));
            }
        }
        Ok(found)
    });
    Ok(Json(found.await?))
}

fn named(store: &rusqlite::Connection, kind: PrincipalType, name: &str) -> Result<Option<Principal>, StoreError> {
    match kind {
        PrincipalType::DirectoryExternalApplication => {
            Ok(directory::applications_named(store, name)?.into_iter().next())
        }
        PrincipalType::DirectoryUser => Ok(directory::all(store, kind)?.into_iter().find(|person| person.name == name)),
    }
}

fn answer(principal: &Principal) -> Value {
    let kind = match principal.kind {
        PrincipalType::DirectoryExternalApplication => "DirectoryApplication",
        PrincipalType::DirectoryUser => "DirectoryUser",
    };
    let email = (principal.kind == PrincipalType::DirectoryUser).then_some(&principal.name);
    json!({
        "objectType": kind,
        "source": "local",
        "identifier": principal.id,
        "name": principal.name,
        "displayName": principal.display_name,
        "email": email,
        "applicationId": principal.application,
    })
}
