//! Federated credentials of an application: tokens of other issuers that it may authenticate with instead of a secret.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::{READ, WRITE, json};
use crate::local_cloud::clock;
use crate::local_cloud::cloud::{Caller, Cloud};
use crate::local_cloud::errors::ApiError;
use crate::local_cloud::issuers::{self, Unusable};
use crate::local_cloud::store::applications;
use crate::local_cloud::store::federated::{self, Credential, MOST_OF_APPLICATION, Refused, Trust};

/// The most characters of a value. Automation Cloud's own limits are not known.
const MOST_CHARACTERS: usize = 600;

#[derive(Deserialize)]
pub struct ClientPath {
    partition: String,
    client: String,
}

#[derive(Deserialize)]
pub struct CredentialPath {
    partition: String,
    client: String,
    credential: String,
}

/// The body of a create or an update request; both need every member but the description, and an update needs that too.
#[derive(Deserialize)]
pub struct TrustRequest {
    name: Option<String>,
    description: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    subject: Option<String>,
}

/// A credential in an answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CredentialAnswer {
    id: String,
    client_id: String,
    name: String,
    description: Option<String>,
    issuer: String,
    audience: String,
    subject: String,
}

impl CredentialAnswer {
    fn new(client_id: &str, Credential { id, trust }: Credential) -> Self {
        let Trust { name, description, issuer, audience, subject } = trust;
        Self { id, client_id: client_id.to_owned(), name, description, issuer, audience, subject }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoApplication => Self::not_in_partition(),
            Refused::NoCredential => Self::NotFound,
            Refused::NameTaken => invalid("The application has another federated credential of this name."),
            Refused::TooMany => {
                invalid(format!("An application has at most {MOST_OF_APPLICATION} federated credentials."))
            }
            Refused::Failed(error) => error.into(),
        }
    }
}

/// `GET .../FederatedCredentials`: all of them at once.
pub async fn list(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(path): Path<ClientPath>,
) -> Result<Json<Vec<CredentialAnswer>>, ApiError> {
    caller.require_administration(&cloud, READ).await?;
    cloud.require_partition(&path.partition)?;
    let (client, credentials) = of_application(&cloud, &path.client).await?;
    Ok(Json(credentials.into_iter().map(|credential| CredentialAnswer::new(&client, credential)).collect()))
}

/// `GET .../FederatedCredentials/{credential}`.
pub async fn read(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(path): Path<CredentialPath>,
) -> Result<Json<CredentialAnswer>, ApiError> {
    caller.require_administration(&cloud, READ).await?;
    cloud.require_partition(&path.partition)?;
    let (client, credentials) = of_application(&cloud, &path.client).await?;
    let id = path.credential.to_ascii_lowercase();
    let found = credentials.into_iter().find(|credential| credential.id == id).ok_or(ApiError::NotFound)?;
    Ok(Json(CredentialAnswer::new(&client, found)))
}

/// `POST .../FederatedCredentials`: 201. The issuer is looked up meanwhile.
pub async fn create(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(path): Path<ClientPath>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<CredentialAnswer>), ApiError> {
    caller.require_administration(&cloud, WRITE).await?;
    cloud.require_partition(&path.partition)?;
    let trust = trust(json(&headers, &body)?)?;
    let (client, held) = of_application(&cloud, &path.client).await?;
    if held.len() >= MOST_OF_APPLICATION {
        return Err(Refused::TooMany.into());
    }
    check(&cloud, &trust.issuer).await?;
    let new = Credential { id: clock::random_uuid()?.to_string(), trust };
    let (key, stored) = (client.clone(), new.clone());
    cloud.store.transact(move |store| federated::insert(store, &key, &stored)).await?;
    Ok((StatusCode::CREATED, Json(CredentialAnswer::new(&client, new))))
}

/// `PUT .../FederatedCredentials/{credential}`: replaces everything; no member may be left out.
pub async fn replace(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(path): Path<CredentialPath>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<CredentialAnswer>, ApiError> {
    caller.require_administration(&cloud, WRITE).await?;
    cloud.require_partition(&path.partition)?;
    let request: TrustRequest = json(&headers, &body)?;
    if request.description.is_none() {
        return Err(ApiError::required("description"));
    }
    let trust = trust(request)?;
    let (client, held) = of_application(&cloud, &path.client).await?;
    let id = path.credential.to_ascii_lowercase();
    if held.iter().all(|credential| credential.id != id) {
        return Err(ApiError::NotFound);
    }
    check(&cloud, &trust.issuer).await?;
    let new = Credential { id, trust };
    let (key, stored) = (client.clone(), new.clone());
    cloud.store.transact(move |store| federated::replace(store, &key, &stored)).await?;
    Ok(Json(CredentialAnswer::new(&client, new)))
}

/// `DELETE .../FederatedCredentials/{credential}`: the next token request with it fails.
pub async fn delete(
    State(cloud): State<Arc<Cloud>>,
    caller: Caller,
    Path(path): Path<CredentialPath>,
) -> Result<StatusCode, ApiError> {
    caller.require_administration(&cloud, WRITE).await?;
    cloud.require_partition(&path.partition)?;
    let (client, id) = (path.client.to_ascii_lowercase(), path.credential.to_ascii_lowercase());
    cloud.store.transact(move |store| federated::delete(store, &client, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The client id as it is stored, and what the application has.
async fn of_application(cloud: &Cloud, client: &str) -> Result<(String, Vec<Credential>), ApiError> {
    let client = client.to_ascii_lowercase();
    let key = client.clone();
    let found = cloud.store.read(move |store| {
        let application = applications::find(store, &key)?;
        Ok((application.map(|application| application.confidential), federated::list(store, &key)?))
    });
    match found.await? {
        (None, _) => Err(ApiError::not_in_partition()),
        (Some(false), _) => Err(invalid("A non-confidential application has no federated credentials.")),
        (Some(true), credentials) => Ok((client, credentials)),
    }
}

/// The issuer must answer now, as it must when a token comes.
async fn check(cloud: &Cloud, issuer: &str) -> Result<(), ApiError> {
    cloud.issuers.check(issuer, cloud.clock.now_milliseconds()).await.map_err(|unusable| unfit(issuer, unusable))
}

fn unfit(issuer: &str, unusable: Unusable) -> ApiError {
    invalid(format!("The issuer '{issuer}' is not valid: {unusable}."))
}

/// Turns a request into what is stored. Values are compared byte for byte later, so none may hold what would only look
/// the same, or a wildcard, which nobody would expand.
fn trust(request: TrustRequest) -> Result<Trust, ApiError> {
    let exact = |field: &'static str, value: Option<String>| {
        let value = value.filter(|value| !value.trim().is_empty()).ok_or_else(|| ApiError::required(field))?;
        let odd = |c: char| c.is_control() || c == '*';
        if value.trim() != value || value.contains(odd) || value.chars().count() > MOST_CHARACTERS {
            return Err(invalid(format!(
                "The {field} must be an exact value of at most {MOST_CHARACTERS} characters, without wildcards and \
                 without white space at its ends."
            )));
        }
        Ok(value)
    };
    let issuer = exact("issuer", request.issuer)?;
    issuers::permitted(&issuer).map_err(|unusable| unfit(&issuer, unusable))?;
    let description = request.description;
    if description.as_ref().is_some_and(|text| text.chars().count() > MOST_CHARACTERS) {
        return Err(invalid(format!("The description has at most {MOST_CHARACTERS} characters.")));
    }
    Ok(Trust {
        name: exact("name", request.name)?,
        description,
        audience: exact("audience", request.audience)?,
        subject: exact("subject", request.subject)?,
        issuer,
    })
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::business("InvalidRequest", message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn judge(change: &Value) -> Result<Trust, String> {
        let mut request = json!({
            "name": "cluster",
            "issuer": "https://issuer.example/tenant",
            "audience": "cloud",
            "subject": "system:serviceaccount:billing:worker",
        });
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        trust(serde_json::from_value(request).unwrap()).map_err(|error| match error {
            ApiError::Business { message, .. } | ApiError::Binding { message, .. } => message,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn every_value_must_be_there_and_stand_for_itself_alone() {
        assert!(judge(&json!({})).is_ok());
        for field in ["name", "issuer", "audience", "subject"] {
            for missing in [json!(null), json!(""), json!(" ")] {
                assert_eq!(judge(&json!({ field: missing })), Err(format!("The {field} field is required.")));
            }
            for wrong in ["https://issuer.example/*", "https://issuer.example ", "\thttps://issuer.example", "*"] {
                let refusal = judge(&json!({ field: wrong })).unwrap_err();
                assert!(refusal.contains(&format!("The {field} must be an exact value")), "{field} {wrong}: {refusal}");
            }
            assert!(judge(&json!({ field: format!("https://{}", "a".repeat(MOST_CHARACTERS)) })).is_err(), "{field}");
        }
    }

    #[test]
    fn an_issuer_speaks_tls_unless_it_is_on_this_machine() {
        for issuer in ["https://issuer.example", "https://127.0.0.1:6443", "http://127.0.0.1:1", "http://[::1]:1/a"] {
            assert!(judge(&json!({ "issuer": issuer })).is_ok(), "{issuer}");
        }
        for issuer in [
            "http://issuer.example",
            "http://127.0.0.1.example",
            "https://user@issuer.example",
            "https://issuer.example?tenant=a",
            "https://issuer.example#a",
            "https://issuer.example/a b",
            "file:///etc/passwd",
            "kubernetes/serviceaccount",
        ] {
            let refusal = judge(&json!({ "issuer": issuer })).unwrap_err();
            assert!(refusal.contains("must be an https URL"), "{issuer}: {refusal}");
        }
    }
}
