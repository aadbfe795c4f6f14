//! Who issues the tokens of the cluster's service accounts: the API server's own discovery document, read once and then
//! now and again, and only where an application needs it.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::GetParams;
use kube::core::Request;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::kubernetes::say;
use crate::domain::federation::{ClusterIssuer, IssuerSeen};
use crate::domain::observed::{Finding, Retry};
use crate::domain::reason::Reason;

/// How long a document is believed: an issuer changes when somebody restarts the API server with another one.
const BELIEVED: SignedDuration = SignedDuration::from_mins(10);
/// How soon a look that failed is repeated, however many applications wait for it.
const AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// What this process knows of the cluster's issuer.
#[derive(Default)]
pub struct Issuer {
    read: Mutex<Option<Read>>,
}

struct Read {
    at: Timestamp,
    seen: IssuerSeen,
}

/// OpenID Connect Discovery 1.0 section 3.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    #[serde(default)]
    id_token_signing_alg_values_supported: BTreeSet<String>,
}

impl Issuer {
    /// The issuer as it was a short while ago. Several who ask share one request. What is known is not forgotten because a
    /// later look fails.
    pub async fn seen(&self, client: &Client, now: Timestamp) -> IssuerSeen {
        let mut read = self.read.lock().await;
        if let Some(known) = read.as_ref().filter(|known| known.serves(now)) {
            return known.seen.clone();
        }
        let before = read.take().map(|known| known.seen);
        let seen = match look(client).await {
            Err(finding) => match before {
                Some(known @ IssuerSeen::Known(_)) => known,
                _ => IssuerSeen::Unreadable(finding),
            },
            Ok(issuer) => IssuerSeen::Known(issuer),
        };
        *read = Some(Read { at: now, seen: seen.clone() });
        seen
    }
}

impl Read {
    fn serves(&self, now: Timestamp) -> bool {
        let span = if matches!(self.seen, IssuerSeen::Known(_)) { BELIEVED } else { AGAIN };
        now.duration_since(self.at) < span
    }
}

async fn look(client: &Client) -> Result<ClusterIssuer, Finding> {
    let unreadable = |what: String| {
        let message = format!(
            "spec.federatedCredentials: the issuer of this cluster's service accounts cannot be read from /.well-known/openid-configuration: {what}; name issuer and subject instead of serviceAccountRef if this stays so"
        );
        Finding::passing(Reason::KubernetesRefused, message, Retry::Backoff)
    };
    let request = Request::new("/.well-known").get("openid-configuration", &GetParams::default());
    let request = request.map_err(|_| unreadable("the request cannot be written".into()))?;
    let document: Document = client.request(request).await.map_err(|error| unreadable(say(&error)))?;
    Ok(ClusterIssuer { issuer: document.issuer, algorithms: document.id_token_signing_alg_values_supported })
}
