//! From a spec to a client of an organization.

use std::sync::Arc;

use url::Url;

use super::{Config, Deployment, Uipath};
use crate::api::authorization_server;
use crate::server::any::{Parts, Unusable};
use crate::server::budget::{Budget, Limits};

impl Uipath {
    /// Nothing is sent yet.
    pub fn from_spec(spec: &authorization_server::Uipath, parts: Parts<'_>) -> Result<(Self, Arc<Budget>), Unusable> {
        let (client_id, client_secret) = parts.credentials.client()?;
        let url = Url::parse(&spec.url).map_err(Unusable::address("uipath.url"))?;
        let limits = match (parts.requests_per_minute, spec.deployment) {
            (Some(limit), _) => Limits::per_minute(limit),
            (None, Deployment::AutomationCloud) => Limits::automation_cloud(),
            (None, _) => Limits::unlimited(),
        };
        let budget = parts.budgets.of(&url, &spec.organization, limits, &parts.transport.clock);
        let orchestrator = parts.requests_per_minute.map_or_else(Limits::orchestrator, Limits::per_minute);
        let orchestrator_budget = parts.budgets.of(
            &url,
            &format!("{}/orchestrator_", spec.organization),
            orchestrator,
            &parts.transport.clock,
        );
        let server = Self::new(Config {
            url,
            organization: spec.organization.clone(),
            deployment: spec.deployment,
            client_id,
            client_secret,
            transport: parts.transport,
            budget: budget.clone(),
            orchestrator_budget,
        })
        .map_err(Unusable::address("uipath.url"))?;
        Ok((server, budget))
    }
}
