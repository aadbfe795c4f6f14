//! What the token endpoint's answer means. Pure.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use serde::Serialize;
use serde_json::{Map, Value};

use super::credential::{Found, Way};
use crate::api::ExternalApplication;
use crate::cli::exit::Exit;
use crate::server::grant::{Access, Answered};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// There is a token with every scope that was asked for.
    Verified,
    /// The server knows the client; only with a person can there be a token.
    Recognised,
    /// There is a token, without some of the scopes.
    ScopesMissing,
    /// The server does not accept the credential, or does not give the scopes.
    Refused,
    /// There is nothing to try with.
    NotVerified,
}

/// The shape of `extapp verify -o json`. Fields are added, never renamed or taken away; what is not known is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub namespace: String,
    pub name: String,
    pub verdict: Verdict,
    /// Why it is no better, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What it authenticated with: never its value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    pub requested_scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub granted_scopes: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Of a token that is a JWT. Absent beside a token: it is opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Map<String, Value>>,
}

impl Report {
    /// There is nothing to try with.
    pub fn unverified(app: &ExternalApplication, why: String) -> Self {
        Self {
            namespace: app.namespace().unwrap_or_default(),
            name: app.name_any(),
            verdict: Verdict::NotVerified,
            message: Some(why),
            credential: None,
            client_id: app.status.as_ref().and_then(|status| status.client_id.clone()),
            token_endpoint: app.status.as_ref().and_then(|status| status.token_endpoint.clone()),
            requested_scopes: Vec::new(),
            granted_scopes: None,
            token_type: None,
            expires_at: None,
            claims: None,
        }
    }

    pub fn of(app: &ExternalApplication, found: &Found, answered: &Answered, now: Timestamp) -> Self {
        let requested = found.scope.as_deref().map(names).unwrap_or_default();
        let mut report = Self {
            credential: Some(found.way.describe()),
            client_id: Some(found.client_id.clone()),
            token_endpoint: Some(found.token_endpoint.clone()),
            requested_scopes: requested.iter().map(|name| (*name).to_owned()).collect(),
            ..Self::unverified(app, String::new())
        };
        (report.verdict, report.message) = match answered {
            Answered::Granted(access) => report.granted(access, now),
            Answered::Refused { code, text } => refused(code.as_deref(), text.as_str(), found),
        };
        report
    }

    fn granted(&mut self, access: &Access, now: Timestamp) -> (Verdict, Option<String>) {
        let expires_in = access.expires_in.and_then(|seconds| i64::try_from(seconds).ok());
        let expires_at = expires_in.and_then(|seconds| now.checked_add(SignedDuration::from_secs(seconds)).ok());
        self.token_type.clone_from(&access.token_type);
        self.expires_at = expires_at;
        self.claims = access.claims();
        let granted = access.scope.as_deref().map(names);
        // An answer that names no scope grants what was asked for (RFC 6749 section 5.1).
        let missing: Vec<String> = match &granted {
            Some(granted) => {
                self.requested_scopes.iter().filter(|name| !granted.contains(name.as_str())).cloned().collect()
            }
            None => Vec::new(),
        };
        self.granted_scopes = granted.map(|granted| granted.into_iter().map(str::to_owned).collect());
        if missing.is_empty() {
            return (Verdict::Verified, None);
        }
        let message =
            format!("the server gives a token without {}: extapp status shows which scopes it has", missing.join(" "));
        (Verdict::ScopesMissing, Some(message))
    }

    pub fn exit(&self) -> Exit {
        match self.verdict {
            Verdict::Verified | Verdict::Recognised => Exit::Done,
            Verdict::ScopesMissing | Verdict::Refused | Verdict::NotVerified => Exit::NotReady,
        }
    }
}

fn names(scope: &str) -> BTreeSet<&str> {
    scope.split_ascii_whitespace().collect()
}

/// What a refusal means (RFC 6749 section 5.2).
fn refused(code: Option<&str>, text: &str, found: &Found) -> (Verdict, Option<String>) {
    // A code that does not exist was looked for on behalf of a client that does.
    if found.scope.is_none() && code == Some("invalid_grant") {
        let message = "the server knows the client. It acts only for people: one has to sign in for a token";
        return (Verdict::Recognised, Some(message.into()));
    }
    let way_out = match (code, &found.way) {
        (Some("invalid_client"), Way::Secret { .. }) => {
            "the server does not accept the secret: extapp rotate has it replaced; extapp status shows whether something is wrong"
        }
        (Some("invalid_client"), Way::ServiceAccount { .. }) => {
            "the server does not accept tokens of the service account: are issuer and audience right, can it reach the issuer's keys, and has it had a minute to learn of the credential?"
        }
        (Some("invalid_client"), Way::Public) => {
            "the server does not know the client: is it registered, and NonConfidential there?"
        }
        (Some("invalid_scope" | "invalid_request"), _) => {
            "the server does not give all these scopes: extapp status shows which were not granted"
        }
        (Some("unauthorized_client"), _) => "the server knows the client and does not allow it this grant",
        _ => "the server refused the request",
    };
    (Verdict::Refused, Some(format!("{way_out} ({text})")))
}

#[cfg(test)]
mod tests;
