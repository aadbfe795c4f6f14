//! From a spec to a client of a Hydra.

use std::sync::Arc;

use url::Url;

use super::{Config, ConfigError, Hydra};
use crate::api::authorization_server;
use crate::domain::registration::ClientSecret;
use crate::server::any::{Parts, Unusable};
use crate::server::budget::{Budget, Limits};

impl Hydra {
    /// Nothing is sent yet.
    pub fn from_spec(spec: &authorization_server::Hydra, parts: Parts<'_>) -> Result<(Self, Arc<Budget>), Unusable> {
        let url = Url::parse(&spec.url).map_err(Unusable::address("hydra.url"))?;
        let admin_url = Url::parse(&spec.admin_url).map_err(Unusable::address("hydra.adminUrl"))?;
        let limits = parts.requests_per_minute.map_or_else(Limits::unlimited, Limits::per_minute);
        let budget = parts.budgets.of(&admin_url, "", limits, &parts.transport.clock);
        let server = Self::new(Config {
            url,
            admin_url,
            token: parts.credentials.get("token").map(ClientSecret::new),
            transport: parts.transport,
            budget: budget.clone(),
        })
        .map_err(|error| match error {
            ConfigError::AdminUrl(_) => Unusable::address("hydra.adminUrl")(error),
            ConfigError::Token => Unusable::address("credentialsRef")(error),
            ConfigError::Url(_) | ConfigError::Client(_) => Unusable::address("hydra.url")(error),
        })?;
        Ok((server, budget))
    }
}
