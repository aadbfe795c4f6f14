//! Bodies about federated credentials.

use serde::{Deserialize, Serialize};

use crate::domain::federation::{Federated, Trust};

/// The body that makes or replaces a federated credential: a replacement takes all fields.
#[derive(Serialize)]
pub(in crate::server::uipath) struct FederatedBody<'a> {
    name: &'a str,
    description: &'static str,
    issuer: &'a str,
    audience: &'a str,
    subject: &'a str,
}

impl<'a> FederatedBody<'a> {
    pub(in crate::server::uipath) fn new(trust: &'a Trust) -> Self {
        Self {
            name: &trust.name,
            description: "extapp",
            issuer: &trust.issuer,
            audience: &trust.audience,
            subject: &trust.subject,
        }
    }
}

/// A federated credential. One that is not understood must not look like one that is not there.
#[derive(Deserialize)]
pub(in crate::server::uipath) struct FederatedAnswer {
    id: String,
    name: String,
    issuer: String,
    audience: String,
    subject: String,
}

impl FederatedAnswer {
    pub(in crate::server::uipath) fn federated(self) -> Federated {
        let trust = Trust { name: self.name, issuer: self.issuer, audience: self.audience, subject: self.subject };
        Federated { id: self.id, trust }
    }
}
