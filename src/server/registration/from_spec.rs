//! From an AuthorizationServer to a client.

use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use super::{Config, ConfigError, Registration};
use crate::api::authorization_server;
use crate::server::any::{Parts, Unusable};
use crate::server::budget::{Budget, Limits};

impl Registration {
    /// Makes a client of the server that the spec names. Nothing is sent yet.
    pub fn from_spec(
        spec: &authorization_server::Registration,
        parts: Parts<'_>,
    ) -> Result<(Self, Arc<Budget>), Unusable> {
        let issuer = Url::parse(&spec.issuer).map_err(Unusable::address("registration.issuer"))?;
        let limits = parts.requests_per_minute.map_or_else(Limits::unlimited, Limits::per_minute);
        let budget = parts.budgets.of(&issuer, "", limits, &parts.transport.clock);
        let server = Self::new(Config {
            issuer,
            initial_access_token: parts.credentials.get("initial-access-token").map(SecretString::from),
            records: parts.records,
            transport: parts.transport,
            budget: budget.clone(),
        })
        .map_err(|error| match error {
            ConfigError::Token => Unusable::address("credentialsRef")(error),
            ConfigError::Url(_) | ConfigError::Client(_) => Unusable::address("registration.issuer")(error),
        })?;
        Ok((server, budget))
    }
}
