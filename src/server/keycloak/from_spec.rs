//! From a spec to a client of a realm.

use std::sync::Arc;

use url::Url;

use super::{Config, Keycloak};
use crate::api::authorization_server;
use crate::server::any::{Parts, Unusable};
use crate::server::budget::{Budget, Limits};

impl Keycloak {
    /// Nothing is sent yet.
    pub fn from_spec(spec: &authorization_server::Keycloak, parts: Parts<'_>) -> Result<(Self, Arc<Budget>), Unusable> {
        let (client_id, client_secret) = parts.credentials.client()?;
        let url = Url::parse(&spec.url).map_err(Unusable::address("keycloak.url"))?;
        // Keycloak itself counts no requests.
        let limits = parts.requests_per_minute.map_or_else(Limits::unlimited, Limits::per_minute);
        let budget = parts.budgets.of(&url, &spec.realm, limits, &parts.transport.clock);
        let server = Self::new(Config {
            url,
            realm: spec.realm.clone(),
            client_id,
            client_secret,
            transport: parts.transport,
            budget: budget.clone(),
        })
        .map_err(Unusable::address("keycloak.url"))?;
        Ok((server, budget))
    }
}
